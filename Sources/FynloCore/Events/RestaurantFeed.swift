// One restaurant's place in its event stream. Hints and rows go in; each event comes out once, in order. The table is the
// truth: what a hint promises is read from it. Tablets that were away are given what they missed from the tail.
//
//     hint(head) ──► read(after: cursor) ──► deliver(rows) ──► events, and a next read while rows are missing
//     committed(row) ─► the next one: out at once; a later one: a hint
//     replay(after:) ─► a page of the tail, or a read for the tail ──► deliver(rows, to: read)

/// The cursor of one restaurant with listeners.
public struct RestaurantFeed: Sendable {
    /// What the shell does next.
    public struct Step: Sendable {
        /// Events to hand to the listeners, in order.
        public var events: [EventFrame] = []
        /// If set: read the rows after this one (at most `RestaurantFeed.pageRows`) and deliver them.
        public var readAfter: EventSequence?
    }

    /// What a tablet that resumes is given.
    public typealias Page = EventTail.Page
    /// Rows to be read for tablets that resume.
    public typealias Read = EventTail.Read

    /// Rows per read: a turn's worth.
    public static let pageRows = EventTail.pageRows

    /// The last event handed out.
    public private(set) var cursor: EventSequence
    /// The newest event known to exist.
    public private(set) var head: EventSequence
    /// While a read is under way: the head that was known when it was asked for.
    private var headWhenAsked: EventSequence?
    private var tail: EventTail

    /// A feed that hands out the events after `head`.
    public init(head: EventSequence) {
        cursor = head
        self.head = head
        tail = EventTail(end: head)
    }

    // MARK: Live

    /// Somebody says that the stream reaches `head`: worth a read if we are behind.
    public mutating func hint(head newHead: EventSequence) -> Step {
        head = max(head, newHead)
        return Step(readAfter: nextRead())
    }

    /// A row this process committed itself: delivered at once if it is the next one, else a hint.
    public mutating func committed(_ event: DurableEvent) -> Step {
        guard event.sequence == cursor + 1, headWhenAsked == nil else { return hint(head: event.sequence) }
        let frame = take(event)
        head = max(head, cursor)
        return Step(events: [frame], readAfter: nextRead())
    }

    /// The answer to a read: rows in order, following on `cursor` without a gap. Pruned rows leave a gap at the front
    /// only; the cursor then jumps, and the listeners' own cursors tell them what they missed.
    public mutating func deliver(_ rows: [DurableEvent]) -> Step {
        let asked = headWhenAsked ?? head
        headWhenAsked = nil
        var step = Step()
        for row in rows where row.sequence > cursor { step.events.append(take(row)) }
        // No row where the head promised one: the table was pruned or restored. Only a hint that came since asks again.
        if rows.isEmpty, head == asked { head = cursor }
        head = max(head, cursor)
        step.readAfter = nextRead()
        return step
    }

    /// True while the rows after `sequence` are awaited.
    public func isReading(after sequence: EventSequence) -> Bool {
        headWhenAsked != nil && sequence == cursor
    }

    /// The read failed: the next hint asks again.
    public mutating func readFailed() {
        headWhenAsked = nil
    }

    private mutating func take(_ event: DurableEvent) -> EventFrame {
        let frame = EventFrame(event)
        cursor = event.sequence
        tail.append(frame)
        return frame
    }

    private mutating func nextRead() -> EventSequence? {
        guard headWhenAsked == nil, head > cursor else { return nil }
        headWhenAsked = head
        return cursor
    }

    // MARK: Replay

    /// The events after `sequence`, up to the cursor, a page at a time. One who has to wait asks again when rows have come.
    public mutating func replay(after sequence: EventSequence, now: Instant) -> Page {
        tail.page(after: sequence, now: now)
    }

    /// What is to be read for tablets that wait, if nothing is being read for them; the rows go to `deliver(_:to:)`.
    public mutating func nextReplayRead() -> Read? {
        tail.nextRead()
    }

    /// The rows of a read for tablets that wait.
    public mutating func deliver(_ rows: [DurableEvent], to read: Read) {
        tail.deliver(rows, to: read)
    }

    /// A read for tablets that wait failed; `nextReplayRead` gives it again.
    public mutating func replayReadFailed() {
        tail.readFailed()
    }

    /// Bytes kept for tablets that come back.
    public var tailBytes: Int { tail.byteCount }

    /// Forgets what is kept if no tablet has asked for it since `deadline`.
    public mutating func forgetTail(unusedSince deadline: Instant) {
        tail.forget(unusedSince: deadline)
    }
}
