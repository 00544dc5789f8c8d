import FynloCore
import Testing

@Suite("ResumeCursor")
struct ResumeCursorTests {
    @Test("lets each newer live event through once, nothing older, and tells of gaps")
    func live() {
        var cursor = ResumeCursor(after: 5)
        let events: [(EventSequence, ResumeCursor.Verdict)] = [
            (4, .pass), (5, .pass), (6, .next), (6, .pass), (5, .pass), (7, .next), (9, .gap), (8, .pass), (9, .pass),
            (10, .next), (.max, .gap), (.max, .pass), (.min, .pass),
        ]
        #expect(events.map { cursor.take(live: $0.0) } == events.map(\.1))
        #expect(cursor.sequence == .max)
    }

    @Test("while a tablet is sent what it missed, that comes in order and live events wait for their turn")
    func replay() {
        var cursor = ResumeCursor(after: 5, isReplaying: true)
        let events: [(EventSequence, Bool)] = [(5, false), (7, false), (6, true), (6, false), (7, true)]
        #expect(events.map { cursor.take(replayed: $0.0) } == events.map(\.1))
        #expect([8, 9].map { cursor.take(live: $0) } == [.pass, .pass])
        #expect([8, 9].map { cursor.take(replayed: $0) } == [true, true])
        cursor.finishReplay()
        #expect([10].map { cursor.take(replayed: $0) } == [false])
        #expect([9, 10].map { cursor.take(live: $0) } == [.pass, .next])
    }

    @Test("an end of the numbers is no trap")
    func extremes() {
        var cursor = ResumeCursor(after: .max, isReplaying: true)
        #expect([EventSequence.max].map { cursor.take(replayed: $0) } == [false])
        var low = ResumeCursor(after: .min)
        #expect([.min, .min + 1].map { low.take(live: $0) } == [.pass, .next])
    }
}
