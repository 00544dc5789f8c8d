import FynloCore
import Testing

@Suite("ReconnectPolicy")
struct ReconnectPolicyTests {
    @Test("waits up to 1, 2, 4, 8, 16, then 30 s, and at least half of that", arguments: 1...20 as ClosedRange<UInt64>)
    func bounds(seed: UInt64) {
        var generator = SeededBytes(seed)
        var policy = ReconnectPolicy()
        for longest in [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30] {
            let delay = policy.nextDelay(using: &generator)
            #expect(delay >= .milliseconds(longest * 500) && delay <= .seconds(longest), "seed \(seed)")
        }
        #expect(policy.failures == 12)
    }

    @Test("begins anew after a success")
    func reset() {
        var generator = SeededBytes(3)
        var policy = ReconnectPolicy()
        for _ in 0..<8 { _ = policy.nextDelay(using: &generator) }
        policy.reset()
        #expect(policy == ReconnectPolicy())
        #expect(policy.nextDelay(using: &generator) <= .seconds(1))
    }

    @Test("does not send a thousand tablets back at once")
    func spread() {
        var generator = SeededBytes(5)
        var perTenth = [Int](repeating: 0, count: 11)
        for _ in 0..<1_000 {
            var policy = ReconnectPolicy()
            perTenth[Int(policy.nextDelay(using: &generator).inMilliseconds / 100)] += 1
        }
        #expect((perTenth.max() ?? 0) < 300)
    }
}
