import FynloCore
import Testing

@Suite("FairQueue")
struct FairQueueTests {
    private static func restaurant(_ number: UInt64) -> RestaurantID {
        RestaurantID(UUID128(high: number, low: 1))
    }

    @Test("restaurants take turns, and within each the first comes first")
    func turns() {
        var queue = FairQueue<Int>()
        for number in 0..<5 { queue.append(number, for: Self.restaurant(1)) }
        queue.append(100, for: Self.restaurant(2))
        queue.append(200, for: Self.restaurant(3))
        queue.append(101, for: Self.restaurant(2))
        #expect(queue.count == 8)
        var served: [Int] = []
        while let next = queue.popFirst() { served.append(next) }
        #expect(served == [0, 100, 200, 1, 101, 2, 3, 4])
        #expect(queue.isEmpty)
    }

    @Test("who comes late waits for one of each restaurant at most")
    func late() {
        var queue = FairQueue<Int>()
        for number in 0..<1_000 { queue.append(number, for: Self.restaurant(UInt64(number % 3))) }
        for _ in 0..<200 { _ = queue.popFirst() }
        queue.append(-1, for: Self.restaurant(9))
        let next = (0..<4).map { _ in queue.popFirst() }
        #expect(next.contains(-1))
        #expect(queue.count == 797)
    }

    @Test("serves on after a crowd has gone, whose memory it gave back")
    func crowds() {
        var queue = FairQueue<Int>()
        for crowd in [5_000, 3, 2_000, 1] {
            for number in 0..<crowd { queue.append(number, for: Self.restaurant(UInt64(number % 7))) }
            var served: Set<Int> = []
            while let next = queue.popFirst() { served.insert(next) }
            #expect(served == Set(0..<crowd))
        }
    }

    @Test("everyone is served once, whatever the order of coming and going", arguments: 0..<20 as Range<UInt64>)
    func atRandom(seed: UInt64) {
        var generator = SeededBytes(seed)
        var queue = FairQueue<Int>()
        var served: [Int] = []
        var last: [UInt64: Int] = [:]
        for number in 0..<2_000 {
            queue.append(number * 8 + Int(number % 5), for: Self.restaurant(UInt64(number % 5)))
            while Int.random(in: 0..<2, using: &generator) == 0, let next = queue.popFirst() { served.append(next) }
        }
        while let next = queue.popFirst() { served.append(next) }
        #expect(served.count == 2_000 && Set(served).count == 2_000)
        for element in served {
            let line = UInt64(element % 8)
            #expect(last[line, default: -1] < element)
            last[line] = element
        }
        #expect(queue.isEmpty)
    }
}
