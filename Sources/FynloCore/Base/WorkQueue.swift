// What waits for its turn: in order, with a front that can be taken without moving the rest.

/// Things in the order in which they came; taking out the first costs the same however many there are.
///
/// Its body can be seen from other modules, so that it is compiled there for what they keep in it.
public struct WorkQueue<Item> {
    /// What waits is in `first..<end`; the other places are empty, and are used again.
    @usableFromInline var places: [Item?] = []
    @usableFromInline var first = 0
    @usableFromInline var end = 0

    /// So much memory is kept when it has become empty.
    @usableFromInline static var keptPlaces: Int { 4_096 }

    /// An empty one; allocates nothing.
    @inlinable public init() {}

    @inlinable public var isEmpty: Bool { first == end }

    /// How many wait.
    @inlinable public var count: Int { end - first }

    /// Adds one behind the others.
    @inlinable public mutating func append(_ item: Item) {
        if end == places.count { makeRoom() }
        places[end] = item
        end += 1
    }

    /// Adds all of another one behind the others.
    @inlinable public mutating func append(_ others: consuming WorkQueue<Item>) {
        while let item = others.popFirst() { append(item) }
    }

    /// Takes out the one that has waited longest.
    @inlinable public mutating func popFirst() -> Item? {
        guard first < end else { return nil }
        let item = places[first].take()
        first += 1
        if first == end {
            if places.count > WorkQueue.keptPlaces { places = [] }
            first = 0
            end = 0
        }
        return item
    }

    /// Moves what waits to the front when that is the smaller part, and makes twice as many places otherwise.
    @inlinable mutating func makeRoom() {
        if first > end - first {
            for place in first..<end { places.swapAt(place, place - first) }
            end -= first
            first = 0
        } else {
            places.append(contentsOf: repeatElement(nil, count: max(places.count, 16)))
        }
    }
}

extension WorkQueue: Sendable where Item: Sendable {}
