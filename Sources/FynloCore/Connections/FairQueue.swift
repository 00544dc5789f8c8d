// Who waits is served by turns, a restaurant at a time: one with a hundred tablets that all come back at once makes those
// of another wait for one of them, not for a hundred.

/// A queue with one line per restaurant.
///
/// Its body can be seen from other modules, so that it is compiled there for what they keep in it.
public struct FairQueue<Element: Sendable>: Sendable {
    /// All lines are chains through one array: a line of its own for each restaurant, most of one element, would be memory
    /// asked for and given back each time.
    @usableFromInline struct Place: Sendable {
        @usableFromInline var element: Element?
        /// The place behind this one in its line, or of those that are free; -1: none.
        @usableFromInline var next: Int

        @inlinable init(element: Element?, next: Int) {
            self.element = element
            self.next = next
        }
    }

    /// The ends of a line that nobody has left.
    @usableFromInline struct Line: Sendable {
        @usableFromInline var first: Int
        @usableFromInline var last: Int

        @inlinable init(first: Int, last: Int) {
            self.first = first
            self.last = last
        }
    }

    @usableFromInline var places: [Place] = []
    @usableFromInline var free = -1
    @usableFromInline var lines: [RestaurantID: Line] = [:]
    /// The restaurants with somebody waiting, in the order of their turns.
    @usableFromInline var turns = WorkQueue<RestaurantID>()

    /// So many places are kept when nobody waits any more.
    @usableFromInline static var keptPlaces: Int { 1_024 }

    @usableFromInline var waiting = 0

    /// How many wait.
    @inlinable public var count: Int { waiting }
    @inlinable public var isEmpty: Bool { waiting == 0 }

    @inlinable public init() {}

    /// Lets one more wait in the line of a restaurant.
    @inlinable public mutating func append(_ element: Element, for restaurant: RestaurantID) {
        let place = take(element)
        waiting += 1
        if let line = lines.index(forKey: restaurant) {
            places[lines.values[line].last].next = place
            lines.values[line].last = place
        } else {
            lines[restaurant] = Line(first: place, last: place)
            turns.append(restaurant)
        }
    }

    /// The next to be served; `nil` when nobody waits.
    @inlinable public mutating func popFirst() -> Element? {
        guard let restaurant = turns.popFirst(), let line = lines.index(forKey: restaurant) else { return nil }
        let place = lines.values[line].first
        let next = places[place].next
        if next < 0 {
            lines.remove(at: line)
        } else {
            lines.values[line].first = next
            turns.append(restaurant)
        }
        waiting -= 1
        let element = places[place].element.take()
        places[place].next = free
        free = place
        if waiting == 0, places.count > FairQueue.keptPlaces {
            places = []
            free = -1
        }
        return element
    }

    /// Gives an element a place, one that is free if there is any.
    @inlinable mutating func take(_ element: Element) -> Int {
        guard free >= 0 else {
            places.append(Place(element: element, next: -1))
            return places.count - 1
        }
        let place = free
        free = places[place].next
        places[place].element = element
        places[place].next = -1
        return place
    }
}
