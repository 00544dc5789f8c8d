// The health of a tablet's connection: the counts that it is judged by, and the diagnostic report.

/// The health of a connection.
public enum HealthStatus: String, Sendable {
    case healthy, degraded, unhealthy

    /// The health by the age of the last pong; `nil` if there was none.
    init(lastPongAge age: Duration?) {
        self =
            switch age {
            case .some(..<Duration.seconds(20)): .healthy
            case .some(...Duration.seconds(30)): .degraded
            default: .unhealthy
            }
    }
}

/// Counts of one client since its creation.
public struct ClientHealth: Sendable {
    /// Connections that were lost.
    public private(set) var losses = 0
    /// Attempts to reconnect since the last success.
    public private(set) var reconnectAttempts = 0
    /// Events received by resuming.
    public private(set) var resumedEvents: Int64 = 0
    /// Pongs that came too late or not at all.
    public private(set) var missedPongs = 0
    /// The server's clock minus the client's; `nil` before the first pong.
    public private(set) var clockSkew: Duration?

    private var connectedSince: Instant?
    private var firstConnectedAt: Instant?
    /// The time spent connected in earlier connections.
    private var connectedTime = Duration.zero
    private var heartbeatInterval = Duration.seconds(15)
    private var pongs = 0
    /// Pings that were due in earlier connections.
    private var pingsDue = 0.0
    private var lastPong: Instant?
    private var messages = 0
    private var tokenRefreshes = 0
    private var reconnections = 0
    private var refusedTokens = 0
    private var lastClosure: ClientClosure?
    private var roundTrips = RoundTrips()
    private var errors: [String: Int] = [:]

    init() {}

    // MARK: Input

    mutating func connected(_ welcome: Welcome, lastSequence: EventSequence?, now: Instant) {
        if firstConnectedAt == nil { firstConnectedAt = now } else { reconnections += 1 }
        connectedSince = now
        heartbeatInterval = welcome.heartbeatInterval
        reconnectAttempts = 0
        // The server has answered: the age of the last pong counts from here.
        lastPong = now
        if welcome.isResumed, let head = welcome.sequence, let lastSequence, head > lastSequence {
            resumedEvents += head - lastSequence
        }
    }

    mutating func disconnected(_ closure: ClientClosure?, now: Instant) {
        if let closure { lastClosure = closure }
        guard let connectedSince else { return }
        if closure != nil { losses += 1 }
        connectedTime += now - connectedSince
        pingsDue += (now - connectedSince) / heartbeatInterval
        self.connectedSince = nil
    }

    mutating func reconnecting() { reconnectAttempts += 1 }

    mutating func message() { messages += 1 }

    mutating func pong(roundTrip: Duration?, serverTime: UnixTime?, now: Moment) {
        pongs += 1
        lastPong = now.instant
        guard let roundTrip else { return }
        roundTrips.add(roundTrip)
        guard let serverTime else { return }
        // The server wrote its time half-way through the round trip.
        let ours = now.unixTime.milliseconds - roundTrip.inMilliseconds / 2
        clockSkew = .milliseconds(serverTime.milliseconds) - .milliseconds(ours)
    }

    mutating func pongMissed() { missedPongs += 1 }

    mutating func tokenRefreshed() { tokenRefreshes += 1 }

    mutating func tokenRefused() { refusedTokens += 1 }

    /// `type` is a stable name; types beyond the hundredth are counted together.
    mutating func error(_ type: String) {
        let name = errors[type] != nil || errors.count < 100 ? (type.isEmpty ? "unknown" : type) : "other"
        errors[name, default: 0] += 1
    }

    // MARK: Report

    /// The time since the last pong or since authentication; `nil` before either.
    public func lastPongAge(now: Instant) -> Duration? {
        lastPong.map { now - $0 }
    }

    public func status(now: Instant) -> HealthStatus {
        HealthStatus(lastPongAge: lastPongAge(now: now))
    }

    /// Percentiles of the last 256 round trips, over all connections; `nil` before the first.
    public var latency: DiagnosticReport.Latency? { roundTrips.latency }

