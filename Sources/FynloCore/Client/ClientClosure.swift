// How a client's connection ended, and whether the contract allows it to reconnect.

/// Whether the client connects again.
public enum Reconnection: Equatable, Sendable {
    /// Yes, after the delay of the ReconnectPolicy, but not before the time that the server asked for, if any.
    case afterDelay(atLeast: Duration?)
    /// Only with another token.
    case withNewToken
    /// No: another connection would end the same way.
    case never
}

/// The end of a connection.
public struct ClientClosure: Equatable, Sendable {
    /// The close code. 1006 stands for an end without a close frame: the network failed, or there was no WebSocket yet.
    public let code: UInt16
    /// The reason, for people: the server's if it gave one, else a sentence of the client.
    public let reason: String
    public let reconnection: Reconnection
    /// The server's `auth_error`, if that ended the connection.
    public let refusal: ServerError?

    public init(code: UInt16, reason: String, reconnection: Reconnection, refusal: ServerError? = nil) {
        self.code = code
        self.reason = reason
        self.reconnection = reconnection
        self.refusal = refusal
    }

    /// The network, or the path to the server, failed: the client tries again.
    public static func lost(_ reason: String) -> ClientClosure {
        ClientClosure(
            code: WebSocketCloseCode.abnormalClosure, reason: reason, reconnection: .afterDelay(atLeast: nil))
    }

    /// The end by a close frame of the server, interpreted as in the contract.
    ///
    /// - Parameters:
    ///   - refusal: the `auth_error` before the close frame, if any.
    ///   - retryAfter: the delay that a `reconnect` message asked for.
    init(code: UInt16?, reason: String, refusal: ServerError?, retryAfter: Duration?) {
        let code = code ?? WebSocketCloseCode.noStatusReceived
        self.code = code
        self.reason = reason.isEmpty ? "The server closed the connection with code \(code)." : reason
        self.refusal = refusal
        reconnection = Reconnection(closeCode: code, refusal: refusal, retryAfter: retryAfter)
    }
}

extension Reconnection {
    fileprivate init(closeCode: UInt16, refusal: ServerError?, retryAfter: Duration?) {
        if let refusal {
            self = refusal.isRetryable ? .afterDelay(atLeast: refusal.retryAfter ?? retryAfter) : .withNewToken
            return
        }
        switch closeCode {
        case 1000, 1002, 1003, 1007, 1008, 1009, 1010, CloseReason.accessRevoked.code, CloseReason.replaced.code:
            self = .never
        case CloseReason.authenticationRequired.code, CloseReason.authenticationTimeout.code,
            CloseReason.authenticationFailed.code, CloseReason.tokenExpired.code:
            self = .withNewToken
        // Going away, the server's own errors, a lost heartbeat and rates are temporary, and so may be unknown codes.
        default:
            self = .afterDelay(atLeast: retryAfter)
        }
    }
}
