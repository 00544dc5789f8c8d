// When things are due: messages at a fixed rate, and connections that wait for their turn.

import FynloCore

/// A fixed number of events per second.
struct LoadRate {
    private let perSecond: Int
    private let start: Instant
    /// How many have been handed out.
    private(set) var count: Int64 = 0

    /// How late timers usually are.
    private static let tolerance = Duration.milliseconds(5)

    init(perSecond: Int, start: Instant) {
        self.perSecond = perSecond
        self.start = start
    }

    /// When the next one was due, once that time has come. It is reported even if this program is late by more than timers
    /// usually are: a server that delays this program must not profit from the messages not sent meanwhile.
    mutating func takeDue(now: Instant) -> Instant? {
        let due = start + .nanoseconds(Int64(Double(count) * 1e9 / Double(perSecond)))
        guard due <= now else { return nil }
        count += 1
        return now - due > LoadRate.tolerance ? due : now
    }
}

/// Numbers with a due time, to a hundredth of a second.
struct LoadAgenda {
    private static let slot = Duration.milliseconds(10)
    private let start: Instant
    private var slots: [[Int32]] = []
    private var position = 0
    /// How many are waiting.
    private(set) var count = 0

    init(start: Instant) {
        self.start = start
    }

    mutating func add(_ number: Int, at instant: Instant) {
        let index = max(position, Int((instant - start) / LoadAgenda.slot))
        while slots.count <= index { slots.append([]) }
        slots[index].append(Int32(truncatingIfNeeded: number))
        count += 1
    }

    /// The numbers that are due.
    mutating func takeDue(now: Instant) -> [Int] {
        let end = min(slots.count, max(0, Int((now - start) / LoadAgenda.slot)))
        var due: [Int] = []
        while position < end {
            for number in slots[position] { due.append(Int(number)) }
            slots[position] = []
            position += 1
        }
        count -= due.count
        return due
    }
}
