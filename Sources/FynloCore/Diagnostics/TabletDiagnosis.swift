// A server's diagnosis of its tablets: figures in, a report out.

/// The current figures of one connected tablet.
public struct TabletFigures: Equatable, Sendable {
    /// The time since it was authenticated.
    public var age: Duration
    /// The time since its last sign of life.
    public var silence: Duration
    public var pingsReceived: Int
    public var pingsExpected: Int
    /// The round trip as the kernel measured it, otherwise as the tablet reported it; `nil` if unknown.
    public var roundTrip: Duration?
    /// How many events it has not applied, by its own report; `nil` if it does not report.
    public var eventsBehind: Int?
    public var queuedBytes: Int

    public init(
        age: Duration, silence: Duration, pingsReceived: Int, pingsExpected: Int, roundTrip: Duration?,
        eventsBehind: Int?, queuedBytes: Int
    ) {
        self.age = age
        self.silence = silence
        self.pingsReceived = pingsReceived
        self.pingsExpected = pingsExpected
        self.roundTrip = roundTrip
        self.eventsBehind = eventsBehind
        self.queuedBytes = queuedBytes
    }
}

/// What is known about the tablets of one restaurant, or of all: those connected, and what became of the others.
public struct TabletDiagnosis: Sendable {
    public var tablets: [TabletFigures] = []
    /// The time since the server started, or since the restaurant's first tablet connected.
    public var uptime: Duration
    /// FYNLO_IDLE_PING: a tablet that is silent for longer has missed a heartbeat.
    public var idlePing: Duration
    /// FYNLO_SEND_QUEUE.
    public var sendQueueBytes: Int

    // Counted over that time.
    public var reconnects = 0
    public var stale = 0
    public var replaced = 0
    public var slow = 0
    public var tooFast = 0
    public var revoked = 0
    public var lost = 0
    public var tokensExpired = 0
    public var refusedTokens = 0
    public var resumedEvents = 0
    /// Tablets whose last three or more connections were short.
    public var looping = 0
    public var errors: [DiagnosticReport.ErrorCount] = []
    /// Messages of the tablets that have left and of those connected.
    public var messages = 0
    /// Pings of the tablets that have left.
    public var pingsReceived = 0
    public var pingsExpected = 0
    /// Summed over all tablets: how long they were connected, and how long they have been known.
    public var connectedTime = Duration.zero
    public var knownTime = Duration.zero

    public init(uptime: Duration, idlePing: Duration, sendQueueBytes: Int) {
        self.uptime = uptime
        self.idlePing = idlePing
        self.sendQueueBytes = sendQueueBytes
    }

    /// A tablet short of more pings than this has missed heartbeats; one may always be on its way.
    private static let tolerableLoss = 0.9
    /// A tablet is behind from this many events on: more than it can miss between two pings in a busy restaurant.
    private static let tolerableLag = 10

    /// The report.
    public var report: DiagnosticReport {
        var report = DiagnosticReport(
            state: tablets.isEmpty ? "DISCONNECTED" : "CONNECTED", uptime: uptime, reconnectAttempts: reconnects,
            lastHeartbeat: tablets.map(\.silence).min())
        report.issues = issues
        report.fixes = fixes
        if knownTime > .zero { report.stability = min(1, max(0, connectedTime / knownTime)) }
        let (received, expected) = heartbeats
        if expected > 0 { report.heartbeatSuccess = min(1, Double(received) / Double(expected)) }
        report.latency = DiagnosticReport.Latency(tablets.compactMap(\.roundTrip))
        if uptime > .zero { report.messagesPerSecond = Double(messages) / (uptime / .seconds(1)) }
        report.errors = errors.filter { $0.count > 0 }.sorted { ($1.count, $0.type) < ($0.count, $1.type) }
        return report
    }

    /// Pings of all tablets, connected or not.
    public var heartbeats: (received: Int, expected: Int) {
        (
            tablets.reduce(pingsReceived) { $0 + $1.pingsReceived },
            tablets.reduce(pingsExpected) { $0 + $1.pingsExpected }
        )
    }

    private var issues: [String] {
        var issues: [String] = []
        let missing = tablets.filter { tablet in
            let due = tablet.pingsExpected - 1
            return due >= 2 && Double(tablet.pingsReceived) < TabletDiagnosis.tolerableLoss * Double(due)
        }
        if !missing.isEmpty {
            let pings = missing.reduce(0) { $0 + $1.pingsExpected - $1.pingsReceived }
            issues.append("\(count(missing.count, "tablet")) missed heartbeats: \(count(pings, "ping")) did not come.")
        }
        let silent = tablets.filter { $0.silence > idlePing }
        if !silent.isEmpty {
            issues.append(
                "\(count(silent.count, "tablet")) said nothing for more than \(idlePing.components.seconds) seconds.")
        }
        let slow = tablets.filter { $0.queuedBytes > sendQueueBytes / 4 }
        if !slow.isEmpty {
            let most = slow.map(\.queuedBytes).max() ?? 0
            issues.append("\(count(slow.count, "tablet")) read too slowly: up to \(most) bytes wait for one of them.")
        }
        let behind = tablets.compactMap(\.eventsBehind).filter { $0 > TabletDiagnosis.tolerableLag }
        if let most = behind.max() {
            issues.append("\(count(behind.count, "tablet")) lag behind by up to \(most) events.")
        }
        if looping > 0 {
            issues.append(
                "\(count(looping, "tablet")) reconnected again and again: three connections in a row or more were short."
            )
        }
        if refusedTokens > 0 { issues.append("\(count(refusedTokens, "token")) refused as invalid or expired.") }
        if tokensExpired > 0 { issues.append("\(count(tokensExpired, "connection")) ended with an expired token.") }
        if lost > 0 { issues.append("\(count(lost, "connection")) lost without a close frame.") }
        return issues
    }

    private var fixes: [String] {
        let rows: [(Int, String, String)] = [
            (stale, "silent connection", "closed (4004)"),
            (replaced, "connection", "replaced by a newer one of the same device (4011)"),
            (resumedEvents, "event", "sent again to tablets that had missed them"),
            (slow, "slow consumer", "closed (4010)"),
            (tooFast, "connection", "closed for sending too fast (4008)"),
            (revoked, "connection", "closed because access was revoked (4006)"),
        ]
        return rows.filter { $0.0 > 0 }.map { "\(count($0, $1)) \($2)." }
    }

    private func count(_ number: Int, _ thing: String) -> String {
        number == 1 ? "1 \(thing)" : "\(number) \(thing)s"
    }
}

extension DiagnosticReport.Latency {
    /// The summary of these round trips; `nil` if there are none. A percentile is the smallest value that so many do not exceed.
    public init?(_ roundTrips: [Duration]) {
        guard !roundTrips.isEmpty else { return nil }
        let sorted = roundTrips.sorted()
        func percentile(_ percent: Int) -> Duration {
            sorted[max(0, (sorted.count * percent + 99) / 100 - 1)]
        }
        self.init(
            average: sorted.reduce(.zero, +) / sorted.count, p50: percentile(50), p95: percentile(95),
            p99: percentile(99))
    }
}
