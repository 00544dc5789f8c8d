// Every connection by its number: asked once for each tablet that an event goes to, and 8 to 16 bytes for each that is there.

/// The connections of a process.
///
/// Open addressing with linear probing. Numbers are counted up, so the lowest bits of one are as good a hash as any, and a
/// place needs no key beside the connection, which knows its number.
struct ConnectionTable {
    /// A power of two of them, at most three quarters in use.
    private var places: [ClientConnection?] = Array(repeating: nil, count: 64)
    private(set) var count = 0

    private func home(of number: UInt64) -> Int {
        Int(truncatingIfNeeded: number) & (places.count - 1)
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
    subscript(number: UInt64) -> ClientConnection? { places[place(of: number)] }

    /// Takes in a connection with a number of its own.
    mutating func insert(_ connection: ClientConnection) {
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
    var all: [ClientConnection] { places.compactMap { $0 } }
}
