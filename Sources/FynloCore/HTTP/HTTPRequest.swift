// A request as a value: what the parser yields once a message is complete, and what the router looks at.

/// One whole request.
public struct HTTPRequest: Sendable, Equatable {
    /// The one element is the request: it is handed through many hands, and a copy of an array is one count of references
    /// where one of these fields would be nine.
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
    /// The path, percent-decoded, beginning with a slash; `*` for `OPTIONS *`. It holds no dot segment, backslash, control
    /// character or encoded slash: requests with these are refused, so that its segments are what everyone else saw.
    public var path: String { parts[0].path }
    /// What stands between the first `?` of the target and its end, as it was sent; `nil` without a `?`.
    public var query: String? { parts[0].query }
    /// The request target as it was sent.
    public var rawTarget: String { parts[0].rawTarget }
    public var version: HTTPVersion { parts[0].version }
    /// Names are lower-cased. `host` is there exactly once in HTTP/1.1 and names the host of the target where the target
    /// has one (RFC 9112 §3.2.2).
    public var headers: HTTPHeaders {
        get { parts[0].headers }
        set { parts[0].headers = newValue }
    }
    /// Without chunk framing; empty when there is none. Trailers are checked and dropped.
    public var body: [UInt8] {
        get { parts[0].body }
        set { parts[0].body = newValue }
    }
    /// True when the client is ready to send another request on the connection (RFC 9112 §9.3).
    public var isKeepAlive: Bool {
        get { parts[0].isKeepAlive }
        set { parts[0].isKeepAlive = newValue }
    }
    /// True when the client waited for `100 Continue` before its body, or may have.
    public var expectsContinue: Bool {
        get { parts[0].expectsContinue }
        set { parts[0].expectsContinue = newValue }
    }
    /// What the answer's X-Request-ID and the log say of it.
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

    /// Host and optional port that the request is for; `nil` only in HTTP/1.0.
    public var authority: String? { headers.first("host") }

    /// The names and values of the query in the order sent, repeated ones included, decoded as forms are: `%HH` is a byte
    /// and `+` a space. A name without `=` has an empty value; empty pieces between two `&` are left out.
    ///
    /// Throws when a `%` is not followed by two hexadecimal digits, or when the result is not UTF-8 or holds NUL, which no
    /// database takes.
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
    /// RFC 9110 §13.1.2, If-None-Match: true if the client holds what `tag` stands for, an entity tag in its quotes and in
    /// lower case. Compared weakly, as GET wants it.
    public func holds(entityTag tag: String) -> Bool {
        headers.contains("if-none-match")
            && headers.tokens("if-none-match").contains { $0 == "*" || $0 == tag || $0 == "w/" + tag }
    }
}

extension HTTPRequest {
    /// True when a proxy says that it passes the request on for somebody else.
    var isForwarded: Bool {
        ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"].contains { headers.first($0) != nil }
    }
}
