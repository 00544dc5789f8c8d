// Who waits is served by turns, a restaurant at a time: one with a hundred tablets that all come back at once makes those
// of another wait for one of them, not for a hundred.

/// A queue with one line per restaurant.
public struct FairQueue<Element: Sendable>: Sendable {
    private struct Line: Sendable {
        var elements: [Element]
        /// The next of them; those before it have been served.
        var next = 0
    }

    private var lines: [RestaurantID: Line] = [:]
    /// The restaurants with somebody waiting, in the order of their turns, from `nextTurn` on.
    private var turns: [RestaurantID] = []
    private var nextTurn = 0

    /// How many wait.
    public private(set) var count = 0
    public var isEmpty: Bool { count == 0 }

    public init() {}

    /// Lets one more wait in the line of a restaurant.
    public mutating func append(_ element: Element, for restaurant: RestaurantID) {
        count += 1
        if lines[restaurant]?.elements.append(element) == nil {
            lines[restaurant] = Line(elements: [element])
            turns.append(restaurant)
        }
    }

    /// The next to be served; `nil` when nobody waits.
    public mutating func popFirst() -> Element? {
        guard nextTurn < turns.count else { return nil }
        let restaurant = turns[nextTurn]
        nextTurn += 1
        if nextTurn > 64, nextTurn * 2 > turns.count {
            turns.removeFirst(nextTurn)
            nextTurn = 0
        }
        // Taken out, so that the line is changed in place.
        guard var line = lines.removeValue(forKey: restaurant) else { return nil }
        let element = line.elements[line.next]
        line.next += 1
        count -= 1
        if line.next < line.elements.count {
            lines[restaurant] = line
            turns.append(restaurant)
        }
        return element
    }
}
