// The method and the version of a request line.

/// RFC 9110 §9: what the client wants done. Methods are case-sensitive: `get` is not `GET`.
public enum HTTPMethod: Hashable, Sendable {
    case get, head, post, put, patch, delete, options
    /// Any other token; the router answers it 405.
    case other(String)

    /// The method of a token.
    init(token: Span<UInt8>) {
        switch true {
        case token.equals("GET"): self = .get
        case token.equals("POST"): self = .post
        case token.equals("PATCH"): self = .patch
        case token.equals("HEAD"): self = .head
        case token.equals("PUT"): self = .put
        case token.equals("DELETE"): self = .delete
        case token.equals("OPTIONS"): self = .options
        default: self = .other(String(validating: token) ?? "")
        }
    }

    /// The method as written in a request line.
    public var name: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .patch: "PATCH"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .other(let name): name
        }
    }
}

/// Some of the methods that endpoints take.
public struct HTTPMethods: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let get = HTTPMethods(rawValue: 1 << 0)
    public static let head = HTTPMethods(rawValue: 1 << 1)
    public static let post = HTTPMethods(rawValue: 1 << 2)
    public static let put = HTTPMethods(rawValue: 1 << 3)
    public static let patch = HTTPMethods(rawValue: 1 << 4)
    public static let delete = HTTPMethods(rawValue: 1 << 5)
    /// HEAD is taken where GET is.
    public static let reading: HTTPMethods = [.get, .head]

    /// One method. OPTIONS is no endpoint's, and neither are methods that we do not know: they make the empty set.
    public init(_ method: HTTPMethod) {
        self =
            switch method {
            case .get: .get
            case .head: .head
            case .post: .post
            case .put: .put
            case .patch: .patch
            case .delete: .delete
            case .options, .other: []
            }
    }

    /// In the order in which the Allow field lists them.
    public var names: [String] {
        [HTTPMethod.get, .head, .post, .put, .patch, .delete].filter { contains(HTTPMethods($0)) }.map(\.name)
    }
}

/// The supported versions. A later minor version is treated as 1.1 (RFC 9110 §2.5); other major versions are refused.
public enum HTTPVersion: Sendable, Comparable {
    case http10, http11

    /// RFC 9112 §2.3: `HTTP/` digit `.` digit, in capitals.
    init(_ text: Span<UInt8>) throws(HTTPError) {
        guard text.count == 8, text.extracting(0..<5).equals("HTTP/"), text[5].isDigit,
            text[6] == UInt8(ascii: "."), text[7].isDigit
        else { throw .malformedRequestLine }
        guard text[5] == UInt8(ascii: "1") else { throw .unsupportedVersion }
        self = text[7] == UInt8(ascii: "0") ? .http10 : .http11
    }
}
