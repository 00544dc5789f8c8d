// The last things that a tablet and the server said to each other, kept in 64 bytes for the day when it went wrong: what
// they were and about when, never what was in them.

/// One thing in a WebSocket's life.
public enum ProtocolEvent: UInt8, CaseIterable, Sendable {
    // From the tablet.
    case upgrade = 1
    case authenticate
    case reauth
    case ping
    case pong
    case command
    case transient
    case unreadable
    case closeReceived
    // From the server.
    case authenticated
    case authError
    case serverPing
    case acknowledgement
    case error
    case rateRefusal
    case event
    case replay
    case resync
    case tokenWarning
    case reconnect
    case closeSent

    /// Its name in logs and diagnostics.
    public var name: StaticString {
        switch self {
        case .upgrade: "upgrade"
        case .authenticate: "authenticate"
        case .reauth: "reauth"
        case .ping: "ping"
        case .pong: "pong"
        case .command: "command"
        case .transient: "transient"
        case .unreadable: "unreadable"
        case .closeReceived: "close_received"
        case .authenticated: "authenticated"
        case .authError: "auth_error"
        case .serverPing: "server_ping"
        case .acknowledgement: "ack"
        case .error: "error"
        case .rateRefusal: "rate_refusal"
        case .event: "event"
        case .replay: "replay"
        case .resync: "resync"
        case .tokenWarning: "token_warning"
        case .reconnect: "reconnect"
        case .closeSent: "close_sent"
        }
    }
}

/// The last fifteen events of one connection; the same one several times in a row is one with a count.
public struct ProtocolTrace: Sendable {
    /// An event, or several of a kind.
    public struct Entry: Equatable, Sendable {
        public let event: ProtocolEvent
        /// How often in a row; 255 stands for more, too.
        public let count: Int
        /// How long ago the last of them was, to a quarter of a second.
        public let age: Duration
    }

    // An entry is `time << 16 | count << 8 | event`, the time in units of 2^28 ns (0.27 s), of which the lowest 16 bits are
    // kept: entries are less than 4.9 hours apart, as silent tablets are closed. A zero is no entry.
    private var entries = [15 of UInt32](repeating: 0)
    private var newest: UInt8 = 14

    /// How many events are kept.
    public static let capacity = 15

    public init() {}

    private static func ticks(_ instant: Instant) -> UInt32 {
        UInt32(truncatingIfNeeded: instant.nanoseconds >> 28) & 0xffff
    }

    /// Adds an event; the oldest makes room.
    public mutating func note(_ event: ProtocolEvent, at now: Instant) {
        let last = entries[Int(newest)]
        let time = ProtocolTrace.ticks(now) << 16
        if last & 0xff == UInt32(event.rawValue) {
            let count = min((last >> 8) & 0xff + 1, 255)
            entries[Int(newest)] = time | count << 8 | UInt32(event.rawValue)
        } else {
            newest = newest == 14 ? 0 : newest + 1
            entries[Int(newest)] = time | 1 << 8 | UInt32(event.rawValue)
        }
    }

    /// What is kept, the oldest first.
    public func entries(at now: Instant) -> [Entry] {
        var found: [Entry] = []
        var time = ProtocolTrace.ticks(now)
        var age: Int64 = 0
        for back in 0..<ProtocolTrace.capacity {
            let raw = entries[(Int(newest) + ProtocolTrace.capacity - back) % ProtocolTrace.capacity]
            guard let event = ProtocolEvent(rawValue: UInt8(raw & 0xff)) else { break }
            let entryTime = raw >> 16
            // Each is older than the one after it, however often the clock's lowest bits have come round.
            age += Int64((time &- entryTime) & 0xffff)
            time = entryTime
            found.append(
                Entry(event: event, count: Int((raw >> 8) & 0xff), age: .nanoseconds(age << 28)))
        }
        return found.reversed()
    }

    /// For a log line: `upgrade 61.2, authenticate 61.2, authenticated 61, ping*4 1.1`, each with its age in seconds.
    public func text(at now: Instant) -> String {
        entries(at: now).map { entry in
            let repeated = entry.count > 1 ? "*\(entry.count)" : ""
            return "\(entry.event.name)\(repeated) \(entry.age.secondsText)"
        }.joined(separator: ", ")
    }
}
