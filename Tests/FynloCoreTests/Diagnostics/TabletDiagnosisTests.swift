import FynloCore
import Testing

@Suite("What a server finds out about its tablets")
struct TabletDiagnosisTests {
    private static let healthy = TabletFigures(
        age: .seconds(600), silence: .seconds(5), pingsReceived: 40, pingsExpected: 40, roundTrip: .milliseconds(20),
        eventsBehind: 0, queuedBytes: 0)

    private func diagnosis(_ tablets: [TabletFigures] = [TabletDiagnosisTests.healthy]) -> TabletDiagnosis {
        var diagnosis = TabletDiagnosis(uptime: .seconds(600), idlePing: .seconds(30), sendQueueBytes: 1_048_576)
        diagnosis.tablets = tablets
        return diagnosis
    }

    @Test("nothing is wrong when nothing is")
    func healthy() {
        var diagnosis = diagnosis([Self.healthy, Self.healthy])
        diagnosis.messages = 1_200
        diagnosis.connectedTime = .seconds(1_200)
        diagnosis.knownTime = .seconds(1_200)
        let report = diagnosis.report
        #expect(report.state == "CONNECTED" && report.uptime == .seconds(600))
        #expect(report.issues.isEmpty && report.fixes.isEmpty && report.errors.isEmpty)
        #expect(report.stability == 1 && report.heartbeatSuccess == 1 && report.messagesPerSecond == 2)
        #expect(report.lastHeartbeat == .seconds(5) && report.latency?.p99 == .milliseconds(20))
    }

    @Test("nobody there is no error, and nothing is divided by zero")
    func empty() {
        let report = TabletDiagnosis(uptime: .zero, idlePing: .seconds(30), sendQueueBytes: 0).report
        #expect(report.state == "DISCONNECTED" && report.lastHeartbeat == nil && report.latency == nil)
        #expect(report.stability == nil && report.heartbeatSuccess == nil && report.messagesPerSecond == 0)
    }

    @Test(
        "each trouble has its sentence",
        arguments: [
            ("pings", "1 tablet missed heartbeats: 20 pings did not come."),
            ("silence", "1 tablet said nothing for more than 30 seconds."),
            ("queue", "1 tablet read too slowly: up to 300000 bytes wait for one of them."),
            ("lag", "1 tablet lag behind by up to 11 events."),
        ])
    func issues(what: String, sentence: String) {
        var tablet = Self.healthy
        switch what {
        case "pings": tablet.pingsReceived = 20
        case "silence": tablet.silence = .seconds(31)
        case "queue": tablet.queuedBytes = 300_000
        default: tablet.eventsBehind = 11
        }
        #expect(diagnosis([Self.healthy, tablet]).report.issues == [sentence])
    }

    @Test("what is on its way is not missing")
    func tolerance() {
        var tablet = Self.healthy
        tablet.pingsReceived = 37
        tablet.eventsBehind = 10
        tablet.queuedBytes = 262_144
        tablet.silence = .seconds(30)
        var young = Self.healthy
        young.pingsExpected = 2
        young.pingsReceived = 0
        var quiet = Self.healthy
        quiet.eventsBehind = nil
        #expect(diagnosis([tablet, young, quiet]).report.issues.isEmpty)
    }

    @Test("what happened is told, and what was done about it")
    func history() {
        var diagnosis = diagnosis()
        diagnosis.looping = 2
        diagnosis.refusedTokens = 1
        diagnosis.tokensExpired = 3
        diagnosis.lost = 4
        diagnosis.stale = 1
        diagnosis.replaced = 2
        diagnosis.resumedEvents = 12
        diagnosis.slow = 1
        diagnosis.tooFast = 1
        diagnosis.revoked = 1
        diagnosis.reconnects = 7
        diagnosis.connectedTime = .seconds(90)
        diagnosis.knownTime = .seconds(120)
        diagnosis.errors = [("b", 2), ("a", 2), ("c", 5), ("d", 0)].map {
            DiagnosticReport.ErrorCount(type: $0.0, count: $0.1)
        }
        let report = diagnosis.report
        #expect(
            report.issues == [
                "2 tablets reconnected again and again: three connections in a row or more were short.",
                "1 token refused as invalid or expired.", "3 connections ended with an expired token.",
                "4 connections lost without a close frame.",
            ])
        #expect(
            report.fixes == [
                "1 silent connection closed (4004).",
                "2 connections replaced by a newer one of the same device (4011).",
                "12 events sent again to tablets that had missed them.", "1 slow consumer closed (4010).",
                "1 connection closed for sending too fast (4008).",
                "1 connection closed because access was revoked (4006).",
            ])
        #expect(report.errors.map(\.type) == ["c", "a", "b"])
        #expect(report.reconnectAttempts == 7 && report.stability == 0.75)
    }

    @Test("percentiles are round trips that there were")
    func percentiles() throws {
        let hundred = (1...100).shuffled().map { Duration.milliseconds($0) }
        let latency = try #require(DiagnosticReport.Latency(hundred))
        #expect(latency.p50 == .milliseconds(50) && latency.p95 == .milliseconds(95))
        #expect(latency.p99 == .milliseconds(99) && latency.average == .microseconds(50_500))
        let one = try #require(DiagnosticReport.Latency([.milliseconds(3)]))
        #expect(one.p50 == one.p99 && one.p50 == .milliseconds(3))
        #expect(DiagnosticReport.Latency([]) == nil)
    }
}

@Suite("The most there was lately")
struct RecentMaximumTests {
    @Test("is that of the last one to two minutes, however it is asked")
    func windows() {
        var clock = VirtualClock()
        var maximum = RecentMaximum(now: clock.now.instant)
        maximum.note(nanoseconds: 5_000_000, at: clock.now.instant)
        maximum.note(nanoseconds: 3_000_000, at: clock.now.instant)
        #expect(maximum.value(at: clock.now.instant) == .milliseconds(5))
        clock.advance(.seconds(61))
        maximum.note(nanoseconds: 1_000_000, at: clock.now.instant)
        #expect(maximum.value(at: clock.now.instant) == .milliseconds(5))
        clock.advance(.seconds(61))
        #expect(maximum.value(at: clock.now.instant) == .milliseconds(1))
        clock.advance(.seconds(300))
        #expect(maximum.value(at: clock.now.instant) == .zero)
    }
}
