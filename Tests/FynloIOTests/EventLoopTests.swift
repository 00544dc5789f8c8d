import FynloCore
import FynloIO
import Glibc
import Testing

@Suite("EventLoop")
struct EventLoopTests {
    @Test("reports bytes to a source, repeatedly while they are unread")
    func readiness() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (near, far) = try makePair()
        let probe = Probe()
        _ = try loop.add(probe, descriptor: near.number, interest: .read)
        try loop.turn(timeout: .zero)
        #expect(probe.readiness == [])
        try write("x", to: far)
        try loop.turn(timeout: .seconds(5))
        try loop.turn(timeout: .seconds(5))
        #expect(probe.readiness == [.read, .read])
    }

    @Test("measures its turns and the delay of timers")
    func figures() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        #expect(loop.figures.turns.count == 0)
        let started = SystemClock.instant
        for _ in 0..<3 { try loop.turn(timeout: .zero) }
        loop.after(.milliseconds(1)) {
            let end = SystemClock.instant + .milliseconds(20)
            while SystemClock.instant < end {}
        }
        let ended = SystemClock.instant + .milliseconds(15)
        while SystemClock.instant < ended {}
        _ = try loop.run(until: { loop.figures.lateness.count > 0 }, for: .seconds(5))
        let took = SystemClock.instant - started
        #expect(loop.figures.turns.count >= 4 && loop.figures.lateness.count == 1)
        #expect(loop.figures.lateness.sumInSeconds >= 0.013, "nobody looked for 15 ms")
        let longest = loop.figures.longestTurn(at: loop.now.instant)
        #expect(longest >= .milliseconds(20) && longest <= took)
        #expect(loop.figures.turns.sumInSeconds >= 0.02, "the time between turns is not the loop's")
        #expect(loop.figures.turns.sumInSeconds <= Double(took.inNanoseconds) / 1e9)
    }

    @Test("reports writability only on request")
    func writeInterest() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (near, far) = try makePair()
        let probe = Probe()
        let token = try loop.add(probe, descriptor: near.number, interest: .read)
        try loop.turn(timeout: .zero)
        #expect(probe.readiness == [])
        loop.setInterest([.read, .write], for: token)
        try loop.turn(timeout: .zero)
        #expect(probe.readiness == [.write])
        loop.setInterest(.read, for: token)
        try loop.turn(timeout: .zero)
        #expect(probe.readiness == [.write])
        try write("x", to: far)
        loop.setInterest([], for: token)
        try loop.turn(timeout: .zero)
        #expect(probe.readiness == [.write])
    }

    @Test("reports the peer's end, even without a request if both directions are closed")
    func hangup() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (near, far) = try makePair()
        let probe = Probe()
        let token = try loop.add(probe, descriptor: near.number, interest: .read)
        Socket.shutdownWrite(far.number)
        try loop.turn(timeout: .seconds(5))
        #expect(probe.readiness == [[.read, .hangup]])
        loop.setInterest([], for: token)
        try loop.turn(timeout: .zero)
        #expect(probe.readiness.count == 1)
        far.close()
        try loop.turn(timeout: .seconds(5))
        #expect(probe.readiness.last == .hangup)
    }

    @Test("an event for a source removed earlier in the same turn finds nobody, even if its number is in use again")
    func removalWithinBatch() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var pairs = [try makePair(), try makePair()]
        var probes: [Probe] = []
        var tokens: [SourceToken] = []
        let newcomer = Probe()
        var newToken: SourceToken?
        for index in 0..<2 {
            let probe = Probe()
            probe.onReady = { [unowned loop] _ in
                // Whoever comes first removes the other, whose descriptor number is taken by a new source at once.
                guard newToken == nil else { return }
                loop.remove(tokens[1 - index])
                let number = pairs[1 - index].0.number
                pairs[1 - index].0.close()
                guard let fresh = try? makePair() else { return }
                pairs.append(fresh)
                if fresh.0.number != number { _ = dup2(fresh.0.number, number) }
                newToken = try? loop.add(newcomer, descriptor: number, interest: .read)
            }
            probes.append(probe)
            tokens.append(try loop.add(probe, descriptor: pairs[index].0.number, interest: .read))
            try write("x", to: pairs[index].1)
        }
        try loop.turn(timeout: .seconds(5))
        #expect(probes[0].readiness.count + probes[1].readiness.count == 1)
        #expect(newToken != nil && newcomer.readiness.isEmpty)
        #expect(newToken.map { !tokens.contains($0) } == true)
    }

    @Test("a removed source lives until the end of the turn, and no longer")
    func lifetime() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (near, far) = try makePair()
        var probe: Probe? = Probe()
        weak let reference = probe
        let token = try loop.add(try #require(probe), descriptor: near.number, interest: .read)
        var livedOn = false
        probe?.onReady = { _ in
            loop.remove(token)
            loop.remove(token)
            loop.atEndOfTurn { livedOn = reference != nil }
        }
        probe = nil
        try write("x", to: far)
        try loop.turn(timeout: .seconds(5))
        #expect(livedOn)
        #expect(reference == nil)
    }

    @Test("a source may remove another one while it is freed")
    func cascade() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var freed = 0
        let inner = loop.add(timer: probe { freed += 1 })
        let outer = loop.add(
            timer: probe {
                freed += 1
                loop.remove(inner)
            })
        loop.remove(outer)
        try loop.turn(timeout: .zero)
        #expect(freed == 2)
    }

    private func probe(_ onDeinit: @escaping () -> Void) -> Probe {
        let probe = Probe()
        probe.onDeinit = onDeinit
        return probe
    }

    @Test("follows a library to another socket, and to a new one of the same number")
    func replacement() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (first, _) = try makePair()
        let (second, secondFar) = try makePair()
        let (third, thirdFar) = try makePair()
        let probe = Probe()
        let token = try loop.add(probe, descriptor: first.number, interest: .read)
        try loop.replaceDescriptor(second.number, interest: .read, for: token)
        try write("x", to: secondFar)
        try loop.turn(timeout: .seconds(5))
        #expect(probe.readiness == [.read])
        // dup2 closes the old socket, and epoll forgets it.
        #expect(dup2(third.number, second.number) == second.number)
        loop.setInterest([.read, .write], for: token)
        try loop.turn(timeout: .seconds(5))
        #expect(probe.readiness.last == .write)
        try loop.replaceDescriptor(second.number, interest: .read, for: token)
        try write("x", to: thirdFar)
        try loop.turn(timeout: .seconds(5))
        #expect(probe.readiness.last == .read)
    }

    @Test("a source whose descriptor was closed behind its back does not make the number's next owner deaf")
    func staleOwner() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (near, _) = try makePair()
        let stale = try loop.add(Probe(), descriptor: near.number, interest: .read)
        let (other, far) = try makePair()
        #expect(dup2(other.number, near.number) == near.number)
        let probe = Probe()
        _ = try loop.add(probe, descriptor: near.number, interest: .read)
        loop.setInterest([], for: stale)
        loop.remove(stale)
        try write("x", to: far)
        try loop.turn(timeout: .seconds(5))
        #expect(probe.readiness == [.read])
    }

    @Test("a descriptor that epoll refuses is an error when added, and a hang-up later")
    func refusedDescriptor() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        #expect(throws: SystemError.call("epoll_ctl", code: EBADF)) {
            try loop.add(Probe(), descriptor: -1, interest: .read)
        }
        let (near, _) = try makePair()
        let probe = Probe()
        let token = try loop.add(probe, descriptor: near.number, interest: .read)
        near.close()
        loop.setInterest(.write, for: token)
        try loop.turn(timeout: .zero)
        #expect(probe.readiness == [.hangup])
    }

    @Test("ticks at or after the instant asked for, soon after it, and again at the instant returned")
    func timers() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let probe = Probe()
        var ticks: [Instant] = []
        let begin = loop.now.instant
        probe.onTick = { now in
            ticks.append(now.instant)
            return ticks.count < 4 ? begin + .milliseconds(20 * (ticks.count + 1)) : nil
        }
        let token = loop.add(timer: probe)
        loop.wake(token, by: begin + .milliseconds(500))
        loop.wake(token, by: begin + .milliseconds(20))
        loop.wake(token, by: begin + .seconds(3600))
        #expect(try loop.run(until: { ticks.count == 4 }, for: .seconds(10)))
        for (index, instant) in ticks.enumerated() {
            #expect(instant >= begin + .milliseconds(20 * (index + 1)))
        }
        #expect(try loop.run(until: { ticks.count > 4 }, for: .milliseconds(10)) == false)
    }

    @Test("does not spin while it waits for a deadline")
    func noSpinning() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let probe = Probe()
        var isDue = false
        probe.onTick = { _ in
            isDue = true
            return nil
        }
        loop.wake(loop.add(timer: probe), by: loop.now.instant + .milliseconds(150))
        var turns = 0
        let came = try loop.run(
            until: {
                turns += 1
                return isDue
            }, for: .seconds(10))
        #expect(came)
        #expect(turns <= 8)
    }

    @Test("a source due in the same turn may remove or wake the other one")
    func dueTogether() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var tokens: [SourceToken] = []
        var ticks = [0, 0, 0]
        for index in 0..<3 {
            let probe = Probe()
            probe.onTick = { [unowned loop] _ in
                ticks[index] += 1
                if index == 0 { loop.remove(tokens[1]) }
                if index == 0 { loop.wake(tokens[2], by: loop.now.instant + .milliseconds(1)) }
                return nil
            }
            tokens.append(loop.add(timer: probe))
        }
        for token in tokens { loop.wake(token, by: loop.now.instant + .milliseconds(2)) }
        #expect(try loop.run(until: { ticks[2] == 2 }, for: .seconds(10)))
        #expect(ticks == [1, 0, 2])
    }

    @Test("a removed source is not ticked")
    func removedTimer() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let probe = Probe()
        var ticks = 0
        probe.onTick = { _ in
            ticks += 1
            return nil
        }
        let token = loop.add(timer: probe)
        loop.wake(token, by: loop.now.instant + .milliseconds(1))
        loop.remove(token)
        loop.wake(token, by: loop.now.instant + .milliseconds(1))
        var isLater = false
        loop.after(.milliseconds(10)) { isLater = true }
        #expect(try loop.run(until: { isLater }, for: .seconds(10)))
        #expect(ticks == 0)
    }

    @Test("work for the end of the turn runs before the next wait, with what it adds, after the events")
    func endOfTurn() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (near, far) = try makePair()
        let probe = Probe()
        var order: [String] = []
        probe.onReady = { [unowned loop] _ in
            loop.atEndOfTurn {
                order.append("work")
                loop.atEndOfTurn { order.append("more") }
            }
            order.append("event")
        }
        _ = try loop.add(probe, descriptor: near.number, interest: .read)
        try write("x", to: far)
        try loop.turn(timeout: .seconds(5))
        #expect(order == ["event", "work", "more"])
        // Work that is added between turns is not kept waiting by the wait.
        let (quiet, _) = try makePair()
        let still = try EventLoop()
        _ = try still.add(Probe(), descriptor: quiet.number, interest: .read)
        still.atEndOfTurn { order.append("outside") }
        try still.turn(timeout: nil)
        #expect(order.last == "outside")
    }

    @Test("runs until it is stopped")
    func running() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var count = 0
        loop.after(.milliseconds(1)) { count += 1 }
        loop.after(.milliseconds(3)) {
            count += 1
            loop.stop()
        }
        try loop.run()
        #expect(count == 2)
        loop.stop()
        try loop.run()
    }

    @Test("offloaded work runs on another thread, in order, and its results arrive on the loop's thread")
    func offload() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let here = pthread_self()
        var results: [Int] = []
        var isElsewhere = true
        for index in 0..<100 {
            loop.offload {
                (index, pthread_self())
            } then: { (value: Int, thread: pthread_t) in
                results.append(value)
                isElsewhere = isElsewhere && thread != here && pthread_self() == here
                if value == 50 { loop.offload({ 1000 }, then: { results.append($0) }) }
            }
        }
        #expect(try loop.run(until: { results.count == 101 }, for: .seconds(10)))
        #expect(results == Array(0..<100) + [1000])
        #expect(isElsewhere)
    }

    @Test("a loop that is freed does not wait for its helper")
    func abandonedOffload() throws {
        var isDelivered = false
        do {
            let loop = try EventLoop()
            loop.offload({ 1 }, then: { _ in isDelivered = true })
        }
        #expect(!isDelivered)
    }

    @Test("a closed loop runs deferred work, releases its sources, and defers nothing more")
    func closes() throws {
        /// Keeps the loop that keeps it.
        final class Keeper: EventSource {
            let loop: EventLoop
            init(_ loop: EventLoop) { self.loop = loop }
            func ready(_ readiness: Readiness, now: Moment) {}
        }
        weak var freedLoop: EventLoop?
        weak var freedKeeper: Keeper?
        var order: [Int] = []
        do {
            let loop = try EventLoop()
            let keeper = Keeper(loop)
            (freedLoop, freedKeeper) = (loop, keeper)
            let (near, _) = try makePair()
            _ = try loop.add(keeper, descriptor: near.number, interest: .read)
            loop.remove(loop.add(timer: Keeper(loop)))
            loop.after(.seconds(60)) { [loop] in loop.stop() }
            loop.offload({ 1 }, then: { [loop] _ in loop.stop() })
            loop.atEndOfTurn {
                order.append(1)
                loop.atEndOfTurn { order.append(2) }
            }
            loop.close()
            loop.atEndOfTurn { [loop] in loop.stop() }
            loop.close()
        }
        #expect(order == [1, 2])
        #expect(freedLoop == nil && freedKeeper == nil)
    }

    @Test("delivers signals as events until it is closed")
    func signals() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var received: [Int32] = []
        let source = try SignalSource(loop: loop, signals: [SIGUSR1, SIGUSR2]) { received.append($0) }
        // To this thread: the other threads of the test process do not block them.
        pthread_kill(pthread_self(), SIGUSR1)
        pthread_kill(pthread_self(), SIGUSR2)
        #expect(try loop.run(until: { received.count == 2 }, for: .seconds(10)))
        #expect(Set(received) == [SIGUSR1, SIGUSR2])
        source.close()
        source.close()
        pthread_kill(pthread_self(), SIGUSR1)
        try loop.turn(timeout: .milliseconds(5))
        #expect(received.count == 2)
        var left = sigset_t()
        sigemptyset(&left)
        sigaddset(&left, SIGUSR1)
        #expect(takePending(&left) == SIGUSR1)
    }
}
