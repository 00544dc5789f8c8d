import FynloCore
import Testing

@Suite("ClientSession: commands")
struct ClientCommandTests {
    private func ack(_ id: String, _ sequence: Int? = nil) -> String {
        #"{"type":"ack","data":{"id":"\#(id)"\#(sequence.map { ",\"seq\":\($0)" } ?? "")}}"#
    }

    private func error(_ id: String, _ code: String, _ more: String = "") -> String {
        #"{"type":"error","data":{"id":"\#(id)","code":"\#(code)","error":"E"\#(more)}}"#
    }

    @Test("are kept, then queued, then sent one at a time, in order, each with its answer")
    func inOrder() throws {
        let script = SessionScript.connected()
        for id in ["a", "b", "c"] { try script.submitUnkept(id: id) }
        #expect(script.takeStory() == ["keep a", "keep b", "keep c"])
        #expect(script.takeSaid().isEmpty, "nothing is sent that is not kept")
        script.kept(2)
        #expect(script.takeStory() == ["a queued", "b queued", "a sent"])
        script.say(ack("a", 8))
        #expect(script.takeStory() == ["message ack", "forget a", "a acknowledged 8", "b sent"])
        script.say(error("b", "order_not_found"))
        #expect(script.takeStory() == ["message error", "forget b", "b refused order_not_found"])
        #expect(script.takeSaid() == ["order.status_update", "order.status_update"])
        script.kept(1)
        script.say(ack("c"))
        #expect(script.takeStory() == ["c queued", "c sent", "message ack", "forget c", "c acknowledged 0"])
        #expect(script.session.outbox.waiting.isEmpty)
        #expect(script.session.outbox.finished.map(\.id) == ["a", "b", "c"])
    }

