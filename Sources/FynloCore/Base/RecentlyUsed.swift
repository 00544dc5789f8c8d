// A bounded dictionary that evicts the least recently used value.
//
//     newest ◄──► … ◄──► oldest      a ring of slots: slot 0 is between the oldest and the newest
//
// It has a hash table of its own that stores the hashes. A Dictionary hashes all its keys again when it grows, which with ten
// thousand keys that contain text blocks the loop for ten milliseconds.

/// Values by key, bounded by the sum of their costs.
///
/// Its methods are inlinable, so that other modules compile them for their own types.
public struct RecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    @usableFromInline struct Slot: Sendable {
        @usableFromInline var key: Key?
        @usableFromInline var value: Value?
        @usableFromInline var cost: Int
        @usableFromInline var hash: UInt32 = 0
        @usableFromInline var newer: UInt32 = 0
        @usableFromInline var older: UInt32 = 0

        @usableFromInline init(key: Key? = nil, value: Value? = nil, cost: Int, hash: UInt32 = 0) {
            self.key = key
            self.value = value
            self.cost = cost
            self.hash = hash
        }
    }

    /// The limit on the sum of all costs.
    public let limit: Int
    /// The sum of all costs.
    @inlinable public var cost: Int { allCosts }
    /// The number of values.
    @inlinable public var count: Int { used }

    @usableFromInline var allCosts = 0
    @usableFromInline var used = 0
    @usableFromInline var slots = [Slot(cost: 0)]
    @usableFromInline var free: [UInt32] = []
    /// Slots by the hash of their key, with open addressing and linear probing; 0 is empty. Its size is a power of two, and at
    /// most three quarters of it are in use.
    @usableFromInline var places: [UInt32] = []

    /// An empty dictionary. Costs have the unit of the limit.
    @inlinable public init(limit: Int) {
        self.limit = limit
    }

    /// All values, in no particular order.
    @inlinable public var keys: [Key] { slots.compactMap(\.key) }

    /// The value of a key, without counting as a use.
    @inlinable public subscript(key: Key) -> Value? {
        find(key).flatMap { slots[$0].value }
    }

    /// The value of a key, which becomes the most recently used.
    @inlinable public mutating func use(_ key: Key) -> Value? {
        guard let slot = find(key) else { return nil }
        unlink(slot)
        link(slot)
        return slots[slot].value
    }

    /// Changes a value in place, if there is one. This does not count as a use, and the cost stays the same.
    @discardableResult
    @inlinable public mutating func update<Result>(_ key: Key, _ body: (inout Value) -> Result) -> Result? {
        guard let slot = find(key), var value = slots[slot].value else { return nil }
        slots[slot].value = nil
        let result = body(&value)
        slots[slot].value = value
        return result
    }

    /// Stores a value as the most recently used, replacing its key's old one, and evicts others to make room. A value that costs
    /// more than the limit is not stored.
    @inlinable public mutating func insert(_ value: Value, for key: Key, cost: Int) {
        remove(key)
        guard cost <= limit else { return }
        while allCosts > limit - cost, slots[0].newer != 0 { remove(at: Int(slots[0].newer)) }
        let hash = RecentlyUsed.hash(of: key)
        let made = Slot(key: key, value: value, cost: cost, hash: hash)
        let slot = free.popLast().map { Int($0) } ?? slots.count
        if slot == slots.count { slots.append(made) } else { slots[slot] = made }
        allCosts += cost
        used += 1
        link(slot)
        if count * 4 > places.count * 3 { resize(to: max(8, places.count * 2)) } else { place(slot, hash) }
    }

    @inlinable public mutating func remove(_ key: Key) {
        if let slot = find(key) { remove(at: slot) }
    }

    @inlinable mutating func remove(at slot: Int) {
        unlink(slot)
        displace(slot)
        allCosts -= slots[slot].cost
        used -= 1
        slots[slot].key = nil
        slots[slot].value = nil
        free.append(UInt32(slot))
    }

    // MARK: The ring

    @inlinable mutating func link(_ slot: Int) {
        let newest = slots[0].older
        slots[slot].older = newest
        slots[slot].newer = 0
        slots[Int(newest)].newer = UInt32(slot)
        slots[0].older = UInt32(slot)
    }

    @inlinable mutating func unlink(_ slot: Int) {
        let (newer, older) = (slots[slot].newer, slots[slot].older)
        slots[Int(newer)].older = older
        slots[Int(older)].newer = newer
    }

    // MARK: The table

    @inlinable static func hash(of key: Key) -> UInt32 { UInt32(truncatingIfNeeded: key.hashValue) }

    @inlinable func home(of hash: UInt32) -> Int { Int(hash) & (places.count - 1) }

    @inlinable func find(_ key: Key) -> Int? {
        guard count > 0 else { return nil }
        let hash = RecentlyUsed.hash(of: key)
        var place = home(of: hash)
        while places[place] != 0 {
            let slot = Int(places[place])
            if slots[slot].hash == hash, slots[slot].key == key { return slot }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    @inlinable mutating func place(_ slot: Int, _ hash: UInt32) {
        var place = home(of: hash)
        while places[place] != 0 { place = (place + 1) & (places.count - 1) }
        places[place] = UInt32(slot)
    }

    @inlinable mutating func displace(_ slot: Int) {
        let mask = places.count - 1
        var gap = home(of: slots[slot].hash)
        while Int(places[gap]) != slot { gap = (gap + 1) & mask }
        places[gap] = 0
        // The entries that follow move up to close the gap, so that no search stops short of them.
        var place = (gap + 1) & mask
        while places[place] != 0 {
            let distance = (place - home(of: slots[Int(places[place])].hash)) & mask
            if distance >= (place - gap) & mask {
                places[gap] = places[place]
                places[place] = 0
                gap = place
            }
            place = (place + 1) & mask
        }
    }

    @inlinable mutating func resize(to size: Int) {
        places = Array(repeating: 0, count: size)
        var slot = Int(slots[0].older)
        while slot != 0 {
            place(slot, slots[slot].hash)
            slot = Int(slots[slot].older)
        }
    }
}
