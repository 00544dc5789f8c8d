// Why the server ends a WebSocket: the application's close codes (RFC 6455 §7.4.2), what the tablet is told, and whether
// it should come back.

/// A reason to close a connection.
public enum CloseReason: Equatable, Sendable, CaseIterable {
    /// 1001: the server is going away.
    case goingAway
    /// 1003: a binary frame; the protocol is text.
    case binaryRefused
    case internalError
    case authenticationRequired
    case authenticationTimeout
    case authenticationFailed
    case heartbeatTimeout
    case tokenExpired
    case accessRevoked
    case rateLimited
    case slowConsumer
    case replaced

    public var code: UInt16 {
        switch self {
        case .goingAway: 1001
        case .binaryRefused: 1003
        case .internalError: 4000
        case .authenticationRequired: 4001
        case .authenticationTimeout: 4002
        case .authenticationFailed: 4003
        case .heartbeatTimeout: 4004
        case .tokenExpired: 4005
        case .accessRevoked: 4006
        case .rateLimited: 4008
        case .slowConsumer: 4010
        case .replaced: 4011
        }
    }

    /// The reason in the close frame. The contract fixes those of failed authentications.
    public var sentence: StaticString {
        switch self {
        case .goingAway: "Server going away"
        case .binaryRefused: "Send text frames only"
        case .internalError: "Internal error"
        case .authenticationRequired: "Authentication required"
        case .authenticationTimeout: "Authentication timeout"
        case .authenticationFailed: "Authentication failed"
        case .heartbeatTimeout: "Heartbeat timeout"
        case .tokenExpired: "Token expired"
        case .accessRevoked: "Access revoked"
        case .rateLimited: "Rate limit exceeded"
        case .slowConsumer: "Slow consumer"
        case .replaced: "Replaced by a newer connection of this device"
        }
    }
}

extension AuthenticationFailure {
    /// The reason to close the connection with, after the refusal.
    public var closeReason: CloseReason {
        switch self {
        case .timeout: .authenticationTimeout
        case .notAuthentication: .authenticationRequired
        case .missingData, .invalidToken, .accessDenied, .connectionLimit: .authenticationFailed
        case .unavailable: .internalError
        }
    }
}
