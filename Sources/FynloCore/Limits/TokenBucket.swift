// Rates: a bucket that fills by itself and empties by use.

/// A token bucket: `burst` uses at once, then `ratePerSecond` of them. It holds a fraction in nanoseconds, no timer.
public struct TokenBucket: Sendable {
    /// The bucket's level expressed as the instant at which it would have been empty.
    private var emptyAt: Instant

    /// A full bucket.
    public init(now: Instant, ratePerSecond: Int, burst: Int) {
        emptyAt = now + TokenBucket.fillTime(ratePerSecond: ratePerSecond) * -burst
    }

    /// Takes one token if there is one. If not: how long it takes until there is.
    public mutating func take(now: Instant, ratePerSecond: Int, burst: Int) -> Duration? {
        let fillTime = TokenBucket.fillTime(ratePerSecond: ratePerSecond)
        let fullSince = now + fillTime * -burst
        if emptyAt < fullSince { emptyAt = fullSince }
        let next = emptyAt + fillTime
        if next > now { return next - now }
        emptyAt = next
        return nil
    }

    private static func fillTime(ratePerSecond: Int) -> Duration {
        .nanoseconds(1_000_000_000 / Int64(max(1, ratePerSecond)))
    }
}
