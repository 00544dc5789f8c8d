// The connections of one process: two for short reads, which share them by pipelining, and several that serve one request at
// a time, so that no lock and no slow statement delays other requests.

import FynloCore
import FynloIO

/// Sends requests over as few connections as serve them, and opens new ones after a loss.
final class PostgresPool {
    /// How a request may share a connection.
    enum Sharing {
        /// A short read by primary key: pipelined with others.
        case shortRead
        /// A short read for delivery to connected tablets. It never waits behind the reads of connecting tablets.
        case live
        /// A write, or a read that may take long: a connection of its own.
        case exclusive
    }

    /// The sizes of one pool.
    struct Limits {
        /// Connections for exclusive requests. Postgres flushes its log once for all commits that come together: with 16 it
        /// commits a third more changes a second than with 8, and beyond that little more.
        var exclusiveConnections = 16
        /// Short reads in flight on their connection; more wait.
        var shortReadsInFlight = 64
        /// The largest number of waiting requests of each kind; more are refused at once.
        var waiting = 4_096
    }

    /// One connection, from its opening to its end.
    private final class Slot {
        let connection: PostgresConnection
        var wasReady = false
        init(_ connection: PostgresConnection) { self.connection = connection }
    }

    /// The connections and the waiting requests of one kind.
    private final class Lane {
        let maximumConnections: Int
        let inFlightPerConnection: Int
        var slots: [Slot] = []
        var waiting: [PostgresRequest] = []
        /// Set after a failure: until then, requests are refused instead of waiting for an unavailable database.
        var retryAt: Instant?
        /// The number of lost connections and failed attempts since the last answer.
        var failures = 0
        var lastError = PostgresError.unreachable("no connection was tried yet")
        /// One timer for all waiting requests.
        var isWatchingTime = false
        /// From sending a statement to its answer.
        var statements = Histogram(.latency)

        init(maximumConnections: Int, inFlightPerConnection: Int) {
            self.maximumConnections = maximumConnections
            self.inFlightPerConnection = inFlightPerConnection
        }
    }

    /// Counts of failures.
    struct Failures {
        var connectionsLost: UInt64 = 0
        /// Statements that Postgres cancelled or refused to wait for.
        var timeouts: UInt64 = 0
        /// Other statements that failed.
        var errors: UInt64 = 0
        /// Requests that got no connection in time.
        var refusals: UInt64 = 0
    }

    /// The present state of one kind of connections.
    struct LaneFigures {
        let name: String
        /// The number of connections by state: `connecting`, `idle`, `busy`.
        let connecting: Int
        let idle: Int
        let busy: Int
        /// Requests without a connection.
        let waiting: Int
        let statements: Histogram
    }

    private let loop: EventLoop
    private let settings: PostgresSettings
    private let limits: Limits
    private let log: Logger
    private let shortReads: Lane
    private let live: Lane
    private let exclusives: Lane
    private var isClosed = false
    /// The counts of failures.
    private(set) var failures = Failures()
    private var random = SystemGenerator()

    init(loop: EventLoop, settings: PostgresSettings, log: Logger, limits: Limits = Limits()) {
        self.loop = loop
        self.settings = settings
        self.log = log
        self.limits = limits
        shortReads = Lane(maximumConnections: 1, inFlightPerConnection: limits.shortReadsInFlight)
        live = Lane(maximumConnections: 1, inFlightPerConnection: limits.shortReadsInFlight)
        exclusives = Lane(maximumConnections: limits.exclusiveConnections, inFlightPerConnection: 1)
    }

    /// Opens the first connection of each kind, so that the first request finds one.
    func start() {
        for lane in lanes { open(lane) }
    }

    private var lanes: [Lane] { [shortReads, live, exclusives] }

    /// The channel of the programs that change the database.
    static let channel = "fynlo_changes"
    /// Called with the payload of each NOTIFY on `channel`. Notifications sent while there is no connection are lost.
    @SetOnce var whenNotified: (String) -> Void = { _ in }
    private static let listen = PostgresStatement(name: "listen", sql: "listen \(channel)")

