// The records of tablets as they connect and leave: the sums of their sessions' counts, their history, the names of their
// programs, and a line in the log for each connection that failed.

import FynloCore
import FynloIO

/// The records of a process' connections.
final class ConnectionLedger {
    /// The counters.
    let metrics = Metrics()
    /// The history of the restaurants' tablets.
    private(set) var history = ConnectionHistory()

    private let loop: EventLoop
    private let log: Logger
    private let heartbeatInterval: Duration
    /// The names of the tablets' programs, each once. A member holds the index of its program's name.
    private var versions: [String] = []
    /// Members that were replaced by a newer connection of the same tablet and are about to be closed.
    private var leftBehind: [UInt64: ConnectionRegistry.Member] = [:]

    /// The largest number of names, more than are in use anywhere.
    private static let knownVersions = 200

    init(loop: EventLoop, log: Logger, heartbeatInterval: Duration) {
        self.loop = loop
        self.log = log
        self.heartbeatInterval = heartbeatInterval
    }

    // MARK: Coming

    /// The index of a program's name; 0 if it has none or too many are known.
    func place(of version: String?) -> UInt16 {
        guard let version else { return 0 }
        if let known = versions.firstIndex(of: version) { return UInt16(known + 1) }
        guard versions.count < ConnectionLedger.knownVersions else { return 0 }
        versions.append(version)
        return UInt16(versions.count)
    }

    /// The name that a tablet gave its program.
    func version(of member: ConnectionRegistry.Member) -> String? {
        member.version == 0 ? nil : versions[Int(member.version) - 1]
    }

    /// Records that an older connection of `member` was replaced and is closed next.
    func replacing(_ number: UInt64, by member: ConnectionRegistry.Member) {
        leftBehind[number] = member
    }

    /// Records an admitted tablet, which may replace an older connection.
    func joined(_ restaurant: RestaurantID, _ member: ConnectionRegistry.Member, isReturning: Bool) {
        let key = ConnectionHistory.TabletKey(member, in: restaurant)
        if history.joined(key, isReturning: isReturning, now: loop.now.instant) { metrics.reconnects += 1 }
    }

    // MARK: Going

    /// A session's counts, with the heartbeats that were due.
    func totals(of connection: ClientConnection, wasAuthenticated: Bool) -> Metrics.SessionTotals {
        var totals = Metrics.SessionTotals()
        totals.add(connection.counts)
        if wasAuthenticated {
            let interval = max(1, heartbeatInterval.inNanoseconds)
            totals.heartbeatsDue = UInt64(max(0, (loop.now.instant - connection.since).inNanoseconds) / interval)
        }
        return totals
    }

    /// Records the end of a session. `member` is the tablet's, unless it was replaced or never admitted.
    func ended(
        _ connection: ClientConnection, _ restaurant: RestaurantID, _ end: SessionEnd, wasAuthenticated: Bool,
        member: () -> ConnectionRegistry.Member?
    ) {
        let totals = totals(of: connection, wasAuthenticated: wasAuthenticated)
        metrics.ended = metrics.ended + totals
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

    /// Records an error sent to a client.
    func refused(_ code: APIError.Code, _ connection: ClientConnection) {
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
