// The intervals that activity is counted in: they begin at the same times for every process, so that what several have counted can
// be added up.

/// Intervals of one length, numbered from 1970 on.
public struct ActivityIntervals: Sendable {
    /// Of each; whole milliseconds.
    public let length: Duration

    /// A timer goes by another clock than these times do: an interval that ends within this counts as over.
    private static let tolerance: Int64 = 1_000

    public init(length: Duration) {
        precondition(length >= .milliseconds(1), "an interval takes a millisecond at least")
        self.length = length
    }

    private var milliseconds: Int64 { length.inMilliseconds }

    /// The number of the interval that goes on at `now`, and is not over soon.
    private func current(_ now: UnixTime) -> Int64 {
        let time = now.milliseconds + min(ActivityIntervals.tolerance, milliseconds / 2)
        let (whole, rest) = time.quotientAndRemainder(dividingBy: milliseconds)
        return rest < 0 ? whole - 1 : whole
    }

    /// The number of the last interval that is over.
    public func last(at now: UnixTime) -> Int64 { current(now) - 1 }

    /// How long it takes until the next one is over; not zero.
    public func untilNext(after now: UnixTime) -> Duration {
        .milliseconds((current(now) + 1) * milliseconds - now.milliseconds)
    }
}