    /// Closes everything; requests in flight are answered as lost.
    func close() {
        isClosed = true
        for lane in lanes {
            for slot in lane.slots { slot.connection.close(.connectionLost("the server is going away")) }
            failWaiting(lane, .overloaded)
        }
    }

    /// The present state of the connections.
    var laneFigures: [LaneFigures] {
        zip(["short_read", "live", "exclusive"], lanes).map { name, lane in
            let ready = lane.slots.filter(\.connection.isReady)
            let busy = ready.count { $0.connection.pendingCount > 0 }
            return LaneFigures(
                name: name, connecting: lane.slots.count - ready.count, idle: ready.count - busy, busy: busy,
                waiting: lane.waiting.count, statements: lane.statements)
        }
    }

    /// The number of requests in flight or waiting.
    var requestCount: Int {
        lanes.reduce(0) { sum, lane in
            sum + lane.waiting.count + lane.slots.reduce(0) { $0 + $1.connection.pendingCount }
        }
    }

    /// Sends a statement, or queues it for a connection. The reply is called exactly once, never from within this call.
    func send(
        _ statement: PostgresStatement, _ parameters: [PostgresValue], _ sharing: Sharing,
        reply: @escaping (Result<PostgresResult, PostgresError>) -> Void
    ) {
        let lane =
            switch sharing {
            case .shortRead: shortReads
            case .live: live
            case .exclusive: exclusives
            }
        let request = PostgresRequest(
            statement: statement, parameters: parameters, deadline: loop.now.instant + settings.queryTimeout,
            reply: reply)
        if let refusal = refusal(of: lane) {
            failures.refusals += 1
            return loop.atEndOfTurn { reply(.failure(refusal)) }
        }
        lane.waiting.append(request)
        failLate(lane, at: request.deadline)
        loop.atEndOfTurn { [weak self] in self?.dispatch(lane) }
    }

    /// Calls back at the end of the turn, for answers that need no database.
    func `defer`(_ reply: @escaping () -> Void) {
        loop.atEndOfTurn(reply)
    }

    /// Calls back when the turn has time, if one statement answers many callers.
    func later(_ reply: @escaping () -> Void) {
        loop.later(reply)
    }

    private func refusal(of lane: Lane) -> PostgresError? {
        if isClosed { return .overloaded }
        if lane.waiting.count >= limits.waiting { return .overloaded }
        // While the database is unavailable and there is no connection, requests do not wait.
        return lane.retryAt != nil && lane.slots.isEmpty ? lane.lastError : nil
    }

    /// Hands waiting requests to connections that can take them; opens one more when all are busy.
    private func dispatch(_ lane: Lane) {
        for slot in lane.slots {
            let room = lane.inFlightPerConnection - slot.connection.pendingCount
            guard slot.connection.isReady, room > 0, !lane.waiting.isEmpty else { continue }
            // Removed before they are sent: if the connection breaks on one of them, it replies to the requests that it was
            // given, and the pool replies to the waiting ones.
            var batch = lane.waiting.prefix(room)
            lane.waiting.removeFirst(batch.count)
            while slot.connection.isReady, var request = batch.popFirst() {
                // The time to run counts from now; the wait for a connection has its own limit.
                request.deadline = loop.now.instant + settings.queryTimeout
                slot.connection.send(request)
            }
            lane.waiting.insert(contentsOf: batch, at: 0)
        }
        let opening = lane.slots.count(where: { !$0.connection.isReady })
        if !lane.waiting.isEmpty, lane.waiting.count > opening { open(lane) }
    }

