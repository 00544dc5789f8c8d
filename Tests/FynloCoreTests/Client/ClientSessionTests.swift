import FynloCore
import Testing

@Suite("ClientSession")
struct ClientSessionTests {
    // MARK: Connecting

    @Test("gets a token, a socket, an upgrade and a welcome, in this order, and tells each state once")
    func connects() {
        let script = SessionScript(lastSequence: 5)
        #expect(script.session.state == .disconnected)
        #expect(script.session.nextDeadline == nil)
        #expect(script.connect())
        #expect(script.takeStory() == ["token", "CONNECTING"])
        #expect(script.session.nextDeadline == nil, "the token source has its own patience")
        script.token("t1")
        #expect(script.takeStory() == ["open"])
        script.upgrade()
        #expect(script.takeStory() == ["AUTHENTICATING"])
        let authenticate = script.takeMessages().first
        #expect(authenticate?["data"]?["token"]?.text == "t1")
        #expect(authenticate?["data"]?["last_seq"] == .number(5))
        script.say(#"{"type":"authenticated","data":{"seq":7,"resumed":true}}"#)
        script.say(#"{"type":"order.updated","seq":6,"data":{}}"#)
        #expect(
            script.takeStory() == ["message authenticated", "CONNECTED", "connect", "message order.updated 6"])
        #expect(script.session.lastSequence == 6)
    }

    @Test("refuses a second connection while one is there or on its way")
    func duplicates() {
        let script = SessionScript()
        #expect(script.connect())
        #expect(!script.connect())
        script.token()
        #expect(!script.connect())
        script.upgrade()
        #expect(!script.connect())
        script.say(#"{"type":"authenticated","data":{"seq":7}}"#)
        #expect(!script.connect())
        #expect(script.takeStory().filter { $0 == "open" }.count == 1)
    }

    @Test("a connect while waiting is the next attempt, at once")
    func connectWhileWaiting() {
        let script = SessionScript.connected()
        script.lose()
        #expect(script.session.state == .reconnecting)
        #expect(script.connect())
        #expect(script.takeStory() == ["close", "disconnect 1006, again", "RECONNECTING", "token"])
        script.letIn()
        #expect(script.session.state == .connected)
    }

    @Test("gives up an attempt after 10 s, and an authentication after 10 s, and comes back")
    func timeouts() {
        let script = SessionScript()
        script.connect()
        script.token()
        script.advance(.milliseconds(9_999))
        #expect(script.session.state == .connecting)
        script.advance(.milliseconds(1))
        #expect(script.session.state == .reconnecting)
        script.advance(.seconds(1))
        script.token()
        script.upgrade()
        _ = script.takeStory()
        script.advance(.seconds(10))
        #expect(script.takeStory() == ["close", "disconnect 4002, again", "RECONNECTING"])
    }

    // MARK: Coming back

    @Test("waits 1, 2, 4, 8, 16, 30 s less up to a half, tells the tenth failure, and goes on")
    func backOff() {
        let script = SessionScript.connected()
        var waits: [Duration] = []
        script.lose()
        var told: [String] = []
        for _ in 0..<13 {
            let deadline = script.session.nextDeadline
            waits.append((deadline ?? script.clock.now.instant) - script.clock.now.instant)
            script.advance(.seconds(30))
            script.token()
            script.lose("No way.")
            told += script.takeStory().filter { $0.hasPrefix("max") }
        }
        for (wait, longest) in zip(waits, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30]) {
            #expect(wait >= .seconds(longest) / 2 && wait <= .seconds(longest), "\(longest) s")
        }
        #expect(told == ["max_reconnect_attempts 10"])
        #expect(script.session.state == .reconnecting)
        #expect(script.session.health.reconnectAttempts == 13)
        script.advance(.seconds(30))
        script.letIn()
        #expect(script.session.health.reconnectAttempts == 0)
        script.lose()
        let wait = (script.session.nextDeadline ?? script.clock.now.instant) - script.clock.now.instant
        #expect(wait <= .seconds(1), "a success begins anew")
    }

    @Test("stops after the tenth failure where it shall, until the next connect")
    func stopsAfterMaximum() {
        let script = SessionScript.connected { $0.afterMaximum = .stops }
        script.lose()
        for _ in 0..<10 {
            #expect(script.session.state == .reconnecting)
            script.advance(.seconds(30))
            script.token()
            script.lose()
        }
        #expect(
            script.takeStory().suffix(4) == [
                "close", "max_reconnect_attempts 10", "disconnect 1006", "DISCONNECTED",
            ])
        #expect(script.session.nextDeadline == nil)
        #expect(script.connect())
        script.letIn()
        #expect(script.session.state == .connected)
    }

