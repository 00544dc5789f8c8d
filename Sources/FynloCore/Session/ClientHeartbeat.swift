// Is the server there? It is asked at a regular interval, and is given up after three questions without an answer.

/// The pings of one client, from `authenticated` on.
struct ClientHeartbeat: Sendable {
    /// What a moment calls for.
    enum Finding: Equatable {
        case ping
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
    /// How long the last answer took; `nil` before the first.
    private(set) var roundTrip: Duration?

    /// An answer has to come before the next ping at the latest.
    init(interval: Duration, pongTimeout: Duration, now: Instant) {
        self.interval = interval
        self.pongTimeout = min(pongTimeout, interval)
        nextPing = now + interval
    }

    /// An answer came; a late one proves life too, but measures nothing.
    mutating func pong(now: Instant) {
        if let asked { roundTrip = now - asked }
        asked = nil
        missed = 0
    }

    /// What is due now, if anything.
    mutating func tick(now: Instant) -> Finding? {
        if let sent = asked, now >= sent + pongTimeout {
            asked = nil
            missed += 1
            if missed >= ClientHeartbeat.tolerated { return .dead }
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
