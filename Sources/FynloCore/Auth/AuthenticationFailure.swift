// Why a tablet was not admitted: the contract's reasons, in its words.

/// Why an authentication failed, in the order in which it is checked.
public enum AuthenticationFailure: Equatable, Sendable, CaseIterable {
    case timeout
    case notAuthentication
    case missingData
    case invalidToken
    case accessDenied
    case connectionLimit
    case unavailable

    /// `data.error` of `auth_error`, exactly as in the contract.
    public var sentence: String {
        switch self {
        case .timeout: "Authentication timeout"
        case .notAuthentication: "First message must be authentication"
        case .missingData: "Missing authentication data"
        case .invalidToken: "Invalid authentication token"
        case .accessDenied: "Access denied to this restaurant"
        case .connectionLimit: "Connection limit exceeded"
        case .unavailable: "Authentication failed"
        }
    }

    /// `data.code` of `auth_error`.
    public var code: StaticString {
        switch self {
        case .timeout: "authentication_timeout"
        case .notAuthentication: "authentication_required"
        case .missingData: "missing_authentication_data"
        case .invalidToken: "invalid_token"
        case .accessDenied: "access_denied"
        case .connectionLimit: "connection_limit"
        case .unavailable: "unavailable"
        }
    }

    /// `data.retryable`: the same message may succeed later.
    public var isRetryable: Bool {
        switch self {
        case .timeout, .connectionLimit, .unavailable: true
        case .notAuthentication, .missingData, .invalidToken, .accessDenied: false
        }
    }
}
