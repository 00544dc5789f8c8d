// Every connection by its number: asked once for each tablet that an event goes to, and 8 to 16 bytes for each that is there.

/// What has a number that nothing else of its kind has; numbers are counted up.
protocol Numbered: AnyObject {
    var number: UInt64 { get }
}

/// The connections of a process.
///
/// Open addressing with linear probing; a place needs no key beside the connection, which knows its number.
struct ConnectionTable<Connection: Numbered> {
    /// A power of two of them, at most three quarters in use.
    private var places: [Connection?] = Array(repeating: nil, count: 64)
    private(set) var count = 0

    /// Eight that came one after the other, a restaurant's often, lie beside each other, in what is one line of the processor's
    /// cache; each eight far from the next (Fibonacci hashing). Were all of them in a row, letting the first one go would look
    /// at all the others: 2 µs for each when 5,000 leave, and more the more there are.
    private func home(of number: UInt64) -> Int {
        let spread = (number >> 3) &* 0x9E37_79B9_7F4A_7C15
        let line = spread >> UInt64(64 - places.count.trailingZeroBitCount)
        return Int(line) & ~7 | Int(number & 7)
    }

    /// Where a connection is, or the free place where it would be.
    private func place(of number: UInt64) -> Int {
        var place = home(of: number)
        while let connection = places[place], connection.number != number {
            place = (place + 1) & (places.count - 1)
        }
        return place
    }

    /// A connection by its number; `nil` when it is gone.
    subscript(number: UInt64) -> Connection? { places[place(of: number)] }

    /// Takes in a connection with a number of its own.
    mutating func insert(_ connection: Connection) {
        if (count + 1) * 4 > places.count * 3 { resize(to: places.count * 2) }
        places[place(of: connection.number)] = connection
        count += 1
    }

    /// Lets a connection go; false when it was not there.
    mutating func remove(_ number: UInt64) -> Bool {
        var gap = place(of: number)
        guard places[gap] != nil else { return false }
        places[gap] = nil
        count -= 1
        // Those behind it that were pushed on by it move up, so that no search stops short of them.
        var place = (gap + 1) & (places.count - 1)
        while let connection = places[place] {
            let distance = (place - home(of: connection.number)) & (places.count - 1)
            if distance >= (place - gap) & (places.count - 1) {
                places[gap] = connection
                places[place] = nil
                gap = place
            }
            place = (place + 1) & (places.count - 1)
        }
        if places.count > 64, count * 8 < places.count { resize(to: places.count / 2) }
        return true
    }

    private mutating func resize(to size: Int) {
        let old = places
        places = Array(repeating: nil, count: size)
        for case let connection? in old { places[place(of: connection.number)] = connection }
    }

    /// All of them, in no order.
    var all: [Connection] { places.compactMap { $0 } }

    /// How many places without a free one between them there are at most.
    var longestRun: Int {
        var (longest, run) = (0, 0)
        // Twice around, as a run may go on from the last place to the first.
        for place in 0..<places.count * 2 {
            run = places[place & (places.count - 1)] == nil ? 0 : run + 1
            longest = max(longest, run)
        }
        return longest
    }
}
