import FynloCore
import Testing

@Suite("Time")
struct TimeTests {
    @Test(
        "counts nanoseconds as far as Int64 reaches, and no further",
        arguments: [
            (Duration.nanoseconds(1), 1), (.nanoseconds(-1), -1), (.seconds(9_223_372_036), 9_223_372_036_000_000_000),
            (.nanoseconds(Int64.max), .max), (.nanoseconds(Int64.min), .min),
            (.nanoseconds(Int64.max) + .nanoseconds(1), .max), (.nanoseconds(Int64.min) - .nanoseconds(1), .min),
            (.seconds(253_402_300_799), .max), (.seconds(-253_402_300_799), .min), (.seconds(Int64.max), .max),
        ] as [(Duration, Int64)])
    func nanoseconds(duration: Duration, count: Int64) {
        #expect(duration.inNanoseconds == count)
    }

    @Test("a deadline beyond the clock's end is the clock's end")
    func beyondTheEnd() {
        let now = Instant(nanoseconds: 5_000)
        #expect(now + .seconds(253_402_300_799) == Instant(nanoseconds: .max))
        #expect(Instant(nanoseconds: -5_000) + .seconds(-253_402_300_799) == Instant(nanoseconds: .min))
        #expect(now + .nanoseconds(7) == Instant(nanoseconds: 5_007))
        #expect(Instant(nanoseconds: .max) - now == .nanoseconds(Int64.max - 5_000))
        #expect(now - Instant(nanoseconds: .max) == .nanoseconds(5_000 - Int64.max))
        #expect(Instant(nanoseconds: .min) - Instant(nanoseconds: .max) < .seconds(-9_223_372_036))
    }
}
