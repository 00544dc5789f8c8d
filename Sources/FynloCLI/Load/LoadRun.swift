// One load test: opens the connections, lets the scenario measure, counts what went wrong, and reports.

import FynloClient
import FynloCore
import FynloIO
import Glibc

/// The run of a load test; one per process.
final class LoadRun: EventSource {
    let plan: LoadPlan
    let loop: EventLoop
    let target: SocketAddress
    /// Makes TLS engines, if the URL asks for TLS.
    let tls: TLSContext?
    /// Tells this run's devices from those of others.
    let name = ProcessSetup.randomBytes(4).hexadecimal
    let limits = ClientLimits()
    let takesWebSockets: Bool
    private(set) var scenario: any LoadScenario
    private(set) var connections: [LoadConnection] = []

    /// Filled by a connection's stack and emptied at once.
    var events: [ClientEvent] = []
    var generator = SystemGenerator()
    private var buffers: [ByteBuffer] = []

    private var phase = Phase.opening
    private var token: SourceToken?
    /// The next connection to open.
    private var next = 0
    private(set) var inCount = 0
    /// How many were connected when the measurement ended.
    private(set) var inCountAtEnd = 0
    private var onTheirWay = 0
    private var failed = 0
    /// Connections that ended unexpectedly.
    private var lost = 0
    private(set) var errors: [String: Int] = [:]
    private var connecting = LatencyHistogram()
    private let startedAt: Moment
    private var connectedAt: Instant?
    private var endedAt: Instant?
    private var isInterrupted = false
    private var usage: LoadUsage
    private var progress = LoadProgress()

    private enum Phase {
        case opening, measuring, over
    }

    /// Bytes read per wake-up.
    static let readBytes = 65_536

    init(plan: LoadPlan, loop: EventLoop, target: SocketAddress, tls: TLSContext?) {
        self.plan = plan
        self.loop = loop
        self.target = target
        self.tls = tls
        let now = SystemClock.now
        startedAt = now
        usage = LoadUsage(server: plan.serverProcess)
        switch plan.scenario {
        case .storm: scenario = StormScenario()
        case .ping: scenario = PingScenario(plan)
        case .fanOut: scenario = FanOutScenario(plan)
        case .orders: scenario = OrdersScenario(plan)
        case .reconnect: scenario = ReconnectScenario(plan)
        case .idle: scenario = IdleScenario(plan)
        }
        takesWebSockets = scenario.takesWebSockets
        connections.reserveCapacity(plan.connections)
        for index in 0..<plan.connections {
            let account = plan.accounts[index % plan.accounts.count]
            connections.append(LoadConnection(index: index, account: account, run: self, now: now.instant))
        }
        scenario.attach(to: self)
    }

    /// Turns the loop until the end.
    func execute() throws(SystemError) {
        token = loop.add(timer: self)
        let signals = try SignalSource(loop: loop, signals: [SIGINT, SIGTERM]) { [unowned self] _ in
            isInterrupted = true
            finish()
        }
        openMore(now: loop.now)
        if let token { loop.wake(token, by: loop.now.instant) }
        try loop.run()
        signals.close()
    }

    func source(of index: Int) -> SocketAddress? {
        plan.sources.isEmpty ? nil : plan.sources[index % plan.sources.count]
    }

    func borrowBuffer() -> ByteBuffer { buffers.popLast() ?? ByteBuffer() }

    func returnBuffer(_ buffer: ByteBuffer) {
        var buffer = buffer
        buffer.removeAll(keepingCapacity: true)
        buffers.append(buffer)
    }

    // MARK: Connections

    private func openMore(now: Moment) {
        while phase == .opening, onTheirWay < plan.concurrency, next < connections.count {
            onTheirWay += 1
            next += 1
            connections[next - 1].open(now: SystemClock.now)
        }
    }

    /// Cuts a connection that will come back.
    func dropped(_ connection: LoadConnection, now: Instant) {
        inCount -= 1
        connection.drop(now: now)
    }

    /// Retries a connection at once.
    func reopen(_ connection: LoadConnection) {
        onTheirWay += 1
        connection.open(now: SystemClock.now)
    }

