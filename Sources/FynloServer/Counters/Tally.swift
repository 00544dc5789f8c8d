// Counts by the cases of an enum. The enum determines the size, so that a new case is counted without further changes.

/// A count for every case.
struct Tally<Key: CaseIterable & Equatable> {
    private let keys = Array(Key.allCases)
    /// The counts, in the order of `keys`.
    private var numbers: [UInt64]

    init() {
        numbers = Array(repeating: 0, count: keys.count)
    }

    mutating func add(_ key: Key) {
        guard let place = keys.firstIndex(of: key) else { preconditionFailure("allCases has every case") }
        numbers[place] += 1
    }

    /// Every case with its count, in the order of their declaration.
    var counts: [(key: Key, count: UInt64)] { Array(zip(keys, numbers)) }
}
