// The only place where the time is read. The loop does it once per turn and hands the moment down.

public import FynloCore
import Glibc

/// The two clocks of the kernel.
public struct SystemClock {
    private init() {}

    /// The current time of both clocks (two vDSO calls of about 20 ns).
    public static var now: Moment {
        var wall = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        let milliseconds = Int64(wall.tv_sec) * 1000 + Int64(wall.tv_nsec) / 1_000_000
        return Moment(instant: instant, unixTime: UnixTime(milliseconds: milliseconds))
    }

    /// The current time of the monotonic clock alone.
    public static var instant: Instant {
        var monotonic = timespec()
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        return Instant(nanoseconds: Int64(monotonic.tv_sec) * 1_000_000_000 + Int64(monotonic.tv_nsec))
    }

    /// The processor time this process has used, in user and kernel mode.
    public static var processorTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// The processor time of another process on this machine, to the nanosecond (/proc has ticks of ten milliseconds); `nil`
    /// if there is no such process.
    public static func processorTime(of process: Int) -> Duration? {
        var clock = clockid_t()
        var time = timespec()
        // No process number exceeds 2^22 (proc(5), pid_max). A larger one would overflow into another clock's identifier.
        guard (1...1 << 22).contains(process), clock_getcpuclockid(pid_t(process), &clock) == 0,
            clock_gettime(clock, &time) == 0
        else { return nil }
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
