import FynloCore
import Testing

@Suite("The trace of a connection")
struct ProtocolTraceTests {
    private var clock = VirtualClock()

    @Test("takes 64 bytes")
    func size() {
        #expect(MemoryLayout<ProtocolTrace>.size <= 64 && MemoryLayout<ProtocolTrace>.stride == 64)
        #expect(MemoryLayout<SessionCounts>.size <= 40)
    }

    @Test("has what happened, in order, each with its age; the same in a row is one with a count")
    mutating func order() {
        var trace = ProtocolTrace()
        #expect(trace.entries(at: clock.now.instant).isEmpty && trace.text(at: clock.now.instant).isEmpty)
        trace.note(.upgrade, at: clock.now.instant)
        clock.advance(.seconds(2))
        for _ in 0..<3 {
            trace.note(.ping, at: clock.now.instant)
            clock.advance(.seconds(10))
        }
        trace.note(.closeSent, at: clock.now.instant)
        let entries = trace.entries(at: clock.now.instant)
        #expect(entries.map(\.event) == [.upgrade, .ping, .closeSent] && entries.map(\.count) == [1, 3, 1])
        let ages = entries.map { Double($0.age.inMilliseconds) / 1_000 }
        for (age, exact) in zip(ages, [32, 10, 0]) { #expect(abs(age - Double(exact)) < 0.3) }
        #expect(
            trace.text(at: clock.now.instant).wholeMatch(of: /upgrade 3[12]\.\d, ping\*3 (9|10)\.\d, close_sent 0\.0/)
                != nil)
    }

    @Test("keeps the last fifteen")
    mutating func wrapping() {
        var trace = ProtocolTrace()
        for number in 0..<100 {
            trace.note(number.isMultiple(of: 2) ? .command : .acknowledgement, at: clock.now.instant)
            clock.advance(.seconds(1))
        }
        let entries = trace.entries(at: clock.now.instant)
        #expect(entries.count == ProtocolTrace.capacity)
        #expect(entries.first?.event == .acknowledgement && entries.last?.event == .acknowledgement)
        for (entry, age) in zip(entries, stride(from: 15.0, through: 1, by: -1)) {
            #expect(abs(Double(entry.age.inMilliseconds) / 1_000 - age) < 0.3 * (age + 1))
        }
        #expect(zip(entries, entries.dropFirst()).allSatisfy { $0.age >= $1.age })
    }

    @Test("counts no further than 255, and knows ages of hours")
    mutating func limits() {
        var trace = ProtocolTrace()
        trace.note(.upgrade, at: clock.now.instant)
        for _ in 0..<2_000 {
            clock.advance(.seconds(15))
            trace.note(.ping, at: clock.now.instant)
        }
        clock.advance(.seconds(14_400))
        let entries = trace.entries(at: clock.now.instant)
        #expect(entries.map(\.count) == [1, 255])
        #expect(entries[1].age > .seconds(14_395) && entries[1].age < .seconds(14_405))
    }

    @Test("names each event by a word of its own, for which a log has room")
    func names() {
        let names = ProtocolEvent.allCases.map(\.name.description)
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.allSatisfy { $0.isLowercase || $0 == "_" } && $0.utf8.count <= 14 })
    }

    @Test("of a session tells of what was said, and of nothing that was in it")
    func session() {
        var tablet = Tablet.active()
        tablet.send("{\"type\":\"ping\",\"data\":{\"last_seq\":5,\"rtt_ms\":12.7}}")
        tablet.send("{\"type\":\"ping\"}")
        tablet.send("{\"type\":\"table.occupied\",\"id\":\"a\",\"data\":{}}")
        tablet.send("{\"type\":\"nonsense\",\"id\":\"b\"}")
        tablet.send("[")
        tablet.deliver(event: "{}", sequence: nil)
        tablet.send(FrameBytes.frame(FrameBytes.ping))
        tablet.send(FrameBytes.frame(FrameBytes.pong))
        tablet.close(.accessRevoked)
        let session = tablet.stack.log
        #expect(
            session.trace.entries(at: tablet.clock.now.instant).map(\.event) == [
                .upgrade, .authenticate, .authenticated, .ping, .transient, .acknowledgement, .unreadable, .error,
                .unreadable, .error, .event, .ping, .pong, .closeSent,
            ])
        #expect(session.counts.pings == 3 && session.counts.transients == 1 && session.counts.unreadable == 2)
        #expect(session.counts.others == 2 && session.counts.errors == 2 && session.counts.messages == 8)
        #expect(session.counts.toldSequence == 5 && session.counts.roundTripMilliseconds == 12)
        _ = tablet.takeEffects()
        #expect(tablet.refusals == [.unknownType, .invalidMessage])
    }

    /// How a session can end.
    enum Ending: CaseIterable {
        case closeFrame, closeFrameWithoutCode, violation, endOfInput, failure, reason, silence

        func act(on tablet: inout Tablet) {
            switch self {
            case .closeFrame: tablet.send(FrameBytes.frame(FrameBytes.close, [0x03, 0xe8]))
            case .closeFrameWithoutCode: tablet.send(FrameBytes.frame(FrameBytes.close))
            case .violation: tablet.send([0xf1, 0x80, 0, 0, 0, 0])
            case .endOfInput: tablet.endOfInput()
            case .failure: tablet.abandon()
            case .reason: tablet.close(.slowConsumer)
            case .silence: tablet.advance(.seconds(100))
            }
        }

        var end: SessionEnd {
            switch self {
            case .closeFrame: .left(code: 1000)
            case .closeFrameWithoutCode: .left(code: nil)
            case .violation: .violation(code: 1002)
            case .endOfInput, .failure: .lost
            case .reason: .closed(.slowConsumer)
            case .silence: .closed(.heartbeatTimeout)
            }
        }
    }

    @Test("of a session has its end", arguments: Ending.allCases)
    func ends(ending: Ending) {
        var tablet = Tablet.active()
        ending.act(on: &tablet)
        let ends = tablet.takeEffects().compactMap { effect in
            if case .sessionEnded(_, let end, true) = effect { end } else { nil }
        }
        #expect(ends == [ending.end])
    }

    @Test("a tablet that was not let in ended for that reason")
    func refusal() {
        var tablet = Tablet.upgraded()
        tablet.send("{\"type\":\"ping\"}")
        let ends = tablet.takeEffects().compactMap { effect in
            if case .sessionEnded(_, let end, false) = effect { end } else { nil }
        }
        #expect(ends == [.refused(.notAuthentication)] && ends.first?.code == 4001)
    }

    @Test("ends are abnormal when something went wrong")
    func abnormal() {
        let normal: [SessionEnd] = [
            .left(code: 1000), .left(code: 1001), .left(code: nil), .closed(.goingAway), .closed(.replaced),
        ]
        let abnormal: [SessionEnd] = [
            .lost, .left(code: 1006), .violation(code: 1002), .refused(.invalidToken), .closed(.heartbeatTimeout),
            .closed(.slowConsumer), .closed(.rateLimited),
        ]
        #expect(normal.allSatisfy { !$0.isAbnormal } && abnormal.allSatisfy { $0.isAbnormal })
        #expect(SessionEnd.left(code: nil).code == 1005 && SessionEnd.lost.code == 1006)
    }
}
