// What happened to the tablets of each restaurant: what diagnostics tell beyond the present connections. A restaurant is
// remembered from its first authenticated tablet on, a tablet from the end of its first connection. Nothing is updated while
// the tablets simply work.

import FynloCore

/// Remembers restaurants and tablets, those used last.
struct ConnectionHistory {
    /// Identifies a tablet across its connections: the same user and device.
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

    /// A tablet one of whose connections has ended.
    struct Tablet {
        /// When it was first connected, plus the time it was away by its own choice.
        var firstSeen: Instant
        /// How long it was connected, without its present connection.
        var connected = Duration.zero
        /// When it left by itself; `nil` while it is connected, or should be.
        var leftAt: Instant?
        /// How many connections in a row lasted less than half a minute.
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

    /// A restaurant whose tablets only come and work needs no record.
    private struct Entry {
        let firstSeen: Instant
        var record = OutOfLine<Restaurant>()

        var restaurant: Restaurant { record.value ?? Restaurant(firstSeen: firstSeen) }

        mutating func change(_ body: (inout Restaurant) -> Void) {
            record.change(orFrom: Restaurant(firstSeen: firstSeen), body)
        }
    }

    // A restaurant takes about 100 bytes, or 300 with a record; a tablet takes 200.
    private var restaurants = RecentlyUsed<RestaurantID, Entry>(limit: 4_000)
    private var tablets = RecentlyUsed<TabletKey, Tablet>(limit: 20_000)

    /// A connection that lasts less than this is a failed attempt.
    static let shortLife = Duration.seconds(30)

    /// The records of one restaurant, or of all.
    func records(of restaurant: RestaurantID?) -> [Restaurant] {
        guard let restaurant else { return restaurants.keys.compactMap { restaurants[$0]?.restaurant } }
        return restaurants[restaurant].map { [$0.restaurant] } ?? []
    }

    /// The tablets of one restaurant, or of all, one of whose connections has ended.
    func tablets(of restaurant: RestaurantID?) -> [TabletKey: Tablet] {
        var found: [TabletKey: Tablet] = [:]
        for key in tablets.keys where restaurant == nil || key.restaurant == restaurant { found[key] = tablets[key] }
        return found
    }

    /// A tablet was admitted. True if it had been connected before, as far as is known.
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

    /// The session of an authenticated tablet has ended.
    mutating func ended(
        _ key: TabletKey, _ end: SessionEnd, _ totals: Metrics.SessionTotals, since: Instant, now: Instant
    ) {
        update(key.restaurant) { record in
            record.ended += totals
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

    /// Changes the record of a restaurant, if it is remembered.
    mutating func update(_ restaurant: RestaurantID, _ body: (inout Restaurant) -> Void) {
        restaurants.update(restaurant) { $0.change(body) }
    }
}
