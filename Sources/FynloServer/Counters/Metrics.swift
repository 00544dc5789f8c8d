// What a process counts about its connections and what passes through them: plain numbers that belong to the loop's thread.
// What a session counts itself (SessionCounts) is added here when it ends. The pool, Redis, the menu's cache and the loop
// keep their own counters. MetricsEndpoint writes them all when it is asked.

import FynloCore
import FynloIO

/// The counters of one process.
final class Metrics {
    /// What one session or several have counted.
    struct SessionTotals {
        var pings: UInt64 = 0
        var commands: UInt64 = 0
        var transients: UInt64 = 0
        var others: UInt64 = 0
        var unreadable: UInt64 = 0
        var rateRefusals: UInt64 = 0
        /// Heartbeats that were due.
        var heartbeatsDue: UInt64 = 0

        var messages: UInt64 { pings + commands + transients + others + unreadable + rateRefusals }

        init() {}

        /// What one session has counted; it does not know how many heartbeats were due.
        init(_ counts: SessionCounts) {
            pings = UInt64(counts.pings)
            commands = UInt64(counts.commands)
            transients = UInt64(counts.transients)
            others = UInt64(counts.others)
            unreadable = UInt64(counts.unreadable)
            rateRefusals = UInt64(counts.rateRefusals)
        }

        static func += (left: inout SessionTotals, right: SessionTotals) {
            left.pings += right.pings
            left.commands += right.commands
            left.transients += right.transients
            left.others += right.others
            left.unreadable += right.unreadable
            left.rateRefusals += right.rateRefusals
            left.heartbeatsDue += right.heartbeatsDue
        }

        static func + (left: SessionTotals, right: SessionTotals) -> SessionTotals {
            var sum = left
            sum += right
            return sum
        }
    }

    // MARK: Connections

    /// Accepted sockets, including those that were only served a refusal.
    var acceptedSockets: UInt64 = 0
    /// Sockets of the operations listener.
    var acceptedOperationsSockets: UInt64 = 0
    /// What sessions that have ended counted.
    var ended = SessionTotals()
    /// The duration of authenticated sessions, from `authenticated` to their end.
    var connectionDurations = Histogram(.connection)
    /// Ended WebSockets, by the index of their code in `closeCodes`; all other codes come last.
    private var ends = [UInt64](repeating: 0, count: closeCodes.count + 1)
    /// Authenticated tablets that had been connected before.
    var reconnects: UInt64 = 0
    var slowConsumers: UInt64 = 0
    /// Events sent to tablets that had missed them.
    var replayedEvents: UInt64 = 0

    /// The codes counted separately: those of RFC 6455 and our own. Clients may send others, which are counted together.
    static let closeCodes =
        (Set([1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011]).union(CloseReason.allCases.map(\.code)))
        .sorted()

    func noteEnd(code: UInt16) {
        ends[Metrics.closeCodes.firstIndex(of: code) ?? Metrics.closeCodes.count] += 1
    }

    /// The number of WebSockets that ended with each code, and with any other code.
    var endsByCode: [(code: String, count: UInt64)] {
        Array(zip(Metrics.closeCodes.map(String.init) + ["other"], ends))
    }

    // MARK: Authentication

    /// Admitted tablets.
    var authenticated: UInt64 = 0
    /// Refused tablets.
    private var authenticationFailures = Tally<AuthenticationFailure>()
    /// From `authenticate` to its answer.
    var authenticationTime = Histogram(.latency)
    var reauthenticated: UInt64 = 0
    var reauthenticationFailures: UInt64 = 0

    func note(_ failure: AuthenticationFailure) {
        authenticationFailures.add(failure)
    }

    /// The number of refused tablets, by `data.code`.
    var failuresByCode: [(code: String, count: UInt64)] {
        authenticationFailures.counts.map { ($0.code.description, $1) }
    }

