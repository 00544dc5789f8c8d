// Is the tablet there? Any frame proves it; after a silence it is asked; after a longer one it counts as gone.

/// The life signs of one connection.
public struct Heartbeat: Sendable {
    /// What a silence calls for.
    public enum Finding: Equatable, Sendable {
        case ping
        case stale
    }

    public private(set) var lastHeard: Instant
    private var isPinged = false

    public init(now: Instant) {
        lastHeard = now
    }

    /// A frame arrived.
    public mutating func heard(now: Instant) {
        lastHeard = now
        isPinged = false
    }

    /// What is due now, if anything; a ping is due once per silence.
    public mutating func tick(now: Instant, _ limits: Limits) -> Finding? {
        let silence = now - lastHeard
        if silence >= limits.staleAfter { return .stale }
        guard !isPinged, silence >= limits.idlePing else { return nil }
        isPinged = true
        return .ping
    }

    /// When to look again. Rounded up, so that one wake-up of the loop serves many tablets, and never by more than a
    /// thirtieth of the sweep interval that bounds how late a stale tablet is found.
    public func nextDeadline(_ limits: Limits) -> Instant {
        let due = lastHeard + (isPinged ? limits.staleAfter : min(limits.idlePing, limits.staleAfter))
        let grain = max(1, limits.sweepInterval.inNanoseconds / 30)
        return Instant(nanoseconds: (due.nanoseconds + grain - 1) / grain * grain)
    }
}
