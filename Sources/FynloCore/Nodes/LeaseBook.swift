// What one node knows of its slots in the table that all nodes share: until when they hold, which restaurants' are to be
// written (again), and which are to be given back. The table itself, and the counting, are in Redis.
//
//     admitted by all nodes' count ──────────────────────────► in the table ──► left: to be given back, until that is done
//     admitted by this node's count alone ──► to be written ──────▲
//     the lease has lapsed: all of them ──────────▲

/// How long the slots of a node hold, and when they are looked after.
public struct LeaseTerms: Equatable, Sendable {
    /// The slots of a node that has not renewed its lease for so long are free. A node is not taken for dead when it
    /// misses two renewals.
    public var lifetime = Duration.seconds(10)
    /// From one renewal to the next: a lapse is noticed within it.
    public var renewalInterval = Duration.seconds(3)
    /// Within this time every restaurant's slots are compared with the table once, whatever was lost in between.
    public var reviewPeriod = Duration.seconds(60)

    public init() {}

    /// How many of so many restaurants are reviewed with one renewal.
    public func reviews(of restaurants: Int) -> Int {
        let steps = max(1, Int(reviewPeriod / renewalInterval))
        return (restaurants + steps - 1) / steps
    }
}

/// The slots of one node.
public struct LeaseBook: Sendable {
    /// What a renewal found.
    public enum Renewal: Equatable, Sendable {
        /// The lease had not run out.
        case held
        /// There was none yet.
        case first
        /// It was gone: the table was emptied, or this node was away for too long. All slots are to be written anew.
        case lapsed
    }

    /// In one word, as there is one for every tablet.
    private struct Slot {
        private var word: Int64

        init(order: Int64, isWritten: Bool) {
            word = order << 1 | (isWritten ? 1 : 0)
        }

        /// Microseconds since 1970, or more: who came later has the higher number, on whichever node.
        var order: Int64 { word >> 1 }
        /// The table was asked to take it, and may have done so.
        var isWritten: Bool {
            get { word & 1 == 1 }
            set { word = word & ~1 | (newValue ? 1 : 0) }
        }
    }

    /// The year 2286, in microseconds.
    private static let greatestOrder: Int64 = 9_999_999_999_999_999

    private let terms: LeaseTerms
    /// When the last renewal that was answered had been sent, plus the lifetime.
    private var heldUntil: Instant?
    /// By the number of the connection.
    private var slots: [UInt64: Slot] = [:]
    private var lastOrder: Int64 = 0
    /// Restaurants whose slots are to be written, and those that are being written.
    private var unwritten: Set<RestaurantID> = []
    private var beingWritten: Set<RestaurantID> = []
    /// Slots of connections that have ended.
    private var returned: [RestaurantID: [UInt64]] = [:]
    /// Restaurants that are still to be reviewed in this round.
    private var unreviewed: [RestaurantID] = []

    public init(terms: LeaseTerms) {
        self.terms = terms
    }

    /// How many slots there are.
    public var count: Int { slots.count }

    // MARK: The lease

    /// A renewal sent at `sentAt` was answered; `wasThere`: the lease had not run out.
    public mutating func renewed(sentAt: Instant, wasThere: Bool, restaurants: some Sequence<RestaurantID>) -> Renewal {
        let isFirst = heldUntil == nil
        heldUntil = sentAt + terms.lifetime
        if wasThere { return .held }
        unwritten.formUnion(restaurants)
        return isFirst ? .first : .lapsed
    }

    /// True while all nodes count the slots of this one: the lease holds, and all of them are in the table.
    public func isShared(now: Instant) -> Bool {
        guard let heldUntil, now < heldUntil else { return false }
        return unwritten.isEmpty && beingWritten.isEmpty
    }

    // MARK: Coming and going

    /// A connection was admitted by the table, which gave it its `order`.
    public mutating func admitted(_ connection: UInt64, order: Int64) {
        // Whatever the table says, there are numbers beyond it.
        let order = min(max(order, 0), LeaseBook.greatestOrder)
        lastOrder = max(lastOrder, order)
        slots[connection] = Slot(order: order, isWritten: true)
    }

    /// A connection was admitted by the node's own count; `mayBeWritten`: the table was asked, and did not answer.
    public mutating func admittedAlone(
        _ connection: UInt64, to restaurant: RestaurantID, mayBeWritten: Bool, now: UnixTime
    ) {
        let clock = now.milliseconds.multipliedReportingOverflow(by: 1_000)
        lastOrder = max(lastOrder + 1, clock.overflow ? 0 : min(clock.partialValue, LeaseBook.greatestOrder))
        slots[connection] = Slot(order: lastOrder, isWritten: mayBeWritten)
        unwritten.insert(restaurant)
    }

    /// A connection has ended.
    public mutating func left(_ connection: UInt64, _ restaurant: RestaurantID) {
        guard let slot = slots.removeValue(forKey: connection), slot.isWritten else { return }
        returned[restaurant, default: []].append(connection)
    }

    /// Slots that are to be given back now. They are kept by whoever takes them until that is done.
    public mutating func takeReturned() -> [RestaurantID: [UInt64]] {
        defer { returned = [:] }
        return returned
    }

    /// Some could not be given back.
    public mutating func notReturned(_ connections: [UInt64], _ restaurant: RestaurantID) {
        returned[restaurant, default: []] += connections
    }

    // MARK: Writing them anew

    /// The next restaurant whose slots are to be written, if any: `written` or `notWritten` is to follow.
    public mutating func nextToWrite() -> RestaurantID? {
        guard let restaurant = unwritten.first(where: { !beingWritten.contains($0) }) else { return nil }
        unwritten.remove(restaurant)
        beingWritten.insert(restaurant)
        return restaurant
    }

    /// Of these connections, all of one restaurant, those that have slots, oldest first, with their order. They count as
    /// written from now on: the table may have taken them even if its answer is lost.
    public mutating func write(_ connections: some Sequence<UInt64>) -> [(connection: UInt64, order: Int64)] {
        var found: [(connection: UInt64, order: Int64)] = []
        for connection in connections {
            guard let order = slots[connection]?.order else { continue }
            slots[connection]?.isWritten = true
            found.append((connection, order))
        }
        return found.sorted { ($0.order, $0.connection) < ($1.order, $1.connection) }
    }

    /// True when a connection has a slot.
    public func holds(_ connection: UInt64) -> Bool { slots[connection] != nil }

    /// The slots of a restaurant are in the table.
    public mutating func written(_ restaurant: RestaurantID) {
        beingWritten.remove(restaurant)
    }

    /// They may not be; to be tried again.
    public mutating func notWritten(_ restaurant: RestaurantID) {
        beingWritten.remove(restaurant)
        unwritten.insert(restaurant)
    }

    /// Those restaurants whose turn it is to be compared with the table, with this renewal.
    public mutating func review(_ restaurants: some Collection<RestaurantID>) -> [RestaurantID] {
        if unreviewed.isEmpty { unreviewed = Array(restaurants) }
        let count = min(terms.reviews(of: restaurants.count), unreviewed.count)
        let batch = Array(unreviewed.suffix(count))
        unreviewed.removeLast(count)
        return batch
    }
}
