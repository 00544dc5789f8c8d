// One restaurant's place in its event stream. Hints and rows go in; each event comes out once, in order. The table is the
// truth: what a hint promises is read from it.
//
//     hint(head) ──► read(after: cursor) ──► deliver(rows) ──► events, and a next read while rows are missing
//     committed(row) ─► the next one: out at once; a later one: a hint

/// The cursor of one restaurant with listeners.
public struct RestaurantFeed: Sendable {
    /// What the shell does next.
    public struct Step: Equatable, Sendable {
        /// Events to hand to the listeners, in order.
        public var events: [OrderEvent] = []
        /// If set: read the rows after this one (at most `RestaurantFeed.pageRows`) and deliver them.
        public var readAfter: EventSequence?
    }

    /// Rows per read: a turn's worth.
    public static let pageRows = 200

    /// The last event handed out.
    public private(set) var cursor: EventSequence
    /// The newest event known to exist.
    private var head: EventSequence
    /// While a read is under way: the head that was known when it was asked for.
    private var headWhenAsked: EventSequence?

    /// A feed that hands out the events after `head`.
    public init(head: EventSequence) {
        cursor = head
        self.head = head
    }

    /// Somebody says that the stream reaches `head`: worth a read if we are behind.
    public mutating func hint(head newHead: EventSequence) -> Step {
        head = max(head, newHead)
        return Step(readAfter: nextRead())
    }

    /// A row this process committed itself: delivered at once if it is the next one, else a hint.
    public mutating func committed(_ event: OrderEvent) -> Step {
        guard event.sequence == cursor + 1, headWhenAsked == nil else { return hint(head: event.sequence) }
        cursor = event.sequence
        head = max(head, cursor)
        return Step(events: [event], readAfter: nextRead())
    }

    /// The answer to a read: rows in order, following on `cursor` without a gap. Pruned rows leave a gap at the front
    /// only; the cursor then jumps, and the listeners' own cursors tell them what they missed.
    public mutating func deliver(_ rows: [OrderEvent]) -> Step {
        let asked = headWhenAsked ?? head
        headWhenAsked = nil
        var step = Step()
        for row in rows where row.sequence > cursor {
            cursor = row.sequence
            step.events.append(row)
        }
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

    private mutating func nextRead() -> EventSequence? {
        guard headWhenAsked == nil, head > cursor else { return nil }
        headWhenAsked = head
        return cursor
    }
}
