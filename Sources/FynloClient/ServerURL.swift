// The address of a server as people write it: http:// or ws://, which mean the same server; https:// or wss:// with TLS.

/// Where a server is.
public struct ServerURL: Hashable, Sendable, CustomStringConvertible {
    /// True for https and wss.
    public let usesTLS: Bool
    /// A name or an address; IPv6 without brackets.
    public let host: String
    public let port: UInt16
    /// The path before `/api/v1/…`, without a trailing slash; usually empty.
    public let pathPrefix: String

    /// Reads `http://host[:port][/prefix]`, `ws://…`, `https://…` or `wss://…`. Throws `ClientError.invalidURL` for
    /// everything else.
    public init(_ text: String) throws(ClientError) {
        func invalid(_ reason: String) -> ClientError { .invalidURL(text, reason: reason) }
        guard let separator = text.firstRange(of: "://") else {
            throw invalid("write it as http://HOST:PORT or https://HOST:PORT")
        }
        switch text[..<separator.lowerBound].lowercased() {
        case "http", "ws": usesTLS = false
        case "https", "wss": usesTLS = true
        default: throw invalid("it begins with http://, https://, ws:// or wss://")
        }
        let rest = text[separator.upperBound...]
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw invalid("it has only visible ASCII characters")
        }
        guard !rest.contains(where: { "?#@".contains($0) }) else {
            throw invalid("it has no user, query or fragment")
        }
        let pathStart = rest.firstIndex(of: "/") ?? rest.endIndex
        var path = rest[pathStart...]
        while path.hasSuffix("/") { path = path.dropLast() }
        pathPrefix = String(path)
        let (host, port) = try ServerURL.hostAndPort(rest[..<pathStart], invalid)
        self.host = host
        self.port = port ?? ServerURL.usualPort(usesTLS: usesTLS)
    }

    private static func usualPort(usesTLS: Bool) -> UInt16 { usesTLS ? 443 : 80 }

    private static func hostAndPort(
        _ authority: Substring, _ invalid: (String) -> ClientError
    ) throws(ClientError) -> (host: String, port: UInt16?) {
        var host = authority
        var port: Substring?
        if authority.hasPrefix("[") {
            guard let bracket = authority.firstIndex(of: "]") else {
                throw invalid("the bracket before the host is not closed")
            }
            host = authority[authority.index(after: authority.startIndex)..<bracket]
            let tail = authority[authority.index(after: bracket)...]
            guard tail.isEmpty || tail.hasPrefix(":") else { throw invalid("only a port follows the bracket") }
            if !tail.isEmpty { port = tail.dropFirst() }
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            port = authority[authority.index(after: colon)...]
        }
        guard !host.isEmpty else { throw invalid("the host is missing") }
        guard let port else { return (String(host), nil) }
        guard port.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt16(port), number > 0 else {
            throw invalid("the port is a number from 1 to 65535")
        }
        return (String(host), number)
    }

    /// The Host field: the host, and the port unless it is the default.
    public var authority: String {
        let host = self.host.contains(":") ? "[\(self.host)]" : self.host
        return port == ServerURL.usualPort(usesTLS: usesTLS) ? host : "\(host):\(port)"
    }

    public var description: String { "\(usesTLS ? "https" : "http")://\(authority)\(pathPrefix)" }
}
