// The events that a client's connection reports to its owner.

/// One event of a connection.
public enum ClientEvent: Equatable, Sendable {
    /// The server has admitted the client.
    case connected(Welcome)
    /// A message of any type, as it was received. Durable events are reported in the order of their numbers, each once.
    case message(ReceivedMessage)
    /// The server sent a text that is not a message; it is ignored.
    case unreadable([UInt8])
    /// A pong came. `roundTrip` is `nil` if it was too late to measure by, `serverTime` if the pong had none.
    case pong(roundTrip: Duration?, serverTime: UnixTime?)
    /// A pong did not come in time.
    case pongMissed
    /// An `error` that belongs to no command; its message was reported before.
    case error(ServerError)
    /// The server has accepted the new token.
    case reauthenticated
    /// The server has refused the new token; the connection stays open with the old one.
    case reauthenticationRefused(ServerError)
    /// The answer to a command; its message, if there is one, was reported before.
    case answered(id: String, CommandOutcome)
    /// The end, always the last event. Commands without an answer may have taken effect: they can be sent again safely with
    /// the same id.
    case closed(ClientClosure)
}

/// The data of `authenticated`.
public struct Welcome: Equatable, Sendable {
    /// The server's id of the connection; empty if it sent none.
    public let connection: String
    /// `users.role`; empty if it was not sent.
    public let role: String
    /// The number of the restaurant's newest event.
    public let sequence: EventSequence?
    /// True if the events after the client's last one follow.
    public let isResumed: Bool
    /// The interval between pings from now on.
    public let heartbeatInterval: Duration
    /// `exp` of the token, as read by the server.
    public let tokenExpiresAt: UnixTime?
}

/// The answer to a command.
public enum CommandOutcome: Equatable, Sendable {
    /// `ack`, with the number of the command's event, if it made one.
    case acknowledged(sequence: EventSequence?, ReceivedMessage)
    /// `error`.
    case refused(ServerError, ReceivedMessage)
    /// No answer came in time: the outcome is unknown, and the command can be sent again safely with the same id.
    case timedOut
}

/// Why a command was not sent.
public enum CommandRefusal: Error, Equatable, Sendable {
    case notConnected
    case idInvalid
    case idInUse
    case dataNotAnObject
    case tooLarge(limitBytes: Int)
    case tooManyUnanswered(limit: Int)
    case outboxFull(commands: Int, bytes: Int)

    /// One sentence.
    public var sentence: String {
        switch self {
        case .notConnected: "The command was not sent: there is no connection to the server."
        case .idInvalid: "The id of a command has to be a text of 1 to 128 bytes without NUL."
        case .idInUse: "A command with this id still awaits its answer."
        case .dataNotAnObject: "The data of a command has to be a JSON object."
        case .tooLarge(let limit): "A message has at most \(limit) bytes."
        case .tooManyUnanswered(let limit): "\(limit) commands still await their answers; send this one later."
        case .outboxFull(let commands, let bytes):
            "The outbox is full: it holds at most \(commands) commands and \(bytes) bytes until the server can be reached."
        }
    }
}
