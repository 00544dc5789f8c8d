import FynloCore
import Testing

private typealias F = FrameBytes

/// RFC 6455 §5.5.1: an end sends no frames after its close frame.
@Suite("After the close frame")
struct AfterCloseTests {
    /// How the WebSocket comes to its close frame.
    enum End: CaseIterable {
        case byServer, byPeer, violation, binary, silence, leaving
    }

    @Test("nothing follows it, whatever is delivered", arguments: End.allCases, [true, false])
    func nothingFollows(end: End, isReplaying: Bool) throws {
        var tablet = Tablet.active()
        let update =
            "{\"type\":\"order.status_update\",\"id\":\"1\",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready\"}}"
        if end != .leaving { tablet.send(update) }
        _ = tablet.heard()
        switch end {
        case .byServer: tablet.close(.slowConsumer)
        case .byPeer: tablet.send(F.closeFrame(1000))
        case .violation: tablet.send(F.frame(3, "{}"))
        case .binary: tablet.send(F.frame(F.binary, [1, 2]))
        case .silence: tablet.advance(.seconds(61))
        case .leaving: tablet.leave()
        }
        let last = try #require(tablet.heard().last)
        guard case .close = last else {
            Issue.record("\(last)")
            return
        }
        let frame = EventFrame(Sample.event(8))
        tablet.deliver(event: "{}", sequence: nil)
        tablet.deliver(event: "{}", sequence: 8)
        tablet.deliver(replay: isReplaying ? .events([frame]) : .lost(head: 9))
        tablet.deliver(.done(sequence: 8))
        tablet.deliver(.accepted(tablet.identity()))
        tablet.deliver(reauthentication: .failed(.invalidToken))
        tablet.tick()
        tablet.leave()
        tablet.close(.goingAway)
        #expect(tablet.takeOutput().isEmpty)
    }
}
