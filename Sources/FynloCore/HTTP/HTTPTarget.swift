// The request target of RFC 9112 §3.2, parsed once, before anything is decided by it. What could be read in two ways is refused,
// not repaired: a proxy in front of the server decides by its own reading.

/// A request target, checked and decoded.
struct HTTPTarget: Equatable {
    /// Percent-decoded, beginning with a slash; `*` for the asterisk-form.
    var path: String
    /// As sent, without its `?`; `nil` without one.
    var query: String?
    /// Host and port of the absolute-form; `nil` in the other forms.
    var authority: String?

    /// Parses a target. `raw` is the same bytes as a string; it is reused if it is the path.
    init(_ target: Span<UInt8>, raw: String, method: HTTPMethod) throws(HTTPError) {
        if target.equals("*"), method == .options {
            path = raw
            return
        }
        var pathStart = 0
        if target.count > 0, target[0] != UInt8(ascii: "/") {
            let authorityStart = try Self.authorityStart(of: target)
            pathStart = authorityStart
            while pathStart < target.count, target[pathStart] != UInt8(ascii: "/"),
                target[pathStart] != UInt8(ascii: "?")
            {
                pathStart += 1
            }
            let authority = target.extracting(authorityStart..<pathStart)
            guard Self.isAuthority(authority) else { throw .invalidHost }
            self.authority = String(validating: authority)
        }
        let pathEnd = target.firstIndex(of: UInt8(ascii: "?"), from: pathStart) ?? target.count
        if pathEnd < target.count {
            let query = target.extracting(pathEnd + 1..<target.count)
            guard query.consists(of: .query) else { throw .invalidTarget }
            self.query = String(validating: query)
        }
        if pathStart == pathEnd, authority != nil {
            path = "/"
        } else {
            path = try Self.decodedPath(target.extracting(pathStart..<pathEnd), raw: raw)
        }
    }

    /// Where the host begins in `http://host…`; throws if the target is not in absolute-form.
    private static func authorityStart(of target: Span<UInt8>) throws(HTTPError) -> Int {
        for scheme: StaticString in ["http://", "https://"] {
            let length = scheme.utf8CodeUnitCount
            if target.count > length, target.extracting(0..<length).equalsIgnoringCase(scheme) { return length }
        }
        throw .invalidTarget
    }

    /// The decoded path. Throws if it has characters that RFC 3986 does not allow, or could be taken for another path.
    private static func decodedPath(_ path: Span<UInt8>, raw: String) throws(HTTPError) -> String {
        guard path.count > 0, path.consists(of: .path) else { throw .invalidTarget }
        guard path.firstIndex(of: UInt8(ascii: "%")) != nil else {
            try refuseDotSegments(path)
            if path.count == raw.utf8.count { return raw }
            guard let text = String(validating: path) else { throw .invalidPath }
            return text
        }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(path.count)
        var index = 0
        while index < path.count {
            var byte = path[index]
            if byte == UInt8(ascii: "%") {
                byte = try escapedByte(in: path, at: index)
                guard byte >= 0x20, byte != 0x7f, byte != UInt8(ascii: "/"), byte != UInt8(ascii: "\\") else {
                    throw .invalidPath
                }
                index += 2
            }
            decoded.append(byte)
            index += 1
        }
        try refuseDotSegments(decoded.span)
        guard let text = String(validating: decoded.span) else { throw .invalidPath }
        return text
    }

    private static func refuseDotSegments(_ path: Span<UInt8>) throws(HTTPError) {
        var start = 0
        while start <= path.count {
            let end = path.firstIndex(of: UInt8(ascii: "/"), from: start) ?? path.count
            let segment = path.extracting(start..<end)
            if segment.equals(".") || segment.equals("..") { throw .invalidPath }
            start = end + 1
        }
    }

    /// The byte that the `%` at `index` and the two digits after it encode.
    static func escapedByte(in text: Span<UInt8>, at index: Int) throws(HTTPError) -> UInt8 {
        guard text.count - index > 2, let high = text[index + 1].hexadecimalValue,
            let low = text[index + 2].hexadecimalValue
        else { throw .invalidPercentEncoding }
        return high << 4 | low
    }

    /// RFC 9110 §7.2 and RFC 3986 §3.2: `host` or `host:port`, without user information. The host must not be empty, as in
    /// every `http` URI (RFC 9110 §4.2.1).
    static func isAuthority(_ text: Span<UInt8>) -> Bool {
        guard text.count > 0 else { return false }
        var hostEnd: Int
        if text[0] == UInt8(ascii: "[") {
            guard let bracket = text.firstIndex(of: UInt8(ascii: "]")), bracket > 1,
                text.extracting(1..<bracket).consists(of: .addressLiteral)
            else { return false }
            hostEnd = bracket + 1
        } else {
            hostEnd = text.firstIndex(of: UInt8(ascii: ":")) ?? text.count
            let host = text.extracting(0..<hostEnd)
            guard hostEnd > 0, host.consists(of: .registeredName) else { return false }
            for index in host.indices where host[index] == UInt8(ascii: "%") {
                guard (try? escapedByte(in: host, at: index)) != nil else { return false }
            }
        }
        guard hostEnd < text.count else { return true }
        guard text[hostEnd] == UInt8(ascii: ":") else { return false }
        var port = 0
        for index in hostEnd + 1..<text.count {
            guard text[index].isDigit else { return false }
            port = port * 10 + Int(text[index] - UInt8(ascii: "0"))
            guard port <= 65_535 else { return false }
        }
        return true
    }
}
