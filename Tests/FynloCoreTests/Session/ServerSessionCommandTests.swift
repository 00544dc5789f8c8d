import FynloCore
import Testing

private typealias F = FrameBytes

private func update(_ id: String?, _ status: String = "ready") -> String {
    let id = id.map { "\"id\":\"\($0)\"," } ?? ""
    return
        "{\"type\":\"order.status_update\",\(id)\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"\(status)\"}}"
}

private func cleaned(_ id: String?, _ data: String = "{}") -> String {
    let id = id.map { "\"id\":\"\($0)\"," } ?? ""
    return "{\"type\":\"table.cleaned\",\(id)\"data\":\(data)}"
}

private func ack(_ id: String, _ sequence: Int? = nil) -> TabletHeard {
    .message("ack", sequence.map { ["id": .string(id), "seq": .number(Double($0))] } ?? ["id": .string(id)])
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

@Suite("ServerSession: commands, events and the end")
struct ServerSessionCommandTests {
    // MARK: Commands

    @Test("commands run one at a time, in order, and each has its answer")
    func order() {
        var tablet = Tablet.active()
        for id in ["1", "2", "3"] { tablet.send(update(id)) }
        func expected(_ id: String) -> StorageRequest {
            .updateOrderStatus(
                OrderStatusUpdate(order: Sample.order, status: .ready, expectedVersion: nil),
                restaurant: Sample.restaurant,
                user: Sample.user, messageID: id)
        }
        #expect(tablet.takeEffects().map(\.storage) == [expected("1")])
        #expect(tablet.heard().isEmpty)
        tablet.deliver(.done(sequence: 8))
        #expect(tablet.heard() == [ack("1", 8)])
        #expect(tablet.takeEffects().map(\.storage) == [expected("2")])
        tablet.deliver(.refused(APIError(.orderNotFound, "There is no such order.")))
        #expect(
            tablet.heard() == [
                .message("error", ["code": "order_not_found", "error": "There is no such order.", "id": "2"])
            ])
        #expect(tablet.takeEffects().map(\.storage) == [expected("3")])
        tablet.deliver(.done(sequence: nil))
        #expect(tablet.heard() == [ack("3")])
        #expect(tablet.takeEffects().isEmpty)
        // An answer nobody asked for is nobody's.
        tablet.deliver(.done(sequence: 1))
        #expect(tablet.heard().isEmpty)
    }

    @Test("a conflict shows the order as it is", arguments: [APIError.Code.versionConflict, .invalidTransition])
    func conflict(code: APIError.Code) {
        var tablet = Tablet.active()
        tablet.send(update("1"))
        tablet.deliver(.refused(APIError(code, "x", order: Array("{\"version\":4}".utf8))))
        #expect(tablet.heard().first?.data?["order"] == ["version": 4])
    }

    @Test(
        "when one is unavailable, those behind it are too, and the next one starts anew",
        arguments: [APIError.unavailable, .queryTimeout])
    func unavailable(error: APIError) {
        var tablet = Tablet.active()
        tablet.send(update("1"))
        tablet.send(update("2"))
        tablet.send(cleaned("3"))
        tablet.send(update(nil))
        #expect(tablet.takeEffects().count == 1)
        tablet.deliver(.refused(error))
        #expect(tablet.answers() == ["1 unavailable", "2 unavailable", "3 unavailable", "- unavailable"])
        #expect(tablet.takeEffects().isEmpty)
        tablet.send(update("1"))
        #expect(tablet.takeEffects().map(\.name) == ["storage"])
    }

    @Test("a transient event is relayed and acknowledged at once, but not before a command in front of it")
    func transient() throws {
        var tablet = Tablet.active()
        tablet.send(cleaned("1", "{\"table\":\"<7>\"}"))
        var effects = tablet.takeEffects()
        #expect(effects.map(\.name) == ["broadcast"] && tablet.heard() == [ack("1")])
        let broadcast = try #require(effects[0].broadcast)
        let frame = try #require(FrameBytes.parse(broadcast.bytes())?.first)
        let tree = try #require(JSONTree(frame.payload))
        #expect(frame.opcode == F.text && frame.mask == nil)
        #expect(tree["type"] == "table.cleaned" && tree["data"] == ["table": "<7>"] && tree["seq"] == nil)
        #expect(tree["user_id"]?.text == Sample.user.description)
        #expect(tree["restaurant_id"]?.text == Sample.restaurant.description)
        #expect(!String(decoding: frame.payload, as: UTF8.self).contains("<"))
        guard case .broadcast(_, Sample.restaurant, _) = effects[0] else {
            Issue.record("another restaurant")
            return
        }

        tablet.send(update("2"))
        tablet.send(cleaned("3"))
        tablet.send(cleaned("4"))
        tablet.send(update("5"))
        tablet.send(cleaned("6"))
        #expect(tablet.takeEffects().map(\.name) == ["storage"] && tablet.heard().isEmpty)
        tablet.deliver(.done(sequence: 9))
        #expect(tablet.heard() == [ack("2", 9), ack("3"), ack("4")])
        effects = tablet.takeEffects()
        #expect(effects.map(\.name) == ["broadcast", "broadcast", "storage"])
        tablet.deliver(.done(sequence: 10))
        #expect(tablet.heard() == [ack("5", 10), ack("6")])
    }

    @Test("commands without an id are done and not answered")
    func withoutID() {
        var tablet = Tablet.active()
        tablet.send(cleaned(nil))
        tablet.send(update(nil))
        #expect(tablet.takeEffects().map(\.name) == ["broadcast", "storage"])
        tablet.deliver(.done(sequence: 3))
        #expect(tablet.heard().isEmpty)
    }

    @Test("64 commands wait; more are refused by name, and may come again")
    func waiting() {
        var tablet = Tablet.active()
        for number in 0...64 { tablet.send(update("\(number)")) }
        #expect(tablet.heard().isEmpty)
        tablet.send(update("65"))
        tablet.send(cleaned("66"))
        let refusals = tablet.heard()
        #expect(refusals.map { $0.data?["id"] } == ["65", "66"])
        #expect(refusals.allSatisfy { $0.data?["code"] == "rate_limited" && $0.data?["retry_after_ms"] != nil })
        for number in 0...64 {
            tablet.deliver(.done(sequence: nil))
            #expect(tablet.answers() == ["\(number)"])
        }
        #expect(tablet.takeEffects().count == 65)
    }

    // MARK: Events

    @Test("each event is sent once, transient ones always, and none once it is over")
    func events() {
        var tablet = Tablet.active(sequence: 7)
        for sequence in [6, 7, 8, 8, 9, 7, 9, 10] as [EventSequence] {
            tablet.deliver(event: "{\"n\":\(sequence)}", sequence: sequence)
        }
        for _ in 0..<2 { tablet.deliver(event: "{\"n\":\"t\"}", sequence: nil) }
        let numbers = tablet.received().map { frame -> JSONTree? in
            if case .message(let tree) = frame { tree["n"] } else { nil }
        }
        #expect(numbers == [8, 9, 10, "t", "t"])
        tablet.close(.accessRevoked)
        #expect(tablet.heard() == [.close(4006, "Access revoked")])
        tablet.deliver(event: "{}", sequence: 11)
        tablet.deliver(event: "{}", sequence: nil)
        tablet.deliver(.done(sequence: 1))
        tablet.advance(.seconds(4))
        #expect(tablet.takeOutput().isEmpty)
    }

    @Test("nothing follows a close frame, and nothing is done for who gets one", arguments: CloseReason.allCases)
    func closed(reason: CloseReason) {
        var tablet = Tablet.active()
        tablet.send(update("1"))
        _ = tablet.takeEffects()
        tablet.close(reason)
        #expect(tablet.heard() == [.close(reason.code, reason.sentence.description)])
        #expect(tablet.takeEffects().map(\.name) == ["ended"] && tablet.stack.user == nil)
        tablet.send(update("2"))
        tablet.send("{\"type\":\"ping\"}")
        tablet.send(F.frame(F.ping, "x"))
        tablet.deliver(.done(sequence: 1))
        #expect(tablet.takeOutput().isEmpty && tablet.takeEffects().isEmpty && tablet.stack.transport == .open)
        tablet.send(F.closeFrame(reason.code))
        #expect(tablet.takeOutput().isEmpty && tablet.takeEffects().isEmpty && tablet.stack.transport == .closing)
    }

    // MARK: The end

    /// Every way in which a session ends.
    private static let ends: [(name: String, end: @Sendable (inout Tablet) -> Void)] = [
        ("the peer closes", { $0.send(F.closeFrame(1000)) }),
        ("the peer closes without a code", { $0.send(F.frame(F.close)) }),
        ("the peer hangs up", { $0.endOfInput() }), ("the socket is gone", { $0.abandon() }),
        ("the server closes", { $0.close(.goingAway) }), ("binary", { $0.send(F.frame(F.binary, "x")) }),
        ("bad frame", { $0.send([0xff, 0xff]) }), ("bad UTF-8", { $0.send(F.frame(F.text, [0xff])) }),
        ("too big", { $0.send(F.header(F.text, claiming: 100_000)) }),
        ("silence", { $0.advance(.seconds(100)) }),
        ("the token's end", { $0.live(.seconds(3_601)) }),
        (
            "no end of messages",
            { tablet in for _ in 0..<220 { tablet.send("{\"type\":\"ping\"}") } }
        ),
    ]

    @Test("a session ends exactly once, whatever ends it and whatever comes then", arguments: 0..<12, 0..<3)
    func ends(way: Int, state: Int) {
        let (name, end) = Self.ends[way]
        var tablet = state == 0 ? Tablet.active() : Tablet.upgraded()
        if state == 2 {
            // With the check under way, what arrives is left unread; its answer lets it be read.
            tablet.send(Tablet.authenticate())
            _ = tablet.takeEffects()
        }
        end(&tablet)
        if state == 2 { tablet.deliver(.accepted(tablet.identity(tokenLasts: .milliseconds(1)))) }
        tablet.advance(.milliseconds(1))
        var names = tablet.takeEffects().map(\.name)
        #expect(names.filter { $0.hasPrefix("ended") }.count == 1, "\(name): \(names)")
        if state < 2 { #expect(names.last == (state == 0 ? "ended" : "ended unauthenticated"), "\(name)") }
        tablet.send(F.closeFrame(1000))
        tablet.endOfInput()
        tablet.close(.internalError)
        tablet.deliver(.accepted(tablet.identity()))
        tablet.advance(.seconds(200))
        tablet.abandon()
        tablet.abandon()
        names = tablet.takeEffects().map(\.name)
        #expect(names.isEmpty, "\(name): \(names)")
        #expect(tablet.stack.transport == .aborted)
    }

    @Test("a close frame of the peer is answered with its code, and the socket closed behind it")
    func peerCloses() {
        var tablet = Tablet.active()
        tablet.send(F.frame(F.text, "{\"type\":\"ping\"}") + F.closeFrame(1001, Array("bye".utf8)) + F.frame(F.ping))
        #expect(tablet.heard().dropFirst() == [.close(1001, "")])
        #expect(tablet.stack.transport == .closing)
    }
}