    // MARK: Messages

    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    /// Deliveries: events and relayed messages, counted once per receiving tablet.
    var deliveries: UInt64 = 0
    /// Events delivered live.
    private(set) var events: UInt64 = 0
    /// Errors sent to clients.
    private var errors = Tally<APIError.Code>()
    /// From receipt to the last tablet's socket written.
    var relayTime = Histogram(.latency)
    /// From receipt to its answer, and its event, written.
    var commandTime = Histogram(.latency)
    /// From commit to the last tablet's socket written, by the clocks of two machines.
    var deliveryTime = Histogram(.latency)
    /// The round trips of tablets, each observed once per request for metrics.
    var roundTrips = Histogram(.latency)

    // The times at which the messages that are delivered in this turn arrived or were committed.
    private var relays: [Instant] = []
    private var commands: [Instant] = []
    private var commits: [(committedAt: UnixTime, restaurant: RestaurantID)] = []

    /// A message that came at `receivedAt` is being relayed.
    func relaying(receivedAt: Instant) { relays.append(receivedAt) }

    /// A command that came at `receivedAt` is being answered.
    func answering(receivedAt: Instant) { commands.append(receivedAt) }

    /// An event of a restaurant is being handed out.
    func delivering(committedAt: UnixTime, in restaurant: RestaurantID) {
        events += 1
        commits.append((committedAt, restaurant))
    }

    /// Called when all writable sockets were written to: the deliveries of this turn are complete.
    func wrote() {
        guard !relays.isEmpty || !commands.isEmpty || !commits.isEmpty else { return }
        let now = SystemClock.now
        for receivedAt in relays { relayTime.observe(now.instant - receivedAt) }
        for receivedAt in commands { commandTime.observe(now.instant - receivedAt) }
        for (committedAt, restaurant) in commits {
            let time = Duration.milliseconds(max(0, now.unixTime.milliseconds - committedAt.milliseconds))
            let bucket = deliveryTime.observe(time)
            recent[restaurant, default: ActivitySample()].deliveries[bucket] += 1
        }
        relays.removeAll(keepingCapacity: true)
        commands.removeAll(keepingCapacity: true)
        commits.removeAll(keepingCapacity: true)
    }

    // MARK: Restaurants

    /// The counts of each restaurant since they were last taken that are kept nowhere else: deliveries, and the counts of ended
    /// sessions.
    private var recent: [RestaurantID: ActivitySample] = [:]

    func takeRecent() -> [RestaurantID: ActivitySample] {
        defer { recent = [:] }
        return recent
    }

    /// A tablet's session has ended.
    func noteEnd(of totals: SessionTotals, in restaurant: RestaurantID) {
        var sample = ActivitySample()
        sample.messages = totals.messages
        sample.heartbeatsReceived = totals.pings
        sample.heartbeatsExpected = totals.heartbeatsDue
        recent[restaurant, default: ActivitySample()].add(sample)
    }

    // MARK: Errors

    func note(_ code: APIError.Code) {
        errors.add(code)
    }

    var errorsByCode: [(code: String, count: UInt64)] {
        errors.counts.map { ($0.rawValue, $1) }
    }

    // MARK: HTTP

    /// Answers of handlers, by the endpoint and the first digit of the status.
    private var responses = [UInt64](repeating: 0, count: Endpoint.allCases.count * statusClasses)
    /// From a request to a handler's answer.
    var requestTime = Histogram(.latency)

    private static let statusClasses = 5

    func note(_ endpoint: Endpoint, status: Int) {
        responses[endpoint.rawValue * Metrics.statusClasses + min(max(status / 100, 1), Metrics.statusClasses) - 1] += 1
    }

    /// The number of answers, by the endpoint's label and class of status. Handlers send no informational answers.
    var responsesByRoute: [(route: String, status: String, count: UInt64)] {
        var labels: [String] = []
        for endpoint in Endpoint.allCases where !labels.contains(endpoint.label) { labels.append(endpoint.label) }
        return labels.flatMap { label in
            let endpoints = Endpoint.allCases.filter { $0.label == label }
            return (1..<Metrics.statusClasses).map { place in
                let count = endpoints.reduce(0) { $0 + responses[$1.rawValue * Metrics.statusClasses + place] }
                return (label, "\(place + 1)xx", count)
            }
        }
    }
}
