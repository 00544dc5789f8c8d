// The scenarios about connections: connecting all at once, reconnecting all, and staying idle.

import FynloCore
import FynloIO

/// Opens all connections as fast as possible. The run itself reports the result.
final class StormScenario: LoadScenario {
    func attach(to run: LoadRun) {}
    func begin(now: Moment) {}
    func tick(now: Moment) -> Bool { true }
    let progress = "all there"
    let result = LoadResult()
}

/// Tablets that send nothing but heartbeats.
final class IdleScenario: LoadScenario {
    private weak var run: LoadRun?
    private let duration: Duration
    private var beganAt = Instant(nanoseconds: 0)
    private var held = Duration.zero
    private var latencies = LatencyHistogram()
    private var missed = 0

    init(_ plan: LoadPlan) {
        duration = plan.duration
    }

    func attach(to run: LoadRun) { self.run = run }

    func begin(now: Moment) { beganAt = now.instant }

    func heartbeat(_ roundTrip: Duration?) {
        if let roundTrip { latencies.record(roundTrip) } else { missed += 1 }
    }

    func tick(now: Moment) -> Bool {
        held = now.instant - beganAt
        return held >= duration || run?.inCount == 0
    }

    var progress: String { "held for \(LoadValue.fixed(held.inSeconds, 0)) of \(duration.text)" }

    var result: LoadResult {
        [
            "seconds": .decimal(held.inSeconds, 3), "open_at_end": .integer(run?.inCountAtEnd ?? 0),
            "missed_pongs": .integer(missed), "heartbeat_latency_ms": .latencies(latencies),
        ]
    }
}

/// Cuts all connections at once, as when a network fails, and lets them come back as tablets do.
final class ReconnectScenario: LoadScenario {
    let isPrecise = true
    private weak var run: LoadRun?
    private let isAtOnce: Bool
    private var agenda = LoadAgenda(start: Instant(nanoseconds: 0))
    private var policies: [ReconnectPolicy] = []
    private var latencies = LatencyHistogram()
    private var dropped = 0
    private var back = 0
    private var given = 0
    private var retried = 0
    private var worstAttempts = 0
    private var droppedAt = Instant(nanoseconds: 0)
    private var allBackAt: Instant?

    /// How long all of them may take together.
    private static let limit = Duration.seconds(300)

    init(_ plan: LoadPlan) {
        isAtOnce = plan.isBackAtOnce
    }

    func attach(to run: LoadRun) { self.run = run }

    func begin(now: Moment) {
        guard let run else { return }
        droppedAt = now.instant
        agenda = LoadAgenda(start: now.instant)
        policies = Array(repeating: ReconnectPolicy(), count: run.connections.count)
        for connection in run.connections where connection.isIn {
            dropped += 1
            run.dropped(connection, now: now.instant)
            schedule(connection, atLeast: nil, now: SystemClock.instant)
        }
    }

    private func schedule(_ connection: LoadConnection, atLeast least: Duration?, now: Instant) {
        guard let run else { return }
        let delay = policies[connection.index].nextDelay(using: &run.generator)
        // A refused connection waits even then.
        let isFirst = connection.attempts == 0
        agenda.add(connection.index, at: now + (isAtOnce && isFirst ? .zero : max(delay, least ?? .zero)))
    }

    func joined(_ connection: LoadConnection, now: Moment) {
        back += 1
        policies[connection.index].reset()
        worstAttempts = max(worstAttempts, connection.attempts)
        latencies.record(now.instant - connection.awaySince)
        if back == dropped { allBackAt = now.instant }
    }

    func ended(_ connection: LoadConnection, closure: ClientClosure?, now: Moment) -> Bool {
        switch closure?.reconnection ?? .afterDelay(atLeast: nil) {
        case .afterDelay(let least):
            retried += 1
            schedule(connection, atLeast: least, now: now.instant)
            return true
        case .withNewToken, .never:
            given += 1
            return false
        }
    }

    func tick(now: Moment) -> Bool {
        guard let run else { return true }
        for index in agenda.takeDue(now: now.instant) { run.reopen(run.connections[index]) }
        return run.inCount >= dropped - given || now.instant - droppedAt >= ReconnectScenario.limit
    }

    var progress: String { "\(LoadValue.grouped(back)) of \(LoadValue.grouped(dropped)) back" }

    /// Connections that have not come back.
    var lostMessages: Int { max(0, dropped - (run?.inCountAtEnd ?? 0)) }

    var result: LoadResult {
        [
            "dropped": .integer(dropped), "back": .integer(back), "not_back": .integer(lostMessages),
            "seconds": .decimal(allBackAt.map { ($0 - droppedAt).inSeconds } ?? -1, 3),
            "retried": .integer(retried), "most_attempts": .integer(worstAttempts),
            "latency_ms": .latencies(latencies),
        ]
    }
}
