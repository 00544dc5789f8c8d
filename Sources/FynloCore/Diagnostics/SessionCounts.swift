// What one session has counted. The totals of a process are the sums over all its sessions, present and past, so that a
// message costs no more than one addition.

/// Counters of one WebSocket, from its upgrade on.
public struct SessionCounts: Sendable {
    /// `ping` messages and RFC 6455 pings: the tablet's heartbeats.
    public var pings: UInt32 = 0
    /// `order.status_update`.
    public var commands: UInt32 = 0
    /// `kitchen.*` and `table.*`.
    public var transients: UInt32 = 0
    /// `authenticate`, `reauth`, `pong` and RFC 6455 pongs.
    public var others: UInt32 = 0
    /// Messages that could not be read, or are of no known type.
    public var unreadable: UInt32 = 0
    /// `error` answers to messages of any kind.
    public var errors: UInt32 = 0
    /// Messages refused because they came too fast; they count as errors too.
    public var rateRefusals: UInt32 = 0
    /// The tablet's own measure of the round trip, as its last ping told it, in milliseconds; `unknownRoundTrip`: it told none.
    public var roundTripMilliseconds = SessionCounts.unknownRoundTrip
    /// How far the tablet has applied the events, as its last ping told it; negative: it told nothing.
    public var toldSequence: EventSequence = -1

    public static let unknownRoundTrip = UInt32.max

    public init() {}

    /// Adds an event to those of its kind; most of what the server says is not counted.
    @inline(__always)
    mutating func count(_ event: ProtocolEvent) {
        switch event {
        case .ping: pings &+= 1
        case .command: commands &+= 1
        case .transient: transients &+= 1
        case .authenticate, .reauth, .pong: others &+= 1
        case .unreadable: unreadable &+= 1
        case .error: errors &+= 1
        case .rateRefusal: rateRefusals &+= 1
        case .upgrade, .closeReceived, .authenticated, .authError, .serverPing, .acknowledgement, .event, .replay,
            .resync, .tokenWarning, .reconnect, .closeSent:
            break
        }
    }

    /// Messages of all kinds.
    public var messages: UInt64 {
        UInt64(pings) + UInt64(commands) + UInt64(transients) + UInt64(others) + UInt64(unreadable)
            + UInt64(rateRefusals)
    }
}

/// What a session counts and traces. It is kept beside the session, so that the session stays small.
public struct SessionLog: Sendable {
    public var counts = SessionCounts()
    public var trace = ProtocolTrace()

    public init() {}

    /// Counts an event, if events of its kind are counted, and adds it to the trace.
    @inline(__always)
    mutating func note(_ event: ProtocolEvent, at now: Instant) {
        counts.count(event)
        trace.note(event, at: now)
    }
}
