// The judge: it knows the log, and what everybody was told.

import FynloCore
import TestSupport

/// The first broken promise, and what was seen on the way.
struct Oracle {
    private(set) var violation: String?
    /// How often things happened that a simulation is no use without.
    private(set) var seen: [String: Int] = [:]
    /// The event that each command made.
    private var made: [String: EventSequence] = [:]
    /// Commands that storage has decided about, by id.
    private var decided: Set<String> = []
    /// When the access of a user last changed.
    var revocations: [(subject: String, restaurant: RestaurantID, at: Instant)] = []

    mutating func object(_ sentence: String) {
        if violation == nil { violation = sentence }
    }

    mutating func count(_ what: String, _ number: Int = 1) {
        seen[what, default: 0] += number
    }

    /// Rows that a command has added to the log.
    mutating func logged(_ rows: ArraySlice<ModelDatabase.LoggedEvent>) {
        for row in rows {
            guard let id = row.messageID else { continue }
            if let first = made[id] { object("\(id) is in the log twice, as \(first) and \(row.event.sequence)") }
            made[id] = row.event.sequence
        }
    }

    func hasDecided(_ id: String?) -> Bool {
        id.map { decided.contains($0) } ?? false
    }

    mutating func decided(_ id: String?) {
        if let id { decided.insert(id) }
    }

    /// A command goes to storage: those before it must have been, unless the tablet was asked to send them again.
    mutating func began(_ command: Int, of tablet: SimulatedTablet, putOff: Set<Int>) {
        for earlier in 0..<command {
            let other = tablet.commands[earlier]
            guard other.wasSent, !other.isTransient, !decided.contains(tablet.id(earlier)) else { continue }
            if !putOff.contains(earlier) { object("\(tablet.id(command)) overtakes \(tablet.id(earlier))") }
        }
    }

    /// A tablet is told that its command is done.
    mutating func acknowledged(_ id: String, sequence: EventSequence?, isTransient: Bool) {
        guard !isTransient else { return }
        if made[id] != sequence {
            let (told, logged) = (sequence.map(String.init), made[id].map(String.init))
            object("\(id) is acknowledged as \(told ?? "no event"), but the log has \(logged ?? "none")")
        } else if !decided.contains(id) {
            object("\(id) is acknowledged, but was never done")
        }
    }

    /// A tablet is told for good that its command is not done.
    mutating func refused(_ id: String, _ code: String) {
        if let sequence = made[id] { object("\(id) is refused (\(code)), though it is in the log as \(sequence)") }
    }

    /// A tablet is told to reload: only if what it missed is gone, or too much, or was never there.
    mutating func resynced(
        from missing: EventSequence, to head: EventSequence, in stream: ModelDatabase.Stream, limit: Int
    ) {
        let isExcused = missing <= stream.pruned || head - missing >= EventSequence(limit) || missing > head + 1
        if !isExcused { object("a tablet has to reload, though it could have been sent \(missing) to \(head)") }
    }

    /// A tablet was given a durable event.
    mutating func received(_ message: ReceivedMessage, by tablet: SimulatedTablet, in stream: ModelDatabase.Stream) {
        guard let sequence = message.sequence, let data = message.data else {
            return object("tablet \(tablet.number) got an event without number or data")
        }
        guard let row = stream[sequence] else {
            return object("tablet \(tablet.number) got event \(sequence), which is not in the log of its restaurant")
        }
        if row.event.type != message.type || !row.event.data[...].elementsEqual(message.json[data.positions]) {
            object("tablet \(tablet.number) got another event \(sequence) than its restaurant's")
        }
    }
}
