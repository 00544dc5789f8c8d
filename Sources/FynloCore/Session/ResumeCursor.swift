// One tablet's place in its restaurant's stream: joins what it missed to what happens now, without gap or repeat.
//
//     replaying ──the missed events, in order──► caught up ──live events, in order──►

/// The last event a connection has been sent, or was told it need not be sent.
public struct ResumeCursor: Sendable {
    public private(set) var sequence: EventSequence
    /// True while the tablet is being sent what it missed; live events then reach it by the same way.
    public private(set) var isReplaying: Bool

    /// What a live event is to a tablet.
    public enum Verdict: Equatable, Sendable {
        /// It has been sent, or will be in its turn.
        case pass
        /// The next one: to be sent.
        case next
        /// To be sent, but those before it are gone: the tablet has to be told that it missed some.
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

    /// Nothing is missing any more.
    public mutating func finishReplay() {
        isReplaying = false
    }
}