    func joined(_ connection: LoadConnection, took duration: Duration, now: Moment) {
        onTheirWay -= 1
        inCount += 1
        if phase == .opening {
            connecting.record(duration)
            openMoreLater()
        } else {
            scenario.joined(connection, now: now)
        }
    }

    func ended(_ connection: LoadConnection, _ kind: String, wasIn: Bool, closure: ClientClosure?) {
        guard phase != .over else { return }
        errors[kind, default: 0] += 1
        if wasIn { inCount -= 1 } else { onTheirWay -= 1 }
        if phase == .measuring, scenario.ended(connection, closure: closure, now: SystemClock.now) { return }
        if wasIn { lost += 1 } else { failed += 1 }
        if phase == .opening { openMoreLater() }
    }

    /// Opens more connections in the same turn, but not from within the connection that made room.
    private func openMoreLater() {
        loop.atEndOfTurn { [unowned self] in
            openMore(now: loop.now)
            guard phase == .opening, next == connections.count, onTheirWay == 0 else { return }
            let now = SystemClock.now
            connectedAt = now.instant
            phase = .measuring
            usage.startMeasuring()
            scenario.begin(now: now)
            if let token { loop.wake(token, by: now.instant) }
        }
    }

    // MARK: Time

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        switch phase {
        case .over: return nil
        case .opening: progress.show("\(count(inCount)) of \(count(connections.count)) connected\(failures)", now: now)
        case .measuring:
            if scenario.tick(now: SystemClock.now) {
                finish()
                return nil
            }
            progress.show("\(count(inCount)) connected, \(scenario.progress)\(failures)", now: now)
        }
        return now.instant + .milliseconds(phase == .measuring && scenario.isPrecise ? 2 : 100)
    }

    private var failures: String {
        failed + lost == 0 ? "" : ", \(count(failed)) failed, \(count(lost)) lost"
    }

    private func count(_ number: Int) -> String { LoadValue.grouped(number) }

    private func finish() {
        guard phase != .over else { return }
        phase = .over
        endedAt = SystemClock.instant
        inCountAtEnd = inCount
        usage.stop()
        progress.clear()
        for connection in connections { connection.close() }
        if let token { loop.remove(token) }
        loop.stop()
    }

    // MARK: The report

    /// True if no message and no connection was lost.
    var isFine: Bool { failed == 0 && lost == 0 && scenario.lostMessages == 0 && !isInterrupted && connectedAt != nil }

    /// True if at least one connection was authenticated.
    var hasConnected: Bool { connecting.count > 0 }

    /// The result, as the help describes it.
    var report: LoadResult {
        let opening = ((connectedAt ?? endedAt ?? startedAt.instant) - startedAt.instant).inSeconds
        var report: LoadResult = [
            "scenario": .text(plan.scenario.rawValue),
            "server": .text(plan.server.server.description),
            "started_at": .text(startedAt.unixTime.rfc3339),
            "ok": .boolean(isFine),
            "interrupted": .boolean(isInterrupted),
            "connections": .group([
                "wanted": .integer(plan.connections), "connected": .integer(connecting.count),
                "failed": .integer(failed), "lost": .integer(lost),
            ]),
            "connect": .group([
                "seconds": .decimal(opening, 3),
                "per_second": .decimal(opening > 0 ? Double(connecting.count) / opening : 0, 1),
                "latency_ms": .latencies(connecting),
            ]),
        ]
        let result = scenario.result
        if !result.members.isEmpty {
            report.append(plan.scenario.rawValue.replacing("-", with: "_"), .group(result))
        }
        var kinds = LoadResult()
        for (kind, count) in errors.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            kinds.append(kind, .integer(count))
        }
        report.append("errors", .group(kinds))
        report.append("load_maker", .group(usage.own))
        if let server = usage.servers { report.append("server_process", .group(server)) }
        return report
    }
}

extension Duration {
    /// The duration in seconds, with fractions.
    var inSeconds: Double { Double(inNanoseconds) / 1e9 }
}
