// What is due when, for messages at a fixed rate and for connections that wait for their turn.

import FynloCore

/// Something that happens so many times per second.
struct LoadRate {
    private let perSecond: Int
    private let start: Instant
    /// How many have been handed out.
    private(set) var count: Int64 = 0

    /// What a timer is late anyway.
    private static let tolerance = Duration.milliseconds(5)

    init(perSecond: Int, start: Instant) {
        self.perSecond = perSecond
        self.start = start
    }

    /// When the next one was due, once that has come. If we are late beyond what a timer is late anyway, that is told too:
    /// a server that keeps us waiting is not to profit from what we therefore do not ask it.
    mutating func takeDue(now: Instant) -> Instant? {
        let due = start + .nanoseconds(Int64(Double(count) * 1e9 / Double(perSecond)))
        guard due <= now else { return nil }
        count += 1
        return now - due > LoadRate.tolerance ? due : now
    }
}

/// Numbers that wait for their time, to a hundredth of a second.
struct LoadAgenda {
    private static let slot = Duration.milliseconds(10)
    private let start: Instant
    private var slots: [[Int32]] = []
    private var position = 0
    /// How many wait.
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

    /// Those whose time has come.
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
