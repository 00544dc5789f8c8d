// A first-in, first-out queue whose first element can be removed without moving the rest.

/// A queue. Removing the first element costs the same however many there are.
///
/// Its methods are inlinable, so that other modules compile them for their own element types.
public struct WorkQueue<Item> {
    /// The elements are in `first..<end`; the other places are empty and get reused.
    @usableFromInline var places: [Item?] = []
    @usableFromInline var first = 0
    @usableFromInline var end = 0

    /// The capacity that is kept when the queue becomes empty.
    @usableFromInline static var keptPlaces: Int { 4_096 }

    /// An empty queue; allocates nothing.
    @inlinable public init() {}

    @inlinable public var isEmpty: Bool { first == end }

    /// The number of elements.
    @inlinable public var count: Int { end - first }

    /// Adds an element at the end.
    @inlinable public mutating func append(_ item: Item) {
        if end == places.count { makeRoom() }
        places[end] = item
        end += 1
    }

    /// Adds all elements of another queue at the end.
    @inlinable public mutating func append(_ others: consuming WorkQueue<Item>) {
        while let item = others.popFirst() { append(item) }
    }

    /// Removes and returns the first element.
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

    /// Makes room: moves the elements to the front if they fill less than half, otherwise doubles the capacity.
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
