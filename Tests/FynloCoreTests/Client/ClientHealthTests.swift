import FynloCore
import Testing

@Suite("Client health")
struct ClientHealthTests {
    @Test(
        "is judged by the age of the last pong",
        arguments: [(0, .healthy), (19_999, .healthy), (20_000, .degraded), (30_000, .degraded), (30_001, .unhealthy)]
            as [(Int, HealthStatus)])
    func status(milliseconds: Int, status: HealthStatus) {
        let script = SessionScript.connected()
        script.advance(.seconds(15))
        script.say(#"{"type":"pong","data":{}}"#)
        let now = script.clock.now.instant + .milliseconds(milliseconds)
        #expect(script.session.health.status(now: now) == status)
    }

    @Test("is unhealthy before the first connection")
    func before() {
        let script = SessionScript()
        #expect(script.session.health.status(now: script.clock.now.instant) == .unhealthy)
        #expect(script.session.health.lastPongAge(now: script.clock.now.instant) == nil)
        let report = script.session.report(now: script.clock.now.instant)
        #expect(report.state == "DISCONNECTED")
        #expect(report.stability == nil)
        #expect(report.heartbeatSuccess == nil)
        #expect(report.latency == nil)
    }

    @Test("a good hour: no issue, everything answered")
    func goodHour() {
        let script = SessionScript.connected()
        for number in 1...240 {
            script.advance(.seconds(15) - .milliseconds(number == 1 ? 0 : 20))
            script.advance(.milliseconds(20))
            script.say(#"{"type":"pong","data":{}}"#)
        }
        let report = script.session.report(now: script.clock.now.instant)
        #expect(report.issues.isEmpty)
        #expect(report.fixes.isEmpty)
        #expect(report.stability == 1)
        #expect(report.heartbeatSuccess == 1)
        #expect(report.uptime.components.seconds == 3_600)
        #expect(report.latency?.p50 == .milliseconds(20))
        #expect(report.latency?.p99 == .milliseconds(20))
    }

    @Test("tells what went wrong, and what was done about it")
    func troubles() throws {
        let script = SessionScript.connected(lastSequence: 7)
        script.advance(.seconds(15))
        let behind = script.clock.now.unixTime.milliseconds + 60_000
        var text = ByteBuffer()
        text.append(json: UnixTime(milliseconds: behind))
        script.say(#"{"type":"pong","data":{"timestamp":\#(String(decoding: text.bytes(), as: UTF8.self))}}"#)
        try script.submit(id: "a")
        script.say(#"{"type":"error","data":{"id":"a","code":"order_not_found","error":"E"}}"#)
        script.advance(.seconds(20))
        script.lose("The Wi-Fi is gone.")
        script.advance(.seconds(1))
        script.letIn(sequence: 19, resumed: true)
        script.advance(.seconds(40))
        try script.submit(id: "b")
        let report = script.session.report(now: script.clock.now.instant)
        #expect(
            report.issues == [
                "3 heartbeats without an answer in time.",
                "The server has not been heard for 40 seconds.",
                "The clock of this device is 60 seconds behind the server's.",
                "1 command waiting for the server.",
            ])
        #expect(report.fixes == ["Connected again 1 time.", "Resumed 12 events."])
        #expect(report.errors == [DiagnosticReport.ErrorCount(type: "order_not_found", count: 1)])
        let stability = try #require(report.stability)
        #expect(stability > 0.98 && stability < 1)
        let success = try #require(report.heartbeatSuccess)
        #expect(abs(success - 0.2) < 0.001, "1 of 5: \(success)")
        #expect(report.reconnectAttempts == 0)

        script.advance(.seconds(10))
        let away = script.session.report(now: script.clock.now.instant)
        #expect(away.state == "RECONNECTING")
        #expect(away.issues.first == "There is no connection (4004): The server did not answer 3 pings.")
    }
}
