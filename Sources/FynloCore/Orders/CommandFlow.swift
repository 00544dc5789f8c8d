// The commands of one connection: one at a time, in order. While one is with the database, the others wait. When its
// outcome is unknown, so is that of every command behind it; resending therefore cannot change their order.

/// A message that asks for an effect and is answered.
public struct Command: Sendable {
    public enum Work: Sendable {
        /// A change that storage makes.
        case updateStatus(OrderStatusUpdate)
        /// A whole text frame, ready for every tablet of the restaurant.
        case relay(ByteBuffer)
    }

    /// Names the command in its answer, and when it is sent again; `nil`: no answer is wanted.
    public let id: String?
    public let work: Work
    /// When it arrived, which may be long before its turn.
    public let receivedAt: Instant

    public init(id: String?, work: Work, receivedAt: Instant = Instant(nanoseconds: 0)) {
        self.id = id
        self.work = work
        self.receivedAt = receivedAt
    }

    fileprivate var bytes: Int {
        switch work {
        case .updateStatus: 64
        case .relay(let frame): frame.count
        }
    }
}

/// The answer of storage to a command.
public enum CommandAnswer: Equatable, Sendable {
    /// Committed, now or when the same id came first; `sequence` is that of its event, if it made one.
    case done(sequence: EventSequence?)
    case refused(APIError)
}

/// The queue in front of one connection's commands.
public struct CommandFlow: Sendable {
    /// What happens to a command that is submitted.
    public enum Submission: Equatable, Sendable {
        /// It is done now.
        case starts
        /// It has joined the queue.
        case waits
        /// The queue is full.
        case refused
    }

    /// Bytes that all waiting commands together may hold.
    private static let waitingBytes = 262_144

    /// The command that is with storage.
    public private(set) var current: Command?
    private var waiting: [Command] = []
    private var waitingBytes = 0

    public init() {}

    /// Commands that wait for the current one.
    public var waitingCount: Int { waiting.count }

    /// Takes a command. One that `starts` and needs storage becomes the current one; a relay that starts is over at once.
    public mutating func submit(_ command: Command, limit: Int) -> Submission {
        if current == nil {
            begin(command)
            return .starts
        }
        guard waiting.count < limit, waitingBytes + command.bytes <= CommandFlow.waitingBytes else { return .refused }
        waiting.append(command)
        waitingBytes += command.bytes
        return .waits
    }

    /// The current command has its answer. Returns the commands that can be done now, in order; the last of them may be
    /// the new current one.
    public mutating func finish() -> [Command] {
        current = nil
        var ready: [Command] = []
        while current == nil, !waiting.isEmpty {
            let command = waiting.removeFirst()
            waitingBytes -= command.bytes
            begin(command)
            ready.append(command)
        }
        return ready
    }

    /// The current command's outcome is unknown. Returns it and all commands behind it, in order, to be answered so.
    public mutating func abandon() -> [Command] {
        let all = (current.map { [$0] } ?? []) + waiting
        self = CommandFlow()
        return all
    }

    /// Forgets the commands that wait for the current one.
    public mutating func dropWaiting() {
        waiting = []
        waitingBytes = 0
    }

    private mutating func begin(_ command: Command) {
        switch command.work {
        case .updateStatus: current = command
        case .relay: break
        }
    }
}
