// Where a socket listens or connects: an IPv4 or IPv6 address with its port, or the path of a local socket. Only literals
// are understood here; names are the Resolver's.

import CLinux
public import FynloCore
import Glibc

/// One address, as a small value.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// The kind of address.
    public enum Family: Sendable { case ipv4, ipv6, unix }

    private enum Kind: Hashable {
        /// Both in host order.
        case ipv4(address: UInt32, port: UInt16)
        /// The 16 bytes as two numbers in host order.
        case ipv6(high: UInt64, low: UInt64, port: UInt16, scope: UInt32)
        case unix(path: String)
    }

    private let kind: Kind

    private init(_ kind: Kind) {
        self.kind = kind
    }

    /// Reads `127.0.0.1:8000`, `[::1]:8000` or `:8000`, which is every IPv4 address of the machine.
    /// Throws `SystemError.invalidAddress` for anything else; host names are not looked up.
    public init(parsing text: String) throws(SystemError) {
        let usage = "write an IP address and a port, as in 127.0.0.1:8000, [::1]:8000 or :8000"
        guard let colon = text.lastIndex(of: ":") else { throw .invalidAddress(text, reason: usage) }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]"), host.contains(":") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            throw .invalidAddress(text, reason: "an IPv6 address is written in brackets, as in [::1]:8000")
        }
        guard let port = Self.port(text[text.index(after: colon)...]) else {
            throw .invalidAddress(text, reason: "the port after the last colon is a number from 0 to 65535")
        }
        guard let address = SocketAddress(host: host.isEmpty ? "0.0.0.0" : host, port: port) else {
            throw .invalidAddress(text, reason: usage)
        }
        self = address
    }

    /// An IP address literal, IPv6 without brackets, and a port; nil for anything else.
    public init?(host: String, port: UInt16) {
        guard !host.utf8.contains(0) else { return nil }
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 {
            self.init(.ipv4(address: UInt32(bigEndian: four.s_addr), port: port))
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, host, &six) == 1 else { return nil }
        self.init(Self.ipv6(six, port: port, scope: 0))
    }

    /// The path of a local socket: 1 to 107 bytes without a zero byte.
    public static func unix(_ path: String) throws(SystemError) -> SocketAddress {
        guard !path.isEmpty, path.utf8.count <= 107, !path.utf8.contains(0) else {
            throw .invalidAddress(path, reason: "the path of a local socket has 1 to 107 bytes")
        }
        return SocketAddress(.unix(path: path))
    }

    /// The kind of address.
    public var family: Family {
        switch kind {
        case .ipv4: .ipv4
        case .ipv6: .ipv6
        case .unix: .unix
        }
    }

    /// The port; 0 for a local socket.
    public var port: UInt16 {
        switch kind {
        case .ipv4(_, let port), .ipv6(_, _, let port, _): port
        case .unix: 0
        }
    }

    /// True for a program on this machine: 127.0.0.0/8, also within IPv6; ::1; or a local socket.
    public var isLoopback: Bool {
        switch kind {
        case .ipv4(let address, _): address >> 24 == 127
        case .ipv6(let high, let low, _, _):
            high == 0 && (low == 1 || (low >> 32 == 0xffff && (low >> 24) & 0xff == 127))
        case .unix: true
        }
    }

    /// True for `::` and `0.0.0.0`: every address of the machine.
    public var isUnspecified: Bool {
        switch kind {
        case .ipv4(let address, _): address == 0
        case .ipv6(let high, let low, _, _): high == 0 && low == 0
        case .unix: false
        }
    }

    /// The IP address; `nil` for a local socket.
    public var ipAddress: IPAddress? {
        switch kind {
        case .ipv4(let address, _): IPAddress(ipv4: address)
        case .ipv6(let high, let low, _, _): IPAddress(bits: UInt128(high) << 64 | UInt128(low))
        case .unix: nil
        }
    }

    /// The address without port and brackets; an IPv4 address within IPv6 (`::ffff:1.2.3.4`) as the IPv4 address it is. The
    /// path of a local socket.
    public var hostText: String {
        switch kind {
        case .ipv4(let address, _):
            return Self.dotted(address)
        case .ipv6(let high, let low, _, _):
            if high == 0, low >> 32 == 0xffff { return Self.dotted(UInt32(truncatingIfNeeded: low)) }
            var address = Self.bytes(high, low)
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            guard inet_ntop(AF_INET6, &address, &text, socklen_t(text.count)) != nil else { return "?" }
            return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        case .unix(let path):
            return path
        }
    }

    /// The form that `init(parsing:)` reads; for a local socket `unix:` and its path.
    public var description: String {
        let host = hostText
        switch family {
        case .unix: return "unix:\(host)"
        case .ipv4, .ipv6: return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }

    // MARK: The kernel's form

    /// Reads an address that the kernel has filled in; nil for a family that is not supported.
    init?(_ storage: sockaddr_storage, length: socklen_t) {
        let kind: Kind? = withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let address = bytes.loadUnaligned(as: sockaddr_in.self)
                return .ipv4(
                    address: UInt32(bigEndian: address.sin_addr.s_addr), port: UInt16(bigEndian: address.sin_port))
            case AF_INET6:
                let address = bytes.loadUnaligned(as: sockaddr_in6.self)
                return Self.ipv6(
                    address.sin6_addr, port: UInt16(bigEndian: address.sin6_port), scope: address.sin6_scope_id)
            case AF_UNIX:
                // A client's socket usually has no name at all.
                let path = bytes.prefix(Int(length)).dropFirst(MemoryLayout<sa_family_t>.size).prefix { $0 != 0 }
                return .unix(path: String(decoding: path, as: UTF8.self))
            default:
                return nil
            }
        }
        guard let kind else { return nil }
        self.init(kind)
    }

    /// AF_INET, AF_INET6 or AF_UNIX.
    var domain: Int32 {
        switch family {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Lends the address in the kernel's form.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        var length = 0
        withUnsafeMutableBytes(of: &storage) { bytes in
            switch kind {
            case .ipv4(let address, let port):
                var value = sockaddr_in()
                value.sin_family = sa_family_t(AF_INET)
                value.sin_port = port.bigEndian
                value.sin_addr.s_addr = address.bigEndian
                length = MemoryLayout<sockaddr_in>.size
                bytes.storeBytes(of: value, as: sockaddr_in.self)
            case .ipv6(let high, let low, let port, let scope):
                var value = sockaddr_in6()
                value.sin6_family = sa_family_t(AF_INET6)
                value.sin6_port = port.bigEndian
                value.sin6_addr = Self.bytes(high, low)
                value.sin6_scope_id = scope
                length = MemoryLayout<sockaddr_in6>.size
                bytes.storeBytes(of: value, as: sockaddr_in6.self)
            case .unix(let path):
                bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
                let start = MemoryLayout<sa_family_t>.size
                for (offset, byte) in path.utf8.enumerated() { bytes[start + offset] = byte }
                length = start + path.utf8.count + 1
            }
        }
        return withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }

    /// Calls `fill` (getsockname, getpeername or accept) with room for an address. nil if it returned a negative number, or
    /// the family is not supported.
    static func filled(
        by fill: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> (result: Int32, address: SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { fill($0, &length) }
        }
        return (result, result < 0 ? nil : SocketAddress(storage, length: length))
    }

    // MARK: Text and bytes

    private static func ipv6(_ address: in6_addr, port: UInt16, scope: UInt32) -> Kind {
        withUnsafeBytes(of: address) { bytes in
            .ipv6(
                high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                port: port, scope: scope)
        }
    }

    private static func bytes(_ high: UInt64, _ low: UInt64) -> in6_addr {
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) { bytes in
            bytes.storeBytes(of: high.bigEndian, as: UInt64.self)
            bytes.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return address
    }

    private static func dotted(_ address: UInt32) -> String {
        "\(address >> 24).\(address >> 16 & 0xff).\(address >> 8 & 0xff).\(address & 0xff)"
    }

    /// Digits only: no sign, no spaces.
    private static func port(_ text: Substring) -> UInt16? {
        let isDecimal = text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        return isDecimal ? UInt16(text) : nil
    }
}
