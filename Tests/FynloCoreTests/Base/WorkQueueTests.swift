import FynloCore
import Testing

@Suite("WorkQueue")
struct WorkQueueTests {
    @Test("gives what it was given, in order, however appending and taking out take turns", arguments: 0..<20)
    func order(seed: UInt64) {
        var generator = SeededBytes(seed)
        var queue = WorkQueue<Int>()
        var (next, expected) = (0, 0)
        for _ in 0..<200 {
            for _ in 0..<Int.random(in: 0...40, using: &generator) {
                queue.append(next)
                next += 1
            }
            for _ in 0..<Int.random(in: 0...40, using: &generator) where expected < next {
                #expect(queue.popFirst() == expected)
                expected += 1
            }
            #expect(queue.count == next - expected && queue.isEmpty == (next == expected))
        }
        while expected < next {
            #expect(queue.popFirst() == expected)
            expected += 1
        }
        #expect(queue.popFirst() == nil && queue.isEmpty)
    }

    @Test("takes all of another one behind its own", arguments: [(0, 0), (0, 3), (3, 0), (3, 5_000)])
    func joined(own: Int, others: Int) {
        var (queue, other) = (WorkQueue<Int>(), WorkQueue<Int>())
        for number in 0..<own { queue.append(number) }
        for number in own..<own + others { other.append(number) }
        queue.append(other)
        #expect((0..<own + others).allSatisfy { queue.popFirst() == $0 } && queue.isEmpty)
    }

    @Test("lets go of what was taken out")
    func release() {
        final class Item {}
        weak var last: Item?
        var queue = WorkQueue<Item>()
        for _ in 0..<100 {
            let item = Item()
            last = item
            queue.append(item)
        }
        while queue.popFirst() != nil {}
        #expect(last == nil)
    }
}
