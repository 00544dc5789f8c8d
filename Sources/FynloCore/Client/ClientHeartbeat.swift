// Is the server there? It is asked at a regular interval, and is given up after three questions without an answer.

/// The pings of one client, from `authenticated` on.
struct ClientHeartbeat: Sendable {
    /// What a moment calls for.
    enum Finding: Equatable {
        case ping
        /// An answer is overdue.
        case missed
        case dead
    }

    /// Unanswered pings in a row after which the connection counts as dead.
    static let tolerated = 3

    private let interval: Duration
    private let pongTimeout: Duration
    private var nextPing: Instant
    /// When the ping that awaits its answer was sent.
    private var asked: Instant?
    /// Pings in a row that were not answered in time.
    private(set) var missed = 0
    /// The next ping that stays without an answer is the last one.
    private var isProbing = false
    /// How long the last answer took; `nil` before the first.
    private(set) var roundTrip: Duration?

    /// An answer has to come before the next ping at the latest.
    init(interval: Duration, pongTimeout: Duration, now: Instant) {
        self.interval = interval
        self.pongTimeout = min(pongTimeout, interval)
        nextPing = now + interval
    }

    /// An answer came; a late one proves life too, but measures nothing: then it returns `nil`, else how long it took.
    mutating func pong(now: Instant) -> Duration? {
        defer {
            asked = nil
            missed = 0
            isProbing = false
        }
        guard let asked else { return nil }
        roundTrip = now - asked
        return roundTrip
    }

    /// The way to the server may have changed under the connection: a ping is due at once, and the connection counts as
    /// dead if its answer does not come in time.
    mutating func probe(now: Instant) {
        isProbing = true
        asked = nil
        nextPing = now
    }

    /// What is due now, if anything. To be called until it returns `nil`.
    mutating func tick(now: Instant) -> Finding? {
        if let sent = asked, now >= sent + pongTimeout {
            asked = nil
            missed += 1
            return isProbing || missed >= ClientHeartbeat.tolerated ? .dead : .missed
        }
        guard now >= nextPing else { return nil }
        asked = now
        nextPing = now + interval
        return .ping
    }

    /// When to look again.
    var nextDeadline: Instant {
        guard let asked else { return nextPing }
        return min(asked + pongTimeout, nextPing)
    }
}
