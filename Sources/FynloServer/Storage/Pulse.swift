// One question a second: how far are the event streams of the restaurants with tablets or menu readers on this node, and
// which versions do their menus and their access have? Whatever hint was lost, the pulse finds what it told.

import FynloCore
import FynloIO

/// Reads the counters of the watched restaurants at a fixed interval.
final class Pulse: EventSource {
    private let loop: EventLoop
    private let pool: PostgresPool
    private let interval: Duration
    /// The restaurants to ask about.
    @SetOnce var watched: () -> Set<RestaurantID> = { [] }
    /// Called with what a question found.
    @SetOnce var found: (Finding) -> Void = { _ in }
    private var token: SourceToken?
    private var isAsking = false
    /// `ask` was called while a question was under way.
    private var isAskedAgain = false

    /// What one question found.
    struct Finding {
        let counters: [StreamCounters]
        /// Restaurants that no longer exist.
        let missing: [RestaurantID]
        /// When the question was sent: the counters include everything that was committed before.
        let askedAt: Instant
    }

    private static let counters = PostgresStatement(
        name: "pulse",
        sql: """
            select restaurant_id, head, menu_version, access_version
            from restaurant_streams where restaurant_id = any($1::uuid[])
            """)

    init(loop: EventLoop, pool: PostgresPool, interval: Duration) {
        self.loop = loop
        self.pool = pool
        self.interval = interval
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

    /// Asks at once, because a hint says that something has changed.
    func ask() {
        if isAsking {
            isAskedAgain = true
            return
        }
        let watched = watched()
        isAskedAgain = false
        guard !watched.isEmpty else { return }
        isAsking = true
        let askedAt = SystemClock.instant
        let list = "{" + watched.map(\.description).joined(separator: ",") + "}"
        pool.send(Pulse.counters, [.text(list)], .live) { [weak self] result in
            guard let self else { return }
            self.isAsking = false
            // The next pulse follows anyway, and the pool has logged the reason.
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
