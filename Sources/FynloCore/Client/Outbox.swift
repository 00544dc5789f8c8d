// A tablet's commands that the server has not answered yet, in the order of submission, so that none is lost while the tablet
// is disconnected and none takes effect twice when it reconnects.
//
//     submit ─► kept (on disk) ─► queued ─► sent ─► acknowledged | refused
//                                    ▲        │
//                                    └────────┘ the connection was lost, or the server could not answer: the same again

/// The state of a command.
public enum CommandState: Equatable, Sendable {
    /// It waits for its turn, or for a connection.
    case queued
    /// It was sent; the answer has not come yet.
    case sent
    /// The server has committed it, with the number of its event, if it made one.
    case acknowledged(sequence: EventSequence?)
    /// It will not be carried out, for this reason.
    case refused(ServerError)

    /// True if the state will not change any more.
    public var isFinal: Bool {
        switch self {
        case .queued, .sent: false
        case .acknowledged, .refused: true
        }
    }
}

/// A command in the outbox.
public struct OutboxEntry: Equatable, Sendable {
    /// The id by which the server recognises a repetition, 1 to 128 bytes.
    public let id: String
    public let type: String
    /// The text of a JSON object.
    public let data: String
    /// When the command was submitted.
    public let createdAt: UnixTime
    public internal(set) var state = CommandState.queued
    /// True once the command is stored. It is not sent before.
    var isKept = false

    public init(id: String, type: String, data: String, createdAt: UnixTime) {
        self.id = id
        self.type = type
        self.data = data
        self.createdAt = createdAt
    }

    /// The bytes that count against the limit.
    var bytes: Int { id.utf8.count + type.utf8.count + data.utf8.count }
}

/// The limits of an outbox.
public struct OutboxLimits: Equatable, Sendable {
    /// The number of commands: hours of a busy till without a network.
    public var commands = 1_000
    /// The bytes of all commands together.
    public var bytes = 1 << 20
    /// The number of commands in a final state that are still listed.
    public var finished = 100
    /// How old a command may be when it is sent. The server remembers answers for 7 days (FYNLO_IDEMPOTENCY_WINDOW): after
    /// that the same id could take effect a second time.
    public var age = Duration.seconds(7 * 86_400 - 3_600)

    public init() {}
}

/// A change of the outbox that has to survive the program.
public enum OutboxRecord: Equatable, Sendable {
    case added(OutboxEntry)
    /// A command has reached its final state: it is never sent again.
    case finished(id: String)
}

/// The queue. One command is in flight at a time, so that the next cannot overtake it, whatever its answer.
public struct Outbox: Sendable {
    private let limits: OutboxLimits
    /// The commands without a final state, oldest first.
    public private(set) var waiting: [OutboxEntry] = []
    /// The commands in a final state, oldest first.
    public private(set) var finished: [OutboxEntry] = []
    private var bytes = 0

    /// - Parameter entries: the stored commands, oldest first.
    public init(_ entries: [OutboxEntry] = [], limits: OutboxLimits = OutboxLimits()) {
        self.limits = limits
        waiting = entries
        for index in waiting.indices {
            waiting[index].state = .queued
            waiting[index].isKept = true
            bytes += waiting[index].bytes
        }
    }

    /// The state of a command; `nil` if it is unknown or no longer listed.
    public func state(of id: String) -> CommandState? {
        (waiting.last { $0.id == id } ?? finished.last { $0.id == id })?.state
    }

    // MARK: In

    /// Takes a command, which must be stored before it is sent.
    mutating func add(_ entry: OutboxEntry) throws(CommandRefusal) -> OutboxRecord {
        guard !waiting.contains(where: { $0.id == entry.id }) else { throw .idInUse }
        guard waiting.count < limits.commands, bytes + entry.bytes <= limits.bytes else {
            throw .outboxFull(commands: limits.commands, bytes: limits.bytes)
        }
        waiting.append(entry)
        bytes += entry.bytes
        return .added(entry)
    }

    /// The next `count` commands were stored. Returns their ids.
    mutating func kept(_ count: Int) -> [String] {
        var ids: [String] = []
        for index in waiting.indices where !waiting[index].isKept && ids.count < count {
            waiting[index].isKept = true
            ids.append(waiting[index].id)
        }
        return ids
    }

    /// The next `count` commands could not be stored. Returns them, refused.
    mutating func notKept(_ count: Int, _ error: ServerError) -> [OutboxEntry] {
        let ids = waiting.lazy.filter { !$0.isKept }.prefix(count).map(\.id)
        return Array(ids).compactMap { finish($0, .refused(error)) }
    }

    // MARK: Out

    /// The command in flight.
    var current: OutboxEntry? { waiting.first.flatMap { $0.state == .sent ? $0 : nil } }

    /// The next command to send: the first, once it is stored and unless it is in flight.
    var next: OutboxEntry? { waiting.first.flatMap { $0.state == .queued && $0.isKept ? $0 : nil } }

    /// True if a command has become too old to be sent.
    func isTooOld(_ entry: OutboxEntry, now: UnixTime) -> Bool {
        now.milliseconds - entry.createdAt.milliseconds > limits.age.inMilliseconds
    }

    /// Marks the first command as in flight.
    mutating func sent() {
        if !waiting.isEmpty { waiting[0].state = .sent }
    }

    /// Marks the command in flight as to be sent again. Returns it.
    mutating func requeue() -> OutboxEntry? {
        guard current != nil else { return nil }
        waiting[0].state = .queued
        return waiting[0]
    }

    /// Gives a command its final state. Returns it; `nil` if it is not waiting.
    mutating func finish(_ id: String, _ state: CommandState) -> OutboxEntry? {
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return nil }
        var entry = waiting.remove(at: index)
        bytes -= entry.bytes
        entry.state = state
        finished.append(entry)
        if finished.count > limits.finished { finished.removeFirst(finished.count - limits.finished) }
        return entry
    }
}
