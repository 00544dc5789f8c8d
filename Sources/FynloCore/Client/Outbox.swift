// The commands of a tablet that the server has not answered yet, in the order they were given, so that none is lost while
// the tablet is away and none takes effect twice when it comes back.
//
//     submit ─► kept (on disk) ─► queued ─► sent ─► acknowledged | refused
//                                    ▲        │
//                                    └────────┘ the connection was lost, or the server could not answer: the same again

/// Where a command is.
public enum CommandState: Equatable, Sendable {
    /// It waits for its turn, or for a connection.
    case queued
    /// It is on its way; the answer is awaited.
    case sent
    /// The server has committed it; with the number of the event it made, if it made one.
    case acknowledged(sequence: EventSequence?)
    /// It will not be done, for this reason.
    case refused(ServerError)

    /// True when nothing more will become of it.
    public var isFinal: Bool {
        switch self {
        case .queued, .sent: false
        case .acknowledged, .refused: true
        }
    }
}

/// A command that was given to the outbox.
public struct OutboxEntry: Equatable, Sendable {
    /// By which the server knows it again, 1 to 128 bytes.
    public let id: String
    public let type: String
    /// The text of a JSON object.
    public let data: String
    /// When it was given to us.
    public let createdAt: UnixTime
    public internal(set) var state = CommandState.queued
    /// True once the storage has it: it is not sent before.
    var isKept = false

    public init(id: String, type: String, data: String, createdAt: UnixTime) {
        self.id = id
        self.type = type
        self.data = data
        self.createdAt = createdAt
    }

    /// What it counts for against the limit.
    var bytes: Int { id.utf8.count + type.utf8.count + data.utf8.count }
}

/// How much an outbox may hold.
public struct OutboxLimits: Equatable, Sendable {
    /// Commands: hours of a busy till without a network.
    public var commands = 1_000
    /// Bytes of all of them together.
    public var bytes = 1 << 20
    /// Commands with their final state that are still shown.
    public var finished = 100
    /// How old a command may be when it is sent. The server remembers answers for 7 days (FYNLO_IDEMPOTENCY_WINDOW): after
    /// that the same id could take effect a second time.
    public var age = Duration.seconds(7 * 86_400 - 3_600)

    public init() {}
}

/// A change of the outbox that has to survive the program.
public enum OutboxRecord: Equatable, Sendable {
    case added(OutboxEntry)
    /// It has its final state: it is never sent again.
    case finished(id: String)
}

/// The queue. One command is on its way at a time: whatever the answer to one, the next cannot overtake it.
public struct Outbox: Sendable {
    private let limits: OutboxLimits
    /// Without a final state, oldest first.
    public private(set) var waiting: [OutboxEntry] = []
    /// With their final state, oldest first.
    public private(set) var finished: [OutboxEntry] = []
    private var bytes = 0

    /// - Parameter entries: what the storage has kept, oldest first.
    public init(_ entries: [OutboxEntry] = [], limits: OutboxLimits = OutboxLimits()) {
        self.limits = limits
        waiting = entries
        for index in waiting.indices {
            waiting[index].state = .queued
            waiting[index].isKept = true
            bytes += waiting[index].bytes
        }
    }

    /// Where a command is; `nil` for one that is not known (any more).
    public func state(of id: String) -> CommandState? {
        (waiting.last { $0.id == id } ?? finished.last { $0.id == id })?.state
    }

    // MARK: In

    /// Takes a command; it is to be kept before anything else.
    mutating func add(_ entry: OutboxEntry) throws(CommandRefusal) -> OutboxRecord {
        guard !waiting.contains(where: { $0.id == entry.id }) else { throw .idInUse }
        guard waiting.count < limits.commands, bytes + entry.bytes <= limits.bytes else {
            throw .outboxFull(commands: limits.commands, bytes: limits.bytes)
        }
        waiting.append(entry)
        bytes += entry.bytes
        return .added(entry)
    }

    /// The storage has the next `count` of those it did not have. Returns their ids.
    mutating func kept(_ count: Int) -> [String] {
        var ids: [String] = []
        for index in waiting.indices where !waiting[index].isKept && ids.count < count {
            waiting[index].isKept = true
            ids.append(waiting[index].id)
        }
        return ids
    }

    /// The storage could not take the next `count` of those it did not have. Returns them, refused.
    mutating func notKept(_ count: Int, _ error: ServerError) -> [OutboxEntry] {
        let ids = waiting.lazy.filter { !$0.isKept }.prefix(count).map(\.id)
        return Array(ids).compactMap { finish($0, .refused(error)) }
    }

    // MARK: Out

    /// The command that is on its way.
    var current: OutboxEntry? { waiting.first.flatMap { $0.state == .sent ? $0 : nil } }

    /// The command whose turn it is: the first one, once it is kept and unless it is on its way.
    var next: OutboxEntry? { waiting.first.flatMap { $0.state == .queued && $0.isKept ? $0 : nil } }

    /// True for a command that has become too old to be sent.
    func isTooOld(_ entry: OutboxEntry, now: UnixTime) -> Bool {
        now.milliseconds - entry.createdAt.milliseconds > limits.age.inMilliseconds
    }

    /// The first command is on its way.
    mutating func sent() {
        if !waiting.isEmpty { waiting[0].state = .sent }
    }

    /// The command on its way has to be sent again. Returns it.
    mutating func requeue() -> OutboxEntry? {
        guard current != nil else { return nil }
        waiting[0].state = .queued
        return waiting[0]
    }

    /// Nothing more will become of a command. Returns it; `nil` if it is not waiting.
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
