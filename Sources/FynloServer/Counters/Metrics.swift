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
    /// Authenticated ones, from `authenticated` to their end.
    var connectionDurations = Histogram(.connection)
    /// WebSockets that ended, by the place of their code in `closeCodes`; those with any other code stand last.
    private var ends = [UInt64](repeating: 0, count: closeCodes.count + 1)
    /// Authenticated tablets that had been here before.
    var reconnects: UInt64 = 0
    var slowConsumers: UInt64 = 0
    /// Events sent to tablets that had missed them.
    var replayedEvents: UInt64 = 0

    /// The codes that are told apart: those of RFC 6455 and our own. Clients may make up others, which are counted together.
    static let closeCodes =
        (Set([1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011]).union(CloseReason.allCases.map(\.code)))
        .sorted()

    func noteEnd(code: UInt16) {
        ends[Metrics.closeCodes.firstIndex(of: code) ?? Metrics.closeCodes.count] += 1
    }

    /// How many WebSockets ended with each code, and with any other one.
    var endsByCode: [(code: String, count: UInt64)] {
        Array(zip(Metrics.closeCodes.map(String.init) + ["other"], ends))
    }

    // MARK: Authentication

    /// Tablets that were let in.
    var authenticated: UInt64 = 0
    /// Those that were not.
    private var authenticationFailures = Tally<AuthenticationFailure>()
    /// From `authenticate` to its answer.
    var authenticationTime = Histogram(.latency)
    var reauthenticated: UInt64 = 0
    var reauthenticationFailures: UInt64 = 0

    func note(_ failure: AuthenticationFailure) {
        authenticationFailures.add(failure)
    }

    /// How many tablets were refused, by `data.code`.
    var failuresByCode: [(code: String, count: UInt64)] {
        authenticationFailures.counts.map { ($0.code.description, $1) }
    }

    // MARK: Messages

    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    /// Events and relayed messages, times the tablets each was handed to.
    var deliveries: UInt64 = 0
    /// Events that were handed out live.
    private(set) var events: UInt64 = 0
    /// Errors told to clients.
    private var errors = Tally<APIError.Code>()
    /// From receipt to the last tablet's socket written.
    var relayTime = Histogram(.latency)
    /// From receipt to its answer, and its event, written.
    var commandTime = Histogram(.latency)
    /// From commit to the last tablet's socket written, by the clocks of two machines.
    var deliveryTime = Histogram(.latency)
    /// The round trips of tablets, each looked at once when metrics are asked for.
    var roundTrips = Histogram(.latency)

    // What is being delivered in this turn: when it came, or was committed.
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

    /// All sockets that take something have been written to: what was to be delivered in this turn has been.
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

    /// What happened in each restaurant since it was last taken, of what is told by nobody else: deliveries, and what was
    /// counted by sessions that have ended.
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

    /// How many answers there were, by the endpoint's label and class of status. Handlers send no informational ones.
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
