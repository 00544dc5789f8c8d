// One tablet's place in its restaurant's stream: joins what it was told at authentication to what follows, without gap
// or repeat.

/// The last event a connection has been sent, or was told it need not be sent.
public struct ResumeCursor: Sendable {
    public private(set) var sequence: EventSequence

    public init(after sequence: EventSequence) {
        self.sequence = sequence
    }

    /// True, once, for an event that the tablet has not seen.
    public mutating func admits(_ sequence: EventSequence) -> Bool {
        guard sequence > self.sequence else { return false }
        self.sequence = sequence
        return true
    }
}
