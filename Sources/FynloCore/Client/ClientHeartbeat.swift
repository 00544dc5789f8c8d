// Pings the server at a regular interval, and counts the connection as dead after three pings without an answer.

/// The pings of one client, from `authenticated` on.
struct ClientHeartbeat: Sendable {
    /// What is due.
    enum Finding: Equatable {
        case ping
        /// A pong is overdue.
        case missed
        case dead
    }

    /// Consecutive unanswered pings after which the connection counts as dead.
    static let tolerated = 3

    private let interval: Duration
    private let pongTimeout: Duration
    private var nextPing: Instant
    /// When the ping was sent that has no answer yet.
    private var asked: Instant?
    /// Consecutive pings that were not answered in time.
    private(set) var missed = 0
    /// The connection counts as dead at the next unanswered ping.
    private var isProbing = false
    /// The round trip of the last ping; `nil` before the first pong.
    private(set) var roundTrip: Duration?

    /// A pong must come before the next ping is due.
    init(interval: Duration, pongTimeout: Duration, now: Instant) {
        self.interval = interval
        self.pongTimeout = min(pongTimeout, interval)
        nextPing = now + interval
    }

    /// Takes a pong and returns the round trip; `nil` for a late pong, which proves that the server is there but measures
    /// nothing.
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

    /// Handles a possible change of network: a ping is due at once, and the connection counts as dead if the pong does not
    /// come in time.
    mutating func probe(now: Instant) {
        isProbing = true
        asked = nil
        nextPing = now
    }

    /// What is due now, if anything. Call it until it returns `nil`.
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

    /// When something is due next.
    var nextDeadline: Instant {
        guard let asked else { return nextPing }
        return min(asked + pongTimeout, nextPing)
    }
}