    @Test("waits at least as long as a drain or a limit asked for", arguments: ["reconnect", "auth_error"])
    func retryAfter(message: String) {
        let script = SessionScript()
        script.connect()
        script.token()
        script.upgrade()
        if message == "reconnect" {
            script.say(#"{"type":"authenticated","data":{"seq":7}}"#)
            script.say(#"{"type":"reconnect","data":{"retry_after_ms":20000}}"#)
            script.say(close: 1001)
        } else {
            script.say(
                #"{"type":"auth_error","data":{"code":"connection_limit","error":"E","retryable":true,"retry_after_ms":20000}}"#
            )
            script.say(close: 4003)
        }
        #expect(script.session.state == .reconnecting)
        script.advance(.milliseconds(19_999))
        #expect(script.session.state == .reconnecting)
        script.advance(.milliseconds(1))
        #expect(script.takeStory().last == "token")
    }

    @Test(
        "obeys the close codes",
        arguments: [
            (1000, .disconnected), (1001, .reconnecting), (1002, .disconnected), (1003, .disconnected),
            (1007, .disconnected), (1009, .disconnected), (4000, .reconnecting), (4004, .reconnecting),
            (4006, .disconnected), (4008, .reconnecting), (4010, .reconnecting), (4011, .disconnected),
        ] as [(UInt16, ClientSession.State)])
    func closeCodes(code: UInt16, state: ClientSession.State) {
        let script = SessionScript.connected()
        script.say(close: code, "R")
        let again = state == .reconnecting ? ", again" : ""
        #expect(script.takeStory() == ["close", "disconnect \(code)\(again)", state.rawValue])
        #expect(script.session.state == state)
        #expect(script.takeSaid() == ["close \(code)"])
        #expect((script.session.nextDeadline != nil) == (state == .reconnecting))
    }

    @Test("never comes back where it shall not")
    func single() {
        let script = SessionScript.connected { $0.isReconnecting = false }
        script.lose()
        #expect(script.takeStory() == ["close", "disconnect 1006", "DISCONNECTED"])
    }

    @Test("resumes where it was: each event once, in order, through any number of connections")
    func resumes() {
        let script = SessionScript.connected(lastSequence: 3)
        for sequence in [4, 5, 5, 4, 6] { script.say(#"{"type":"order.updated","seq":\#(sequence),"data":{}}"#) }
        script.lose()
        #expect(script.takeStory().filter { $0.hasPrefix("message") }.count == 3)
        script.connect()
        script.token()
        script.upgrade()
        #expect(script.takeMessages().last?["data"]?["last_seq"] == .number(6))
        script.say(#"{"type":"authenticated","data":{"seq":8,"resumed":true}}"#)
        for sequence in 6...8 { script.say(#"{"type":"order.updated","seq":\#(sequence),"data":{}}"#) }
        #expect(
            script.takeStory().filter { $0.hasPrefix("message order") } == [
                "message order.updated 7", "message order.updated 8",
            ])
        #expect(script.session.health.resumedEvents == 2)
        script.lose()
        script.connect()
        script.letIn(sequence: 2_000)
        script.say(#"{"type":"resync_required","data":{"seq":2000}}"#)
        #expect(script.session.lastSequence == 2_000)
        script.say(#"{"type":"order.updated","seq":2001,"data":{}}"#)
        #expect(script.takeStory().suffix(2) == ["message resync_required", "message order.updated 2001"])
    }

    // MARK: Heartbeat

    @Test("gives up after three pings without an answer, with 4004")
    func heartbeat() {
        let script = SessionScript.connected()
        script.advance(.seconds(15))
        #expect(script.takeSaid() == ["ping"])
        script.say(#"{"type":"pong","data":{}}"#)
        script.advance(.seconds(45))
        #expect(script.takeSaid() == ["ping", "ping", "ping"])
        #expect(script.session.state == .connected)
        script.advance(.seconds(5))
        #expect(script.takeSaid() == ["close 4004"])
        #expect(script.takeStory().suffix(3) == ["close", "disconnect 4004, again", "RECONNECTING"])
        #expect(script.session.health.missedPongs == 3)
    }

    // MARK: The network

    @Test("a network that is lost ends the connection at once, and nothing is tried until it is back")
    func networkLost() {
        let script = SessionScript.connected()
        script.networkLost()
        #expect(script.takeStory() == ["close", "disconnect 1006", "RECONNECTING"])
        #expect(script.session.nextDeadline == nil)
        script.advance(.seconds(3_600))
        #expect(script.takeStory().isEmpty)
        script.networkRestored()
        #expect(script.takeStory() == ["token"])
        script.letIn()
        #expect(script.session.state == .connected)
    }

    @Test("a network that is lost while waiting, or while getting a token, stops the attempts")
    func networkLostWhileAway() {
        let script = SessionScript.connected()
        script.lose()
        script.networkLost()
        #expect(script.session.nextDeadline == nil)
        script.networkRestored()
        script.networkLost()
        script.noToken(.unreachable("No network."))
        #expect(script.session.state == .reconnecting)
        #expect(script.session.nextDeadline == nil)
        _ = script.takeStory()
        #expect(script.connect(), "a person may know better than the system")
        script.letIn()
        #expect(script.session.state == .connected)
    }

    @Test("another network ends the wait, and the back-off begins anew")
    func networkRestored() {
        let script = SessionScript.connected()
        script.lose()
        for _ in 0..<5 {
            script.advance(.seconds(30))
            script.token()
            script.lose()
        }
        script.networkRestored()
        #expect(script.takeStory().last == "token")
        script.token()
        script.lose()
        let wait = (script.session.nextDeadline ?? script.clock.now.instant) - script.clock.now.instant
        #expect(wait <= .seconds(1))
    }

    @Test("another network under a connection: one ping decides whether it still works", arguments: [true, false])
    func probe(isAlive: Bool) {
        let script = SessionScript.connected()
        script.networkRestored()
        #expect(script.takeSaid() == ["ping"])
        if isAlive {
            script.say(#"{"type":"pong","data":{}}"#)
            script.advance(.seconds(14))
            #expect(script.session.state == .connected)
            #expect(script.takeSaid().isEmpty)
        } else {
            script.advance(.milliseconds(4_999))
            #expect(script.session.state == .connected)
            script.advance(.milliseconds(1))
            #expect(script.session.state == .reconnecting)
        }
    }

    @Test("a client that is disconnected has no opinion on networks")
    func networkWhileDisconnected() {
        let script = SessionScript()
        script.networkRestored()
        script.networkLost()
        #expect(script.takeStory().isEmpty)
        #expect(script.connect())
    }

    // MARK: Tokens

    @Test("auth_error: one forced refresh, then another try; after a second one it stays away")
    func refused() {
        let script = SessionScript()
        let refusal =
            #"{"type":"auth_error","data":{"code":"invalid_token","error":"Invalid authentication token","retryable":false}}"#
        script.connect()
        script.token("old")
        script.upgrade()
        script.say(refusal)
        _ = script.takeStory()
        script.say(close: 4003, "Authentication failed")
        #expect(script.takeStory() == ["close", "disconnect 4003, at once", "token!", "RECONNECTING"])
        script.token("new")
        script.upgrade()
        #expect(script.takeMessages().last?["data"]?["token"]?.text == "new")
        script.say(refusal)
        _ = script.takeStory()
        script.say(close: 4003, "Authentication failed")
        #expect(script.takeStory() == ["close", "disconnect 4003", "auth_error invalid_token", "DISCONNECTED"])
        #expect(script.session.nextDeadline == nil)
    }

    @Test("a success in between allows another forced refresh")
    func refusedLater() {
        let script = SessionScript()
        for _ in 0..<3 {
            script.connect()
            script.token()
            script.upgrade()
            script.say(close: 4003, "Authentication failed")
            #expect(script.takeStory().suffix(2).first == "token!")
            script.letIn()
            #expect(script.session.state == .connected)
            script.disconnect()
        }
    }

    @Test("no new token: the auth_error, and disconnected")
    func refreshFailed() {
        let script = SessionScript()
        script.connect()
        script.token()
        script.upgrade()
        script.say(#"{"type":"auth_error","data":{"code":"invalid_token","error":"E","retryable":false}}"#)
        script.say(close: 4003)
        _ = script.takeStory()
        script.noToken(.refused("Sign in again."))
        #expect(script.takeStory() == ["auth_error invalid_token", "DISCONNECTED"])
    }

    @Test("an identity provider that is away is no refusal: the client comes back")
    func refreshUnreachable() {
        let script = SessionScript()
        script.connect()
        script.noToken(.unreachable("No network."))
        #expect(script.takeStory() == ["token", "CONNECTING", "disconnect 1006, again", "RECONNECTING"])
        script.advance(.seconds(1))
        script.letIn()
        #expect(script.session.state == .connected)
    }

    @Test("no token at all: the auth_error, and disconnected")
    func noToken() {
        let script = SessionScript()
        script.connect()
        script.noToken(.refused("There is no token."))
        #expect(script.takeStory() == ["token", "CONNECTING", "auth_error token_refresh_failed", "DISCONNECTED"])
    }

    @Test("token_expired: a new token goes to the server over the live connection")
    func reauthenticates() {
        let script = SessionScript.connected()
        script.say(#"{"type":"token_expired","data":{"seconds_until_expiry":300}}"#)
        script.say(#"{"type":"token_expired","data":{"seconds_until_expiry":299}}"#)
        #expect(script.takeStory() == ["message token_expired", "token!", "message token_expired"])
        script.token("t2")
        let said = script.takeMessages()
        #expect(said.map { $0["type"]?.text } == ["reauth"])
        #expect(said.first?["data"]?["token"]?.text == "t2")
        script.say(#"{"type":"authenticated","data":{"seq":7}}"#)
        #expect(script.takeStory() == ["message authenticated"], "still the same connection")
        script.token("t2")
        #expect(script.takeSaid().isEmpty, "the server has it")
    }

    @Test("a token that was renewed for other reasons goes to the server, too")
    func renewed() {
        let script = SessionScript.connected()
        script.token("t9")
        #expect(script.takeSaid() == ["reauth"])
    }

    @Test("a token that comes while a connection is on its way goes to the server once it is there")
    func renewedMeanwhile() {
        let script = SessionScript()
        script.connect()
        script.token("t1")
        script.upgrade()
        script.token("t2")
        #expect(script.takeMessages().map { $0["data"]?["token"]?.text } == ["t1"])
        script.say(#"{"type":"authenticated","data":{"seq":7}}"#)
        let said = script.takeMessages()
        #expect(said.map { $0["type"]?.text } == ["reauth"])
        #expect(said.first?["data"]?["token"]?.text == "t2")
    }

    @Test("a refused reauth, or no other token, is told, and the connection stays")
    func reauthenticationRefused() {
        let script = SessionScript.connected()
        script.say(#"{"type":"token_expired","data":{}}"#)
        script.token("bad")
        script.say(#"{"type":"auth_error","data":{"code":"invalid_token","error":"E"}}"#)
        #expect(script.takeStory().suffix(2) == ["message auth_error", "error invalid_token"])
        script.say(#"{"type":"token_expired","data":{}}"#)
        script.noToken(.refused("No."))
        #expect(script.takeStory().suffix(1) == ["error token_refresh_failed"])
        script.say(#"{"type":"token_expired","data":{}}"#)
        script.token("bad")
        #expect(script.takeStory().suffix(1) == ["error token_refresh_failed"], "it is the one the server has refused")
        #expect(script.session.state == .connected)
        script.say(close: 4005, "Token expired")
        #expect(script.takeStory().suffix(3) == ["disconnect 4005, at once", "token!", "RECONNECTING"])
    }

    @Test("a token that comes when nobody waits for it changes nothing", arguments: [false, true])
    func lateToken(isWaiting: Bool) {
        let script = SessionScript.connected()
        if isWaiting { script.lose() } else { script.disconnect() }
        let state = script.session.state
        _ = script.takeStory()
        script.token("late")
        script.noToken(.refused("late"))
        #expect(script.takeStory().isEmpty)
        #expect(script.session.state == state)
    }

    // MARK: The end

    @Test(
        "disconnect ends whatever there is, once",
        arguments: ["token", "connecting", "connected", "waiting", "offline"])
    func disconnects(from phase: String) {
        let script = SessionScript()
        script.connect()
        if phase != "token" { script.token() }
        if phase == "connected" || phase == "offline" {
            script.upgrade()
            script.say(#"{"type":"authenticated","data":{"seq":7}}"#)
        }
        if phase == "waiting" { script.lose() }
        if phase == "offline" { script.networkLost() }
        _ = script.takeStory()
        _ = script.takeSaid()
        script.disconnect()
        let close = phase == "connecting" || phase == "connected" ? ["close"] : []
        #expect(script.takeStory() == close + ["disconnect 1000", "DISCONNECTED"])
        #expect(script.takeSaid() == (phase == "connected" ? ["close 1000"] : []))
        #expect(script.session.nextDeadline == nil)
        script.disconnect()
        script.lose()
        script.give([0x81, 0x00])
        script.advance(.seconds(3_600))
        #expect(script.takeStory().isEmpty)
        #expect(script.connect())
    }

    @Test("an error that belongs to no command is told")
    func errors() {
        let script = SessionScript.connected()
        script.say(#"{"type":"error","data":{"code":"invalid_message","error":"E"}}"#)
        #expect(script.takeStory() == ["message error", "error invalid_message"])
    }
}
