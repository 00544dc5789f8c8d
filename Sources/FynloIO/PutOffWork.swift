// Work that a loop does later: at the end of its turn, when there is time, or after a delay.

import FynloCore

/// A piece of work. A structure wraps the closure, because an array of bare closures allocates a box for each.
struct PutOffWork {
    let run: () -> Void
}

/// A piece of delayed work, as a source with a timer.
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
