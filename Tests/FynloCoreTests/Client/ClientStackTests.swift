import FynloCore
import Testing

@Suite("ClientStack")
struct ClientStackTests {
    // MARK: Connecting

    @Test("asks for the upgrade of its restaurant's path as soon as the socket is connected")
    func upgradeRequest() {
        var pair = ClientServerPair()
        #expect(pair.client.state == .connecting)
        pair.isCut = true
        var output = ByteBuffer()
        pair.client.opened(output: &output)
        #expect(pair.client.state == .upgrading)
        let lines = output.text.split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.first == "GET /api/v1/websocket/ws/kitchen/\(Sample.restaurant) HTTP/1.1")
        #expect(lines.contains("Host: pos.example.com:8000"))
        #expect(lines.contains("Sec-WebSocket-Protocol: fynlo.v1"))
        #expect(!output.text.contains("signature"), "the token never travels in the request")
    }

    @Test("authenticates by its first message, and is in", arguments: FrameArrival.allCases)
    func authenticates(arrival: FrameArrival) throws {
        var pair = ClientServerPair(lastSequence: 5, arrival: arrival)
        pair.open()
        let request = try #require(pair.effects.compactMap(\.authentication).first)
        #expect(
            request
                == AuthenticationRequest(
                    token: "header.payload.signature", user: "\(Sample.user)", restaurant: "\(Sample.restaurant)",
                    clientType: "kitchen", clientVersion: "2.1", deviceID: "tablet \"7\"", lastSequence: 5))
        #expect(pair.client.state == .connected)
        #expect(pair.types == ["authenticated", "order.updated", "order.updated"])
        let welcomes = pair.events.compactMap { if case .connected(let welcome) = $0 { welcome } else { nil } }
        #expect(welcomes.count == 1)
        let welcome = try #require(welcomes.first)
        #expect(welcome.connection == Sample.connection.uuid.description)
        #expect(welcome.role == "manager")
        #expect(welcome.sequence == 7)
        #expect(welcome.isResumed)
        #expect(welcome.heartbeatInterval == .seconds(15))
    }

    @Test("two sessions never use the same keys and ids")
    func randomness() throws {
        var requests: Set<String> = []
        var ids: Set<String> = []
        for seed in 1...20 as ClosedRange<UInt64> {
            var pair = ClientServerPair(seed: seed)
            pair.open()
            ids.insert(try pair.send("table.cleaned", "{}"))
            ids.insert(try pair.send("table.cleaned", "{}"))
            var other = ClientServerPair(seed: seed)
            var output = ByteBuffer()
            other.client.opened(output: &output)
            requests.insert(output.text)
        }
        #expect(requests.count == 20)
        #expect(ids.count == 40)
    }

    // MARK: Events

    @Test("hands out messages as they came, in order", arguments: FrameArrival.allCases)
    func events(arrival: FrameArrival) {
        var pair = ClientServerPair.connected(arrival: arrival)
        #expect(pair.client.lastSequence == 7)
        let texts = [
            #"{"id":"a","type":"order.created","data":{"order_id":"é"},"seq":8}"#,
            #"{"id":"b","type":"kitchen.item_ready","data":{"item":[1,{"n":null}]},"user_id":"u"}"#,
            #"{"seq": 9, "type": "order.\u0075pdated", "data": {}}"#,
        ]
        for text in texts { pair.give(text) }
        #expect(
            pair.business == [
                Business(type: "order.created", sequence: 8), Business(type: "kitchen.item_ready", sequence: nil),
                Business(type: "order.updated", sequence: 9),
            ])
        let raw = pair.events.compactMap { if case .message(let message) = $0 { message.json } else { nil } }
        #expect(raw == texts.map { Array($0.utf8) })
        #expect(pair.client.lastSequence == 9)
    }

    @Test("hands out a numbered event once")
    func repeatedEvent() {
        var pair = ClientServerPair.connected()
        for sequence in [8, 8, 7, 9, 8] as [EventSequence] {
            pair.give(#"{"type":"order.updated","data":{},"seq":\#(sequence)}"#)
        }
        #expect(pair.business.map(\.sequence) == [8, 9])
    }

    @Test("asks for what it missed, and moves on only as the server says")
    func resumes() {
        // The server's head is 7 in each row.
        var fresh = ClientServerPair()
        fresh.open()
        #expect(fresh.client.lastSequence == 7)

        var upToDate = ClientServerPair(lastSequence: 7)
        upToDate.open()
        #expect(upToDate.client.lastSequence == 7)
        #expect(upToDate.types == ["authenticated"])

        var behind = ClientServerPair(lastSequence: 4)
        behind.open()
        #expect(behind.business.map(\.sequence) == [5, 6, 7])
        #expect(behind.client.lastSequence == 7)

        var tooFarBehind = ClientServerPair(lastSequence: 2)
        tooFarBehind.open()
        #expect(tooFarBehind.types == ["authenticated", "resync_required"])
        #expect(tooFarBehind.client.lastSequence == 7)

        var ahead = ClientServerPair(lastSequence: 99)
        ahead.open()
        ahead.give(#"{"type":"order.updated","data":{},"seq":8}"#)
        #expect(ahead.business.map(\.sequence) == [8], "a stream that was set back is followed from its head")

        var cut = ClientServerPair(lastSequence: 2)
        cut.open()
        cut = ClientServerPair(lastSequence: 2)
        cut.outcome = nil
        cut.open()
        cut.give(#"{"type":"authenticated","data":{"seq":7,"resumed":false}}"#)
        #expect(cut.client.lastSequence == 2, "cut before resync_required, it asks again")
    }

    @Test("passes over what is no message of the protocol", arguments: ["", "[]", "{", "{}", #"{"type":5}"#, "\"x\""])
    func unreadable(text: String) {
        var pair = ClientServerPair.connected()
        pair.give(text)
        pair.give(#"{"type":"menu.updated","data":null,"seq":8}"#)
        #expect(pair.events.first == .unreadable(Array(text.utf8)))
        #expect(pair.business == [Business(type: "menu.updated", sequence: 8)])
        #expect(pair.client.state == .connected)
    }

    // MARK: Commands

    @Test("pairs answers with commands by their ids")
    func answers() throws {
        var pair = ClientServerPair.connected()
        let update = #"{"order_id":"\#(Sample.order)","status":"ready"}"#
        pair.answers = [.done(sequence: 8), .done(sequence: nil), .refused(APIError(.orderNotFound, "No such order."))]
        try pair.send("order.status_update", update, id: "one")
        try pair.send("order.status_update", update, id: "two")
        try pair.send("order.status_update", update, id: "three \"quoted\"")
        try pair.send("no.such_type", "{}", id: "four")
        let own = try pair.send("kitchen.item_ready", #"{"item":"soup"}"#)
        #expect(pair.effects.compactMap(\.storage).count == 3)
        #expect(pair.effects.compactMap(\.broadcast).count == 1)

        let outcomes = pair.outcomes
        #expect(outcomes.keys.sorted() == ["four", "one", "three \"quoted\"", "two", own].sorted())
        guard case .acknowledged(let first, let message) = outcomes["one"],
            case .acknowledged(let second, _) = outcomes["two"],
            case .refused(let third, _) = outcomes["three \"quoted\""],
            case .refused(let fourth, _) = outcomes["four"],
            case .acknowledged(let fifth, _) = outcomes[own]
        else {
            Issue.record("each command is answered by its kind: \(outcomes)")
            return
        }
        #expect(first == 8 && second == nil && fifth == nil)
        #expect(message.type == "ack")
        #expect(third.code == "order_not_found" && third.sentence == "No such order.")
        #expect(fourth.code == "unknown_type" && !fourth.sentence.isEmpty)
        #expect(pair.client.unansweredCount == 0)
    }

    @Test("answers to other ids, and errors without one, are messages only")
    func strayAnswers() throws {
        var pair = ClientServerPair.connected()
        try pair.send("order.status_update", #"{"order_id":"\#(Sample.order)","status":"ready"}"#, id: "mine")
        pair.give(#"{"type":"ack","data":{"id":"yours"}}"#)
        pair.give(#"{"type":"error","data":{"code":"rate_limited","error":"Slower."}}"#)
        pair.give(#"{"type":"ack","data":null}"#)
        #expect(pair.types == ["ack", "error", "ack"])
        #expect(pair.outcomes.isEmpty)
        #expect(pair.client.unansweredCount == 1)
    }

    @Test(
        "refuses what the server would refuse",
        arguments: [
            ("{}", "", .idInvalid),
            ("{}", String(repeating: "i", count: 129), .idInvalid),
            ("{}", "a\0b", .idInvalid),
            ("[]", "id", .dataNotAnObject),
            ("{", "id", .dataNotAnObject),
            ("", "id", .dataNotAnObject),
            ("{} {}", "id", .dataNotAnObject),
            ("{}", "waiting", .idInUse),
        ] as [(String, String, CommandRefusal)])
    func refusals(data: String, id: String, refusal: CommandRefusal) throws {
        var pair = ClientServerPair.connected()
        try pair.send("order.status_update", #"{"order_id":"\#(Sample.order)","status":"ready"}"#, id: "waiting")
        #expect(throws: refusal) { try pair.send("table.cleaned", data, id: id) }
        #expect(pair.client.unansweredCount == 1)
        #expect(!refusal.sentence.isEmpty)
    }

    @Test("a message just within the server's limit passes, a larger one is refused here")
    func largest() throws {
        var pair = ClientServerPair.connected()
        var padding = String(repeating: "x", count: 65_536)
        #expect(throws: CommandRefusal.tooLarge(limitBytes: 65_536)) {
            try pair.send("order.status_update", #"{"x":"\#(padding)"}"#)
        }
        padding.removeLast(800)
        try pair.send("order.status_update", #"{"x":"\#(padding)"}"#, id: "large")
        guard case .refused(let error, _) = pair.outcomes["large"] else {
            Issue.record("the server has read it")
            return
        }
        #expect(error.code == "invalid_message")
    }

    @Test("sends nothing but over a connection that is up, and bounds what is unanswered")
    func bounds() throws {
        var early = ClientServerPair()
        #expect(throws: CommandRefusal.notConnected) { try early.send("table.cleaned", "{}") }
        var limits = ClientLimits()
        limits.unansweredCommands = 3
        var pair = ClientServerPair.connected(limits: limits)
        pair.isCut = true
        for _ in 0..<3 { try pair.send("table.cleaned", "{}") }
        #expect(throws: CommandRefusal.tooManyUnanswered(limit: 3)) { try pair.send("table.cleaned", "{}") }
        pair.endOfInput()
        #expect(throws: CommandRefusal.notConnected) { try pair.send("table.cleaned", "{}") }
        #expect(pair.client.unansweredCount == 0)
    }

    @Test("tells of a command that nobody answered")
    func commandTimeout() throws {
        var pair = ClientServerPair.connected()
        let update = #"{"order_id":"\#(Sample.order)","status":"ready"}"#
        try pair.send("order.status_update", update, id: "first")
        pair.advance(.seconds(1))
        try pair.send("order.status_update", update, id: "second")
        pair.advance(.milliseconds(13_999))
        #expect(pair.outcomes.isEmpty)
        pair.advance(.milliseconds(1))
        #expect(pair.outcomes == ["first": .timedOut])
        pair.advance(.seconds(1))
        #expect(pair.outcomes == ["first": .timedOut, "second": .timedOut])
        #expect(pair.client.state == .connected)
    }

    // MARK: Close

    @Test("ends by its own wish with 1000, and says nothing afterwards")
    func closes() {
        var pair = ClientServerPair.connected()
        pair.close()
        #expect(pair.closure?.code == 1000)
        #expect(pair.closure?.reconnection == .never)
        let frames = FrameBytes.parse(pair.takeOutput())
        #expect(frames?.map(\.opcode) == [FrameBytes.close])
        #expect(frames?.first?.payload.prefix(2) == [0x03, 0xe8])
        pair.forget()
        pair.close()
        pair.give(#"{"type":"order.updated","data":{},"seq":8}"#)
        pair.endOfInput()
        pair.advance(.seconds(600))
        #expect(pair.events.isEmpty)
        #expect(pair.takeOutput().isEmpty)
        #expect(pair.client.nextDeadline == nil)
    }

    @Test("refuses binary frames with 1003")
    func binary() {
        var pair = ClientServerPair.connected()
        pair.isCut = true
        pair.give(FrameBytes.frame(FrameBytes.binary, [1, 2], mask: nil))
        #expect(pair.closure?.code == 1003)
        #expect(pair.closure?.reconnection == .never)
    }
}
