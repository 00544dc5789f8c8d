// What a turn of the loop has queued is written at its end: one write for each connection, however much it was sent.

import FynloCore
import FynloIO

/// The connections that are written to at the end of the turn.
final class WritingTurns {
    private let loop: EventLoop
    private let metrics: Metrics
    private var waiting = WorkQueue<ClientConnection>()
    private var isScheduled = false
    // Made once: a turn's work needs no new memory.
    private var work: () -> Void = {}
    private var workLater: () -> Void = {}

    /// Connections written to between two looks at the clock.
    private static let connectionsPerLook = 8

    init(loop: EventLoop, metrics: Metrics) {
        self.loop = loop
        self.metrics = metrics
        work = { [unowned self] in write() }
        workLater = { [unowned self] in schedule() }
    }

    /// Writes what a connection has queued at the end of the turn. To be called once per connection.
    func append(_ connection: ClientConnection) {
        schedule()
        waiting.append(connection)
    }

    /// Lends the queue to whoever adds many to it: each access to the property would be looked up among those under way.
    /// `schedule` afterwards.
    @inline(__always)
    func exchange(_ queue: inout WorkQueue<ClientConnection>) {
        swap(&queue, &waiting)
    }

    /// Sees to it that there is a write at the end of the turn.
    func schedule() {
        if isScheduled { return }
        isScheduled = true
        loop.atEndOfTurn(work)
    }

    private func write() {
        // To close one connection may queue bytes for another, which is then written to in the same phase.
        isScheduled = false
        var queue = WorkQueue<ClientConnection>()
        swap(&queue, &waiting)
        var count = 0
        while let connection = queue.popFirst() {
            connection.flush()
            count += 1
            if count % WritingTurns.connectionsPerLook == 0, loop.isOverdue { break }
        }
        let isDone = queue.isEmpty
        // The rest comes first in the next turn.
        swap(&queue, &waiting)
        waiting.append(queue)
        if isDone { metrics.wrote() } else { loop.later(workLater) }
    }
}
