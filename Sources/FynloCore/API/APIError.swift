// Every error that users see, over HTTP as application/problem+json (RFC 9457) and over WebSocket as `error`: a stable
// code, a status and one clear sentence.

/// An answer that is a refusal.
public struct APIError: Error, Equatable, Sendable {
    /// The stable name of an error, as in the contract if the contract fixes it.
    public enum Code: String, CaseIterable, Sendable {
        // The peer's fault.
        case invalidMessage = "invalid_message"
        case unknownType = "unknown_type"
        case invalidRequest = "invalid_request"
        case invalidParameter = "invalid_parameter"
        case authenticationRequired = "authentication_required"
        case invalidToken = "invalid_token"
        case accessDenied = "access_denied"
        case permissionDenied = "permission_denied"
        case originRefused = "origin_refused"
        case notFound = "not_found"
        case methodNotAllowed = "method_not_allowed"
        case upgradeRequired = "upgrade_required"
        case orderNotFound = "order_not_found"
        case connectionNotFound = "connection_not_found"
        case invalidTransition = "invalid_transition"
        case versionConflict = "version_conflict"
        case idReused = "id_reused"
        case resyncRequired = "resync_required"
        // Temporary: the peer may try again.
        case rateLimited = "rate_limited"
        case connectionLimit = "connection_limit"
        case unavailable
        case queryTimeout = "query_timeout"
        // The server's fault.
        case internalError = "internal_error"
    }

    public let code: Code
    /// One sentence for a person: what was wrong and what is accepted.
    public let detail: String
    /// The HTTP status, if it differs from the code's usual one (an HTTP parser's 413, 431 …).
    public let status: Int
    /// How long to wait before the next try, for temporary errors.
    public let retryAfter: Duration?
    /// The order's present state as JSON, if the contract promises it.
    public let order: [UInt8]?
    /// For 405: the methods that exist, as the Allow field lists them.
    public let allowedMethods: String?

    public init(
        _ code: Code, _ detail: String, status: Int? = nil, retryAfter: Duration? = nil, order: [UInt8]? = nil,
        allowedMethods: String? = nil
    ) {
        self.code = code
        self.detail = detail
        self.status = status ?? code.usualStatus
        self.retryAfter = retryAfter
        self.order = order
        self.allowedMethods = allowedMethods
    }

    /// A malformed HTTP request, as the HTTP layer describes it.
    public init(_ error: HTTPError) {
        self.init(.invalidRequest, error.detail, status: error.status)
    }

    /// The database is unavailable or did not answer in time; the outcome of a command is unknown.
    public static let unavailable = APIError(
        .unavailable, "The database is unavailable at the moment; the same request can safely be sent again.",
        retryAfter: .seconds(1))

    /// The database did not answer a command without an id: sending it again may carry it out twice.
    public static let outcomeUnknown = APIError(
        .unavailable,
        "The database did not answer in time, and whether this was done is unknown; see whether it was before you send it "
            + "again, and send an Idempotency-Key, which makes that safe.", retryAfter: .seconds(1))

    /// A statement exceeded FYNLO_QUERY_TIMEOUT and was cancelled; the contract fixes the sentence.
    public static let queryTimeout = APIError(
        .queryTimeout, "Database query timeout - please try again", retryAfter: .seconds(1))

    /// The error as a response: application/problem+json with the fields that go with its status.
    public var response: HTTPResponse {
        var body = ByteBuffer()
        body.append("{\"type\":\"urn:fynlo:error:")
        body.append(code.rawValue)
        body.append("\",\"title\":")
        body.append(jsonString: HTTPResponse.reason(of: status).description)
        body.append(",\"status\":")
        body.append(decimal: Int64(status))
        body.append(",\"detail\":")
        body.append(jsonString: detail)
        body.append(",\"code\":\"")
        body.append(code.rawValue)
        body.append("\"")
        if let order {
            body.append(",\"order\":")
            body.append(order)
        }
        body.append("}")
        var response = HTTPResponse(status: status, body: body.bytes())
        response.headers.append("Content-Type", "application/problem+json")
        response.headers.append("Cache-Control", "no-store")
        if let allowedMethods { response.headers.append("Allow", allowedMethods) }
        if let retryAfter {
            // Whole seconds, rounded up: an earlier retry would be refused again.
            let parts = retryAfter.components
            response.headers.append("Retry-After", String(max(1, parts.seconds + (parts.attoseconds > 0 ? 1 : 0))))
        }
        switch code {
        case .authenticationRequired: response.headers.append("WWW-Authenticate", "Bearer realm=\"fynlo\"")
        case .invalidToken:
            response.headers.append("WWW-Authenticate", "Bearer realm=\"fynlo\", error=\"invalid_token\"")
        case .upgradeRequired:
            // RFC 9110 §7.8: Upgrade is meant for the next hop only, so Connection names it.
            response.headers.append("Upgrade", "websocket")
            response.headers.append("Connection", "Upgrade")
            response.headers.append("Sec-WebSocket-Version", "13")
        default: break
        }
        return response
    }
}

extension APIError.Code {
    /// The HTTP status that goes with a code.
    public var usualStatus: Int {
        switch self {
        case .invalidMessage, .unknownType, .invalidRequest: 400
        case .authenticationRequired, .invalidToken: 401
        case .accessDenied, .permissionDenied, .originRefused: 403
        case .notFound, .orderNotFound, .connectionNotFound: 404
        case .methodNotAllowed: 405
        case .invalidTransition, .versionConflict, .idReused: 409
        case .resyncRequired: 410
        case .invalidParameter: 422
        case .upgradeRequired: 426
        case .rateLimited, .connectionLimit: 429
        case .unavailable: 503
        case .queryTimeout: 504
        case .internalError: 500
        }
    }
}
