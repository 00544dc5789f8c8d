// What a server finds out about its tablets: figures in, a report out.

/// One tablet that is connected, as it is at the moment.
public struct TabletFigures: Equatable, Sendable {
    /// Since it was let in.
    public var age: Duration
    /// Since it last said anything.
    public var silence: Duration
    public var pingsReceived: Int
    public var pingsExpected: Int
    /// The kernel's, or else what the tablet tells; `nil`: not known.
    public var roundTrip: Duration?
    /// Events that it has not applied, as it tells; `nil`: it does not tell.
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

/// What is known of the tablets of a restaurant, or of all: those that are there, and what became of others.
public struct TabletDiagnosis: Sendable {
    public var tablets: [TabletFigures] = []
    /// Since the server, or the restaurant's first tablet, was there.
    public var uptime: Duration
    /// FYNLO_IDLE_PING: who is silent for longer has missed something.
    public var idlePing: Duration
    /// FYNLO_SEND_QUEUE.
    public var sendQueueBytes: Int

    // Since then.
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
    /// Tablets whose last three connections or more were short.
    public var looping = 0
    public var errors: [DiagnosticReport.ErrorCount] = []
    /// Messages of those that have left, and of those that are there.
    public var messages = 0
    /// Pings of those that have left.
    public var pingsReceived = 0
    public var pingsExpected = 0
    /// Of all tablets, together: how long they were connected, and for how long they have been known.
    public var connectedTime = Duration.zero
    public var knownTime = Duration.zero

    public init(uptime: Duration, idlePing: Duration, sendQueueBytes: Int) {
        self.uptime = uptime
        self.idlePing = idlePing
        self.sendQueueBytes = sendQueueBytes
    }

    /// A tablet that pings less often than this has missed heartbeats: one may always be on its way.
    private static let tolerableLoss = 0.9
    /// More events than a tablet may be behind in the moment between two pings of a busy restaurant.
    private static let tolerableLag = 10

    /// All of it in one report.
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

    /// Pings of all that are there, or have left.
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
    /// Of these round trips; `nil`: there are none. A percentile is the smallest of them that so many are at most.
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
