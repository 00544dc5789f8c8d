// Many sources that are ready at once: each part of a turn has its share of time, and no source starves.

import FynloCore
import FynloIO
import Testing

@Suite("The shares of a loop's turn")
struct LoopShareTests {
    /// More than what all parts of a turn together may take.
    private static let pieces = 24
    private static let each = Duration.microseconds(700)

    /// Works, as far as the clock is concerned.
    private static func work() {
        let end = SystemClock.instant + each
        while SystemClock.instant < end {}
    }

    @Test("sources that are always ready are told in turn, a few of them in each, and none twice before the others")
    func events() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let pairs = try (0..<Self.pieces).map { _ in try makePair() }
        var told = [Int](repeating: 0, count: Self.pieces)
        for (index, pair) in pairs.enumerated() {
            let probe = Probe()
            probe.onReady = { _ in
                told[index] += 1
                Self.work()
            }
            _ = try loop.add(probe, descriptor: pair.0.number, interest: .read)
            try write("x", to: pair.1)
        }
        for round in 1...3 {
            repeat {
                let before = told.reduce(0, +)
                try loop.turn(timeout: .zero)
                let count = told.reduce(0, +) - before
                #expect((1..<Self.pieces).contains(count))
                #expect(told.allSatisfy { (round - 1...round).contains($0) })
            } while told.contains { $0 < round }
        }
    }

    @Test("sources whose deadline has passed are ticked in turn, each once")
    func timers() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var told = [Int](repeating: 0, count: Self.pieces)
        for index in 0..<Self.pieces {
            let probe = Probe()
            probe.onTick = { _ in
                told[index] += 1
                Self.work()
                return nil
            }
            loop.wake(loop.add(timer: probe), by: loop.now.instant)
        }
        var turns = 0
        while told.contains(0) {
            let before = told.reduce(0, +)
            // Those who are left over do not wait for anything.
            try loop.turn(timeout: nil)
            let count = told.reduce(0, +) - before
            #expect(count < Self.pieces)
            turns += 1
        }
        #expect(turns > 1 && told == [Int](repeating: 1, count: Self.pieces))
        #expect(loop.timerCount == 0)
    }

    @Test("pieces of work for later keep their order, in as many turns as they take, and no turn waits before them")
    func pieces() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var done: [Int] = []
        for piece in 0..<Self.pieces {
            loop.later {
                done.append(piece)
                if piece == 0 { loop.later { done.append(Self.pieces) } }
                Self.work()
            }
        }
        while done.count <= Self.pieces {
            let before = done.count
            try loop.turn(timeout: nil)
            #expect((1..<Self.pieces).contains(done.count - before))
        }
        #expect(done == Array(0...Self.pieces))
    }

    @Test("work that stops when the turn is overdue continues in the next one, and delays no other source")
    func overdue() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let (near, far) = try makePair()
        let other = Probe()
        _ = try loop.add(other, descriptor: near.number, interest: .read)
        try write("x", to: far)
        var left = Self.pieces
        func goOn() {
            repeat {
                left -= 1
                Self.work()
            } while left > 0 && !loop.isOverdue
            if left > 0 { loop.later { goOn() } }
        }
        loop.later { goOn() }
        var turns = 0
        while left > 0 {
            try loop.turn(timeout: nil)
            turns += 1
            #expect(other.readiness.count == turns)
        }
        #expect(turns > 1)
    }

    @Test("an event of a replaced descriptor is not reported for the new one")
    func replaced() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        var pairs = try (0..<Self.pieces).map { _ in try makePair() }
        let probes = pairs.map { _ in Probe() }
        var tokens: [SourceToken] = []
        for (probe, pair) in zip(probes, pairs) {
            probe.onReady = { _ in Self.work() }
            tokens.append(try loop.add(probe, descriptor: pair.0.number, interest: .read))
            try write("x", to: pair.1)
        }
        try loop.turn(timeout: .zero)
        let untold = try #require(probes.indices.last { probes[$0].readiness.isEmpty })
        let quiet = try makePair()
        pairs.append(quiet)
        try loop.replaceDescriptor(quiet.0.number, interest: .read, for: tokens[untold])
        for _ in 0..<Self.pieces { try loop.turn(timeout: .zero) }
        #expect(probes[untold].readiness.isEmpty)
        #expect(probes.indices.allSatisfy { $0 == untold || !probes[$0].readiness.isEmpty })
        try write("x", to: quiet.1)
        let isTold = try loop.run(until: { !probes[untold].readiness.isEmpty }, for: .seconds(5))
        #expect(isTold)
    }

    @Test("a closed loop runs deferred work")
    func closing() throws {
        let loop = try EventLoop()
        var done: [Int] = []
        for piece in 0..<Self.pieces {
            loop.later {
                done.append(piece)
                Self.work()
            }
        }
        loop.later { loop.atEndOfTurn { done.append(Self.pieces) } }
        loop.close()
        #expect(done == Array(0...Self.pieces))
        loop.later { done.append(0) }
        #expect(done.count == Self.pieces + 1)
    }
}
