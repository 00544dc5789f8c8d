import FynloCore
import Testing

/// A bucket with the rate and burst of the contract, and a clock.
private struct Bucket {
    var clock = VirtualClock()
    var rate = 20
    var burst = 100
    var bucket: TokenBucket

    init(rate: Int = 20, burst: Int = 100) {
        self.rate = rate
        self.burst = burst
        bucket = TokenBucket(now: VirtualClock().now.instant, ratePerSecond: rate, burst: burst)
    }

    mutating func take() -> Duration? {
        bucket.take(now: clock.now.instant, ratePerSecond: rate, burst: burst)
    }

    /// How many can be taken now.
    mutating func drain() -> Int {
        var taken = 0
        while taken < 10_000, take() == nil { taken += 1 }
        return taken
    }
}

@Suite("TokenBucket")
struct TokenBucketTests {
    @Test("is full at first: exactly the burst", arguments: [(20, 100), (1, 1), (1_000, 3), (3, 7)])
    func burst(rate: Int, burst: Int) {
        var bucket = Bucket(rate: rate, burst: burst)
        #expect(bucket.drain() == burst)
    }

    @Test(
        "refills at its rate",
        arguments: [
            (Duration.milliseconds(49), 0), (.milliseconds(50), 1), (.milliseconds(99), 1), (.seconds(1), 20),
            (.milliseconds(4_999), 99), (.seconds(5), 100),
        ])
    func refill(pause: Duration, expected: Int) {
        var bucket = Bucket()
        #expect(bucket.drain() == 100)
        bucket.clock.advance(pause)
        #expect(bucket.drain() == expected)
    }

    @Test(
        "holds no more than the burst, however long it was left alone",
        arguments: [Duration.seconds(5), .seconds(6), .seconds(86_400), .seconds(86_400 * 365 * 100)])
    func idle(pause: Duration) {
        var bucket = Bucket()
        #expect(bucket.drain() == 100)
        bucket.clock.advance(pause)
        #expect(bucket.drain() == 100)
    }

    @Test("tells the wait to the nanosecond, and asking costs nothing")
    func wait() {
        var bucket = Bucket()
        _ = bucket.drain()
        #expect(bucket.take() == .milliseconds(50))
        bucket.clock.advance(.milliseconds(20))
        for _ in 0..<10 { #expect(bucket.take() == .milliseconds(30)) }
        bucket.clock.advance(.milliseconds(30) - .nanoseconds(1))
        #expect(bucket.take() == .nanoseconds(1))
        bucket.clock.advance(.nanoseconds(1))
        #expect(bucket.take() == nil)
        #expect(bucket.take() == .milliseconds(50))
    }

    @Test("over any stretch it gives no more than the burst and the rate", arguments: 0..<10 as Range<UInt64>)
    func longRun(seed: UInt64) {
        var generator = SeededBytes(seed)
        var bucket = Bucket()
        var taken = 0
        var elapsed = Duration.zero
        for _ in 0..<2_000 {
            let pause = Duration.microseconds(Int64.random(in: 0...60_000, using: &generator))
            elapsed += pause
            bucket.clock.advance(pause)
            for _ in 0..<Int.random(in: 1...3, using: &generator) where bucket.take() == nil { taken += 1 }
        }
        let earned = Int(elapsed.inMilliseconds / 50)
        #expect(taken <= 100 + earned + 1)
        #expect(taken >= earned - 1, "what was earned was taken, for more was asked for")
    }
}
