// The last quarter of an hour, for whoever opens a page now: every 15 s, what the counters grew by, of each restaurant and of
// all. Nothing is added to what a message costs: the connections have their counters anyway, and are looked at one restaurant
// after another, a part of them in each turn.

import FynloCore
import FynloIO

/// Notes what happened in this process, and keeps it.
final class ActivityRecorder: EventSource {
    /// What is known of one restaurant.
    private struct Place {
        var history: ActivityHistory
        /// What the tablets that were there had counted when they were last looked at.
        var live = Counts()
        /// In which look it was last seen.
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

    // The look at all restaurants that is under way, a part of it in each turn.
    private var isLooking = false
    private var looks: UInt32 = 0
    private var number: Int64 = 0
    private var queue: [RestaurantID] = []
    private var next = 0
    private var ended: [RestaurantID: ActivitySample] = [:]
    private var reads: [RestaurantID: MenuReads] = [:]
    private var sum = ActivitySample()

    /// Restaurants that have a place without a tablet: they had one, or a reader of their menu, in the last quarter of an hour.
    /// Those with a tablet always have one, as there are no more of them than connections.
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

    /// What happened in a restaurant, or in all of them.
    func history(of restaurant: RestaurantID?) -> ActivityHistory {
        guard let restaurant else { return all }
        return places[restaurant]?.history ?? ActivityHistory(idleAs: all)
    }

    /// Restaurants that something is kept of.
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
        // Some are in it several times.
        queue = hub.restaurants + Array(places.keys) + Array(ended.keys) + Array(reads.keys)
        next = 0
        goOn()
    }

    /// Looks at as many restaurants as there is time for, and at the others in the next turns.
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
        // A large crowd's memory is not kept for a small one.
        (isLooking, queue, ended, reads) = (false, [], [:], [:])
    }

    private func look(at restaurant: RestaurantID) {
        let members = hub.members(of: restaurant)
        var sample = ended.removeValue(forKey: restaurant) ?? ActivitySample()
        if let reads = reads.removeValue(forKey: restaurant) { sample.menuReads = reads }
        guard let place = places.index(forKey: restaurant) else {
            let isNew = !members.isEmpty || sample != ActivitySample()
            // Else it was seen already, and is not kept any more.
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

    /// Adds to a sample, which has what those counted that have left, what the others have counted since they were last looked at.
    private func grow(_ old: inout Counts, to new: Counts, _ sample: inout ActivitySample) {
        func growth(_ old: inout UInt64, _ new: UInt64, _ ended: inout UInt64) {
            let (before, now) = (old, new &+ ended)
            // A connection that has been replaced counts as gone a moment before it counts as ended: that is made up for next time.
            old = now >= before ? new : before &- ended
            ended = now >= before ? now &- before : 0
        }
        growth(&old.messages, new.messages, &sample.messages)
        growth(&old.pings, new.pings, &sample.heartbeatsReceived)
        growth(&old.pingsDue, new.pingsDue, &sample.heartbeatsExpected)
    }
}
