// One question a second: how far are the streams of the restaurants that have listeners here? Whatever hint was lost,
// the pulse finds what it told of.

import FynloCore
import FynloIO

/// Reads the heads of the watched restaurants at most a second apart.
final class Pulse: EventSource {
    private let loop: EventLoop
    private let pool: PostgresPool
    private let restaurants: () -> [RestaurantID]
    private let found: (RestaurantID, EventSequence) -> Void
    private var token: SourceToken?
    private var isAsking = false

    static let interval = Duration.milliseconds(900)

    private static let heads = PostgresStatement(
        name: "pulse",
        sql: "select restaurant_id, head from restaurant_streams where restaurant_id = any($1::uuid[])")

    /// `restaurants` are asked about; `found` is told each one's head.
    init(
        loop: EventLoop, pool: PostgresPool, restaurants: @escaping () -> [RestaurantID],
        found: @escaping (RestaurantID, EventSequence) -> Void
    ) {
        self.loop = loop
        self.pool = pool
        self.restaurants = restaurants
        self.found = found
    }

    func start() {
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: loop.now.instant + Pulse.interval)
    }

    func stop() {
        if let token { loop.remove(token) }
        token = nil
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        ask()
        return now.instant + Pulse.interval
    }

    private func ask() {
        let watched = restaurants()
        guard !isAsking, !watched.isEmpty else { return }
        isAsking = true
        let list = "{" + watched.map(\.description).joined(separator: ",") + "}"
        pool.send(Pulse.heads, [.text(list)], .shortRead) { [weak self] result in
            guard let self else { return }
            self.isAsking = false
            // A failed pulse is followed by the next one; the pool has logged why.
            guard case .success(let rows) = result else { return }
            for row in rows.rows {
                if let restaurant = row.uuid(0), let head = row.integer(1) {
                    self.found(RestaurantID(restaurant), head)
                }
            }
        }
    }
}