    private func open(_ lane: Lane) {
        guard !isClosed, lane.retryAt == nil, lane.slots.count < lane.maximumConnections else { return }
        let connection = PostgresConnection(loop: loop, settings: settings)
        let slot = Slot(connection)
        lane.slots.append(slot)
        connection.whenReady = { [weak self, weak slot, weak lane] in
            guard let self, let slot, let lane else { return }
            slot.wasReady = true
            if lane === self.live { self.listen(slot.connection) }
            self.dispatch(lane)
        }
        connection.whenNotified = { [weak self] in self?.whenNotified($0) }
        connection.whenAnswered = { [weak self, weak lane] took, error in
            guard let self, let lane else { return }
            lane.failures = 0
            lane.statements.observe(took)
            if let error { self.note(error) }
            self.scheduleDispatch(lane)
        }
        connection.whenClosed = { [weak self, weak slot, weak lane] error in
            guard let self, let slot, let lane else { return }
            self.lost(slot, lane, error)
        }
        connection.open(attempt: lane.failures)
    }

    private func note(_ error: PostgresError) {
        if error.isTimeout { failures.timeouts += 1 } else { failures.errors += 1 }
    }

    private func listen(_ connection: PostgresConnection) {
        connection.send(
            PostgresRequest(
                statement: PostgresPool.listen, parameters: [], deadline: loop.now.instant + settings.queryTimeout
            ) { [log] result in
                // Without LISTEN, the pulse still finds all changes, a little later.
                if case .failure(let error) = result {
                    log.warning("postgres_not_listening", ["error": error.description])
                }
            })
    }

    private func scheduleDispatch(_ lane: Lane) {
        guard !lane.waiting.isEmpty else { return }
        loop.atEndOfTurn { [weak self] in self?.dispatch(lane) }
    }

    private func lost(_ slot: Slot, _ lane: Lane, _ error: PostgresError) {
        lane.slots.removeAll { $0 === slot }
        guard !isClosed else { return }
        failures.connectionsLost += 1
        log.warning("postgres_connection_lost", ["error": error.description])
        lane.lastError = error
        if lane.retryAt == nil {
            lane.failures += 1
            // A single lost connection says little about the database: the next is tried at once, and unsent requests
            // wait for it.
            if lane.failures == 1, slot.wasReady { return open(lane) }
        }
        if lane.slots.isEmpty { failWaiting(lane, error) }
        guard lane.retryAt == nil else { return }
        let delay = backoff(after: lane.failures)
        lane.retryAt = loop.now.instant + delay
        loop.after(delay) { [weak self] in
            lane.retryAt = nil
            guard let self, !self.isClosed else { return }
            if lane.slots.isEmpty { self.open(lane) } else { self.dispatch(lane) }
        }
    }

    /// 50 ms, doubled with each failure up to 2 s, with a jitter of a quarter.
    private func backoff(after failures: Int) -> Duration {
        let base = Duration.milliseconds(50 << min(failures - 1, 5))
        let capped = min(base, .seconds(2))
        return capped * Double.random(in: 0.75...1.25, using: &random)
    }

    /// Refuses the requests that have waited for a connection for as long as a statement may run.
    private func failLate(_ lane: Lane, at deadline: Instant) {
        guard !lane.isWatchingTime else { return }
        lane.isWatchingTime = true
        loop.after(deadline - loop.now.instant) { [weak self] in
            lane.isWatchingTime = false
            guard let self else { return }
            let now = self.loop.now.instant
            let late = lane.waiting.prefix { $0.deadline <= now }
            lane.waiting.removeFirst(late.count)
            self.failures.refusals += UInt64(late.count)
            self.refuse(late, .overloaded)
            if let first = lane.waiting.first { self.failLate(lane, at: first.deadline) }
        }
    }

    private func failWaiting(_ lane: Lane, _ error: PostgresError) {
        let waiting = lane.waiting
        lane.waiting = []
        failures.refusals += UInt64(waiting.count)
        refuse(waiting[...], error)
    }

    /// Replies when the turn has time, since there may be thousands.
    private func refuse(_ requests: ArraySlice<PostgresRequest>, _ error: PostgresError) {
        for request in requests { loop.later { request.reply(.failure(error)) } }
    }
}
