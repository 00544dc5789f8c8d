// How busy the loop is, and how late it comes: measured at every turn, for little.

public import FynloCore

/// Turns and timers of a loop.
public struct LoopFigures: Sendable {
    /// How long the turns took, from the end of the wait; their sum is the time in which the loop was busy.
    public private(set) var turns = Histogram(.turn)
    /// How late, in the turns that had timers due, the first of them was told. Up to 2 ms are the timers' own coarseness.
    public internal(set) var lateness = Histogram(.turn)
    private var longest: RecentMaximum

    init(now: Instant) {
        longest = RecentMaximum(now: now)
    }

    mutating func turned(from start: Instant, to end: Instant) {
        let nanoseconds = end.nanoseconds - start.nanoseconds
        turns.observe(nanoseconds: nanoseconds)
        longest.note(nanoseconds: nanoseconds, at: end)
    }

    /// The longest turn of the last minute or two.
    public func longestTurn(at now: Instant) -> Duration {
        var longest = longest
        return longest.value(at: now)
    }
}
