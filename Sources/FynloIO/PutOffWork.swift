// What a loop is asked to do later: at the end of its turn, when there is time, or when some time has passed.

import FynloCore

/// A piece of work. A structure around the closure, as an array of bare closures makes a box for each.
struct PutOffWork {
    let run: () -> Void
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
