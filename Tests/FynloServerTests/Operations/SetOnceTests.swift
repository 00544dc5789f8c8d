import Testing

@testable import FynloServer

@Suite("A callback between parts")
struct SetOnceTests {
    private final class Part {
        @SetOnce var whenDone: (Int) -> Int = { _ in 0 }
    }

    @Test("does nothing until it is set, and nothing again once it is cleared")
    func life() {
        let part = Part()
        #expect(part.whenDone(3) == 0)
        part.whenDone = { $0 + 1 }
        #expect(part.whenDone(3) == 4)
        part.$whenDone.clear()
        #expect(part.whenDone(3) == 0)
        part.whenDone = { $0 + 2 }
        #expect(part.whenDone(3) == 5)
    }

    @Test("traps when a second user would replace the first")
    func secondUser() async {
        await #expect(processExitsWith: .failure) {
            let part = Part()
            part.whenDone = { $0 + 1 }
            part.whenDone = { $0 + 2 }
        }
    }
}
