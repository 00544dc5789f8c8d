import FynloCore
import Testing

@Suite("ResumeCursor")
struct ResumeCursorTests {
    @Test("admits each newer event once, and nothing older")
    func admits() {
        var cursor = ResumeCursor(after: 5)
        let asked: [EventSequence] = [4, 5, 6, 6, 5, 7, 9, 8, 9, 10, .max, .max]
        #expect(asked.filter { cursor.admits($0) } == [6, 7, 9, 10, .max])
        #expect(cursor.sequence == .max)
    }
}
