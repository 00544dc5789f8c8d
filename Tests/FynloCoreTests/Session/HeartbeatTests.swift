import FynloCore
import Testing

@Suite("Heartbeat")
struct HeartbeatTests {
    private let limits = Limits()

    @Test("asks once after 30 s of silence, and gives up after 60")
    func silence() {
        var clock = VirtualClock()
        var heartbeat = Heartbeat(now: clock.now.instant)
        clock.advance(.seconds(30) - .nanoseconds(1))
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == nil)
        clock.advance(.nanoseconds(1))
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == .ping)
        for _ in 0..<29 {
            clock.advance(.seconds(1))
            #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == nil)
        }
        clock.advance(.seconds(1) - .nanoseconds(1))
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == nil)
        clock.advance(.nanoseconds(1))
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == .stale)
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == .stale)
    }

    @Test("a sign of life begins the silence anew, before the question and after it", arguments: [10, 29, 31, 59])
    func heard(after seconds: Int) {
        var clock = VirtualClock()
        var heartbeat = Heartbeat(now: clock.now.instant)
        clock.advance(.seconds(seconds))
        _ = heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits))
        heartbeat.heard(now: clock.now.instant)
        #expect(heartbeat.lastHeard == clock.now.instant)
        clock.advance(.seconds(30) - .nanoseconds(1))
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == nil)
        clock.advance(.nanoseconds(1))
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == .ping)
    }

    @Test("who is found late is stale, not asked", arguments: [60, 61, 1_000])
    func late(seconds: Int) {
        var clock = VirtualClock()
        var heartbeat = Heartbeat(now: clock.now.instant)
        clock.advance(.seconds(seconds))
        #expect(heartbeat.tick(now: clock.now.instant, Heartbeat.Terms(limits)) == .stale)
    }

    @Test(
        "the deadline is never before the time, nor a thirtieth of the sweep interval behind it",
        arguments: [
            Duration.nanoseconds(1), .milliseconds(1), .milliseconds(20), .seconds(1), .seconds(30), .seconds(3_600),
        ])
    func deadline(sweep: Duration) {
        var limits = limits
        limits.sweepInterval = sweep
        var clock = VirtualClock()
        for offset in [0, 1, 333_333_333, 999_999_999] as [Int64] {
            clock.advance(.nanoseconds(offset))
            var heartbeat = Heartbeat(now: clock.now.instant)
            let grain = max(.nanoseconds(1), sweep / 30)
            for due in [limits.idlePing, limits.staleAfter] {
                let late = heartbeat.nextDeadline(Heartbeat.Terms(limits)) - (heartbeat.lastHeard + due)
                #expect(late >= .zero && late < grain)
                _ = heartbeat.tick(now: heartbeat.lastHeard + due, Heartbeat.Terms(limits))
            }
        }
    }

    @Test("a server that never asks still gives up")
    func noPing() {
        var limits = limits
        limits.idlePing = .seconds(100)
        var heartbeat = Heartbeat(now: VirtualClock().now.instant)
        let late = heartbeat.nextDeadline(Heartbeat.Terms(limits)) - (heartbeat.lastHeard + limits.staleAfter)
        #expect(late >= .zero && late < .seconds(1))
        #expect(heartbeat.tick(now: heartbeat.lastHeard + .seconds(60), Heartbeat.Terms(limits)) == .stale)
    }
}
