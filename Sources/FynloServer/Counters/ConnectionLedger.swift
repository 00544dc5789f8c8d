// What is kept of tablets as they come and go: the sums of what their sessions counted, how they ended, the names of their
// programs, and a line in the log for each that ended abnormally.

import FynloCore
import FynloIO

/// A connection, as far as it is counted.
protocol CountedConnection: AnyObject {
    var id: ConnectionID { get }
    /// When it was accepted, became a WebSocket, or was authenticated.
    var since: Instant { get }
    /// What its session has counted.
    var counts: SessionCounts { get }
    /// What happened last.
    var log: SessionLog { get }
    /// The address of its client, for the log.
    var clientAddress: String { get }
    /// The authenticated user, if there is one.
    var user: UserID? { get }
    /// The restaurant that a tablet belongs to, or asks to.
    var restaurant: RestaurantID? { get }
}

/// Keeps account of a process's connections.
final class ConnectionLedger {
    /// The counters of this process.
    let metrics = Metrics()
    /// What happened to the tablets of each restaurant.
    private(set) var history = ConnectionHistory()

    private let loop: EventLoop
    private let log: Logger
    private let heartbeatInterval: Duration
    /// The distinct names of the tablets' programs; a member stores the place of its own.
    private var versions: [String] = []
    /// Members that were replaced by a newer connection of the same device and are about to be closed.
    private var leftBehind: [UInt64: ConnectionRegistry.Member] = [:]

    /// How many names are kept: more than are in use anywhere.
    private static let knownVersions = 200

    init(loop: EventLoop, log: Logger, heartbeatInterval: Duration) {
        self.loop = loop
        self.log = log
        self.heartbeatInterval = heartbeatInterval
    }

    // MARK: Coming

    /// The place of a program's name among the known ones, from 1; 0 if it has no name, or too many are known.
    func place(of version: String?) -> UInt16 {
        guard let version else { return 0 }
        if let known = versions.firstIndex(of: version) { return UInt16(known + 1) }
        guard versions.count < ConnectionLedger.knownVersions else { return 0 }
        versions.append(version)
        return UInt16(versions.count)
    }

    /// The name of a tablet's program.
    func version(of member: ConnectionRegistry.Member) -> String? {
        member.version == 0 ? nil : versions[Int(member.version) - 1]
    }

    /// `member` replaces an older connection, which is about to be closed.
    func replacing(_ number: UInt64, by member: ConnectionRegistry.Member) {
        leftBehind[number] = member
    }

    /// A tablet was admitted. `isReturning`: it replaces its own connection, or says that it had one before.
    func joined(_ restaurant: RestaurantID, _ member: ConnectionRegistry.Member, isReturning: Bool) {
        let key = ConnectionHistory.TabletKey(member, in: restaurant)
        if history.joined(key, isReturning: isReturning, now: loop.now.instant) { metrics.reconnects += 1 }
    }

    // MARK: Going

    /// What a session has counted, and how many heartbeats were due.
    func totals(of connection: some CountedConnection, wasAuthenticated: Bool) -> Metrics.SessionTotals {
        var totals = Metrics.SessionTotals(connection.counts)
        if wasAuthenticated {
            let interval = max(1, heartbeatInterval.inNanoseconds)
            totals.heartbeatsDue = UInt64(max(0, (loop.now.instant - connection.since).inNanoseconds) / interval)
        }
        return totals
    }

    /// A session has ended. `member` finds the tablet; it is `nil` if the tablet was replaced or never admitted.
    func ended(
        _ connection: some CountedConnection, _ restaurant: RestaurantID, _ end: SessionEnd, wasAuthenticated: Bool,
        member: () -> ConnectionRegistry.Member?
    ) {
        let totals = totals(of: connection, wasAuthenticated: wasAuthenticated)
        metrics.ended += totals
        metrics.noteEnd(code: end.code)
        if case .refused(let failure) = end {
            metrics.note(failure)
            if failure == .invalidToken { history.update(restaurant) { $0.refusedTokens += 1 } }
        }
        guard wasAuthenticated else { return }
        let now = loop.now.instant
        metrics.connectionDurations.observe(now - connection.since)
        if let member = leftBehind.removeValue(forKey: connection.id.number) ?? member() {
            let key = ConnectionHistory.TabletKey(member, in: restaurant)
            history.ended(key, end, totals, since: connection.since, now: now)
            metrics.noteEnd(of: totals, in: restaurant)
        }
        guard end.isAbnormal else { return }
        log.info(
            "connection_ended",
            [
                "connection": connection.id.uuid.description, "client": connection.clientAddress,
                "restaurant": restaurant.description, "code": String(end.code),
                "after_seconds": String((now - connection.since).components.seconds),
                "last_events": connection.log.trace.text(at: now),
            ])
    }

    // MARK: In between

    /// A client was sent an error.
    func refused(_ code: APIError.Code, _ connection: some CountedConnection) {
        metrics.note(code)
        guard connection.user != nil, let restaurant = connection.restaurant else { return }
        history.update(restaurant) { $0.errors[code, default: 0] += 1 }
    }

    /// Records events sent to a tablet that had missed them.
    func replayed(_ events: Int, to restaurant: RestaurantID) {
        metrics.replayedEvents += UInt64(events)
        history.update(restaurant) { $0.resumedEvents += events }
    }
}
