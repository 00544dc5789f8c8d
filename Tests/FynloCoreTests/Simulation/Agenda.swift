// What is going to happen, in the order of time.

import FynloCore

/// One thing that happens in the simulated world. A server is named with its life, so that what was meant for it before a
/// crash does not reach it afterwards.
enum Happening {
    // The network.
    case dial(tablet: Int)
    case arrive(link: Int, Direction)
    case cut(link: Int)
    // Time.
    case tickConnection(ServerLife, UInt64)
    case tickTablet(Int)
    case nextTurn(ServerLife)
    case pulse(ServerLife)
    // The database.
    case execute(question: Int)
    case answer(question: Int)
    case fail(question: Int)
    case hint(ServerLife, StreamCounters)
    case commitLate(LateCommit)
    // People and programs.
    case act(tablet: Int)
    case wakeTablet(Int)
    case readOn(tablet: Int)
    case takeSnapshot(tablet: Int, life: Int)
    case giveSnapshot(tablet: Int, life: Int, Snapshot)
    case writeForeign
    case changeUser
    case prune
    // Faults.
    case crash(server: Int)
    case endDrain(ServerLife)
    case restart(server: Int)
    case loseDatabase
    case findDatabase
    case checkRevocation(Int)
    case calmDown
    case checkQuiet
}

/// The life of a server between two crashes.
struct ServerLife: Equatable {
    let server: Int
    let life: Int
}

/// Which way bytes go on a link.
enum Direction {
    case up, down
}

/// A queue by time; what is due at the same time happens in the order in which it was planned.
struct Agenda {
    private struct Entry {
        let time: Int64
        let number: Int
        let happening: Happening
    }

    private var heap: [Entry] = []
    private var planned = 0

    mutating func plan(_ happening: Happening, at time: Instant) {
        heap.append(Entry(time: time.nanoseconds, number: planned, happening: happening))
        planned += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isEarlier(child, parent) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func next() -> (time: Instant, happening: Happening)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        return (Instant(nanoseconds: first.time), first.happening)
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isEarlier(child, least) {
                least = child
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    private func isEarlier(_ left: Int, _ right: Int) -> Bool {
        (heap[left].time, heap[left].number) < (heap[right].time, heap[right].number)
    }
}
