// The diagnostic report, the same for the server and for a tablet: for a person as text, for a program as JSON.

/// How a connection, or a server with all of its connections, is doing.
public struct DiagnosticReport: Equatable, Sendable {
    /// Round trips, in milliseconds of one decimal when written.
    public struct Latency: Equatable, Sendable {
        public var average: Duration
        public var p50: Duration
        public var p95: Duration
        public var p99: Duration

        public init(average: Duration, p50: Duration, p95: Duration, p99: Duration) {
            self.average = average
            self.p50 = p50
            self.p95 = p95
            self.p99 = p99
        }
    }

    /// How often one kind of error happened.
    public struct ErrorCount: Equatable, Sendable {
        /// A stable name, such as `rate_limited`.
        public var type: String
        public var count: Int

        public init(type: String, count: Int) {
            self.type = type
            self.count = count
        }
    }

    /// The state's name, such as `CONNECTED`.
    public var state: String
    /// How long the connection, or the server, has been up.
    public var uptime: Duration
    public var reconnectAttempts: Int
    /// How long ago the last heartbeat was; `nil` before the first.
    public var lastHeartbeat: Duration?
    /// One sentence each.
    public var issues: [String] = []
    /// One sentence each.
    public var fixes: [String] = []
    /// Time connected ÷ time since the first connection, 0 to 1; `nil` before the first.
    public var stability: Double?
    /// Heartbeats received ÷ heartbeats expected, 0 to 1; `nil` while none is expected.
    public var heartbeatSuccess: Double?
    /// `nil` before the first measurement.
    public var latency: Latency?
    public var messagesPerSecond: Double = 0
    /// The errors that happened, most frequent first.
    public var errors: [ErrorCount] = []

    public init(state: String, uptime: Duration, reconnectAttempts: Int, lastHeartbeat: Duration?) {
        self.state = state
        self.uptime = uptime
        self.reconnectAttempts = reconnectAttempts
        self.lastHeartbeat = lastHeartbeat
    }

    // MARK: Text

    /// The report for a person; each heading and each item on a line of its own, the last one too.
    public func appendText(to output: inout ByteBuffer) {
        output.append("WebSocket Diagnostic Report\nConnection Status:\n")
        output.append("- State: \(state)\n")
        output.append("- Uptime: \(uptime.components.seconds) seconds\n")
        output.append("- Reconnect attempts: \(reconnectAttempts)\n")
        let heartbeat = lastHeartbeat.map { "\($0.components.seconds) seconds ago" } ?? "none yet"
        output.append("- Last heartbeat: \(heartbeat)\n")
        output.append("Issues Found:\n")
        for (index, issue) in issues.enumerated() { output.append("\(index + 1). \(issue)\n") }
        if issues.isEmpty { output.append("None.\n") }
        output.append("Fixes Applied:\n")
        for fix in fixes { output.append("- \(fix)\n") }
        if fixes.isEmpty { output.append("None.\n") }
        output.append("Health Metrics:\n")
        output.append("- Connection stability: \(DiagnosticReport.percent(stability))\n")
        output.append("- Heartbeat success: \(DiagnosticReport.percent(heartbeatSuccess))\n")
        output.append("- Average latency: \(latencyText)\n")
        output.append("- Messages/second: \(DiagnosticReport.oneDecimal(messagesPerSecond))\n")
        let kinds = errors.map { "\($0.type) \($0.count)" }.joined(separator: ", ")
        output.append("- Errors by type: \(kinds.isEmpty ? "none" : kinds)\n")
    }

    private var latencyText: String {
        guard let latency else { return "not measured yet" }
        let percentiles = [latency.p50, latency.p95, latency.p99].map(DiagnosticReport.milliseconds)
        return "\(DiagnosticReport.milliseconds(latency.average))ms "
            + "(p50/p95/p99: \(percentiles.joined(separator: "/"))ms)"
    }

    private static func percent(_ share: Double?) -> String {
        share.map { "\(oneDecimal($0 * 100))%" } ?? "not measured yet"
    }

    // MARK: JSON

    /// The same fields as one JSON object:
    ///
    ///     {"connection_status": {"state", "uptime_seconds", "reconnect_attempts", "last_heartbeat_seconds" | null},
    ///      "issues_found": ["…"], "fixes_applied": ["…"],
    ///      "health_metrics": {"connection_stability_percent" | null, "heartbeat_success_percent" | null,
    ///                         "latency_ms": {"average", "p50", "p95", "p99"} | null, "messages_per_second",
    ///                         "errors_by_type": {"…": 1}}}
    public func appendJSON(to output: inout ByteBuffer) {
        output.append("{\"connection_status\":{\"state\":")
        output.append(jsonString: state)
        output.append(",\"uptime_seconds\":")
        output.append(decimal: Int64(uptime.components.seconds))
        output.append(",\"reconnect_attempts\":\(reconnectAttempts),\"last_heartbeat_seconds\":")
        output.append(lastHeartbeat.map { "\($0.components.seconds)" } ?? "null")
        output.append("},\"issues_found\":")
        DiagnosticReport.append(issues, to: &output)
        output.append(",\"fixes_applied\":")
        DiagnosticReport.append(fixes, to: &output)
        output.append(",\"health_metrics\":{\"connection_stability_percent\":")
        output.append(stability.map { DiagnosticReport.oneDecimal($0 * 100) } ?? "null")
        output.append(",\"heartbeat_success_percent\":")
        output.append(heartbeatSuccess.map { DiagnosticReport.oneDecimal($0 * 100) } ?? "null")
        output.append(",\"latency_ms\":")
        if let latency {
            let values = [latency.average, latency.p50, latency.p95, latency.p99].map(DiagnosticReport.milliseconds)
            output.append("{\"average\":\(values[0]),\"p50\":\(values[1]),\"p95\":\(values[2]),\"p99\":\(values[3])}")
        } else {
            output.append("null")
        }
        output.append(",\"messages_per_second\":\(DiagnosticReport.oneDecimal(messagesPerSecond))")
        output.append(",\"errors_by_type\":{")
        for (index, error) in errors.enumerated() {
            if index > 0 { output.append(",") }
            output.append(jsonString: error.type)
            output.append(":\(error.count)")
        }
        output.append("}}}")
    }

    private static func append(_ sentences: [String], to output: inout ByteBuffer) {
        output.append("[")
        for (index, sentence) in sentences.enumerated() {
            if index > 0 { output.append(",") }
            output.append(jsonString: sentence)
        }
        output.append("]")
    }

    // MARK: Numbers

    private static func milliseconds(_ duration: Duration) -> String {
        oneDecimal(Double(duration.inNanoseconds) / 1_000_000)
    }

    /// A number rounded to one decimal; 0 if it is negative or not finite.
    static func oneDecimal(_ number: Double) -> String {
        guard number.isFinite, number > 0 else { return "0.0" }
        let tenths = Int64(min(number * 10, 1e15).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

extension Duration {
    /// The duration in seconds, rounded to one decimal; `0.0` if negative.
    public var secondsText: String { DiagnosticReport.oneDecimal(Double(inNanoseconds) / 1e9) }
}
