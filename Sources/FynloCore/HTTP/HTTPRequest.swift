// A request as a value: what the parser returns once a message is complete, and what the router reads.

/// One whole request.
public struct HTTPRequest: Sendable, Equatable {
    /// The single element is the request. Requests are passed through many functions: copying an array retains one reference,
    /// copying the fields would retain nine.
    private var parts: [Parts]

    private struct Parts: Sendable, Equatable {
        var method: HTTPMethod
        var path: String
        var query: String?
        var rawTarget: String
        var version: HTTPVersion
        var headers: HTTPHeaders
        var body: [UInt8]
        var isKeepAlive: Bool
        var expectsContinue: Bool
        var id = RequestID.none
    }

    public var method: HTTPMethod { parts[0].method }
    /// The path, percent-decoded, beginning with a slash; `*` for `OPTIONS *`. It has no dot segment, backslash, control
    /// character or encoded slash: requests with these are refused, so that proxies saw the same segments.
    public var path: String { parts[0].path }
    /// The target after its first `?`, as it was sent; `nil` without a `?`.
    public var query: String? { parts[0].query }
    /// The request target as it was sent.
    public var rawTarget: String { parts[0].rawTarget }
    public var version: HTTPVersion { parts[0].version }
    /// The fields, with lower-cased names. HTTP/1.1 requests have exactly one `host`; if the target names a host, `host` is
    /// that one (RFC 9112 §3.2.2).
    public var headers: HTTPHeaders {
        get { parts[0].headers }
        set { parts[0].headers = newValue }
    }
    /// The body without chunk framing; empty if there is none. Trailers are checked and dropped.
    public var body: [UInt8] {
        get { parts[0].body }
        set { parts[0].body = newValue }
    }
    /// True if the client may send another request on the connection (RFC 9112 §9.3).
    public var isKeepAlive: Bool {
        get { parts[0].isKeepAlive }
        set { parts[0].isKeepAlive = newValue }
    }
    /// True if the client waited, or may have waited, for `100 Continue` before its body.
    public var expectsContinue: Bool {
        get { parts[0].expectsContinue }
        set { parts[0].expectsContinue = newValue }
    }
    /// The request's name in the response's X-Request-ID and in the log.
    public var id: RequestID {
        get { parts[0].id }
        set { parts[0].id = newValue }
    }

    /// A request as the parser would make it; `path` and `query` are taken from a well-formed origin-form target.
    public init(
        method: HTTPMethod, path: String, query: String? = nil, rawTarget: String? = nil,
        version: HTTPVersion = .http11, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = [],
        isKeepAlive: Bool = true, expectsContinue: Bool = false
    ) {
        parts = [
            Parts(
                method: method, path: path, query: query,
                rawTarget: rawTarget ?? (query.map { "\(path)?\($0)" } ?? path), version: version, headers: headers,
                body: body, isKeepAlive: isKeepAlive,
                expectsContinue: expectsContinue)
        ]
    }

    /// The host and optional port that the request is for; `nil` only in HTTP/1.0.
    public var authority: String? { headers.first("host") }

    /// The names and values of the query in order, with repeated ones, decoded like a form: `%HH` is a byte and `+` a space. A
    /// name without `=` has an empty value; empty pieces between two `&` are skipped.
    ///
    /// Throws if a `%` is not followed by two hexadecimal digits, or if the result is not UTF-8 or contains NUL, which no
    /// database accepts.
    public func queryItems() throws(HTTPError) -> [(name: String, value: String)] {
        guard let query else { return [] }
        let bytes = query.utf8Span.span
        var items: [(name: String, value: String)] = []
        var start = 0
        while start < bytes.count {
            let end = bytes.firstIndex(of: UInt8(ascii: "&"), from: start) ?? bytes.count
            if end > start {
                let piece = bytes.extracting(start..<end)
                let nameEnd = piece.firstIndex(of: UInt8(ascii: "=")) ?? piece.count
                let name = try Self.formDecoded(piece.extracting(0..<nameEnd))
                let value = try Self.formDecoded(piece.extracting(min(nameEnd + 1, piece.count)..<piece.count))
                items.append((name: name, value: value))
            }
            start = end + 1
        }
        return items
    }

    private static func formDecoded(_ bytes: Span<UInt8>) throws(HTTPError) -> String {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "+"):
                decoded.append(.space)
            case UInt8(ascii: "%"):
                let byte = try HTTPTarget.escapedByte(in: bytes, at: index)
                guard byte != 0 else { throw .invalidQuery }
                decoded.append(byte)
                index += 2
            case let byte:
                decoded.append(byte)
            }
            index += 1
        }
        guard let text = String(validating: decoded.span) else { throw .invalidQuery }
        return text
    }
}

extension HTTPRequest {
    /// RFC 9110 §13.1.2, If-None-Match: true if the client has the version with this entity tag, which is given in quotes and
    /// lower case. The comparison is weak, as GET requires.
    public func holds(entityTag tag: String) -> Bool {
        headers.contains("if-none-match")
            && headers.tokens("if-none-match").contains { $0 == "*" || $0 == tag || $0 == "w/" + tag }
    }
}

extension HTTPRequest {
    /// True if a proxy says that it forwards the request for somebody else.
    var isForwarded: Bool {
        ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"].contains { headers.first($0) != nil }
    }
}
