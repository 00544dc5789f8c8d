import FynloCore
import Testing

@Suite("Time")
struct TimeTests {
    @Test(
        "instants and durations add up, and stop at the ends of time instead of trapping",
        arguments: [
            (0, .zero, 0), (5, .nanoseconds(7), 12), (5, .nanoseconds(-7), -2), (.max, .zero, .max),
            (.max, .nanoseconds(1), .max),
            (.max, .nanoseconds(-1), .max - 1), (.min, .nanoseconds(-1), .min), (0, .seconds(253_402_300_799), .max),
            (0, .seconds(-253_402_300_799), .min), (-5, .seconds(253_402_300_799), .max - 5),
            (1, .seconds(Int64.max), .max),
            (0, .nanoseconds(Int64.max), .max), (0, .nanoseconds(Int64.min), .min),
        ] as [(Int64, Duration, Int64)])
    func sums(start: Int64, duration: Duration, end: Int64) {
        #expect(Instant(nanoseconds: start) + duration == Instant(nanoseconds: end))
    }

    @Test(
        "durations are told in whole units, rounded towards zero",
        arguments: [
            (Duration.milliseconds(1_500), 1_500_000_000, 1_500), (.nanoseconds(999_999), 999_999, 0),
            (.nanoseconds(-999_999), -999_999, 0),
            (.seconds(-2), -2_000_000_000, -2_000), (.zero, 0, 0), (.seconds(Int64.max), .max, .max / 1_000_000),
        ] as [(Duration, Int64, Int64)])
    func units(duration: Duration, nanoseconds: Int64, milliseconds: Int64) {
        #expect(duration.inNanoseconds == nanoseconds && duration.inMilliseconds == milliseconds)
    }

    @Test("the difference of instants is a duration with its sign")
    func differences() {
        let (early, late) = (Instant(nanoseconds: -3), Instant(nanoseconds: 4))
        #expect(late - early == .nanoseconds(7) && early - late == .nanoseconds(-7) && early < late)
    }

    @Test(
        "seconds of the wall clock are rounded towards the past",
        arguments: [
            (0, 0), (999, 0), (1_000, 1), (-1, -1), (-1_000, -1), (-1_001, -2), (1_769_882_645_123, 1_769_882_645),
        ] as [(Int64, Int64)])
    func seconds(milliseconds: Int64, seconds: Int64) {
        #expect(UnixTime(milliseconds: milliseconds).seconds == seconds)
    }
}
