// A dictionary with a limit: what was used longest ago makes room.
//
//     newest ◄──► … ◄──► oldest      a ring of slots: slot 0 stands between the oldest and the newest

/// Values by key, bounded by the sum of their costs.
public struct RecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Slot {
        var key: Key?
        var value: Value?
        var cost: Int
        var newer: Int
        var older: Int
    }

    /// What the costs of all values together may be.
    public let limit: Int
    /// What they are.
    public private(set) var cost = 0
    private var positions: [Key: Int] = [:]
    private var slots = [Slot(cost: 0, newer: 0, older: 0)]
    private var free: [Int] = []

    /// An empty one; a cost is in whatever the limit is in.
    public init(limit: Int) {
        self.limit = limit
    }

    public var count: Int { positions.count }

    /// In no particular order.
    public var keys: some Collection<Key> { positions.keys }

    /// The value, which this does not count as a use of.
    public subscript(key: Key) -> Value? {
        positions[key].flatMap { slots[$0].value }
    }

    /// The value, which is now the one used last.
    public mutating func use(_ key: Key) -> Value? {
        guard let position = positions[key] else { return nil }
        unlink(position)
        link(position)
        return slots[position].value
    }

    /// Changes a value in place, if there is one, which this does not count as a use of; its cost stays.
    @discardableResult
    public mutating func update<Result>(_ key: Key, _ body: (inout Value) -> Result) -> Result? {
        guard let position = positions[key], var value = slots[position].value else { return nil }
        slots[position].value = nil
        let result = body(&value)
        slots[position].value = value
        return result
    }

    /// Keeps a value, which is now the one used last, in place of an older one of its key; others make room. A value that
    /// costs more than the limit is not kept.
    public mutating func insert(_ value: Value, for key: Key, cost: Int) {
        remove(key)
        guard cost <= limit else { return }
        while self.cost > limit - cost, let oldest = slots[slots[0].newer].key { remove(oldest) }
        let slot = Slot(key: key, value: value, cost: cost, newer: 0, older: 0)
        let position = free.popLast() ?? slots.count
        if position == slots.count { slots.append(slot) } else { slots[position] = slot }
        positions[key] = position
        self.cost += cost
        link(position)
    }

    public mutating func remove(_ key: Key) {
        guard let position = positions.removeValue(forKey: key) else { return }
        unlink(position)
        cost -= slots[position].cost
        slots[position].key = nil
        slots[position].value = nil
        free.append(position)
    }

    private mutating func link(_ position: Int) {
        let newest = slots[0].older
        slots[position].older = newest
        slots[position].newer = 0
        slots[newest].newer = position
        slots[0].older = position
    }

    private mutating func unlink(_ position: Int) {
        let (newer, older) = (slots[position].newer, slots[position].older)
        slots[newer].older = older
        slots[older].newer = newer
    }
}
