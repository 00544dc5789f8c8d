// The address and the credentials of Redis, read from REDIS_URL.
//
//     redis://[[user]:password@]host[:port][/database]    port 6379 and database 0 unless given; IPv6 hosts in brackets
//     unix:/path[?db=database], unix://[[user]:password@]/path[?db=database]
//
// User, password and path are percent-encoded (RFC 3986 §2.1). Errors repeat no part of the URL: if it is malformed, any part
// may be the password.

import FynloCore
import FynloIO

/// The content of REDIS_URL.
struct RedisSettings: Equatable, Sendable {
    /// The address of Redis.
    enum Endpoint: Equatable, Sendable {
        /// A name or an IP address (IPv6 without brackets). Names are resolved again for each connection.
        case host(String, port: UInt16)
        /// The path of a local socket.
        case unix(SocketAddress)
    }

    let endpoint: Endpoint
    /// The user for AUTH; nil for the default user.
    let user: [UInt8]?
    /// The password for AUTH; nil if there is none.
    let password: [UInt8]?
    /// The database for SELECT.
    let database: Int32

    /// Reads a REDIS_URL. Throws `RedisError.invalidURL`.
    init(_ url: String) throws(RedisError) {
        let bytes = Array(url.utf8)
        guard !bytes.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
            throw .invalidURL(reason: "it holds a control character, perhaps a line break at its end")
        }
        guard !bytes.contains(UInt8(ascii: "#")) else {
            throw .invalidURL(reason: "a # within the password is written %23")
        }
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { throw Self.unknownForm }
        let afterScheme = bytes[(colon + 1)...]
        switch String(decoding: bytes[..<colon], as: UTF8.self).lowercased() {
        case "redis":
            guard let parts = Self.split(afterScheme), let authority = parts.authority else { throw Self.unknownForm }
            (user, password) = try Self.credentials(authority)
            endpoint = try Self.host(authority)
            database = try Self.database(path: parts.path, query: parts.query)
        case "unix":
            guard let parts = Self.split(afterScheme) else {
                throw .invalidURL(
                    reason: "the path of a local socket begins with a slash, as in unix:/run/redis.sock")
            }
            let authority = parts.authority ?? []
            guard authority.isEmpty || authority.last == UInt8(ascii: "@") else {
                throw .invalidURL(
                    reason: "a local socket has no host: write three slashes, as in unix:///run/redis.sock")
            }
            (user, password) = try Self.credentials(authority)
            endpoint = try Self.socket(parts.path)
            database = try Self.database(path: [], query: parts.query)
        case "rediss":
            throw .invalidURL(
                reason: "TLS to Redis is not available yet; use redis:// on a trusted network, a tunnel or unix:")
        default:
            throw Self.unknownForm
        }
    }

    // MARK: Parts

    private typealias Bytes = ArraySlice<UInt8>

    private static var unknownForm: RedisError {
        .invalidURL(reason: "write redis://[user:password@]host[:port][/database] or unix:/path[?db=database]")
    }

    /// The part after the scheme: `[//authority][/path][?query]`. nil if it does not begin with a slash.
    private static func split(_ text: Bytes) -> (authority: Bytes?, path: Bytes, query: Bytes?)? {
        let slash = UInt8(ascii: "/")
        guard text.first == slash else { return nil }
        var rest = text
        var query: Bytes?
        if let mark = rest.firstIndex(of: UInt8(ascii: "?")) {
            query = rest[(mark + 1)...]
            rest = rest[..<mark]
        }
        guard rest.starts(with: [slash, slash]) else { return (nil, rest, query) }
        rest = rest.dropFirst(2)
        let end = rest.firstIndex(of: slash) ?? rest.endIndex
        return (rest[..<end], rest[end...], query)
    }

    private static func credentials(_ authority: Bytes) throws(RedisError) -> (user: [UInt8]?, password: [UInt8]?) {
        guard let at = authority.lastIndex(of: UInt8(ascii: "@")) else { return (nil, nil) }
        let text = authority[..<at]
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else {
            throw .invalidURL(reason: "before the @ stands user:password, or :password without a user")
        }
        let user = try decode(text[..<colon])
        let password = try decode(text[(colon + 1)...])
        if user.isEmpty { return (nil, password.isEmpty ? nil : password) }
        return (user, password)
    }

    private static func host(_ authority: Bytes) throws(RedisError) -> Endpoint {
        var rest = authority
        if let at = rest.lastIndex(of: UInt8(ascii: "@")) { rest = rest[(at + 1)...] }
        let host: Bytes
        if rest.first == UInt8(ascii: "[") {
            guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else {
                throw .invalidURL(reason: "the bracket of the IPv6 address is not closed")
            }
            host = rest[(rest.startIndex + 1)..<end]
            rest = rest[(end + 1)...]
            let text = String(decoding: host, as: UTF8.self)
            guard SocketAddress(host: text, port: 0)?.family == .ipv6 else {
                throw .invalidURL(reason: "in the brackets stands an IPv6 address, as in redis://[::1]:6379")
            }
        } else {
            host = rest.prefix { $0 != UInt8(ascii: ":") }
            rest = rest[host.endIndex...]
            guard !host.isEmpty, host.count <= 253, host.allSatisfy(isHostCharacter) else {
                throw .invalidURL(reason: "the host is a name or an IP address (IPv6 in brackets), after the last @")
            }
        }
        return .host(String(decoding: host, as: UTF8.self), port: try port(rest))
    }

    /// Nothing, or a colon and the port.
    private static func port(_ text: Bytes) throws(RedisError) -> UInt16 {
        if text.isEmpty { return 6379 }
        guard text.first == UInt8(ascii: ":"), let number = number(text.dropFirst()), (1...65_535).contains(number)
        else {
            throw .invalidURL(reason: "the port is a number from 1 to 65535 after the host and a colon")
        }
        return UInt16(number)
    }

    private static func socket(_ path: Bytes) throws(RedisError) -> Endpoint {
        let decoded = try decode(path)
        guard let text = String(validating: decoded.span), text != "/", let address = try? SocketAddress.unix(text)
        else {
            throw .invalidURL(reason: "the path of the local socket is absolute and has 2 to 107 bytes")
        }
        return .unix(address)
    }

    /// `/3` or `?db=3`, not both.
    private static func database(path: Bytes, query: Bytes?) throws(RedisError) -> Int32 {
        let inPath = path.dropFirst()
        guard let query else { return inPath.isEmpty ? 0 : try database(inPath) }
        guard query.starts(with: Array("db=".utf8)) else {
            throw .invalidURL(reason: "db is the only parameter understood after the question mark")
        }
        guard inPath.isEmpty else {
            throw .invalidURL(reason: "the database stands in the path or after ?db=, not in both")
        }
        return try database(query.dropFirst(3))
    }

    private static func database(_ text: Bytes) throws(RedisError) -> Int32 {
        guard let number = number(text) else {
            throw .invalidURL(reason: "the database is a number from 0, as in redis://localhost:6379/0")
        }
        return number
    }

    /// Decimal digits only, up to Int32's limit.
    private static func number(_ text: Bytes) -> Int32? {
        guard !text.isEmpty, text.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int32(String(decoding: text, as: UTF8.self))
    }

    private static func isHostCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
        default: false
        }
    }

    private static func decode(_ text: Bytes) throws(RedisError) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(text.count)
        var rest = text
        while let byte = rest.popFirst() {
            if byte != UInt8(ascii: "%") {
                decoded.append(byte)
            } else if let high = hexDigit(rest.popFirst()), let low = hexDigit(rest.popFirst()) {
                decoded.append(high << 4 | low)
            } else {
                throw .invalidURL(reason: "a % is followed by two hexadecimal digits; a % itself is written %25")
            }
        }
        return decoded
    }

    private static func hexDigit(_ byte: UInt8?) -> UInt8? {
        guard let byte else { return nil }
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return byte - UInt8(ascii: "A") + 10
        default: return nil
        }
    }
}

// Printing, interpolating or dumping the settings shows the address, but no credentials.
extension RedisSettings: CustomStringConvertible, CustomReflectable {
    var description: String {
        switch endpoint {
        case .unix(let address): "\(address)?db=\(database)"
        case .host(let host, let port):
            host.contains(":") ? "redis://[\(host)]:\(port)/\(database)" : "redis://\(host):\(port)/\(database)"
        }
    }

    var customMirror: Mirror {
        Mirror(self, children: ["url": description])
    }
}
