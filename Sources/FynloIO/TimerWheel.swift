// A hierarchical timer wheel with ticks of one millisecond. Inserting, moving and removing a timer cost the same however many
// there are, and an idle timer costs nothing until it is due.
//
//     level 0: 64 buckets of 1 ms | level 1: 64 of 64 ms | level 2: 64 of 4 s | … | level 6: 64 of 2.2 years
//
// A timer lies in the level of the highest group of 6 bits in which its tick differs from the present tick. So all the
// timers of a level are due before those of the level above, the first occupied bucket of the lowest occupied level is
// the next one, and no bucket ever wraps around. When the present reaches a bucket above level 0, its timers move down.

package import FynloCore

/// Timers with a key each, due at or after their deadline: at the next whole millisecond since the wheel's start.
package struct TimerWheel {
    /// A timer in the wheel; valid until it fires or is removed.
    package struct Timer: Hashable, Sendable {
        fileprivate var node: Int32

        /// No timer at all.
        package static let none = Timer(node: -1)
    }

    /// A member of a circular list. The first nodes are the buckets themselves, so that linking needs no special cases.
    private struct Node {
        var key: UInt64
        var tick: UInt64
        var next: Int32
        var previous: Int32
    }

    private static let bitsPerLevel = 6
    private static let bucketsPerLevel = 64
    private static let levels = 7
    private static let buckets = Int32(levels * bucketsPerLevel)
    private static let nanosecondsPerTick: Int64 = 1_000_000
    /// About 139 years after the start. Later deadlines are treated as this one.
    private static let lastTick: UInt64 = (1 << UInt64(levels * bitsPerLevel)) - 1

    private let start: Instant
    /// All ticks up to this one have been processed.
    private var present: UInt64 = 0
    /// One bit for each bucket that has timers, by level.
    private var occupied = [UInt64](repeating: 0, count: levels)
    private var nodes: [Node]
    /// The first unused node, linked by `next`; -1 when there is none.
    private var firstFree: Int32 = -1
    /// How many timers there are.
    package private(set) var count = 0

    /// An empty wheel; ticks are counted from `start`.
    package init(start: Instant) {
        self.start = start
        nodes = (0..<Self.buckets).map { Node(key: 0, tick: 0, next: $0, previous: $0) }
    }

    /// Adds a timer. A deadline that has passed is due at the next tick.
    package mutating func insert(_ key: UInt64, at deadline: Instant) -> Timer {
        let node = unusedNode()
        nodes[Int(node)].key = key
        nodes[Int(node)].tick = tick(for: deadline)
        link(node)
        count += 1
        return Timer(node: node)
    }

    /// Changes the deadline of a timer, to an earlier or a later one.
    package mutating func move(_ timer: Timer, to deadline: Instant) {
        let tick = tick(for: deadline)
        guard tick != nodes[Int(timer.node)].tick else { return }
        unlink(timer.node)
        nodes[Int(timer.node)].tick = tick
        link(timer.node)
    }

    /// Changes a timer's deadline to an earlier one; costs one comparison if it is not earlier.
    @inline(__always)
    package mutating func hasten(_ timer: Timer, to deadline: Instant) {
        let end = start.nanoseconds + Int64(nodes[Int(timer.node)].tick) * Self.nanosecondsPerTick
        if deadline.nanoseconds <= end - Self.nanosecondsPerTick { move(timer, to: deadline) }
    }

    /// Removes a timer before it is due.
    package mutating func remove(_ timer: Timer) {
        unlink(timer.node)
        free(timer.node)
    }

    /// When `advance` should be called next: never after the earliest deadline's tick, and before it only to move far
    /// timers down a level. nil when there are no timers.
    package var nextDeadline: Instant? {
        guard let bucket = nextBucket() else { return nil }
        let nanoseconds = Int64(firstTick(of: bucket)) * Self.nanosecondsPerTick
        let (sum, overflow) = start.nanoseconds.addingReportingOverflow(nanoseconds)
        return Instant(nanoseconds: overflow ? .max : sum)
    }

    /// Advances to `now`: appends the keys of all timers due by then to `due`, earliest first, and removes them. Returns when
    /// the first of them was due, if there was one.
    @discardableResult
    package mutating func advance(to now: Instant, due: inout [UInt64]) -> Instant? {
        let (elapsed, overflow) = now.nanoseconds.subtractingReportingOverflow(start.nanoseconds)
        guard !overflow, elapsed > 0 else { return nil }
        var earliest: UInt64?
        let target = min(UInt64(elapsed / Self.nanosecondsPerTick), Self.lastTick)
        while let bucket = nextBucket() {
            let tick = firstTick(of: bucket)
            guard tick <= target else { break }
            present = tick
            empty(bucket, due: &due, earliest: &earliest)
        }
        present = max(present, target)
        return earliest.map { Instant(nanoseconds: start.nanoseconds + Int64($0) * Self.nanosecondsPerTick) }
    }

    // MARK: Buckets

    private func nextBucket() -> Int32? {
        guard count > 0, let level = occupied.firstIndex(where: { $0 != 0 }) else { return nil }
        return Int32(level * Self.bucketsPerLevel + occupied[level].trailingZeroBitCount)
    }

    /// The tick at which a bucket begins: the present's higher groups, its own group, and zeros below.
    private func firstTick(of bucket: Int32) -> UInt64 {
        let shift = UInt64(Int(bucket) / Self.bucketsPerLevel * Self.bitsPerLevel)
        let above = shift + UInt64(Self.bitsPerLevel)
        return ((present >> above) << above) | (UInt64(Int(bucket) % Self.bucketsPerLevel) << shift)
    }

    /// Empties a bucket: its timers are due now or move to a lower level, in the order in which they were inserted.
    private mutating func empty(_ bucket: Int32, due: inout [UInt64], earliest: inout UInt64?) {
        while true {
            let node = nodes[Int(bucket)].next
            guard node != bucket else { return }
            unlink(node)
            if nodes[Int(node)].tick <= present {
                due.append(nodes[Int(node)].key)
                if earliest == nil { earliest = nodes[Int(node)].tick }
                free(node)
            } else {
                link(node)
            }
        }
    }

    // MARK: Ticks and nodes

    private func tick(for deadline: Instant) -> UInt64 {
        let (distance, overflow) = deadline.nanoseconds.subtractingReportingOverflow(start.nanoseconds)
        if overflow { return deadline.nanoseconds > 0 ? Self.lastTick : min(present + 1, Self.lastTick) }
        guard distance > 0 else { return min(present + 1, Self.lastTick) }
        let whole = UInt64((distance - 1) / Self.nanosecondsPerTick) + 1
        return min(max(whole, present + 1), Self.lastTick)
    }

    private mutating func link(_ node: Int32) {
        let tick = nodes[Int(node)].tick
        let highestBit = max(0, UInt64.bitWidth - 1 - (tick ^ present).leadingZeroBitCount)
        let level = min(highestBit / Self.bitsPerLevel, Self.levels - 1)
        let position = Int(tick >> UInt64(level * Self.bitsPerLevel)) & (Self.bucketsPerLevel - 1)
        occupied[level] |= 1 << UInt64(position)

        let bucket = Int32(level * Self.bucketsPerLevel + position)
        let last = nodes[Int(bucket)].previous
        nodes[Int(node)].next = bucket
        nodes[Int(node)].previous = last
        nodes[Int(last)].next = node
        nodes[Int(bucket)].previous = node
    }

    private mutating func unlink(_ node: Int32) {
        let next = nodes[Int(node)].next
        let previous = nodes[Int(node)].previous
        nodes[Int(previous)].next = next
        nodes[Int(next)].previous = previous
        if next == previous {  // only the bucket itself is left
            occupied[Int(next) / Self.bucketsPerLevel] &= ~(1 << UInt64(Int(next) % Self.bucketsPerLevel))
        }
    }

    private mutating func unusedNode() -> Int32 {
        guard firstFree >= 0 else {
            nodes.append(Node(key: 0, tick: 0, next: -1, previous: -1))
            return Int32(nodes.count - 1)
        }
        let node = firstFree
        firstFree = nodes[Int(node)].next
        return node
    }

    private mutating func free(_ node: Int32) {
        nodes[Int(node)].next = firstFree
        firstFree = node
        count -= 1
    }
}
