// The commands of one connection, carried out one at a time and in order. While the database works on one, the others wait. If
// its outcome is unknown, all commands behind it are answered the same way, so that resending cannot change their order.

/// A message that requests an effect and is answered.
public struct Command: Sendable {
    public enum Work: Sendable {
        /// A change in storage.
        case updateStatus(OrderStatusUpdate)
        /// A complete text frame for every tablet of the restaurant.
        case relay(ByteBuffer)
    }

    /// Identifies the command in its answer and in repetitions; `nil` if no answer is wanted.
    public let id: String?
    public let work: Work
    /// When the command arrived, which may be long before it is carried out.
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

/// Storage's answer to a command.
public enum CommandAnswer: Equatable, Sendable {
    /// Committed now, or when the id came first; `sequence` is the number of its event, if it made one.
    case done(sequence: EventSequence?)
    case refused(APIError)
}

/// The queue in front of one connection's commands.
public struct CommandFlow: Sendable {
    /// The result of submitting a command.
    public enum Submission: Equatable, Sendable {
        /// It is carried out now.
        case starts
        /// It has joined the queue.
        case waits
        /// The queue is full.
        case refused
    }

    /// The largest number of bytes of all waiting commands together.
    private static let waitingBytes = 262_144

    /// The command that storage is working on.
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

    /// The current command has its answer. Returns the commands that can be carried out now, in order; the last of them may be
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

    /// The current command's outcome is unknown. Returns it and all commands behind it, in order, to be answered that way.
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
