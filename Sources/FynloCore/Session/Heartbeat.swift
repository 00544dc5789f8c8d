// Is the tablet there? Any frame proves it; after a silence it is asked; after a longer one it counts as gone.

/// The signs of life of one connection.
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
    public mutating func tick(now: Instant, _ terms: Terms) -> Finding? {
        let silence = now.nanoseconds - lastHeard.nanoseconds
        if silence >= terms.staleAfter { return .stale }
        guard !isPinged, silence >= terms.idlePing else { return nil }
        isPinged = true
        return .ping
    }

    /// When to look again. Rounded up, so that one wake-up of the loop serves many tablets, and never by more than a
    /// thirtieth of the sweep interval that bounds how late a stale tablet is found.
    public func nextDeadline(_ terms: Terms) -> Instant {
        let due = lastHeard.nanoseconds + (isPinged ? terms.staleAfter : min(terms.idlePing, terms.staleAfter))
        return Instant(nanoseconds: (due + terms.grain - 1) / terms.grain * terms.grain)
    }
}

extension Heartbeat {
    /// The limits of a heartbeat, in nanoseconds: every message needs them, and the 128 bits of a Duration are expensive.
    public struct Terms: Sendable {
        let idlePing: Int64
        let staleAfter: Int64
        let grain: Int64

        public init(_ limits: Limits) {
            idlePing = limits.idlePing.inNanoseconds
            staleAfter = limits.staleAfter.inNanoseconds
            grain = max(1, limits.sweepInterval.inNanoseconds / 30)
        }
    }
}
