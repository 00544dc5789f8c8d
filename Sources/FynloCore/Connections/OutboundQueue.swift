// What a connection still has to write, and what becomes of it when the peer does not read. The queue is told what was
// appended, what was taken, what the kernel did, and the time; it says whether to write and when to give up. The server's
// connections and the simulated ones both use it.
//
//                         all is taken
//               ┌────────────────────────────┐
//               ▼                            │
//     ┌──────► open ──a write is refused──► stalled ──responses, nothing taken for stallTimeout──► reset
//     │         │                            │
//     │         └──frames, over the limit────┤
//     │                                      ▼
//     │                                  cut off: the rest of the partial frame, then the close frame
//     │                                      │      └──closeTimeout after the cut──► reset
//     │  (any state) the last byte is out    │
//     └───────────── and the stack is done ──┴──► lingering ──peer's end, or lingerTimeout──► closed

/// The outbound bytes of one connection.
///
/// An idle connection has nothing queued and no trouble: then the value is 25 bytes, with no memory elsewhere.
public struct OutboundQueue: Sendable {
    /// What answers most questions about a connection without a look at anything else.
    @usableFromInline struct Facts: OptionSet, Sendable {
        @usableFromInline let rawValue: UInt8

        @inlinable init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// A WebSocket: the queue holds frames. Otherwise it holds HTTP responses, which are never dropped in part.
        @inlinable static var isFramed: Facts { Facts(rawValue: 1 << 0) }
        /// The memory is that of a frame which other connections are sent, too.
        @inlinable static var isShared: Facts { Facts(rawValue: 1 << 1) }
        /// There is `trouble`.
        @inlinable static var isTroubled: Facts { Facts(rawValue: 1 << 2) }
    }

    /// How writing goes.
    private enum Flow: Sendable {
        case open
        /// The kernel refuses more. Wait until it says that it takes some again.
        case stalled
    }

    private enum State: Sendable {
        case sending(Flow)
        /// The peer was too slow. Only the rest of a frame and the close frame are still sent.
        case cutOff(Flow)
        /// The last byte was written, and the peer may still have to read it.
        case lingering
    }

    /// The state that most connections are not in, and what belongs to it.
    private struct Trouble: Sendable {
        var state = State.sending(.open)
        /// When the connection ends if nothing changes.
        var deadline = Instant.never
        /// How many bytes at the front belong to a frame of which a part was taken.
        var partialFrameBytes = 0

        var flow: Flow {
            get {
                switch state {
                case .sending(let flow), .cutOff(let flow): flow
                case .lingering: .open
                }
            }
            set {
                switch state {
                case .sending: state = .sending(newValue)
                case .cutOff: state = .cutOff(newValue)
                case .lingering: break
                }
            }
        }

        var isOver: Bool {
            if case .sending(.open) = state { partialFrameBytes == 0 } else { false }
        }
    }

    /// What the kernel did with the bytes that it was offered.
    public enum Acceptance: Sendable {
        case all
        case part
        case none
    }

    /// How a connection ends that has waited too long for its peer.
    public enum Ending: Sendable {
        /// The peer did not read: what is queued is lost.
        case reset
        /// Everything was written, and the peer had time to read it.
        case close
    }

    /// How long a peer may take nothing of a response before its connection is reset. (A tablet that takes nothing misses
    /// its heartbeats, or its queue grows.)
    public static let stallTimeout = Duration.seconds(30)
    /// How long a peer has to close its side after the last byte.
    public static let lingerTimeout = Duration.seconds(2)

    // In the order that packs best: every connection has one of these.
    @usableFromInline var bytes = ByteBuffer()
    private var trouble = OutOfLine<Trouble>()
    @usableFromInline var facts = Facts()

    /// An empty queue of responses; allocates nothing.
    public init() {}

    // MARK: State

    /// Bytes that nobody has taken yet.
    @inlinable public var count: Int { bytes.count }

    @inlinable public var isEmpty: Bool { bytes.isEmpty }

    /// True for a WebSocket: the queue holds frames.
    @inlinable public var isFramed: Bool { facts.contains(.isFramed) }

    /// True while the kernel refuses to take more.
    @inlinable public var isStalled: Bool { facts.contains(.isTroubled) && flowIsStalled }

    @usableFromInline var flowIsStalled: Bool { trouble.read { $0.flow == .stalled } ?? false }

    /// True once the peer was found to be too slow.
    public var isCutOff: Bool {
        trouble.read { if case .cutOff = $0.state { true } else { false } } ?? false
    }

    /// True once the last byte was written and the peer's end is awaited.
    @inlinable public var isLingering: Bool { facts.contains(.isTroubled) && stateIsLingering }

    @usableFromInline var stateIsLingering: Bool {
        trouble.read { if case .lingering = $0.state { true } else { false } } ?? false
    }

    /// What decides about a connection's next step.
    public struct Status: Sendable {
        /// Bytes that nobody has taken yet.
        public let count: Int
        /// True for a WebSocket.
        public let isFramed: Bool
        /// True while the kernel refuses to take more.
        public let isStalled: Bool
        /// True once the last byte was written and the peer's end is awaited.
        public let isLingering: Bool

        @inlinable init(count: Int, isFramed: Bool, isStalled: Bool, isLingering: Bool) {
            self.count = count
            self.isFramed = isFramed
            self.isStalled = isStalled
            self.isLingering = isLingering
        }
    }

    /// The status, in one access: each access to a connection's queue is checked at run time, which costs as much as a step
    /// itself.
    @inlinable public var status: Status {
        guard facts.contains(.isTroubled) else {
            return Status(count: bytes.count, isFramed: isFramed, isStalled: false, isLingering: false)
        }
        return Status(count: bytes.count, isFramed: isFramed, isStalled: flowIsStalled, isLingering: stateIsLingering)
    }

