import Testing

@testable import FynloCore

@Suite("Diagnostic report")
struct DiagnosticReportTests {
    private static var full: DiagnosticReport {
        var report = DiagnosticReport(
            state: "CONNECTED", uptime: .milliseconds(3_600_900), reconnectAttempts: 2, lastHeartbeat: .seconds(4))
        report.issues = ["2 heartbeats were missed.", "The \"clock\" is 40 s behind."]
        report.fixes = ["Resumed 12 events."]
        report.stability = 0.99949
        report.heartbeatSuccess = 1
        report.latency = DiagnosticReport.Latency(
            average: .microseconds(12_340), p50: .milliseconds(10), p95: .microseconds(20_960), p99: .milliseconds(31))
        report.messagesPerSecond = 0.25
        report.errors = [.init(type: "rate_limited", count: 3), .init(type: "unavailable", count: 1)]
        return report
    }

    private static var fresh: DiagnosticReport {
        DiagnosticReport(state: "DISCONNECTED", uptime: .zero, reconnectAttempts: 0, lastHeartbeat: nil)
    }

    private func text(_ report: DiagnosticReport) -> String {
        var output = ByteBuffer()
        report.appendText(to: &output)
        return String(decoding: output.bytes(), as: UTF8.self)
    }

    private func json(_ report: DiagnosticReport) -> String {
        var output = ByteBuffer()
        report.appendJSON(to: &output)
        return String(decoding: output.bytes(), as: UTF8.self)
    }

    @Test("as text: each heading and item on a line of its own")
    func asText() {
        #expect(
            text(DiagnosticReportTests.full) == """
                WebSocket Diagnostic Report
                Connection Status:
                - State: CONNECTED
                - Uptime: 3600 seconds
                - Reconnect attempts: 2
                - Last heartbeat: 4 seconds ago
                Issues Found:
                1. 2 heartbeats were missed.
                2. The "clock" is 40 s behind.
                Fixes Applied:
                - Resumed 12 events.
                Health Metrics:
                - Connection stability: 99.9%
                - Heartbeat success: 100.0%
                - Average latency: 12.3ms (p50/p95/p99: 10.0/21.0/31.0ms)
                - Messages/second: 0.3
                - Errors by type: rate_limited 3, unavailable 1

                """)
        #expect(
            text(DiagnosticReportTests.fresh) == """
                WebSocket Diagnostic Report
                Connection Status:
                - State: DISCONNECTED
                - Uptime: 0 seconds
                - Reconnect attempts: 0
                - Last heartbeat: none yet
                Issues Found:
                None.
                Fixes Applied:
                None.
                Health Metrics:
                - Connection stability: not measured yet
                - Heartbeat success: not measured yet
                - Average latency: not measured yet
                - Messages/second: 0.0
                - Errors by type: none

                """)
    }

    @Test("as JSON: the same fields, null for what is not known yet")
    func asJSON() throws {
        let full = json(DiagnosticReportTests.full)
        _ = try JSON.scanObject(full.utf8Span.span) { _, _ in }
        #expect(
            full
                == #"{"connection_status":{"state":"CONNECTED","uptime_seconds":3600,"reconnect_attempts":2,"last_heartbeat_seconds":4},"#
                + #""issues_found":["2 heartbeats were missed.","The \u0022clock\u0022 is 40 s behind."],"fixes_applied":["Resumed 12 events."],"#
                + #""health_metrics":{"connection_stability_percent":99.9,"heartbeat_success_percent":100.0,"#
                + #""latency_ms":{"average":12.3,"p50":10.0,"p95":21.0,"p99":31.0},"messages_per_second":0.3,"#
                + #""errors_by_type":{"rate_limited":3,"unavailable":1}}}"#)
        let fresh = json(DiagnosticReportTests.fresh)
        _ = try JSON.scanObject(fresh.utf8Span.span) { _, _ in }
        #expect(fresh.contains(#""last_heartbeat_seconds":null"#))
        #expect(fresh.contains(#""latency_ms":null"#))
        #expect(fresh.contains(#""connection_stability_percent":null,"heartbeat_success_percent":null"#))
    }

    @Test(
        "numbers have one decimal, and what is no number is 0",
        arguments: [
            (0.04, "0.0"), (0.05, "0.1"), (1.0, "1.0"), (12.349, "12.3"), (99.96, "100.0"), (-1, "0.0"), (.nan, "0.0"),
            (.infinity, "0.0"), (1e300, "100000000000000.0"),
        ] as [(Double, String)])
    func numbers(number: Double, text: String) {
        #expect(DiagnosticReport.oneDecimal(number) == text)
    }
}
