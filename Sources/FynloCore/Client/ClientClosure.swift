// How a client's connection ended, and whether the contract lets it come back.

/// Whether to connect again.
public enum Reconnection: Equatable, Sendable {
    /// Yes, after the delay of the ReconnectPolicy, and not before the time the server asked for, if it did.
    case afterDelay(atLeast: Duration?)
    /// Only with another token.
    case withNewToken
    /// No: it would end in the same way.
    case never
}

/// The end of a connection.
public struct ClientClosure: Equatable, Sendable {
    /// The close code. 1006 stands for an end without a close frame: the network's, or before there was a WebSocket.
    public let code: UInt16
    /// Why, for a person: the server's word where it gave one, else a sentence of ours.
    public let reason: String
    public let reconnection: Reconnection
    /// The server's `auth_error`, if that is why.
    public let refusal: ServerError?

    public init(code: UInt16, reason: String, reconnection: Reconnection, refusal: ServerError? = nil) {
        self.code = code
        self.reason = reason
        self.reconnection = reconnection
        self.refusal = refusal
    }

    /// The network, or the way to the server, failed: worth another try.
    public static func lost(_ reason: String) -> ClientClosure {
        ClientClosure(
            code: WebSocketCloseCode.abnormalClosure, reason: reason, reconnection: .afterDelay(atLeast: nil))
    }

    /// The server's close frame, as the contract reads it.
    ///
    /// - Parameters:
    ///   - refusal: the `auth_error` that came before it.
    ///   - retryAfter: what a `reconnect` message asked for.
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
        // Going away, the server's own errors, a lost heartbeat, rates: they pass. So may what we do not know.
        default:
            self = .afterDelay(atLeast: retryAfter)
        }
    }
}