    /// When `ending(at:)` is next worth asking for; `nil` when the queue waits for nothing.
    public var nextDeadline: Instant? {
        trouble.read { $0.deadline == .never ? nil : $0.deadline } ?? nil
    }

    /// How the connection ends if its deadline has come; `nil` before.
    public func ending(at now: Instant) -> Ending? {
        guard let deadline = nextDeadline, now >= deadline else { return nil }
        return isLingering ? .close : .reset
    }

    // MARK: Appending

    /// Lends the queued bytes to whoever appends to them, or takes from them. Until they are given back the queue is empty.
    public mutating func lend() -> ByteBuffer {
        var lent = ByteBuffer()
        swap(&lent, &bytes)
        return lent
    }

    /// Takes back what was lent. It is `isShared` when its memory has become that of a frame which other connections are
    /// sent, too.
    public mutating func giveBack(_ lent: consuming ByteBuffer, isShared: Bool = false) {
        swap(&lent, &bytes)
        if isShared { facts.insert(.isShared) }
    }

    /// The connection has become a WebSocket. What is queued so far, the response that says so, is not cut.
    public mutating func beginFrames() {
        precondition(!isFramed, "a connection becomes a WebSocket once")
        facts.insert(.isFramed)
        let queued = bytes.count
        guard queued > 0 || !trouble.isEmpty else { return }
        change { trouble in
            trouble.partialFrameBytes = queued
            // A tablet has other deadlines.
            if case .sending = trouble.state { trouble.deadline = .never }
        }
    }

    /// Gives up the memory, with what is queued in it, to be used again; `nil` when there is none, or others share it.
    public mutating func releaseMemory() -> ByteBuffer? {
        guard bytes.capacity > 0 else { return nil }
        let memory = lend()
        return facts.remove(.isShared) == nil ? memory : nil
    }

    // MARK: Writing

    /// Takes back what was lent to the kernel, or to whoever encrypts it: `count` bytes were taken from the front.
    public mutating func giveBack(_ lent: consuming ByteBuffer, taken count: Int) {
        swap(&lent, &bytes)
        if bytes.isEmpty {
            if !trouble.isEmpty { change { $0.partialFrameBytes = 0 } }
        } else if count > 0, isFramed {
            // What was taken stays readable until something is appended.
            let whole = bytes.before(consuming: count)
            change { trouble in
                let boundary = WebSocketFrameEncoder.frameBoundary(
                    in: whole, startingAt: trouble.partialFrameBytes, atOrAfter: count)
                trouble.partialFrameBytes = boundary - count
            }
        }
    }

    /// Notes what the kernel did with the bytes at the front, or with their ciphertext.
    public mutating func note(_ acceptance: Acceptance, now: Instant) {
        switch acceptance {
        case .all:
            guard isStalled else { return }
            change { trouble in
                trouble.flow = .open
                if case .sending = trouble.state { trouble.deadline = .never }
            }
        case .part, .none:
            let hasTime = !isFramed
            change { trouble in
                // The time runs from when the peer last took something.
                if hasTime, acceptance == .part || trouble.flow == .open, case .sending = trouble.state {
                    trouble.deadline = now + OutboundQueue.stallTimeout
                }
                trouble.flow = .stalled
            }
        }
    }

    // MARK: The slow

    /// True when the peer is to be cut off: more than `limit` bytes are queued. `encrypted` bytes were taken from the queue
    /// and are not written yet.
    public func exceeds(_ limit: Int, encrypted: Int = 0) -> Bool {
        guard bytes.count + encrypted > limit, isFramed else { return false }
        return trouble.read { if case .sending = $0.state { true } else { false } } ?? true
    }

    /// Drops everything but the rest of the frame that was sent in part, so that the close frame, which is appended next,
    /// is recognised behind it. A close frame that is queued already stays.
    public mutating func cutOff(now: Instant, closeTimeout: Duration) {
        let partial = min(trouble.read { $0.partialFrameBytes } ?? 0, bytes.count)
        var kept = ByteBuffer(Array(bytes.bytes().prefix(partial)))
        kept.append(closeFrame(from: partial))
        bytes = kept
        facts.remove(.isShared)
        change { trouble in
            trouble.state = .cutOff(trouble.flow)
            trouble.deadline = now + closeTimeout
        }
    }

    /// The last frame at or behind `start`, if it is a close frame.
    private func closeFrame(from start: Int) -> [UInt8] {
        var last = start
        while last < bytes.count {
            let end = WebSocketFrameEncoder.frameBoundary(in: bytes, startingAt: last, atOrAfter: last + 1)
            if end >= bytes.count || end == last { break }
            last = end
        }
        guard last < bytes.count, bytes[last] & 0x0f == WebSocketOpcode.close.rawValue else { return [] }
        return Array(bytes.bytes()[last...])
    }

    // MARK: The end

    /// The last byte was written, and nothing more will be: the peer gets time to read it. Closing at once could reset the
    /// connection under data that the peer has not read yet.
    public mutating func linger(now: Instant) {
        bytes = ByteBuffer()
        facts.remove(.isShared)
        change { trouble in
            trouble.state = .lingering
            trouble.partialFrameBytes = 0
            trouble.deadline = now + OutboundQueue.lingerTimeout
        }
    }

    private mutating func change(_ body: (inout Trouble) -> Void) {
        let isOver = trouble.change(orFrom: Trouble()) { trouble in
            body(&trouble)
            return trouble.isOver
        }
        if isOver {
            trouble.clear()
            facts.remove(.isTroubled)
        } else {
            facts.insert(.isTroubled)
        }
    }
}
