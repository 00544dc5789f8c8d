// The history of each restaurant's tablets, which its diagnostics report beyond the present connections. A restaurant has an
// entry from its first authenticated tablet on, a tablet from the end of its first connection; neither costs anything while
// the connections last.

import FynloCore

/// The entries of restaurants and tablets, limited in number.
struct ConnectionHistory {
    /// One tablet over all of its connections, identified by user and device.
    struct TabletKey: Hashable {
        let restaurant: RestaurantID
        let user: UserID
        let device: ConnectionRegistry.Device?

        init(_ member: ConnectionRegistry.Member, in restaurant: RestaurantID) {
            self.restaurant = restaurant
            user = member.user
            device = member.device
        }
    }

    /// A tablet that has lost a connection or left.
    struct Tablet {
        /// When it first connected, plus the time that it was away by its own choice.
        var firstSeen: Instant
        /// How long it was connected, without the present connection.
        var connected = Duration.zero
        /// When it left deliberately; `nil` while it is or should be connected.
        var leftAt: Instant?
        /// Consecutive connections that lasted less than half a minute.
        var shortLived = 0
    }

    /// The history of one restaurant.
    struct Restaurant {
        var firstSeen: Instant
        var ended = Metrics.SessionTotals()
        var reconnects = 0
        var replaced = 0
        var stale = 0
        var slow = 0
        var tooFast = 0
        var revoked = 0
        var tokensExpired = 0
        var lost = 0
        var resumedEvents = 0
        var refusedTokens = 0
        /// Errors sent to tablets, by code.
        var errors: [APIError.Code: Int] = [:]
    }

    /// A restaurant's entry. The record is made only when there is more to remember than tablets that connected.
    private struct Entry {
        let firstSeen: Instant
        var record = OutOfLine<Restaurant>()

        var restaurant: Restaurant { record.value ?? Restaurant(firstSeen: firstSeen) }

        mutating func change(_ body: (inout Restaurant) -> Void) {
            record.change(orFrom: Restaurant(firstSeen: firstSeen), body)
        }
    }

    // A restaurant takes about 100 bytes, or 300 with events to remember; a tablet takes 200.
    private var restaurants = RecentlyUsed<RestaurantID, Entry>(limit: 4_000)
    private var tablets = RecentlyUsed<TabletKey, Tablet>(limit: 20_000)

    /// A connection that lasts less counts as short.
    static let shortLife = Duration.seconds(30)

    /// The history of a restaurant, or of all together.
    func records(of restaurant: RestaurantID?) -> [Restaurant] {
        guard let restaurant else { return restaurants.keys.compactMap { restaurants[$0]?.restaurant } }
        return restaurants[restaurant].map { [$0.restaurant] } ?? []
    }

    /// The tablets of a restaurant, or of all, that have lost a connection or left.
    func tablets(of restaurant: RestaurantID?) -> [TabletKey: Tablet] {
        var found: [TabletKey: Tablet] = [:]
        for key in tablets.keys where restaurant == nil || key.restaurant == restaurant { found[key] = tablets[key] }
        return found
    }

    /// Records an authenticated tablet; true if it is known to have been connected before.
    mutating func joined(_ key: TabletKey, isReturning: Bool, now: Instant) -> Bool {
        if restaurants.use(key.restaurant) == nil {
            restaurants.insert(Entry(firstSeen: now), for: key.restaurant, cost: 1)
        }
        let isKnown = tablets.use(key) != nil
        tablets.update(key) { tablet in
            guard let leftAt = tablet.leftAt else { return }
            tablet.firstSeen = tablet.firstSeen + (now - leftAt)
            tablet.leftAt = nil
        }
        let isBack = isReturning || isKnown
        if isBack { update(key.restaurant) { $0.reconnects += 1 } }
        return isBack
    }

    /// Records the end of an authenticated tablet's session.
    mutating func ended(
        _ key: TabletKey, _ end: SessionEnd, _ totals: Metrics.SessionTotals, since: Instant, now: Instant
    ) {
        update(key.restaurant) { record in
            record.ended = record.ended + totals
            switch end {
            case .closed(.heartbeatTimeout): record.stale += 1
            case .closed(.slowConsumer): record.slow += 1
            case .closed(.rateLimited): record.tooFast += 1
            case .closed(.accessRevoked): record.revoked += 1
            case .closed(.tokenExpired): record.tokensExpired += 1
            case .closed(.replaced): record.replaced += 1
            case .lost: record.lost += 1
            case .closed, .refused, .violation, .left: break
            }
        }
        var tablet = tablets[key] ?? Tablet(firstSeen: since)
        tablet.connected += now - since
        tablet.shortLived = now - since < ConnectionHistory.shortLife ? tablet.shortLived + 1 : 0
        if !end.isAbnormal, end != .closed(.replaced) { tablet.leftAt = now }
        tablets.insert(tablet, for: key, cost: 1)
    }

    /// Changes the entry of a restaurant, if there is one.
    mutating func update(_ restaurant: RestaurantID, _ body: (inout Restaurant) -> Void) {
        restaurants.update(restaurant) { $0.change(body) }
    }
}
