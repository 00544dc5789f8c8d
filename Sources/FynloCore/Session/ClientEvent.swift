// What a client's session tells its owner.

/// One thing that happened.
public enum ClientEvent: Equatable, Sendable {
    /// The server has let us in.
    case connected(Welcome)
    /// A message, of whatever type, as it came. Durable events come in the order of their numbers, each once.
    case message(ReceivedMessage)
    /// The server sent a text that is not one of its messages; it is passed over.
    case unreadable([UInt8])
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

    /// One sentence.
    public var sentence: String {
        switch self {
        case .notConnected: "The command was not sent: there is no connection to the server."
        case .idInvalid: "The id of a command has to be a text of 1 to 128 bytes without NUL."
        case .idInUse: "A command with this id still awaits its answer."
        case .dataNotAnObject: "The data of a command has to be a JSON object."
        case .tooLarge(let limit): "A message has at most \(limit) bytes."
        case .tooManyUnanswered(let limit): "\(limit) commands still await their answers; send this one later."
        }
    }
}
