// Finds users in the database, through an AccessCache, and supplies the clock that the cache lacks.

import FynloCore
import FynloIO

/// Looks users up, and remembers what the answers tell.
final class AccessLookup {
    private let users: UserRepository
    private var cache: AccessCache

    /// Who may read a menu.
    struct Reader {
        let record: AccessRecord
        /// The newest version of the menu that is known.
        let menuVersion: Int64
    }

    init(users: UserRepository, limits: Limits) {
        self.users = users
        cache = AccessCache(limits: limits)
    }

    // The time is read anew where it counts: a turn may have been long.
    private var now: Instant { SystemClock.instant }

    // MARK: Users

    /// As `UserRepository.access`; `isIn` says of a record whether it lets its user in.
    func access(
        of subject: String, to restaurant: RestaurantID?, isIn: @escaping (AccessRecord) -> Bool,
        reply: @escaping (Result<AccessRecord?, PostgresError>) -> Void
    ) {
        let askedAt = now
        users.access(of: subject, to: restaurant) { [self] result in
            if case .success(.some(let record)) = result, let restaurant, isIn(record) {
                cache.lookedUp(record, in: restaurant, askedAt: askedAt, now: now)
            }
            reply(result)
        }
    }

    /// A reader of the menu who can be relied on without asking.
    func reader(_ subject: String, of restaurant: RestaurantID) -> Reader? {
        cache.record(of: subject, in: restaurant, now: now).map { Reader(record: $0, menuVersion: $0.menuVersion) }
    }

    /// One who was in order not long ago, for when Postgres is away.
    func lastReader(_ subject: String, of restaurant: RestaurantID) -> Reader? {
        cache.lastRecord(of: subject, in: restaurant, now: now).map { Reader(record: $0, menuVersion: $0.menuVersion) }
    }

    /// Looks one up.
    func findReader(
        _ subject: String, of restaurant: RestaurantID,
        reply: @escaping (Result<Reader?, PostgresError>) -> Void
    ) {
        let askedAt = now
        users.access(of: subject, to: restaurant) { [self] result in
            reply(
                result.map { record in
                    guard let record else { return nil }
                    guard AccessPolicy.mayAct(record, for: restaurant) else {
                        return Reader(record: record, menuVersion: record.menuVersion)
                    }
                    let version = cache.read(by: subject, with: record, in: restaurant, askedAt: askedAt, now: now)
                    return Reader(record: record, menuVersion: version)
                })
        }
    }

    // MARK: Restaurants

    /// Restaurants that the pulse asks about for the sake of their menus.
    var watched: [RestaurantID] { cache.watched(now: now) }

    /// What the pulse found.
    func found(_ finding: Pulse.Finding) {
        for counters in finding.counters { cache.found(counters, askedAt: finding.askedAt) }
        for restaurant in finding.missing { cache.missing(restaurant) }
    }

    /// What anybody says by NOTIFY.
    func hint(_ counters: StreamCounters) {
        cache.hint(counters, now: now)
    }

    /// A menu has a new version: so it is told before anybody hears of it.
    func menuUpdated(_ restaurant: RestaurantID, to version: Int64) {
        cache.menuUpdated(restaurant, to: version, now: now)
    }
}
