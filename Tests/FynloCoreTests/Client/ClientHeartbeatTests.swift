import FynloCore
import Testing

@Suite("ClientStack: time")
struct ClientHeartbeatTests {
    @Test("gives up a server that cannot be reached within 10 s")
    func connectTimeout() {
        var pair = ClientServerPair()
        pair.advance(.milliseconds(9_999))
        #expect(pair.client.state == .connecting)
        pair.advance(.milliseconds(1))
        #expect(pair.closure?.code == 1006)
        #expect(pair.closure?.reconnection == .afterDelay(atLeast: nil))
    }

    @Test("the time for the upgrade is what the connection has left of its 10 s")
    func upgradeTimeout() {
        var pair = ClientServerPair()
        pair.advance(.seconds(6))
        pair.isCut = true
        pair.open()
        pair.advance(.milliseconds(3_999))
        #expect(pair.client.state == .upgrading)
        pair.advance(.milliseconds(1))
        #expect(pair.closure?.code == 1006)
    }

    @Test("gives up a server that does not answer the authentication within 10 s")
    func authenticationTimeout() {
        var pair = ClientServerPair()
        pair.outcome = nil
        pair.advance(.seconds(6))
        pair.open()
        pair.advance(.milliseconds(9_999))
        #expect(pair.client.state == .authenticating)
        pair.advance(.milliseconds(1))
        #expect(pair.closure?.code == 4002)
        #expect(pair.closure?.reconnection == .afterDelay(atLeast: nil))
    }

    @Test("pings as often as the server said, tells its place, and stays connected for an hour")
    func pings() throws {
        var pair = ClientServerPair.connected()
        pair.give(#"{"type":"order.updated","data":{},"seq":8}"#)
        pair.forget()
        pair.advance(.milliseconds(14_999))
        #expect(pair.types.isEmpty)
        pair.advance(.milliseconds(1))
        #expect(pair.types == ["pong"])
        guard case .message(let pong) = pair.events.first, let tree = JSONTree(pong.json) else {
            Issue.record("the pong is handed out")
            return
        }
        #expect(tree["data"]?["echo"]?["last_seq"] == 8)
        pair.advance(.seconds(3_599 - 15))
        #expect(pair.types == [String](repeating: "pong", count: 239))
        #expect(pair.client.state == .connected)
    }

    @Test("closes with 4004 after three pings without an answer")
    func dead() {
        var pair = ClientServerPair.connected()
        pair.isCut = true
        pair.advance(.milliseconds(49_999))
        #expect(pair.client.state == .connected)
        pair.advance(.milliseconds(1))
        #expect(pair.closure?.code == 4004)
        #expect(pair.closure?.reconnection == .afterDelay(atLeast: nil))
    }

    @Test("one answer among the silence is enough")
    func lateAnswer() {
        var pair = ClientServerPair.connected()
        pair.isCut = true
        pair.advance(.seconds(49))
        pair.give(#"{"type":"pong","data":{}}"#)
        pair.advance(.seconds(45))
        #expect(pair.client.state == .connected)
        pair.advance(.seconds(5))
        #expect(pair.closure?.code == 4004)
    }

    @Test("answers the server's pings, of both kinds")
    func answersPings() {
        var limits = Limits()
        limits.heartbeatInterval = .seconds(250)
        var pair = ClientServerPair.connected(SessionSettings(limits: limits))
        pair.advance(.seconds(240))
        #expect(pair.client.state == .connected)
        #expect(Set(pair.types) == ["ping"])
        pair.isCut = true
        pair.give(FrameBytes.frame(FrameBytes.ping, "hello", mask: nil))
        let frames = FrameBytes.parse(pair.takeOutput())
        #expect(frames?.map(\.opcode) == [FrameBytes.pong])
        #expect(frames?.first?.payload == Array("hello".utf8))
    }

    @Test(
        "takes the server's interval within bounds",
        arguments: [("0", 50), ("1000", 1_000), ("-5", 50), ("999999999999", 300_000), ("\"x\"", 15_000)]
            as [(String, Int64)])
    func interval(told: String, milliseconds: Int64) {
        var pair = ClientServerPair()
        pair.outcome = nil
        pair.open()
        pair.give(#"{"type":"authenticated","data":{"heartbeat_interval_ms":\#(told)}}"#)
        let intervals = pair.events.compactMap { event in
            if case .connected(let welcome) = event { welcome.heartbeatInterval } else { nil }
        }
        #expect(intervals == [.milliseconds(milliseconds)])
    }
}
