// The most there was lately, the same for whoever asks and however often.

/// The greatest duration of the last one to two minutes.
public struct RecentMaximum: Sendable {
    private static let window = Duration.seconds(60)
    private var current = Duration.zero
    private var previous = Duration.zero
    private var ends: Instant

    public init(now: Instant) {
        ends = now + RecentMaximum.window
    }

    /// Another one.
    public mutating func note(_ duration: Duration, at now: Instant) {
        if now >= ends { turnOver(now) }
        if duration > current { current = duration }
    }

    /// The greatest one.
    public mutating func value(at now: Instant) -> Duration {
        if now >= ends { turnOver(now) }
        return max(current, previous)
    }

    private mutating func turnOver(_ now: Instant) {
        previous = now < ends + RecentMaximum.window ? current : .zero
        current = .zero
        ends = now + RecentMaximum.window
    }
}
