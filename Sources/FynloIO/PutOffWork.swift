// What a loop is asked to do later: at the end of its turn, when there is time, or when some time has passed.

import FynloCore

/// A piece of work. A structure around the closure, as an array of bare closures makes a box for each.
struct PutOffWork {
    let run: () -> Void
}

/// Work in the order in which it came; taking out the first costs the same however much there is.
struct WorkQueue {
    private var items: [PutOffWork?] = []
    private var first = 0

    var isEmpty: Bool { first == items.count }

    mutating func append(_ work: PutOffWork) {
        // What was done is dropped when it is the greater part.
        if first > 64, first * 2 > items.count {
            items.removeFirst(first)
            first = 0
        }
        items.append(work)
    }

    mutating func popFirst() -> PutOffWork? {
        guard first < items.count else { return nil }
        // What it holds on to goes with it.
        let work = items[first]
        items[first] = nil
        first += 1
        if first == items.count {
            items.removeAll(keepingCapacity: first <= 1_024)
            first = 0
        }
        return work
    }
}

/// A piece of work for later, as a source.
final class DelayedWork: EventSource {
    private let work: () -> Void
    var remove: () -> Void = {}

    init(_ work: @escaping () -> Void) {
        self.work = work
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        remove()
        work()
        return nil
    }
}
