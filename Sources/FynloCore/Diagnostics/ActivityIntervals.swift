// The intervals in which activity is counted. They begin at the same times in every process, so that the counts of several can be
// added up.

/// Intervals of one length, numbered from 1970.
public struct ActivityIntervals: Sendable {
    /// The length of an interval, in whole milliseconds.
    public let length: Duration

    /// Timers use another clock than these times: an interval that ends within this time counts as over.
    private static let tolerance: Int64 = 1_000

    public init(length: Duration) {
        precondition(length >= .milliseconds(1), "an interval takes a millisecond at least")
        self.length = length
    }

    private var milliseconds: Int64 { length.inMilliseconds }

    /// The number of the interval at `now` that has not ended and does not end within the tolerance.
    private func current(_ now: UnixTime) -> Int64 {
        let time = now.milliseconds + min(ActivityIntervals.tolerance, milliseconds / 2)
        let (whole, rest) = time.quotientAndRemainder(dividingBy: milliseconds)
        return rest < 0 ? whole - 1 : whole
    }

    /// The number of the last interval that has ended.
    public func last(at now: UnixTime) -> Int64 { current(now) - 1 }

    /// The time until the next one ends; never zero.
    public func untilNext(after now: UnixTime) -> Duration {
        .milliseconds((current(now) + 1) * milliseconds - now.milliseconds)
    }
}
