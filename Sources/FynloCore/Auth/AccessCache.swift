// What this process knows of the restaurants whose menus are read here, so that a reader costs no round trip: the versions of
// their menus and of their access rights, and the users that were admitted. It comes from answers of the database, and is
// valid for a second after the last answered query was sent: the answer contains everything committed before that. Hints,
// which anybody may send, can only end the validity sooner.
//
//     asked ──────────► answered                                  found(counters, askedAt:), lookedUp(…, askedAt:)
//       │◄──────────── trusted: 1 s ────────────►│
//       │◄──────────── enough while the database is away: 60 s ────────────────────►│
//
// Before an event or an answer with a new version is sent, `menuUpdated` records it: from then on nobody gets an older one.

/// Restaurants whose menus were read recently, and the users that read them.
public struct AccessCache: Sendable {
    private struct Entry {
        var menuVersion: Int64
        var accessVersion: Int64
        /// When the newest answered query was sent.
        var asOf: Instant
        /// When the last hint at a newer menu came. A hint is not believed, but leads to a query.
        var menuHintedAt: Instant?
        /// When the last hint at changed access came. A hint is not believed, but leads to a query.
        var accessHintedAt: Instant?
        /// When the menu's version became known other than by a query.
        var toldAt: Instant?
        /// When the menu was last read.
        var readAt: Instant
    }

    private struct Reader: Hashable {
        let subject: String
        let restaurant: RestaurantID
    }

    private let limits: Limits
    private var entries: RecentlyUsed<RestaurantID, Entry>
    /// The admitted users, each with the version of the access rights that admitted them.
    private var readers: RecentlyUsed<Reader, AccessRecord>
    /// When the last hint about any restaurant came, even one that is not known here: answers to earlier queries are not
    /// relied on.
    private var lastNewsAt = Instant(nanoseconds: .min)

    public init(limits: Limits) {
        self.limits = limits
        entries = RecentlyUsed(limit: limits.cachedRestaurants)
        readers = RecentlyUsed(limit: limits.cachedReaders)
    }

    // MARK: Reading

    /// What is known of the user with this subject in a restaurant, including its menu's version, if it is still valid; `nil`
    /// if it has to be looked up.
    public mutating func record(of subject: String, in restaurant: RestaurantID, now: Instant) -> AccessRecord? {
        record(of: subject, in: restaurant, now: now, trustedFor: limits.accessCacheLifetime, mindsMenuHints: true)
    }

    /// What was recently known of the user, to be used only while the database is unavailable. The menu's version is the
    /// newest that anybody has been sent.
    public mutating func lastRecord(of subject: String, in restaurant: RestaurantID, now: Instant) -> AccessRecord? {
        record(of: subject, in: restaurant, now: now, trustedFor: limits.staleLifetime, mindsMenuHints: false)
    }

    private mutating func record(
        of subject: String, in restaurant: RestaurantID, now: Instant, trustedFor lifetime: Duration,
        mindsMenuHints: Bool
    ) -> AccessRecord? {
        guard let entry = entries.use(restaurant),
            var record = readers.use(Reader(subject: subject, restaurant: restaurant)),
            // The access has another version now: these rights may have been revoked.
            record.accessVersion == entry.accessVersion, now - entry.asOf <= lifetime,
            entry.accessHintedAt.map({ entry.asOf > $0 }) ?? true,
            !mindsMenuHints || entry.menuHintedAt.map({ entry.asOf > $0 }) ?? true
        else { return nil }
        entries.update(restaurant) { $0.readAt = now }
        record.menuVersion = entry.menuVersion
        return record
    }

    /// The restaurants to query again, because their menus were read recently; the others are forgotten.
    public mutating func watched(now: Instant) -> [RestaurantID] {
        var watched: [RestaurantID] = []
        for restaurant in Array(entries.keys) {
            if let entry = entries[restaurant], now - entry.readAt <= limits.menuWatchLifetime {
                watched.append(restaurant)
            } else {
                entries.remove(restaurant)
            }
        }
        return watched
    }

    // MARK: Updating

    /// A user was admitted with `record`, by a query sent at `askedAt`: the restaurant is watched from now on.
    public mutating func lookedUp(
        _ record: AccessRecord, in restaurant: RestaurantID, askedAt: Instant, now: Instant
    ) {
        if entries.use(restaurant) != nil {
            found(
                StreamCounters(
                    restaurant: restaurant, head: record.head, menuVersion: record.menuVersion,
                    accessVersion: record.accessVersion), askedAt: askedAt)
            entries.update(restaurant) { $0.readAt = now }
        } else if askedAt > lastNewsAt {
            let entry = Entry(
                menuVersion: record.menuVersion, accessVersion: record.accessVersion, asOf: askedAt, readAt: now)
            entries.insert(entry, for: restaurant, cost: 1)
        }
    }

    /// A user that reads the menu, and may do so again, was admitted with `record`, by a query sent at `askedAt`. Returns the
    /// newest known version of the menu.
    public mutating func read(
        by subject: String, with record: AccessRecord, in restaurant: RestaurantID, askedAt: Instant, now: Instant
    ) -> Int64 {
        lookedUp(record, in: restaurant, askedAt: askedAt, now: now)
        let reader = Reader(subject: subject, restaurant: restaurant)
        if readers[reader].map({ $0.accessVersion <= record.accessVersion }) ?? true {
            readers.insert(record, for: reader, cost: 1)
        }
        return max(record.menuVersion, entries[restaurant]?.menuVersion ?? record.menuVersion)
    }

    /// Takes the counters of a restaurant from a query sent at `askedAt`.
    public mutating func found(_ counters: StreamCounters, askedAt: Instant) {
        entries.update(counters.restaurant) { entry in
            if askedAt > entry.asOf, entry.toldAt.map({ askedAt > $0 }) ?? true {
                // The database's version counts, even if a higher one was known: a restored database has lower counters.
                entry.menuVersion = counters.menuVersion
                entry.accessVersion = counters.accessVersion
            } else {
                entry.menuVersion = max(entry.menuVersion, counters.menuVersion)
                entry.accessVersion = max(entry.accessVersion, counters.accessVersion)
            }
            entry.asOf = max(entry.asOf, askedAt)
        }
    }

    /// Forgets a restaurant that does not exist.
    public mutating func missing(_ restaurant: RestaurantID) {
        entries.remove(restaurant)
    }

    /// Records the menu's version from an event that is about to be sent, from an answer, or from a page that was read.
    public mutating func menuUpdated(_ restaurant: RestaurantID, to version: Int64, now: Instant) {
        let isNews = entries.update(restaurant) { entry in
            guard version > entry.menuVersion else { return false }
            entry.menuVersion = version
            entry.toldAt = now
            return true
        }
        if isNews ?? true { lastNewsAt = now }
    }

    /// Takes a hint at this version. If the version is new, what is known is not used until a query sent from now on has been
    /// answered.
    public mutating func hint(_ counters: StreamCounters, now: Instant) {
        let isNews = entries.update(counters.restaurant) { entry in
            let isMenu = counters.menuVersion > entry.menuVersion
            let isAccess = counters.accessVersion > entry.accessVersion
            if isMenu { entry.menuHintedAt = now }
            if isAccess { entry.accessHintedAt = now }
            return isMenu || isAccess
        }
        if isNews ?? true { lastNewsAt = now }
    }
}