    @Test("that are given while away wait, and go after the welcome")
    func whileAway() throws {
        let script = SessionScript()
        try script.submit(id: "a")
        try script.submit("table.cleaned", #"{"table":4}"#, id: "b")
        #expect(script.takeStory() == ["keep a", "a queued", "keep b", "b queued"])
        script.connect()
        script.letIn()
        let said = script.takeMessages()
        #expect(said.map { $0["type"]?.text } == ["authenticate", "order.status_update"])
        #expect(said.last?["id"]?.text == "a")
        script.say(ack("a"))
        let next = script.takeMessages()
        #expect(next.first?["id"]?.text == "b")
        #expect(next.first?["data"]?["table"] == .number(4))
    }

    @Test("without an answer when the connection ends go again, first, under the same ids")
    func resent() throws {
        let script = SessionScript.connected()
        try script.submit(id: "a")
        try script.submit(id: "b")
        script.lose()
        #expect(script.takeStory().contains("a queued"))
        #expect(script.session.outbox.state(of: "a") == .queued)
        script.connect()
        script.letIn()
        #expect(script.takeStory().suffix(2) == ["connect", "a sent"])
        script.say(ack("a", 9))
        script.say(ack("b", 10))
        #expect(script.takeStory().contains("b acknowledged 10"))
    }

    @Test("an answer to a command that is not on its way is no answer")
    func foreignAnswers() throws {
        let script = SessionScript.connected()
        try script.submit(id: "a")
        try script.submit(id: "b")
        _ = script.takeStory()
        script.say(ack("b"))
        script.say(ack("x"))
        #expect(script.takeStory() == ["message ack", "message ack"])
        #expect(script.session.outbox.state(of: "b") == .queued)
    }

    @Test("that the server cannot do now go again, before any other", arguments: ["unavailable", "rate_limited"])
    func again(code: String) throws {
        let script = SessionScript.connected()
        try script.submit(id: "a")
        try script.submit(id: "b")
        _ = script.takeSaid()
        _ = script.takeStory()
        script.say(error("a", code, code == "rate_limited" ? #","retry_after_ms":700"# : ""))
        #expect(script.takeStory() == ["message error", "a queued"])
        if code == "rate_limited" {
            script.advance(.milliseconds(699))
            #expect(script.takeSaid().isEmpty)
            script.advance(.milliseconds(1))
        } else {
            script.advance(.seconds(1))
        }
        #expect(script.takeSaid() == ["order.status_update"])
        #expect(script.takeStory() == ["a sent"])
        script.say(ack("a"))
        #expect(script.takeStory().last == "b sent")
    }

    @Test("without an answer for 15 s go again over the same connection; a late answer finds nobody")
    func timedOut() throws {
        let script = SessionScript.connected()
        try script.submit(id: "a")
        _ = script.takeStory()
        for _ in 0..<3 {
            script.advance(.seconds(5))
            script.say(#"{"type":"pong","data":{}}"#)
        }
        #expect(script.takeStory().contains("a queued"))
        script.say(ack("a", 8))
        #expect(script.session.outbox.state(of: "a") == .queued)
        script.advance(.seconds(2))
        #expect(script.takeStory().last == "a sent")
        script.say(ack("a", 8))
        #expect(script.session.outbox.state(of: "a") == .acknowledged(sequence: 8))
    }

    @Test("that the storage cannot take are refused, and no other")
    func notKept() throws {
        let script = SessionScript.connected()
        for id in ["a", "b", "c"] { try script.submitUnkept(id: id) }
        script.kept(1)
        script.kept(1, failure: "The disk is full.")
        script.kept(1)
        #expect(
            script.takeStory() == [
                "keep a", "keep b", "keep c", "a queued", "a sent", "b refused not_stored", "c queued",
            ])
        #expect(
            script.session.outbox.state(of: "b")
                == .refused(
                    ServerError(
                        code: "not_stored", sentence: "The disk is full.", isRetryable: true, retryAfter: nil)))
    }

    @Test("one that the server finds too big is refused, and does not come again")
    func tooBig() throws {
        let script = SessionScript.connected()
        try script.submit(id: "a")
        script.say(close: 1009, "A message has at most 65536 bytes.")
        #expect(script.session.outbox.waiting.isEmpty)
        #expect(script.takeStory().contains("a refused message_too_large"))
    }

    @Test("that waited for longer than the server remembers answers are not sent")
    func tooOld() throws {
        let script = SessionScript()
        try script.submit(id: "old")
        script.advance(.seconds(7 * 86_400))
        try script.submit(id: "new")
        script.connect()
        _ = script.takeStory()
        script.letIn()
        #expect(script.takeStory().suffix(3) == ["forget old", "old refused too_old", "new sent"])
    }

    @Test("that the storage has kept go before new ones")
    func restored() throws {
        let time = Sample.time
        let kept = ["k1", "k2"].map { OutboxEntry(id: $0, type: "order.status_update", data: "{}", createdAt: time) }
        let script = SessionScript(commands: kept)
        try script.submit(id: "new")
        script.connect()
        script.letIn()
        for id in ["k1", "k2", "new"] { script.say(ack(id)) }
        #expect(
            script.takeStory().filter { $0.hasSuffix("sent") } == ["k1 sent", "k2 sent", "new sent"])
    }

    @Test("are refused at once where they can never be sent")
    func refused() throws {
        let script = SessionScript { settings in
            settings.outbox.commands = 3
            settings.outbox.bytes = 100
        }
        #expect(throws: CommandRefusal.idInvalid) { try script.submit(id: "") }
        #expect(throws: CommandRefusal.idInvalid) { try script.submit(id: String(repeating: "x", count: 129)) }
        #expect(throws: CommandRefusal.idInvalid) { try script.submit(id: "a\0b") }
        #expect(throws: CommandRefusal.dataNotAnObject) { try script.submit("t", "[]", id: "a") }
        #expect(throws: CommandRefusal.dataNotAnObject) { try script.submit("t", "{", id: "a") }
        let large = "{\"x\":\"\(String(repeating: "x", count: 65_536))\"}"
        #expect(throws: CommandRefusal.tooLarge(limitBytes: 65_536)) { try script.submit("t", large, id: "a") }
        try script.submit("t", id: "a")
        #expect(throws: CommandRefusal.idInUse) { try script.submit("t", id: "a") }
        let wide = "{\"x\":\"\(String(repeating: "x", count: 90))\"}"
        #expect(throws: CommandRefusal.outboxFull(commands: 3, bytes: 100)) { try script.submit("t", wide, id: "b") }
        try script.submit("t", id: "b")
        try script.submit("t", id: "c")
        #expect(throws: CommandRefusal.outboxFull(commands: 3, bytes: 100)) { try script.submit("t", id: "d") }
        #expect(script.takeStory().filter { $0.hasPrefix("keep") } == ["keep a", "keep b", "keep c"])
    }

    @Test("get ids of their own where they bring none")
    func ids() throws {
        var session = SessionScript().session
        var effects: [ClientSession.Effect] = []
        let now = VirtualClock().now
        let ids = try (0..<100).map { _ in try session.submit("t", data: "{}", now: now, effects: &effects) }
        #expect(Set(ids).count == 100)
        #expect(ids.allSatisfy { UUID128($0) != nil && $0.dropFirst(14).first == "4" })
    }
}
