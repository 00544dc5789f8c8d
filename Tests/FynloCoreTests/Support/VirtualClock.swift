import FynloCore

/// Both clocks, moved by the test.
struct VirtualClock {
    /// 2026-01-31T18:04:05.123Z, at an odd place of the monotonic clock.
    private(set) var now = Moment(
        instant: Instant(nanoseconds: 7_000_000_123), unixTime: UnixTime(milliseconds: 1_769_882_645_123))
    private var elapsed = Duration.zero

    /// Time passes on both clocks alike.
    mutating func advance(_ duration: Duration) {
        let start = UnixTime(milliseconds: now.unixTime.milliseconds - elapsed.inMilliseconds)
        elapsed += duration
        now.instant = now.instant + duration
        now.unixTime.milliseconds = start.milliseconds + elapsed.inMilliseconds
    }

    /// Time passes up to an instant, if that is still to come.
    mutating func advance(to instant: Instant) {
        if instant > now.instant { advance(instant - now.instant) }
    }
}
