// The sources of a loop by token: an array of slots and a free list. A token is a slot and its generation, so that a late
// event or timer of a source that has gone finds nobody, even when its slot or its descriptor is in use again.

import FynloCore

/// Identifies a source of one event loop. A token is never reused for another source of that loop.
public struct SourceToken: Hashable, Sendable {
    /// Generation in the upper half, slot in the lower.
    public let rawValue: UInt64

    /// No source's: generations begin with 1.
    public static let none = SourceToken(rawValue: 0)

    public var isNone: Bool { rawValue == 0 }

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(slot: Int, generation: UInt32) {
        rawValue = UInt64(generation) << 32 | UInt64(UInt32(truncatingIfNeeded: slot))
    }

    var slot: Int { Int(rawValue & 0xffff_ffff) }
    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
}

/// The slots.
struct SourceTable {
    struct Slot {
        /// nil in an unused slot.
        var source: (any EventSource)?
        var generation: UInt32 = 1
        /// -1 when there is nothing in epoll.
        var descriptor: Int32 = -1
        var interest: Interest = []
        /// When it is to be told the time.
        var timer: TimerWheel.Timer = .none
    }

    var slots: [Slot] = []
    private var unused: [UInt32] = []
    /// The owner of each descriptor number: 0 if it has none, otherwise its slot + 1.
    private var owners: [UInt32] = []

    /// The slot of a token; nil when its source has gone.
    func slot(of token: SourceToken) -> Int? {
        let slot = token.slot
        guard slot < slots.count, slots[slot].generation == token.generation else { return nil }
        return slot
    }

    /// Those of all sources.
    var tokens: [SourceToken] {
        slots.indices.filter { slots[$0].source != nil }.map { SourceToken(slot: $0, generation: slots[$0].generation) }
    }

    mutating func insert(_ source: any EventSource) -> SourceToken {
        let slot: Int
        if let free = unused.popLast() {
            slot = Int(free)
        } else {
            slot = slots.count
            slots.append(Slot())
        }
        slots[slot].source = source
        return SourceToken(slot: slot, generation: slots[slot].generation)
    }

    /// Frees a slot; its descriptor must have been given up.
    mutating func free(_ slot: Int) {
        let generation = slots[slot].generation
        slots[slot] = Slot(source: nil, generation: generation &+ 1)
        // A slot that has used up its generations is retired, so that no token comes back.
        if generation < .max - 1 { unused.append(UInt32(slot)) }
    }

    /// Records the number's new owner. If it belonged to another source, that source's descriptor was closed behind the
    /// loop's back, and the source must not use the number any more.
    mutating func assign(_ descriptor: Int32, to slot: Int) {
        let number = Int(descriptor)
        if number >= owners.count {
            owners.append(contentsOf: repeatElement(0, count: max(number + 1 - owners.count, owners.count)))
        }
        let owner = Int(owners[number]) - 1
        if owner >= 0, owner != slot, slots[owner].descriptor == descriptor { slots[owner].descriptor = -1 }
        owners[number] = UInt32(slot + 1)
        slots[slot].descriptor = descriptor
    }

    /// The slot has no descriptor any more. Returns the one it had, to be taken out of epoll; nil when it had none.
    mutating func unassign(_ slot: Int) -> Int32? {
        let descriptor = slots[slot].descriptor
        guard descriptor >= 0 else { return nil }
        owners[Int(descriptor)] = 0
        slots[slot].descriptor = -1
        return descriptor
    }
}
