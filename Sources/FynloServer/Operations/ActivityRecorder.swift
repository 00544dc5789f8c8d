// The last quarter of an hour, for whoever opens a page now: what the counters grew by in every 15 s, per restaurant and in
// total. A message costs no more for it: the connections have their counters anyway, and are inspected one restaurant after
// another, some in each turn.

import FynloCore
import FynloIO

/// Records what happened in this process.
final class ActivityRecorder: EventSource {
    /// The record of one restaurant.
    private struct Place {
        var history: ActivityHistory
        /// What its tablets had counted when they were last inspected.
        var live = Counts()
        /// The inspection in which it was last seen.
        var look: UInt32
    }

    /// What tablets have counted.
    private struct Counts {
        var messages: UInt64 = 0
        var pings: UInt64 = 0
        var pingsDue: UInt64 = 0
    }

    let intervals: ActivityIntervals

    private let loop: EventLoop
    private let hub: Hub
    private let cache: MenuCache
    private var token: SourceToken?
    private var places: [RestaurantID: Place] = [:]
    private var all = ActivityHistory()

    // The inspection that is under way, some restaurants in each turn.
    private var isLooking = false
    private var looks: UInt32 = 0
    private var number: Int64 = 0
    private var queue: [RestaurantID] = []
    private var next = 0
    private var ended: [RestaurantID: ActivitySample] = [:]
    private var reads: [RestaurantID: MenuReads] = [:]
    private var sum = ActivitySample()

    /// How many restaurants without tablets are recorded: they had a tablet or a menu reader in the last quarter of an hour.
    /// Restaurants with tablets are always recorded, since there are no more of them than connections.
    private static let placesWithoutTablets = 4_000

    init(loop: EventLoop, hub: Hub, cache: MenuCache, interval: Duration) {
        self.loop = loop
        self.hub = hub
        self.cache = cache
        intervals = ActivityIntervals(length: interval)
    }

    func start() {
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: deadline(after: loop.now))
    }

    func stop() {
        if let token { loop.remove(token) }
        token = nil
    }

    /// The record of one restaurant, or of all together.
    func history(of restaurant: RestaurantID?) -> ActivityHistory {
        guard let restaurant else { return all }
        return places[restaurant]?.history ?? ActivityHistory(idleAs: all)
    }

    /// How many restaurants are recorded.
    var restaurantCount: Int { places.count }

    // MARK: Looking

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        if !isLooking { begin(now) }
        return deadline(after: now)
    }

    private func deadline(after now: Moment) -> Instant {
        now.instant + intervals.untilNext(after: now.unixTime)
    }

    private func begin(_ now: Moment) {
        isLooking = true
        looks &+= 1
        number = intervals.last(at: now.unixTime)
        ended = hub.metrics.takeRecent()
        reads = cache.takeRecentAnswers()
        sum = ActivitySample()
        // Some restaurants are in the queue several times.
        queue = hub.restaurants + Array(places.keys) + Array(ended.keys) + Array(reads.keys)
        next = 0
        goOn()
    }

    /// Inspects as many restaurants as the turn has time for, and the others in the next turns.
    private func goOn() {
        while next < queue.count {
            look(at: queue[next])
            next += 1
            guard !loop.isOverdue else {
                return loop.later { [self] in
                    if token != nil { goOn() }
                }
            }
        }
        all.append(sum, at: number)
        // The memory of a large crowd is not kept for a small one.
        (isLooking, queue, ended, reads) = (false, [], [:], [:])
    }

    private func look(at restaurant: RestaurantID) {
        let members = hub.members(of: restaurant)
        var sample = ended.removeValue(forKey: restaurant) ?? ActivitySample()
        if let reads = reads.removeValue(forKey: restaurant) { sample.menuReads = reads }
        guard let place = places.index(forKey: restaurant) else {
            let isNew = !members.isEmpty || sample != ActivitySample()
            // Otherwise it was inspected already, and is no longer recorded.
            guard isNew else { return }
            var place = Place(history: ActivityHistory(idleAs: all), look: looks)
            grow(&place.live, to: live(members), &sample)
            place.history.append(sample, at: number)
            sum.add(sample)
            let isAffordable = places.count - hub.restaurantCount < ActivityRecorder.placesWithoutTablets
            if !members.isEmpty || isAffordable { places[restaurant] = place }
            return
        }
        guard places.values[place].look != looks else { return }
        places.values[place].look = looks
        grow(&places.values[place].live, to: live(members), &sample)
        places.values[place].history.append(sample, at: number)
        sum.add(sample)
        if members.isEmpty, places.values[place].history.isIdle { places.remove(at: place) }
    }

    private func live(_ members: [ConnectionRegistry.Member]) -> Counts {
        var counts = Counts()
        for member in members {
            guard let connection = hub.connection(member.connection) else { continue }
            let totals = hub.ledger.totals(of: connection, wasAuthenticated: true)
            counts.messages += totals.messages
            counts.pings += totals.pings
            counts.pingsDue += totals.heartbeatsDue
        }
        return counts
    }

    /// Adds to a sample, which contains what tablets that have left counted, the growth of the others since the last inspection.
    private func grow(_ old: inout Counts, to new: Counts, _ sample: inout ActivitySample) {
        func growth(_ old: inout UInt64, _ new: UInt64, _ ended: inout UInt64) {
            let (before, now) = (old, new &+ ended)
            // A replaced connection is gone a moment before it counts as ended. The next sample makes up for the difference.
            old = now >= before ? new : before &- ended
            ended = now >= before ? now &- before : 0
        }
        growth(&old.messages, new.messages, &sample.messages)
        growth(&old.pings, new.pings, &sample.heartbeatsReceived)
        growth(&old.pingsDue, new.pingsDue, &sample.heartbeatsExpected)
    }
}
