import FynloCore
import Testing

@Suite("ReadAllowance")
struct ReadAllowanceTests {
    @Test(
        "is spent by more than the burst at once",
        arguments: [(0, false), (100, false), (8_192, false), (8_193, true), (65_536, true), (Int.max, true)])
    func burst(bytes: Int, isSpent: Bool) {
        let now = VirtualClock().now.instant
        var allowance = ReadAllowance(now: now)
        allowance.spend(bytes, now: now)
        #expect(allowance.isSpent(now: now) == isSpent)
    }

    @Test("a tablet at its rate limit does not spend it, one that sends twice as much does")
    func rate() {
        for (bytes, isSpent) in [(16_384 / 20, false), (2 * 16_384 / 20, true)] {
            var clock = VirtualClock()
            var allowance = ReadAllowance(now: clock.now.instant)
            for _ in 0..<200 {
                clock.advance(.milliseconds(50))
                allowance.spend(bytes, now: clock.now.instant)
            }
            #expect(allowance.isSpent(now: clock.now.instant) == isSpent)
        }
    }

    @Test("is there again ten seconds after the longest flood at the latest")
    func forgiveness() {
        var clock = VirtualClock()
        var allowance = ReadAllowance(now: clock.now.instant)
        for _ in 0..<1_000 { allowance.spend(.max, now: clock.now.instant) }
        clock.advance(.milliseconds(9_400))
        #expect(allowance.isSpent(now: clock.now.instant))
        clock.advance(.milliseconds(600))
        #expect(!allowance.isSpent(now: clock.now.instant))
        allowance.spend(ReadAllowance.burstBytes, now: clock.now.instant)
        #expect(!allowance.isSpent(now: clock.now.instant))
    }
}
