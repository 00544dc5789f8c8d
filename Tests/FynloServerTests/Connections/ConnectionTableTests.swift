import Testing

@testable import FynloServer

@Suite("The table of connections")
struct ConnectionTableTests {
    private final class Entry: Numbered {
        let number: UInt64
        init(_ number: UInt64) { self.number = number }
    }

    @Test("has who was put in and not taken out, whatever came and went before")
    func model() {
        var generator = SystemRandomNumberGenerator()
        var table = ConnectionTable<Entry>()
        var model: Set<UInt64> = []
        var last: UInt64 = 0
        for step in 0..<8_000 {
            // Up to a thousand or so, down to a few, and up again.
            let isGrowing = step / 2_000 % 2 == 0
            if model.isEmpty || Int.random(in: 0..<10, using: &generator) < (isGrowing ? 8 : 2) {
                last += 1
                table.insert(Entry(last))
                model.insert(last)
            } else {
                // The oldest, the newest, or any; one time in ten one that is not there.
                let number =
                    switch Int.random(in: 0..<10, using: &generator) {
                    case 0: last + 1
                    case 1..<4: model.min() ?? 0
                    case 4..<7: model.max() ?? 0
                    default: model.randomElement(using: &generator) ?? 0
                    }
                #expect(table.remove(number) == (model.remove(number) != nil))
            }
            let probe = UInt64.random(in: 0...last + 1, using: &generator)
            #expect(table[probe]?.number == (model.contains(probe) ? probe : nil))
            #expect(table.count == model.count)
        }
        #expect(Set(table.all.map(\.number)) == model)
        for number in model { #expect(table[number]?.number == number) }
    }

    @Test("has short runs, whoever is there: all who came, every other one, and those of a day that stayed")
    func runs() {
        for step in [1, 2, 3, 8, 20, 64, 100, 1_000] as [UInt64] {
            var table = ConnectionTable<Entry>()
            for index in 1...UInt64(20_000) {
                table.insert(Entry(index * step))
                if index % 500 == 0 { #expect(table.longestRun < 200, "\(index) of every \(step)") }
            }
        }
    }
}
