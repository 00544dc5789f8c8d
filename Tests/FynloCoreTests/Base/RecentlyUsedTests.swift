import FynloCore
import Testing

@Suite("RecentlyUsed")
struct RecentlyUsedTests {
    @Test("lets go of what was used longest ago")
    func oldestGoes() {
        var values = RecentlyUsed<String, Int>(limit: 3)
        for (number, key) in ["a", "b", "c"].enumerated() { values.insert(number, for: key, cost: 1) }
        #expect(values.use("a") == 0)
        // Looking is no use of it.
        #expect(values["b"] == 1)
        values.insert(3, for: "d", cost: 1)
        #expect(values.keys.sorted() == ["a", "c", "d"])
        values.insert(4, for: "c", cost: 2)
        #expect(values.keys.sorted() == ["c", "d"])
        #expect(values.cost == 3)
        #expect(values["c"] == 4)
    }

    @Test("keeps nothing that costs more than all may")
    func tooDear() {
        var values = RecentlyUsed<String, Int>(limit: 3)
        values.insert(1, for: "a", cost: 2)
        values.insert(2, for: "b", cost: 4)
        #expect(values.keys.sorted() == ["a"])
        // Not even the older one of the same key.
        values.insert(3, for: "a", cost: 4)
        #expect(values.count == 0 && values.cost == 0)
        values.insert(1, for: "c", cost: .max)
        #expect(values.count == 0)
    }

    @Test("changes values in place")
    func update() {
        var values = RecentlyUsed<String, Int>(limit: 3)
        values.insert(1, for: "a", cost: 1)
        #expect(
            values.update("a") { (value: inout Int) -> Int in
                value += 1
                return value * 10
            } == 20)
        #expect(values["a"] == 2)
        #expect(values.update("b") { $0 } == nil)
    }

    @Test("agrees with a list that is searched", arguments: [1, 2, 3] as [UInt64])
    func model(seed: UInt64) {
        var random = SeededBytes(seed)
        var values = RecentlyUsed<Int, Int>(limit: 20)
        var model: [(key: Int, value: Int, cost: Int)] = []  // the newest last
        for step in 0..<5_000 {
            let key = Int.random(in: 0..<30, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                values.remove(key)
                model.removeAll { $0.key == key }
            case 1, 2:
                let cost = Int.random(in: 0...6, using: &random)
                values.insert(step, for: key, cost: cost)
                model.removeAll { $0.key == key }
                while model.reduce(cost, { $0 + $1.cost }) > 20 { model.removeFirst() }
                model.append((key, step, cost))
            default:
                let found = model.firstIndex { $0.key == key }
                #expect(values.use(key) == found.map { model[$0].value })
                if let found { model.append(model.remove(at: found)) }
            }
            #expect(values.cost == model.reduce(0) { $0 + $1.cost })
            #expect(Set(values.keys) == Set(model.map(\.key)))
        }
    }

    /// Equal hashes, and such as differ in their highest bits only, meet in one place of the table.
    private struct Colliding: Hashable {
        let number: Int

        func hash(into hasher: inout Hasher) { hasher.combine(number / 4) }
    }

    @Test("finds what it keeps, and nothing else, as it grows and shrinks", arguments: [1, 2] as [UInt64])
    func growth(seed: UInt64) {
        var random = SeededBytes(seed)
        var values = RecentlyUsed<Colliding, Int>(limit: 4_000)
        var model: [Int: Int] = [:]
        for round in 0..<6 {
            for number in (0..<4_000).shuffled(using: &random) where round % 2 == 0 || number % 3 > 0 {
                if round % 2 == 0 {
                    values.insert(number + round, for: Colliding(number: number), cost: 1)
                    model[number] = number + round
                } else {
                    values.remove(Colliding(number: number))
                    model[number] = nil
                }
            }
            #expect(values.count == model.count)
            #expect((0..<4_100).allSatisfy { values[Colliding(number: $0)] == model[$0] })
        }
    }
}
