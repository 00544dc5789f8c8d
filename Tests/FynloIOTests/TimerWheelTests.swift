import FynloCore
import FynloIO
import Testing

private let start = Instant(nanoseconds: 123_456_789)

/// A wheel with its time and what came due, turned as the loop turns it.
private struct Turned {
    var wheel = TimerWheel(start: start)
    var due: [UInt64] = []

    /// Moves to `offset` after the start in one step; returns what came due.
    mutating func advance(to offset: Duration) -> [UInt64] {
        due.removeAll()
        wheel.advance(to: start + offset, due: &due)
        return due
    }

    /// Sleeps from deadline to deadline until a key comes due; returns when, and after how many wake-ups.
    mutating func sleep() -> (offset: Duration, keys: [UInt64], wakeUps: Int)? {
        var wakeUps = 0
        while let next = wheel.nextDeadline {
            wakeUps += 1
            let keys = advance(to: next - start)
            if !keys.isEmpty { return (next - start, keys, wakeUps) }
        }
        return nil
    }
}

@Suite("TimerWheel")
struct TimerWheelTests {
    static let distances: [Duration] = [
        .milliseconds(1), .milliseconds(2), .milliseconds(63), .milliseconds(64), .milliseconds(65), .milliseconds(127),
        .milliseconds(4095), .milliseconds(4096), .milliseconds(4097), .seconds(60), .milliseconds(262_143),
        .milliseconds(262_144), .seconds(3600), .seconds(86_400), .seconds(7 * 86_400), .seconds(400 * 86_400),
    ]

    @Test("is due at the deadline, not just before it", arguments: distances)
    func exact(_ distance: Duration) {
        var turned = Turned()
        _ = turned.wheel.insert(7, at: start + distance)
        #expect(turned.advance(to: distance - .nanoseconds(1)) == [])
        #expect(turned.wheel.nextDeadline == start + distance)
        #expect(turned.advance(to: distance) == [7])
        #expect(turned.wheel.nextDeadline == nil)
        #expect(turned.wheel.count == 0)
    }

    @Test("is due when the time has leapt past the deadline", arguments: distances)
    func after(_ distance: Duration) {
        var turned = Turned()
        _ = turned.wheel.insert(7, at: start + distance)
        #expect(turned.advance(to: distance + .seconds(86_400 * 30)) == [7])
    }

    @Test("waking at nextDeadline finds the timer in few steps", arguments: distances)
    func fewSteps(_ distance: Duration) throws {
        var turned = Turned()
        #expect(turned.advance(to: .milliseconds(777)) == [])
        _ = turned.wheel.insert(7, at: start + .milliseconds(777) + distance)
        let sleep = turned.sleep()
        let woken = try #require(sleep)
        #expect(woken.offset == .milliseconds(777) + distance)
        #expect(woken.wakeUps <= 7)
    }

    @Test("a deadline within a millisecond is due at its end; one that has passed, at the next")
    func rounding() {
        var turned = Turned()
        _ = turned.wheel.insert(1, at: start + .microseconds(5_001))
        #expect(turned.advance(to: .microseconds(5_999)) == [])
        #expect(turned.advance(to: .milliseconds(6)) == [1])
        _ = turned.wheel.insert(2, at: start)
        _ = turned.wheel.insert(3, at: Instant(nanoseconds: .min))
        #expect(turned.wheel.nextDeadline == start + .milliseconds(7))
        #expect(turned.advance(to: .milliseconds(7)) == [2, 3])
    }

    @Test("moves to an earlier and to a later time")
    func moving() {
        var turned = Turned()
        let timer = turned.wheel.insert(1, at: start + .seconds(60))
        turned.wheel.move(timer, to: start + .milliseconds(10))
        #expect(turned.wheel.nextDeadline == start + .milliseconds(10))
        turned.wheel.move(timer, to: start + .milliseconds(20))
        #expect(turned.advance(to: .milliseconds(19)) == [])
        #expect(turned.advance(to: .milliseconds(20)) == [1])
        #expect(turned.advance(to: .seconds(61)) == [])
    }

    @Test("a removed timer is never due, and its place is used again")
    func removal() {
        var turned = Turned()
        let first = turned.wheel.insert(1, at: start + .milliseconds(10))
        _ = turned.wheel.insert(2, at: start + .milliseconds(10))
        turned.wheel.remove(first)
        #expect(turned.wheel.insert(3, at: start + .milliseconds(10)) == first)
        #expect(turned.advance(to: .seconds(1)) == [2, 3])
    }

    @Test("a deadline beyond all times is kept, and is never due")
    func endless() {
        var turned = Turned()
        let timer = turned.wheel.insert(1, at: Instant(nanoseconds: .max))
        #expect(turned.advance(to: .seconds(10 * 365 * 86_400)) == [])
        #expect(turned.wheel.nextDeadline != nil)
        turned.wheel.remove(timer)
        #expect(turned.wheel.nextDeadline == nil)
    }

    @Test("a timer that renews itself does not drift over a day")
    func noDrift() {
        var turned = Turned()
        var expected = Duration.zero
        for _ in 0..<2_880 {
            expected += .seconds(30)
            _ = turned.wheel.insert(1, at: start + expected)
            let woken = turned.sleep()
            #expect(woken?.offset == expected)
        }
    }

    @Test("many timers, moved and removed at random, are each due once, in order, at their tick", arguments: 1...8)
    func many(_ seed: UInt64) throws {
        var random = SplitMix(state: seed)
        var turned = Turned()
        var expected: [UInt64: Int64] = [:]  // key: tick
        var timers: [UInt64: TimerWheel.Timer] = [:]
        var present: Int64 = 0
        var nextKey: UInt64 = 0
        for _ in 0..<300 {
            for _ in 0..<Int(random.next() % 20) {
                let tick = present + 1 + Int64(random.next() % (1 << (random.next() % 24)))
                timers[nextKey] = turned.wheel.insert(nextKey, at: start + .milliseconds(tick))
                expected[nextKey] = tick
                nextKey += 1
            }
            for key in expected.keys.sorted().prefix(Int(random.next() % 8)) {
                guard let timer = timers[key] else { continue }
                if random.next() % 3 == 0 {
                    turned.wheel.remove(timer)
                    expected[key] = nil
                } else {
                    let tick = present + 1 + Int64(random.next() % 100_000)
                    turned.wheel.move(timer, to: start + .milliseconds(tick))
                    expected[key] = tick
                }
            }
            if let earliest = expected.values.min() {
                let next = try #require(turned.wheel.nextDeadline)
                #expect(next > start + .milliseconds(present), "seed \(seed)")
                #expect(next <= start + .milliseconds(earliest), "seed \(seed)")
            }
            present += Int64(random.next() % (1 << (random.next() % 18)))
            let due = turned.advance(to: .milliseconds(present))
            let late = expected.filter { $0.value <= present }
            #expect(Set(due) == Set(late.keys) && due.count == late.count, "seed \(seed)")
            #expect(due.compactMap { late[$0] } == late.values.sorted(), "seed \(seed)")
            for key in due { expected[key] = nil }
            #expect(turned.wheel.count == expected.count, "seed \(seed)")
        }
    }
}

private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
