// How a session ended, and by whom.

/// The end of a tablet's WebSocket.
public enum SessionEnd: Equatable, Sendable {
    /// The server closed it.
    case closed(CloseReason)
    /// It was not let in.
    case refused(AuthenticationFailure)
    /// The peer broke RFC 6455 and was told this code.
    case violation(code: UInt16)
    /// The peer closed it, with this code if it gave one.
    case left(code: UInt16?)
    /// The socket ended without a word.
    case lost

    /// The close code. 1005 stands for a close frame without one, 1006 for an end without a close frame (RFC 6455 §7.4.1).
    public var code: UInt16 {
        switch self {
        case .closed(let reason): reason.code
        case .refused(let failure): failure.closeReason.code
        case .violation(let code): code
        case .left(let code): code ?? WebSocketCloseCode.noStatusReceived
        case .lost: WebSocketCloseCode.abnormalClosure
        }
    }

    /// True when something went wrong, on either side or on the way.
    public var isAbnormal: Bool {
        switch self {
        case .closed(let reason):
            switch reason {
            case .goingAway, .tokenExpired, .accessRevoked, .replaced: false
            case .binaryRefused, .internalError, .authenticationRequired, .authenticationTimeout,
                .authenticationFailed, .heartbeatTimeout, .rateLimited, .slowConsumer:
                true
            }
        case .refused, .violation, .lost: true
        case .left(let code): code.map { $0 != 1000 && $0 != 1001 } ?? false
        }
    }
}
