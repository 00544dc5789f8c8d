// The recent maximum, which is the same whoever asks and however often.

/// The greatest duration of the last one to two minutes.
public struct RecentMaximum: Sendable {
    private static let window = Duration.seconds(60)
    // Plain nanoseconds, since every turn of a loop is recorded.
    private var current: Int64 = 0
    private var previous: Int64 = 0
    private var ends: Instant

    public init(now: Instant) {
        ends = now + RecentMaximum.window
    }

    /// Records a duration in nanoseconds.
    public mutating func note(nanoseconds: Int64, at now: Instant) {
        if now >= ends { turnOver(now) }
        if nanoseconds > current { current = nanoseconds }
    }

    /// The maximum of the last one to two minutes.
    public mutating func value(at now: Instant) -> Duration {
        if now >= ends { turnOver(now) }
        return .nanoseconds(max(current, previous))
    }

    private mutating func turnOver(_ now: Instant) {
        previous = now < ends + RecentMaximum.window ? current : 0
        current = 0
        ends = now + RecentMaximum.window
    }
}
