import FynloCore
import Testing

private func update(_ id: String) -> String {
    "{\"type\":\"order.status_update\",\"id\":\"\(id)\",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready\"}}"
}

private let goodbye = TabletHeard.message("reconnect", ["retry_after_ms": 300])
private let end = TabletHeard.close(1001, CloseReason.goingAway.sentence.description)

@Suite("ServerSession: the server goes away")
struct LeavingTests {
    @Test("a tablet with nothing under way is told when to come back, and closed at once")
    func idle() {
        var tablet = Tablet.active()
        tablet.leave()
        #expect(tablet.heard() == [goodbye, end])
        #expect(tablet.takeEffects().map(\.name) == ["ended"])
        tablet.leave()
        #expect(tablet.heard().isEmpty && tablet.takeEffects().isEmpty)
    }

    @Test(
        "a command that is with storage has its answer before the close frame; those behind it are not begun",
        arguments: [
            (CommandAnswer.done(sequence: 8), "ack"),
            (.refused(APIError(.orderNotFound, "There is no such order.")), "error"),
            (.refused(.unavailable), "error"),
        ])
    func underWay(answer: CommandAnswer, type: String) {
        var tablet = Tablet.active()
        tablet.send(update("1"))
        tablet.send(update("2"))
        tablet.send("{\"type\":\"table.cleaned\",\"id\":\"3\",\"data\":{}}")
        #expect(tablet.takeEffects().map(\.name) == ["storage"])
        tablet.leave()
        #expect(tablet.heard() == [goodbye])
        #expect(tablet.takeEffects().isEmpty, "the session goes on")
        tablet.leave()
        #expect(tablet.heard().isEmpty, "said once")
        tablet.deliver(answer)
        let heard = tablet.heard()
        #expect(heard.map(\.type) == [type, nil])
        #expect(heard.first?.data?["id"] == "1")
        #expect(heard.last == end)
        #expect(tablet.takeEffects().map(\.name) == ["ended"])
    }

    @Test("what a tablet sends after it was told is not begun and not answered; pings are, and events still come")
    func late() {
        var tablet = Tablet.active()
        tablet.send(update("1"))
        tablet.leave()
        _ = (tablet.heard(), tablet.takeEffects())
        tablet.send(update("2"))
        tablet.send("{\"type\":\"table.cleaned\",\"id\":\"3\",\"data\":{}}")
        #expect(tablet.heard().isEmpty && tablet.takeEffects().isEmpty)
        tablet.send("{\"type\":\"ping\"}")
        tablet.deliver(event: "{\"seq\":8}", sequence: 8)
        #expect(tablet.received().count == 2)
        tablet.deliver(.done(sequence: 8))
        #expect(tablet.heard().map(\.type) == ["ack", nil])
        #expect(tablet.takeEffects().map(\.name) == ["ended"])
    }

    @Test("what a tablet sends too fast after it was told is not answered either: it sends it again, to another server")
    func flood() {
        var tablet = Tablet.active()
        tablet.send(update("1"))
        tablet.leave()
        _ = (tablet.heard(), tablet.takeEffects())
        for number in 0..<(Limits().messageBurst + 10) { tablet.send(update("late \(number)")) }
        #expect(tablet.heard().isEmpty && tablet.takeEffects().isEmpty)
        tablet.deliver(.done(sequence: 8))
        #expect(tablet.heard().map(\.type) == ["ack", nil])
    }

    @Test("a tablet that is not in yet is closed without a word")
    func stranger() {
        var tablet = Tablet.upgraded()
        tablet.leave()
        #expect(tablet.heard() == [end])
        #expect(tablet.takeEffects().map(\.name) == ["ended unauthenticated"])
    }
}
