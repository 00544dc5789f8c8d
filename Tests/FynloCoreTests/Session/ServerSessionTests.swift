import FynloCore
import Testing

private typealias F = FrameBytes

private func update(_ id: String?, _ status: String = "ready") -> String {
    let id = id.map { "\"id\":\"\($0)\"," } ?? ""
    return
        "{\"type\":\"order.status_update\",\(id)\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"\(status)\"}}"
}

extension Tablet {
    /// The ids that errors and acknowledgements name, with the code of an error.
    fileprivate mutating func answers() -> [String] {
        heard().map { heard in
            let id = heard.data?["id"]?.text ?? "-"
            return heard.type == "ack" ? id : "\(id) \(heard.data?["code"]?.text ?? heard.type ?? "close")"
        }
    }
}

@Suite("ServerSession: talking")
struct ServerSessionTests {
    // MARK: Ping and pong

    @Test("a ping is answered at once, with the time and what was in it", arguments: FrameArrival.allCases)
    func ping(arrival: FrameArrival) {
        var tablet = Tablet.active(arrival: arrival)
        tablet.send("{\"type\":\"ping\"}")
        tablet.send("{\"type\":\"ping\",\"id\":\"1\",\"data\":{\"n\":[1,\"<é>\"]}}")
        #expect(
            tablet.heard() == [
                .message("pong", ["timestamp": "2026-01-31T18:04:05.123Z"]),
                .message(
                    "pong", ["timestamp": "2026-01-31T18:04:05.123Z", "echo": ["n": .array([1, "<é>"])]]),
            ])
        #expect(tablet.takeEffects().isEmpty)
    }

    @Test("a pong does not wait for a command")
    func pingOvertakes() {
        var tablet = Tablet.active()
        tablet.send(update("1"))
        tablet.send(update("2"))
        tablet.send("{\"type\":\"ping\"}")
        #expect(tablet.heard().map(\.type) == ["pong"])
    }

    @Test("RFC 6455's pings are answered with their payload, and a tablet's pongs taken silently")
    func control() {
        var tablet = Tablet.active()
        tablet.send(F.frame(F.ping, "abc") + F.frame(F.pong, "x") + F.frame(F.ping))
        tablet.send("{\"type\":\"pong\",\"data\":{}}")
        #expect(tablet.heard() == [.pong(Array("abc".utf8)), .pong([])])
    }

    @Test("the envelope of every answer has an id of its own, the session's restaurant and the time")
    func envelopes() {
        var tablet = Tablet.active()
        tablet.clock.advance(.milliseconds(877))
        let lie = "\"restaurant_id\":\"\(Sample.otherRestaurant)\",\"user_id\":\"x\",\"seq\":5,\"timestamp\":\"1970\""
        for type in ["ping", "table.cleaned", "nonsense"] {
            tablet.send("{\"type\":\"\(type)\",\"id\":\"a\",\"data\":{},\(lie)}")
        }
        var ids: Set<String?> = []
        for frame in tablet.received() {
            guard case .message(let tree) = frame else { continue }
            ids.insert(tree["id"]?.text)
            #expect(tree["restaurant_id"]?.text == Sample.restaurant.description)
            #expect(tree["timestamp"]?.text == "2026-01-31T18:04:06.000Z")
            #expect(tree["seq"] == nil && tree["user_id"] == nil)
        }
        #expect(ids.count == 3 && !ids.contains(nil))
    }

    // MARK: What is refused

    @Test(
        "what is not understood is an error, and the tablet stays",
        arguments: [
            ("nonsense", "- invalid_message"), ("{}", "- invalid_message"), ("[]", "- invalid_message"),
            ("{\"id\":\"7\"}", "7 invalid_message"), ("{\"type\":\"x\",\"id\":\"7\"}", "7 unknown_type"),
            ("{\"type\":\"x\",\"id\":7}", "- invalid_message"), ("{\"type\":\"x\"}", "- unknown_type"),
            ("{\"type\":\"table.cleaned\",\"id\":\"\",\"data\":{}}", "- invalid_message"),
            ("{\"type\":\"table.cleaned\",\"id\":\"7\",\"data\":[]}", "7 invalid_message"),
            ("{\"type\":\"order.status_update\",\"id\":\"7\"}", "7 invalid_message"), ("", "- invalid_message"),
        ], [FrameArrival.whole, .byteByByte])
    func refused(row: (text: String, answer: String), arrival: FrameArrival) {
        var tablet = Tablet.active(arrival: arrival)
        tablet.send(row.text)
        #expect(tablet.answers() == [row.answer])
        #expect(tablet.takeEffects().isEmpty && tablet.stack.transport == .open)
        tablet.send("{\"type\":\"ping\"}")
        #expect(tablet.heard().map(\.type) == ["pong"])
    }

    @Test(
        "what breaks the protocol is closed with its code",
        arguments: [
            (F.frame(F.binary, [1, 2]), 1003), (F.frame(F.text, [0xff]), 1007), (F.frame(F.text, [0xc3]), 1007),
            (F.frame(F.text, "{}", mask: nil), 1002), (F.frame(F.text, "{}", reserved: 4), 1002),
            (F.frame(3, "{}"), 1002),
            (F.frame(F.continuation, "{}"), 1002), (F.frame(F.ping, [UInt8](repeating: 0, count: 126)), 1002),
            (F.header(F.text, claiming: 65_537), 1009), (F.header(F.text, claiming: 1 << 40), 1009),
            (F.frame(F.close, [0x03]), 1002),
        ] as [([UInt8], UInt16)], [true, false])
    func violations(row: (bytes: [UInt8], code: UInt16), isActive: Bool) {
        for arrival in FrameArrival.allCases {
            var tablet = isActive ? Tablet.active(arrival: arrival) : Tablet.upgraded(arrival: arrival)
            tablet.send(row.bytes + F.frame(F.text, "{\"type\":\"ping\"}"))
            let heard = tablet.heard()
            guard heard.count == 1, case .close(row.code, _) = heard[0] else {
                Issue.record("\(heard)")
                continue
            }
            #expect(tablet.takeEffects().map(\.name) == [isActive ? "ended" : "ended unauthenticated"])
        }
    }

    // MARK: Rate

    @Test("100 messages at once, then 20 in a second; the others are refused by name, with the time to wait")
    func rate() {
        var tablet = Tablet.active()
        for _ in 0..<100 { tablet.send("{\"type\":\"ping\"}") }
        #expect(tablet.heard().allSatisfy { $0.type == "pong" })
        tablet.send(update("first"))
        tablet.clock.advance(.microseconds(20_500))
        tablet.send("nonsense")
        let refusals = tablet.heard()
        #expect(refusals.map(\.type) == ["error", "error"])
        #expect(refusals.allSatisfy { $0.data?["code"] == "rate_limited" && $0.data?["error"]?.text != nil })
        #expect(refusals[0].data?["id"] == "first" && refusals[0].data?["retry_after_ms"] == 50)
        #expect(refusals[1].data?["id"] == nil && refusals[1].data?["retry_after_ms"] == 30)
        #expect(tablet.takeEffects().isEmpty)
        // Whoever waits as told is served.
        tablet.clock.advance(.milliseconds(30))
        tablet.send("{\"type\":\"ping\"}")
        tablet.send("{\"type\":\"ping\"}")
        #expect(tablet.heard().map(\.type) == ["pong", "error"])
        tablet.clock.advance(.seconds(1))
        for _ in 0..<21 { tablet.send("{\"type\":\"ping\"}") }
        #expect(tablet.heard().filter { $0.type == "pong" }.count == 20)
    }

    /// Uses up what is allowed now, and sends `count` more.
    private func overdo(_ tablet: inout Tablet, _ count: Int) {
        _ = tablet.takeOutput()
        for _ in 0..<200 {
            tablet.send("{\"type\":\"ping\"}")
            if tablet.heard().first?.type != "pong" { break }
        }
        for _ in 1..<count { tablet.send("{\"type\":\"ping\"}") }
    }

    @Test("100 refusals within 10 s close the connection")
    func tooMany() {
        var tablet = Tablet.active()
        overdo(&tablet, 99)
        #expect(tablet.heard().allSatisfy { $0.type == "error" })
        tablet.send("{\"type\":\"ping\"}")
        #expect(tablet.heard().last == .close(4008, "Rate limit exceeded"))
        #expect(tablet.takeEffects().map(\.name) == ["ended"])
    }

    @Test("one more exactly 10 s after 99 is within them, later it is not", arguments: [0, 1])
    func almostTooMany(extra: Int64) {
        var tablet = Tablet.active()
        for _ in 0..<5 {
            overdo(&tablet, 99)
            tablet.clock.advance(.seconds(10) + .nanoseconds(extra))
        }
        #expect((tablet.stack.user == nil) == (extra == 0))
    }

    @Test("the 10 s are any 10 s, not those that a clock on the wall cuts out")
    func slidingWindow() {
        var tablet = Tablet.active()
        overdo(&tablet, 60)
        tablet.clock.advance(.seconds(9))
        overdo(&tablet, 39)
        #expect(tablet.heard().allSatisfy { $0.type == "error" })
        tablet.clock.advance(.milliseconds(1_500))
        overdo(&tablet, 60)
        #expect(tablet.heard().allSatisfy { $0.type == "error" })
        tablet.send("{\"type\":\"ping\"}")
        #expect(tablet.heard().last == .close(4008, "Rate limit exceeded"))
    }

    // MARK: Silence

    @Test("a silent tablet is asked once, and closed after 60 s")
    func silence() {
        var tablet = Tablet.active()
        tablet.advance(.milliseconds(29_999))
        #expect(tablet.heard().isEmpty)
        tablet.advance(.seconds(29))
        #expect(tablet.heard().map(\.type) == ["ping"])
        tablet.advance(.milliseconds(1_000))
        #expect(tablet.heard().isEmpty)
        tablet.advance(.milliseconds(1_001))
        #expect(tablet.heard() == [.close(4004, "Heartbeat timeout")])
        #expect(tablet.takeEffects().map(\.name) == ["ended"])
        // The close frame is not answered: the socket is reset.
        #expect(tablet.stack.transport == .open)
        tablet.advance(.seconds(5))
        #expect(tablet.stack.transport == .aborted)
    }

    @Test(
        "any frame proves life",
        arguments: [
            F.frame(F.text, "{\"type\":\"pong\"}"), F.frame(F.text, "nonsense"), F.frame(F.ping), F.frame(F.pong),
            F.frame(F.text, "{\"ty", final: false),
        ])
    func life(bytes: [UInt8]) {
        var tablet = Tablet.active()
        tablet.advance(.seconds(25))
        tablet.send(bytes)
        _ = tablet.takeOutput()
        tablet.advance(.seconds(29))
        #expect(tablet.heard().isEmpty, "not asked 54 s after the last message")
        tablet.advance(.seconds(2))
        #expect(tablet.heard().map(\.type) == ["ping"])
        tablet.advance(.seconds(28))
        tablet.send(bytes.first == 1 ? F.frame(F.continuation, "p", final: false) : bytes)
        _ = tablet.takeOutput()
        tablet.advance(.seconds(29))
        #expect(tablet.heard().isEmpty && tablet.stack.user != nil, "not closed either")
    }

    @Test("half a frame that was there before proves nothing each time it is looked at")
    func halfFrame() {
        var tablet = Tablet.active()
        tablet.send([0x81])
        for _ in 0..<12 {
            tablet.advance(.seconds(5))
            tablet.receive()
        }
        tablet.advance(.seconds(2))
        #expect(tablet.heard().last == .close(4004, "Heartbeat timeout"))
    }

    // MARK: Token

    @Test("five minutes before the token ends its holder is warned, once, and closed when it has")
    func expiry() {
        var tablet = Tablet.active(tokenLasts: .seconds(600))
        tablet.live(.milliseconds(299_999))
        #expect(tablet.heard().isEmpty)
        tablet.live(.milliseconds(1))
        #expect(tablet.heard() == [.message("token_expired", ["seconds_until_expiry": 300])])
        tablet.live(.milliseconds(299_999))
        #expect(tablet.heard().isEmpty && tablet.stack.user != nil)
        tablet.live(.milliseconds(1))
        #expect(tablet.heard() == [.close(4005, "Token expired")])
        #expect(tablet.takeEffects().map(\.name) == ["ended"])
    }

    @Test("a token with less left is warned about right after authenticated", arguments: [1, 100, 300])
    func warnedAtOnce(seconds: Int) {
        var tablet = Tablet.upgraded()
        tablet.send(Tablet.authenticate(",\"last_seq\":1"))
        tablet.deliver(.accepted(tablet.identity(tokenLasts: .seconds(seconds))))
        let heard = tablet.heard()
        #expect(heard.map(\.type) == ["authenticated", "resync_required", "token_expired"])
        #expect(heard.last?.data == ["seconds_until_expiry": .number(Double(seconds))])
        tablet.live(.seconds(seconds))
        #expect(tablet.heard() == [.close(4005, "Token expired")])
    }

    @Test("a token taken within the leeway is used to the leeway's end")
    func leeway() {
        var tablet = Tablet.upgraded()
        tablet.send(Tablet.authenticate())
        let now = tablet.clock.now.unixTime.milliseconds
        tablet.deliver(
            .accepted(
                AcceptedIdentity(
                    user: Sample.user, role: .employee, restaurant: Sample.restaurant, sequence: 0,
                    tokenExpiresAt: UnixTime(milliseconds: now - 10_000),
                    tokenEndsAt: UnixTime(milliseconds: now + 20_000))))
        #expect(tablet.heard().last == .message("token_expired", ["seconds_until_expiry": 0]))
        tablet.advance(.milliseconds(19_999))
        #expect(tablet.heard().isEmpty)
        tablet.advance(.milliseconds(1))
        #expect(tablet.heard() == [.close(4005, "Token expired")])
    }

    @Test(
        "a token for ages is a token like any other",
        arguments: [UnixTime(milliseconds: 253_402_300_799_000), UnixTime(milliseconds: 20_000_000_000_000)])
    func farFuture(end: UnixTime) throws {
        var tablet = Tablet.upgraded()
        tablet.send(Tablet.authenticate())
        tablet.deliver(
            .accepted(
                AcceptedIdentity(
                    user: Sample.user, role: .employee, restaurant: Sample.restaurant, sequence: 0, tokenExpiresAt: end,
                    tokenEndsAt: end)))
        #expect(tablet.heard().map(\.type) == ["authenticated"])
        tablet.live(.seconds(86_400))
        #expect(tablet.heard().isEmpty)
        tablet.send("{\"type\":\"reauth\",\"token\":\"n\"}")
        tablet.deliver(reauthentication: .accepted(try AccessToken.sample(until: end, now: tablet.clock.now.unixTime)))
        #expect(tablet.heard().map(\.type) == ["authenticated"])
        tablet.live(.seconds(86_400))
        #expect(tablet.heard().isEmpty && tablet.stack.user != nil)
    }

    @Test("reauth swaps the token on the live connection")
    func reauth() throws {
        var tablet = Tablet.active(tokenLasts: .seconds(400))
        tablet.live(.seconds(120))
        #expect(tablet.heard().map(\.type) == ["token_expired"])
        tablet.deliver(event: "{}", sequence: 9)
        _ = tablet.takeOutput()
        tablet.send("{\"type\":\"reauth\",\"id\":\"1\",\"data\":{\"token\":\"new\"}}")
        let effects = tablet.takeEffects()
        guard effects.count == 1, case .reauthenticate("new", Sample.user) = effects[0] else {
            Issue.record("\(effects)")
            return
        }
        #expect(tablet.heard().isEmpty && tablet.stack.transport == .open, "the tablet is not kept waiting")
        let end = UnixTime(milliseconds: (tablet.clock.now.unixTime.seconds + 1_000) * 1_000)
        let left = Duration.milliseconds(end.milliseconds - tablet.clock.now.unixTime.milliseconds)
        tablet.deliver(reauthentication: .accepted(try AccessToken.sample(until: end, now: tablet.clock.now.unixTime)))
        let heard = tablet.heard()
        #expect(heard.map(\.type) == ["authenticated"])
        #expect(heard[0].data?["token_expires_at"] == "2026-01-31T18:22:45.000Z" && heard[0].data?["seq"] == 9)
        #expect(heard[0].data?["user_id"]?.text == Sample.user.description)
        // The old end passes, the new one counts.
        tablet.live(left - .seconds(300) - .milliseconds(1))
        #expect(tablet.heard().isEmpty)
        tablet.live(.milliseconds(1))
        #expect(tablet.heard() == [.message("token_expired", ["seconds_until_expiry": 300])])
        tablet.live(.seconds(300))
        #expect(tablet.heard() == [.close(4005, "Token expired")])
    }

    @Test("a refused reauth leaves the connection on its old token")
    func reauthRefused() {
        var tablet = Tablet.active(tokenLasts: .seconds(310))
        let refusal = TabletHeard.message(
            "auth_error", ["error": "Invalid authentication token", "code": "invalid_token", "retryable": false])
        tablet.send("{\"type\":\"reauth\",\"token\":\"bad\"}")
        #expect(tablet.takeEffects().map(\.name) == ["reauthenticate"])
        // One at a time; a second one, and one without a token, are refused at once.
        tablet.send("{\"type\":\"reauth\",\"token\":\"other\"}")
        tablet.send("{\"type\":\"reauth\"}")
        #expect(tablet.heard() == [refusal, refusal] && tablet.takeEffects().isEmpty)
        tablet.deliver(reauthentication: .failed(.invalidToken))
        #expect(tablet.heard() == [refusal])
        tablet.send("{\"type\":\"reauth\",\"token\":\"good\"}")
        #expect(tablet.takeEffects().map(\.name) == ["reauthenticate"])
        tablet.deliver(reauthentication: .failed(.unavailable))
        #expect(
            tablet.heard() == [
                .message(
                    "auth_error", ["error": "Authentication failed", "code": "unavailable", "retryable": true])
            ])
        #expect(tablet.stack.user == Sample.user && tablet.stack.transport == .open)
        tablet.send("{\"type\":\"reauth\",\"token\":\"again\"}")
        #expect(tablet.takeEffects().map(\.name) == ["reauthenticate"])
        tablet.live(.seconds(310))
        #expect(
            tablet.heard() == [.message("token_expired", ["seconds_until_expiry": 300]), .close(4005, "Token expired")])
        // Its answer comes too late.
        tablet.deliver(reauthentication: .failed(.invalidToken))
        #expect(tablet.heard().isEmpty)
    }
}
