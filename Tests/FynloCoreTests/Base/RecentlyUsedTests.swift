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
}
