// What this process knows of the restaurants whose menus are being read here, so that a reader costs no round trip: the
// versions of their menus and of the access to them, and the users who were let in. It is learned from answers of the
// database, and holds for a second from the sending of the last question that was answered: what was committed before that
// is in the answer. Hints (which may be anybody's) only end the trust sooner.
//
//     asked ──────────► answered                                  found(counters, askedAt:), lookedUp(…, askedAt:)
//       │◄──────────── trusted: 1 s ────────────►│
//       │◄──────────── enough while the database is away: 60 s ────────────────────►│
//
// An event or an answer that tells a new version makes it known first (`menuUpdated`): nobody is given less from then on.

/// Restaurants whose menus were lately read, and who read them.
public struct AccessCache: Sendable {
    private struct Entry {
        var menuVersion: Int64
        var accessVersion: Int64
        /// When the newest question was sent that has been answered.
        var asOf: Instant
        /// When somebody last said that the menu is newer; not believed, but asked about.
        var menuHintedAt: Instant?
        /// When somebody last said that the access has changed; not believed, but asked about.
        var accessHintedAt: Instant?
        /// When the menu's version became known by other ways than a question.
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
    /// Those who were let in, with the version of the access by which they were.
    private var readers: RecentlyUsed<Reader, AccessRecord>
    /// When somebody last told news of any restaurant, be it one that is not known here: what was asked before that is not
    /// relied on.
    private var lastNewsAt = Instant(nanoseconds: .min)

    public init(limits: Limits) {
        self.limits = limits
        entries = RecentlyUsed(limit: limits.cachedRestaurants)
        readers = RecentlyUsed(limit: limits.cachedReaders)
    }

    // MARK: Asking

    /// What is known of the user with this subject in a restaurant, its menu's version included, if that may be relied on
    /// now; `nil`: look it up.
    public mutating func record(of subject: String, in restaurant: RestaurantID, now: Instant) -> AccessRecord? {
        record(of: subject, in: restaurant, now: now, trustedFor: limits.accessCacheLifetime, mindsMenuHints: true)
    }

    /// What was known of the user not long ago, to be relied on only while the database is away. The menu's version is the
    /// newest that anybody was told of.
    public mutating func lastRecord(of subject: String, in restaurant: RestaurantID, now: Instant) -> AccessRecord? {
        record(of: subject, in: restaurant, now: now, trustedFor: limits.staleLifetime, mindsMenuHints: false)
    }

    private mutating func record(
        of subject: String, in restaurant: RestaurantID, now: Instant, trustedFor lifetime: Duration,
        mindsMenuHints: Bool
    ) -> AccessRecord? {
        guard let entry = entries.use(restaurant),
            var record = readers.use(Reader(subject: subject, restaurant: restaurant)),
            // Another version of the access: these rights may have been taken away.
            record.accessVersion == entry.accessVersion, now - entry.asOf <= lifetime,
            entry.accessHintedAt.map({ entry.asOf > $0 }) ?? true,
            !mindsMenuHints || entry.menuHintedAt.map({ entry.asOf > $0 }) ?? true
        else { return nil }
        entries.update(restaurant) { $0.readAt = now }
        record.menuVersion = entry.menuVersion
        return record
    }

    /// Restaurants to ask about, since their menus were read not long ago; the others are forgotten.
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

    // MARK: Learning

    /// Somebody was let in with `record`, by a question sent at `askedAt`: the restaurant is watched from now on.
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

    /// Somebody who reads the menu, and may come back, was let in with `record`, by a question sent at `askedAt`. Returns
    /// the newest known version of the menu.
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

    /// The counters of a restaurant, by a question sent at `askedAt`.
    public mutating func found(_ counters: StreamCounters, askedAt: Instant) {
        entries.update(counters.restaurant) { entry in
            if askedAt > entry.asOf, entry.toldAt.map({ askedAt > $0 }) ?? true {
                // The newest there is, whatever was known: a database that was restored counts from where it was.
                entry.menuVersion = counters.menuVersion
                entry.accessVersion = counters.accessVersion
            } else {
                entry.menuVersion = max(entry.menuVersion, counters.menuVersion)
                entry.accessVersion = max(entry.accessVersion, counters.accessVersion)
            }
            entry.asOf = max(entry.asOf, askedAt)
        }
    }

    /// There is no such restaurant.
    public mutating func missing(_ restaurant: RestaurantID) {
        entries.remove(restaurant)
    }

    /// The menu has this version: so says an event that is about to be sent, an answer, or a page that was read.
    public mutating func menuUpdated(_ restaurant: RestaurantID, to version: Int64, now: Instant) {
        let isNews = entries.update(restaurant) { entry in
            guard version > entry.menuVersion else { return false }
            entry.menuVersion = version
            entry.toldAt = now
            return true
        }
        if isNews ?? true { lastNewsAt = now }
    }

    /// Somebody says so. If this is news, what was known is not relied on before a question that is sent from now on has been
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