    /// The report. `waitingCommands` is the number of commands in the outbox, `resentCommands` of those sent more than once.
    func report(
        state: ClientSession.State, waitingCommands: Int, resentCommands: Int, now: Instant
    ) -> DiagnosticReport {
        let uptime = connectedSince.map { now - $0 } ?? .zero
        var report = DiagnosticReport(
            state: state.rawValue, uptime: uptime, reconnectAttempts: reconnectAttempts,
            lastHeartbeat: lastPongAge(now: now))
        report.issues = issues(state: state, waitingCommands: waitingCommands, now: now)
        report.fixes = fixes(resentCommands: resentCommands)
        if let firstConnectedAt {
            let life = now - firstConnectedAt
            report.stability = life > .zero ? (connectedTime + uptime) / life : 1
            let due = pingsDue + uptime / heartbeatInterval
            if due >= 1 { report.heartbeatSuccess = min(1, Double(pongs) / due.rounded(.down)) }
            let seconds = life / .seconds(1)
            if seconds > 0 { report.messagesPerSecond = Double(messages) / seconds }
        }
        report.latency = latency
        report.errors = errors.map { DiagnosticReport.ErrorCount(type: $0.key, count: $0.value) }
            .sorted { ($1.count, $0.type) < ($0.count, $1.type) }
        return report
    }

    private func issues(state: ClientSession.State, waitingCommands: Int, now: Instant) -> [String] {
        var issues: [String] = []
        if state != .connected, let lastClosure {
            issues.append("There is no connection (\(lastClosure.code)): \(lastClosure.reason)")
        }
        if reconnectAttempts > 1 {
            issues.append("\(reconnectAttempts) attempts to connect again have failed in a row.")
        }
        if missedPongs > 0 { issues.append("\(count(missedPongs, "heartbeat")) without an answer in time.") }
        if state == .connected, status(now: now) != .healthy, let age = lastPongAge(now: now) {
            issues.append("The server has not been heard for \(age.components.seconds) seconds.")
        }
        if losses > 3 { issues.append("The connection was lost \(losses) times: look at the Wi-Fi.") }
        if refusedTokens > 0 { issues.append("The server refused the token \(count(refusedTokens, "time")).") }
        if let clockSkew, abs(clockSkew.inMilliseconds) > 5_000 {
            let seconds = clockSkew.components.seconds
            issues.append(
                "The clock of this device is \(abs(seconds)) seconds \(seconds > 0 ? "behind" : "ahead of") the server's."
            )
        }
        if waitingCommands > 0 { issues.append("\(count(waitingCommands, "command")) waiting for the server.") }
        return issues
    }

    private func fixes(resentCommands: Int) -> [String] {
        var fixes: [String] = []
        if reconnections > 0 { fixes.append("Connected again \(count(reconnections, "time")).") }
        if resumedEvents > 0 { fixes.append("Resumed \(count(Int(clamping: resumedEvents), "event")).") }
        if resentCommands > 0 { fixes.append("Sent \(count(resentCommands, "command")) again.") }
        if tokenRefreshes > 0 { fixes.append("Renewed the token \(count(tokenRefreshes, "time")).") }
        return fixes
    }

    private func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }
}

/// The last round trips, for percentiles.
private struct RoundTrips {
    private static let window = 256

    private var nanoseconds: [Int64] = []
    private var next = 0

    mutating func add(_ duration: Duration) {
        if nanoseconds.count < RoundTrips.window {
            nanoseconds.append(duration.inNanoseconds)
        } else {
            nanoseconds[next] = duration.inNanoseconds
        }
        next = (next + 1) % RoundTrips.window
    }

    var latency: DiagnosticReport.Latency? {
        guard !nanoseconds.isEmpty else { return nil }
        let sorted = nanoseconds.sorted()
        /// The percentile by nearest rank.
        func percentile(_ percent: Int) -> Duration {
            .nanoseconds(sorted[max(0, (sorted.count * percent + 99) / 100 - 1)])
        }
        return DiagnosticReport.Latency(
            average: .nanoseconds(sorted.reduce(0, +) / Int64(sorted.count)), p50: percentile(50),
            p95: percentile(95), p99: percentile(99))
    }
}
