// How busy the loop is and how late its timers fire, measured in every turn at little cost.

public import FynloCore

/// Turns and timers of a loop.
public struct LoopFigures: Sendable {
    /// How long each turn took, from the end of its wait. The sum is the time the loop was busy.
    public private(set) var turns = Histogram(.turn)
    /// How late the first due timer of a turn fired. Up to 2 ms of it are the timers' resolution.
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
