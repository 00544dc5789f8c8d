import FynloCore
import Testing

/// `auth_error` and the close frame behind it.
private func refused(_ error: String, _ code: String, retryable: Bool, close: UInt16, _ reason: String) -> [TabletHeard]
{
    [
        .message("auth_error", ["error": .string(error), "code": .string(code), "retryable": .boolean(retryable)]),
        .close(close, reason),
    ]
}

@Suite("ServerSession: authentication")
struct ServerSessionAuthenticationTests {
    @Test("asks for the tablet to be checked, and reads nothing until it is", arguments: FrameArrival.allCases)
    func asks(arrival: FrameArrival) throws {
        var tablet = Tablet.upgraded(arrival: arrival)
        tablet.send(Tablet.authenticate(",\"device_id\":\"bar\",\"last_seq\":3"))
        let effects = tablet.takeEffects()
        #expect(effects.map(\.name) == ["authenticate"])
        let request = try #require(effects.first?.authentication)
        #expect(request.token == "t" && request.user == Sample.user.description)
        #expect(
            request.restaurant == Sample.restaurant.description && request.deviceID == "bar"
                && request.lastSequence == 3)
        guard case .authenticate(_, let restaurant, let client) = effects[0] else { return }
        #expect(restaurant == Sample.restaurant && client == .pos)
        #expect(tablet.stack.transport == .paused && tablet.stack.isAuthenticating && tablet.stack.user == nil)
        #expect(tablet.heard().isEmpty)
    }

    @Test("tells the tablet who it is", arguments: FrameArrival.allCases)
    func accepts(arrival: FrameArrival) throws {
        var tablet = Tablet.upgraded(arrival: arrival)
        tablet.send(Tablet.authenticate())
        tablet.deliver(.accepted(tablet.identity(sequence: 12)))
        #expect(tablet.stack.transport == .open && !tablet.stack.isAuthenticating && tablet.stack.user == Sample.user)
        #expect(
            tablet.heard() == [
                .message(
                    "authenticated",
                    [
                        "user_id": .string(Sample.user.description),
                        "restaurant_id": .string(Sample.restaurant.description),
                        "connection_id": .string(Sample.connection.uuid.description), "role": "manager", "seq": 12,
                        "heartbeat_interval_ms": 15_000, "token_expires_at": "2026-01-31T19:04:05.123Z",
                        "resumed": false,
                    ])
            ])
    }

    @Test(
        "says whether the tablet has missed something",
        arguments: [
            ("", false, false), (",\"last_seq\":7", true, false), (",\"last_seq\":6", true, false),
            (",\"last_seq\":3", true, false), (",\"last_seq\":2", false, true), (",\"last_seq\":8", false, true),
            (",\"last_seq\":-1", false, true), (",\"last_seq\":9223372036854775807", false, true),
            (",\"last_seq\":\"7\"", false, false),
        ])
    func resumed(more: String, isResumed: Bool, isResyncRequired: Bool) {
        var tablet = Tablet.upgraded()
        tablet.send(Tablet.authenticate(more))
        tablet.deliver(.accepted(tablet.identity(sequence: 7)))
        let heard = tablet.heard()
        #expect(heard.first?.data?["resumed"] == .boolean(isResumed))
        #expect(Array(heard.dropFirst()) == (isResyncRequired ? [.message("resync_required", ["seq": 7])] : []))
    }

    @Test("sends what was missed before anything newer, once each, and tells of what is lost")
    func replay() {
        var tablet = Tablet.upgraded()
        tablet.send(Tablet.authenticate(",\"last_seq\":4"))
        tablet.deliver(.accepted(tablet.identity(sequence: 7)))
        #expect(tablet.takeEffects().last?.name == "replay")
        #expect(tablet.stack.replayPosition == 4)
        _ = tablet.heard()
        func events(_ numbers: ClosedRange<EventSequence>) -> Replay {
            .events(numbers.map { EventFrame(Sample.event($0)) }[...])
        }
        tablet.deliver(event: #"{"type":"order.updated","data":{},"seq":8}"#, sequence: 8)
        tablet.deliver(event: #"{"type":"table.occupied","data":{}}"#, sequence: nil)
        #expect(tablet.heard().map(\.type) == ["table.occupied"], "what has no number does not wait")
        tablet.deliver(replay: events(4...6))
        tablet.deliver(replay: events(6...8))
        #expect(tablet.stack.replayPosition == 8)
        tablet.deliver(replay: .finished)
        #expect(tablet.heard().map(\.data) == [["n": 5], ["n": 6], ["n": 7], ["n": 8]])
        #expect(tablet.stack.replayPosition == nil)
        tablet.deliver(replay: events(9...9))
        tablet.deliver(event: #"{"type":"order.updated","data":{"n":9},"seq":9}"#, sequence: 9)
        #expect(tablet.heard().map(\.data) == [["n": 9]])
        tablet.deliver(event: #"{"type":"order.updated","data":{"n":12},"seq":12}"#, sequence: 12)
        #expect(
            tablet.heard() == [.message("resync_required", ["seq": 11]), .message("order.updated", ["n": 12])])

        var lost = Tablet.upgraded()
        lost.send(Tablet.authenticate(",\"last_seq\":4"))
        lost.deliver(.accepted(lost.identity(sequence: 7)))
        _ = lost.heard()
        lost.deliver(replay: .lost(head: 9))
        #expect(lost.heard() == [.message("resync_required", ["seq": 9])])
        lost.deliver(event: #"{"type":"order.updated","data":{"n":10},"seq":10}"#, sequence: 10)
        #expect(lost.heard() == [.message("order.updated", ["n": 10])])
    }

    // MARK: The table of the contract

    @Test("nothing arrived in time", arguments: [Duration.seconds(10), .milliseconds(500)])
    func timeout(limit: Duration) {
        var limits = Limits()
        limits.authenticationTimeout = limit
        var tablet = Tablet.upgraded(SessionSettings(limits: limits))
        tablet.advance(limit - .milliseconds(1))
        #expect(tablet.heard().isEmpty && tablet.stack.transport == .open)
        tablet.advance(.milliseconds(1))
        #expect(
            tablet.heard()
                == refused(
                    "Authentication timeout", "authentication_timeout", retryable: true, close: 4002,
                    "Authentication timeout"))
    }

    @Test("part of a first message, or signs of life, do not buy time")
    func timeoutAllTheSame() {
        var tablet = Tablet.upgraded()
        tablet.advance(.seconds(9))
        tablet.send(Array(FrameBytes.frame(FrameBytes.text, Tablet.authenticate()).dropLast()))
        var other = Tablet.upgraded()
        other.advance(.seconds(9))
        other.send(FrameBytes.frame(FrameBytes.ping) + FrameBytes.frame(FrameBytes.pong))
        _ = other.takeOutput()
        for var tablet in [tablet, other] {
            tablet.advance(.seconds(1))
            #expect(tablet.heard().last == .close(4002, "Authentication timeout"))
        }
    }

    @Test(
        "the first message is something else",
        arguments: [
            "{\"type\":\"ping\"}", "{\"type\":\"pong\"}", "{\"type\":\"reauth\",\"data\":{\"token\":\"t\"}}",
            "{\"type\":\"order.status_update\",\"id\":\"1\",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready\"}}",
            "{\"type\":\"table.cleaned\",\"id\":\"1\",\"data\":{}}", "{\"type\":\"subscribe\"}", "", "hello", "{}",
            "[]", "null",
            "{\"type\":\"authenticate\"", "{\"type\":\"authenticate\",\"type\":\"authenticate\"}",
            "{\"type\":\"Authenticate\"}",
            "[\(Tablet.authenticate())]", "\(Tablet.authenticate())\(Tablet.authenticate())",
        ], [FrameArrival.whole, .byteByByte])
    func somethingElse(text: String, arrival: FrameArrival) {
        var tablet = Tablet.upgraded(arrival: arrival)
        tablet.send(text)
        #expect(
            tablet.heard()
                == refused(
                    "First message must be authentication", "authentication_required", retryable: false, close: 4001,
                    "Authentication required"))
        #expect(tablet.takeEffects().map(\.name) == ["ended unauthenticated"])
    }

    @Test(
        "a required field is missing",
        arguments: [
            "{\"type\":\"authenticate\"}", "{\"type\":\"authenticate\",\"token\":\"t\"}",
            "{\"type\":\"authenticate\",\"data\":null}",
            "{\"type\":\"authenticate\",\"data\":{\"token\":\"t\",\"user_id\":\"u\",\"restaurant_id\":\"\"}}",
            "{\"type\":\"authenticate\",\"data\":{\"token\":\"t\",\"user_id\":7,\"restaurant_id\":\"r\"}}",
            "{\"type\":\"authenticate\",\"data\":{\"token\":null,\"user_id\":\"u\",\"restaurant_id\":\"r\"}}",
        ])
    func missing(text: String) {
        var tablet = Tablet.upgraded()
        tablet.send(text)
        #expect(
            tablet.heard()
                == refused(
                    "Missing authentication data", "missing_authentication_data", retryable: false, close: 4003,
                    "Authentication failed"))
        #expect(tablet.takeEffects().map(\.name) == ["ended unauthenticated"])
    }

    @Test(
        "what the checks say is told, with text, code, and close",
        arguments: [
            (.invalidToken, "Invalid authentication token", "invalid_token", false, 4003, "Authentication failed"),
            (.accessDenied, "Access denied to this restaurant", "access_denied", false, 4003, "Authentication failed"),
            (.connectionLimit, "Connection limit exceeded", "connection_limit", true, 4003, "Authentication failed"),
            (.unavailable, "Authentication failed", "unavailable", true, 4000, "Internal error"),
        ] as [(AuthenticationFailure, String, String, Bool, UInt16, String)])
    func failures(
        failure: AuthenticationFailure, error: String, code: String, isRetryable: Bool, close: UInt16, reason: String
    ) {
        var tablet = Tablet.upgraded()
        tablet.send(Tablet.authenticate())
        _ = tablet.takeEffects()
        tablet.deliver(.failed(failure, retryAfter: nil))
        #expect(tablet.heard() == refused(error, code, retryable: isRetryable, close: close, reason))
        #expect(tablet.takeEffects().map(\.name) == ["ended unauthenticated"])
        // A late answer finds nobody.
        tablet.deliver(.accepted(tablet.identity()))
        tablet.deliver(.failed(.invalidToken, retryAfter: nil))
        #expect(tablet.heard().isEmpty && tablet.takeEffects().isEmpty && tablet.stack.user == nil)
    }

    @Test("a tablet over the limit is told when to come back")
    func retryAfter() {
        var tablet = Tablet.upgraded()
        tablet.send(Tablet.authenticate())
        tablet.deliver(.failed(.connectionLimit, retryAfter: .seconds(5)))
        #expect(tablet.heard().first?.data?["retry_after_ms"] == 5_000)
    }

    // MARK: Before and meanwhile

    @Test("before it is in, a tablet hears no event, and its messages have no effect")
    func nothingBefore() throws {
        var tablet = Tablet.upgraded()
        func answers(_ tablet: inout Tablet) throws {
            tablet.deliver(event: "{}", sequence: 8)
            tablet.deliver(event: "{}", sequence: nil)
            tablet.deliver(.done(sequence: 1))
            tablet.deliver(reauthentication: .failed(.invalidToken))
            tablet.deliver(
                reauthentication: .accepted(
                    try AccessToken.sample(
                        until: UnixTime(milliseconds: 4_000_000_000_000), now: tablet.clock.now.unixTime)))
            tablet.advance(.seconds(9))
        }
        tablet.deliver(.accepted(tablet.identity()))
        try answers(&tablet)
        #expect(tablet.stack.user == nil)
        tablet.send(Tablet.authenticate())
        try answers(&tablet)
        #expect(tablet.heard().isEmpty && tablet.takeEffects().map(\.name) == ["authenticate"])
    }

    @Test("what is sent behind authenticate is handled after it, in order", arguments: FrameArrival.allCases)
    func meanwhile(arrival: FrameArrival) {
        var tablet = Tablet.upgraded(arrival: arrival)
        let texts = [
            Tablet.authenticate(), "{\"type\":\"ping\",\"data\":1}", "{\"type\":\"nonsense\",\"id\":\"2\"}",
            "{\"type\":\"order.status_update\",\"id\":\"3\",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready\"}}",
            "{\"type\":\"ping\",\"data\":4}",
        ]
        tablet.send(texts.flatMap { FrameBytes.frame(FrameBytes.text, $0) } + FrameBytes.frame(FrameBytes.ping, "5"))
        tablet.advance(.seconds(120))
        #expect(tablet.heard().isEmpty, "not even a time-out: the tablet is not the one waited for")
        #expect(tablet.takeEffects().map(\.name) == ["authenticate"])
        tablet.deliver(.accepted(tablet.identity()))
        let heard = tablet.heard()
        #expect(heard.map(\.type) == ["authenticated", "pong", "error", "pong", nil])
        #expect(heard[1].data?["echo"] == 1 && heard[2].data?["id"] == "2" && heard[3].data?["echo"] == 4)
        #expect(heard[4] == .pong([0x35]))
        #expect(tablet.takeEffects().compactMap(\.storage).count == 1)
        #expect(tablet.stack.transport == .open)
        tablet.advance(.seconds(29))
        #expect(tablet.heard().isEmpty)
    }

    @Test("a second authenticate is an error, and changes nothing")
    func again() {
        var tablet = Tablet.active()
        tablet.send(
            "{\"type\":\"authenticate\",\"id\":\"9\",\"token\":\"x\",\"user_id\":\"u\",\"restaurant_id\":\"r\"}")
        let heard = tablet.heard()
        #expect(heard.map(\.type) == ["error"])
        #expect(heard.first?.data?["id"] == "9" && heard.first?.data?["code"] == "invalid_message")
        #expect(tablet.takeEffects().isEmpty && tablet.stack.user == Sample.user)
    }

    @Test(
        "the first message has 16 KiB, later ones 64",
        arguments: [
            (false, 16_384, nil), (false, 16_385, 1009), (true, 65_536, nil), (true, 65_537, 1009),
        ] as [(Bool, Int, UInt16?)], [FrameArrival.whole, .evenChops])
    func size(row: (isActive: Bool, bytes: Int, close: UInt16?), arrival: FrameArrival) {
        var tablet = row.isActive ? Tablet.active(arrival: arrival) : Tablet.upgraded(arrival: arrival)
        let text = row.isActive ? "{\"type\":\"ping\",\"x\":\"" : String(Tablet.authenticate(",\"x\":\"").dropLast(2))
        let end = row.isActive ? "\"}" : "\"}}"
        let filler = String(repeating: "x", count: row.bytes - text.utf8.count - end.utf8.count)
        tablet.send(text + filler + end)
        let heard = tablet.heard()
        if let close = row.close {
            guard case .close(close, _) = heard.last else {
                Issue.record("not closed: \(heard)")
                return
            }
            #expect(heard.count == 1)
            #expect(tablet.takeEffects().map(\.name) == [row.isActive ? "ended" : "ended unauthenticated"])
        } else {
            #expect(heard.map(\.type) == (row.isActive ? ["pong"] : []))
            #expect(tablet.takeEffects().map(\.name) == (row.isActive ? [] : ["authenticate"]))
        }
    }

    // MARK: The token in the query

    @Test(
        "a token in the query authenticates at once where that is allowed, and has no say where it is not",
        arguments: [true, false])
    func queryToken(isAllowed: Bool) throws {
        var tablet = Tablet(SessionSettings(allowsQueryToken: isAllowed))
        tablet.sendHTTP(Tablet.handshake(Tablet.path + "?x=1&token=ey.J%2Ex"))
        #expect(tablet.takeText().hasPrefix("HTTP/1.1 101 "))
        let effects = tablet.takeEffects()
        #expect(effects.map(\.name) == (isAllowed ? ["upgraded", "authenticate"] : ["upgraded"]))
        #expect(tablet.stack.isAuthenticating == isAllowed)
        guard isAllowed else { return }
        let request = try #require(effects.last?.authentication)
        #expect(request.token == "ey.J.x" && request.user == nil && request.restaurant == Sample.restaurant.description)
        tablet.deliver(.failed(.invalidToken, retryAfter: nil))
        #expect(
            tablet.heard()
                == refused(
                    "Invalid authentication token", "invalid_token", retryable: false, close: 4003,
                    "Authentication failed"))
    }

    @Test("an empty token in the query, or none, is none", arguments: ["", "?", "?token=", "?token", "?Token=x"])
    func noQueryToken(query: String) {
        var tablet = Tablet(SessionSettings(allowsQueryToken: true))
        tablet.sendHTTP(Tablet.handshake(Tablet.path + query))
        #expect(tablet.takeEffects().map(\.name) == ["upgraded"])
        #expect(!tablet.stack.isAuthenticating)
    }

    @Test(
        "a query that cannot be read refuses the upgrade, and no session began",
        arguments: ["?token=a&token=b", "?token=%zz", "?x=%00&token=a"])
    func badQuery(query: String) {
        var tablet = Tablet(SessionSettings(allowsQueryToken: true))
        tablet.sendHTTP(Tablet.handshake(Tablet.path + query))
        #expect(tablet.takeText().hasPrefix("HTTP/1.1 422 "))
        #expect(tablet.takeEffects().isEmpty && !tablet.stack.isWebSocket)
    }
}
