// The two clocks as two types that never mix: deadlines use the monotonic clock; people and tokens use the wall clock. The core
// reads neither: both arrive as arguments, once per turn of the loop.

/// A point on the monotonic clock (CLOCK_MONOTONIC), in nanoseconds since an arbitrary start. It never jumps; use it for
/// every deadline.
public struct Instant: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// Later than any other instant: the deadline of what never happens.
    public static let never = Instant(nanoseconds: .max)

    public static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The instant `duration` later, or the last instant if that is out of range. Deadlines from outside can be: a token may be
    /// valid until the year 9999.
    public static func + (instant: Instant, duration: Duration) -> Instant {
        let nanoseconds = duration.inNanoseconds
        let (sum, isBeyond) = instant.nanoseconds.addingReportingOverflow(nanoseconds)
        return Instant(nanoseconds: isBeyond ? (nanoseconds < 0 ? .min : .max) : sum)
    }

    /// The time from `right` to `left`; negative if `left` is earlier.
    public static func - (left: Instant, right: Instant) -> Duration {
        let (difference, isBeyond) = left.nanoseconds.subtractingReportingOverflow(right.nanoseconds)
        return isBeyond ? .nanoseconds(left.nanoseconds) - .nanoseconds(right.nanoseconds) : .nanoseconds(difference)
    }
}

/// A point on the wall clock: milliseconds since 1970-01-01T00:00:00Z without leap seconds, as JWTs and RFC 3339 count.
public struct UnixTime: Hashable, Comparable, Sendable {
    public var milliseconds: Int64

    public init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    /// Whole seconds, rounded towards the past.
    public var seconds: Int64 {
        milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000
    }

    public static func < (left: UnixTime, right: UnixTime) -> Bool {
        left.milliseconds < right.milliseconds
    }
}

/// The current time on both clocks, read once per turn of the loop: everything in one turn happens at the same moment.
public struct Moment: Sendable {
    public var instant: Instant
    public var unixTime: UnixTime

    public init(instant: Instant, unixTime: UnixTime) {
        self.instant = instant
        self.unixTime = unixTime
    }
}

extension Duration {
    /// Whole nanoseconds, rounded towards zero. Durations beyond the 292 years that Int64 can hold become its limits.
    public var inNanoseconds: Int64 {
        Int64(clamping: attoseconds / 1_000_000_000)
    }

    /// Whole milliseconds, rounded towards zero, of a duration of up to 292 years.
    public var inMilliseconds: Int64 {
        inNanoseconds / 1_000_000
    }
}
