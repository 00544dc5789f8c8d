// A rate limit: a bucket that refills with time and empties with use.

/// A token bucket: `burst` uses at once, then `ratePerSecond`. It stores one instant and needs no timer.
public struct TokenBucket: Sendable {
    /// The bucket's level expressed as the instant at which it would have been empty.
    private var emptyAt: Instant

    /// A full bucket.
    public init(now: Instant, ratePerSecond: Int, burst: Int) {
        emptyAt = TokenBucket.fullSince(now, TokenBucket.fillTime(ratePerSecond: ratePerSecond), burst)
    }

    /// Takes one token. If there is none, returns how long it takes until there is.
    public mutating func take(now: Instant, ratePerSecond: Int, burst: Int) -> Duration? {
        let fillTime = TokenBucket.fillTime(ratePerSecond: ratePerSecond)
        let level = max(emptyAt, TokenBucket.fullSince(now, fillTime, burst))
        let next = Instant(nanoseconds: level.nanoseconds + fillTime)
        emptyAt = level
        if next > now { return next - now }
        emptyAt = next
        return nil
    }

    /// When a bucket that is full at `now` would have been empty.
    private static func fullSince(_ now: Instant, _ fillTime: Int64, _ burst: Int) -> Instant {
        let (time, isBeyond) = fillTime.multipliedReportingOverflow(by: Int64(burst))
        let (instant, isLongAgo) = now.nanoseconds.subtractingReportingOverflow(time)
        return Instant(nanoseconds: isBeyond || isLongAgo ? .min : instant)
    }

    /// Nanoseconds per token, as a plain number, since every message takes one.
    private static func fillTime(ratePerSecond: Int) -> Int64 {
        1_000_000_000 / Int64(max(1, ratePerSecond))
    }
}
