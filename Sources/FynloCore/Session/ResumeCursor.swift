// One tablet's place in its restaurant's stream: joins what it missed to what happens now, without gap or repeat.
//
//     replaying ──the missed events, in order──► caught up ──live events, in order──►

/// The last event a connection has been sent, or was told it need not be sent.
public struct ResumeCursor: Sendable {
    public private(set) var sequence: EventSequence
    /// True while the tablet is being sent what it missed; live events then reach it the same way.
    public private(set) var isReplaying: Bool

    /// What to do with a live event.
    public enum Verdict: Equatable, Sendable {
        /// Pass it over: it has been sent, or will be sent in its turn.
        case pass
        /// Send it: it is the next one.
        case next
        /// Send it, and tell the tablet that it missed the events before it, which are gone.
        case gap
    }

    public init(after sequence: EventSequence, isReplaying: Bool = false) {
        self.sequence = sequence
        self.isReplaying = isReplaying
    }

    /// A live event; asked once per event.
    public mutating func take(live sequence: EventSequence) -> Verdict {
        guard !isReplaying, sequence > self.sequence else { return .pass }
        let isNext = sequence - 1 == self.sequence
        self.sequence = sequence
        return isNext ? .next : .gap
    }

    /// True for the next of the missed events.
    public mutating func take(replayed sequence: EventSequence) -> Bool {
        guard isReplaying, self.sequence < .max, sequence == self.sequence + 1 else { return false }
        self.sequence = sequence
        return true
    }

    /// Everything missed has been sent.
    public mutating func finishReplay() {
        isReplaying = false
    }
}
