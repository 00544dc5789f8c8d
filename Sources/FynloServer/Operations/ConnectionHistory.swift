// What became of the tablets of each restaurant: what their diagnostics tell beyond the connections that are there. A
// restaurant has a place here from its first authenticated tablet on, and costs nothing while its tablets only work.

import FynloCore

/// Restaurants and their tablets, as many as there is room for.
struct ConnectionHistory {
    /// One tablet, over all of its connections: the same user and device.
    struct TabletKey: Hashable {
        let user: UserID
        let device: String?
    }

    /// A tablet that has lost a connection, or left.
    struct Tablet {
        /// When it was first connected, moved on by the time it was away by its own choice.
        var firstSeen: Instant
        /// For how long it was connected, but for what is now.
        var connected = Duration.zero
        /// When it left by itself; `nil` while it is here, or should be.
        var leftAt: Instant?
        /// Connections in a row that held for less than half a minute.
        var shortLived = 0
        var lastSeen: Instant
    }

    /// What happened in one restaurant.
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
        /// Errors told to tablets, by code.
        var errors: [APIError.Code: Int] = [:]
        fileprivate(set) var tablets: [TabletKey: Tablet] = [:]
    }

    private var restaurants = RecentlyUsed<RestaurantID, Restaurant>(limit: 4_000)

    /// Tablets remembered per restaurant: twice as many as it may have.
    private static let tablets = 200
    /// A connection that holds for less did not do its work.
    static let shortLife = Duration.seconds(30)

    subscript(restaurant: RestaurantID) -> Restaurant? { restaurants[restaurant] }

    /// The restaurants that have a place.
    var all: [Restaurant] { restaurants.keys.compactMap { restaurants[$0] } }

    /// A tablet is in; true when it had been here before, as far as is known.
    mutating func joined(_ restaurant: RestaurantID, _ key: TabletKey, isReturning: Bool, now: Instant) -> Bool {
        if restaurants.use(restaurant) == nil {
            restaurants.insert(Restaurant(firstSeen: now), for: restaurant, cost: 1)
        }
        return restaurants.update(restaurant) { record in
            let isBack = isReturning || record.tablets[key] != nil
            if var tablet = record.tablets[key], let leftAt = tablet.leftAt {
                tablet.firstSeen = tablet.firstSeen + (now - leftAt)
                tablet.leftAt = nil
                record.tablets[key] = tablet
            }
            if isBack { record.reconnects += 1 }
            return isBack
        } ?? false
    }

    /// An authenticated tablet's session is over.
    mutating func ended(
        _ restaurant: RestaurantID, _ key: TabletKey?, _ end: SessionEnd, _ totals: Metrics.SessionTotals,
        since: Instant, now: Instant
    ) {
        restaurants.update(restaurant) { record in
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
            guard let key else { return }
            var tablet = record.tablets[key] ?? Tablet(firstSeen: since, lastSeen: now)
            tablet.connected += now - since
            tablet.shortLived = now - since < ConnectionHistory.shortLife ? tablet.shortLived + 1 : 0
            tablet.lastSeen = now
            if !end.isAbnormal, end != .closed(.replaced) { tablet.leftAt = now }
            if record.tablets[key] == nil, record.tablets.count >= ConnectionHistory.tablets {
                guard let oldest = record.tablets.min(by: { $0.value.lastSeen < $1.value.lastSeen }) else { return }
                record.tablets[oldest.key] = nil
            }
            record.tablets[key] = tablet
        }
    }

    /// Changes what is known of a restaurant, if it has a place.
    mutating func update(_ restaurant: RestaurantID, _ body: (inout Restaurant) -> Void) {
        restaurants.update(restaurant, body)
    }
}
