// One question a second: how far are the streams of the restaurants that have listeners or readers of the menu here, and
// the versions of their menus and their access? Whatever hint was lost, the pulse finds what it told of.

import FynloCore
import FynloIO

/// Reads the counters of the watched restaurants at most a second apart.
final class Pulse: EventSource {
    private let loop: EventLoop
    private let pool: PostgresPool
    private let interval: Duration
    private let restaurants: () -> Set<RestaurantID>
    private let found: (Finding) -> Void
    private var token: SourceToken?
    private var isAsking = false
    /// Somebody said that there is something to find when a question was already on its way.
    private var isAskedAgain = false

    /// What one question found.
    struct Finding {
        let counters: [StreamCounters]
        /// Restaurants that are no more.
        let missing: [RestaurantID]
        /// When the question was sent: what was committed before is in it.
        let askedAt: Instant
    }

    static let interval = Duration.milliseconds(900)

    private static let counters = PostgresStatement(
        name: "pulse",
        sql: """
            select restaurant_id, head, menu_version, access_version
            from restaurant_streams where restaurant_id = any($1::uuid[])
            """)

    /// `restaurants` are asked about; `found` is told what was found.
    init(
        loop: EventLoop, pool: PostgresPool, interval: Duration = Pulse.interval,
        restaurants: @escaping () -> Set<RestaurantID>,
        found: @escaping (Finding) -> Void
    ) {
        self.loop = loop
        self.pool = pool
        self.interval = interval
        self.restaurants = restaurants
        self.found = found
    }

    func start() {
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: loop.now.instant + interval)
    }

    func stop() {
        if let token { loop.remove(token) }
        token = nil
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        if !isAsking { ask() }
        return now.instant + interval
    }

    /// Asks at once: somebody says that there is something to find.
    func ask() {
        if isAsking {
            isAskedAgain = true
            return
        }
        let watched = restaurants()
        isAskedAgain = false
        guard !watched.isEmpty else { return }
        isAsking = true
        let askedAt = SystemClock.instant
        let list = "{" + watched.map(\.description).joined(separator: ",") + "}"
        pool.send(Pulse.counters, [.text(list)], .live) { [weak self] result in
            guard let self else { return }
            self.isAsking = false
            // A failed pulse is followed by the next one; the pool has logged why.
            guard case .success(let rows) = result else { return }
            let counters = rows.rows.compactMap { row -> StreamCounters? in
                guard let restaurant = row.uuid(0), let head = row.integer(1), let menu = row.integer(2),
                    let access = row.integer(3)
                else { return nil }
                return StreamCounters(
                    restaurant: RestaurantID(restaurant), head: head, menuVersion: menu, accessVersion: access)
            }
            let missing = watched.subtracting(counters.map(\.restaurant))
            self.found(Finding(counters: counters, missing: Array(missing), askedAt: askedAt))
            if self.isAskedAgain, self.token != nil { self.ask() }
        }
    }
}
