// What one connection of a client tells its owner.

/// One thing that happened.
public enum ClientEvent: Equatable, Sendable {
    /// The server has let us in.
    case connected(Welcome)
    /// A message, of whatever type, as it came. Durable events come in the order of their numbers, each once.
    case message(ReceivedMessage)
    /// The server sent a text that is not one of its messages; it is passed over.
    case unreadable([UInt8])
    /// The answer to a ping came. `roundTrip` is `nil` when it was too late to measure by, `serverTime` when it told none.
    case pong(roundTrip: Duration?, serverTime: UnixTime?)
    /// The answer to a ping did not come in time.
    case pongMissed
    /// An `error` that belongs to no command; its message was handed out before.
    case error(ServerError)
    /// The server has taken the new token.
    case reauthenticated
    /// The server has refused the new token; the connection stays up with the one before.
    case reauthenticationRefused(ServerError)
    /// What became of a command; its `message`, if one came, was handed out before.
    case answered(id: String, CommandOutcome)
    /// The end, always the last event. Commands without an answer may have taken effect or not: the same id is safe to
    /// send again.
    case closed(ClientClosure)
}

/// What `authenticated` said.
public struct Welcome: Equatable, Sendable {
    /// The server's name for the connection; empty if it told none.
    public let connection: String
    /// `users.role`; empty if it was not told.
    public let role: String
    /// The head of the restaurant's event stream.
    public let sequence: EventSequence?
    /// True when the events after our last one follow.
    public let isResumed: Bool
    /// How often we ping from now on.
    public let heartbeatInterval: Duration
    /// `exp` of the token, as the server has read it.
    public let tokenExpiresAt: UnixTime?
}

/// The answer to a command.
public enum CommandOutcome: Equatable, Sendable {
    /// `ack`; with the number of the event it made, if it made one.
    case acknowledged(sequence: EventSequence?, ReceivedMessage)
    /// `error`.
    case refused(ServerError, ReceivedMessage)
    /// No answer came in time: the outcome is unknown, and the same id is safe to send again.
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
