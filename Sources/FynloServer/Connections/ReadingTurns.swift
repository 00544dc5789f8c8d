// Connections that have used up their allowance are read from one after the other, when those that ask for less have been
// served.

import FynloCore
import FynloIO

/// The connections that wait to be read from, in the order in which they asked.
final class ReadingTurns {
    private let loop: EventLoop
    private var waiting = WorkQueue<ClientConnection>()
    private var isScheduled = false
    /// Made once: a turn's work needs no new memory.
    private var work: () -> Void = {}

    init(loop: EventLoop) {
        self.loop = loop
        work = { [unowned self] in readInTurn() }
    }

    /// Reads from a connection in this turn of the loop if there is time left, or else in a later one.
    func readLater(_ connection: ClientConnection) {
        if !connection.isWaitingToRead {
            connection.isWaitingToRead = true
            waiting.append(connection)
        }
        schedule()
    }

    private func schedule() {
        guard !waiting.isEmpty, !isScheduled else { return }
        isScheduled = true
        loop.later(work)
    }

    private func readInTurn() {
        isScheduled = false
        var queue = WorkQueue<ClientConnection>()
        swap(&queue, &waiting)
        while let connection = queue.popFirst() {
            connection.isWaitingToRead = false
            connection.readInTurn()
            if loop.isOverdue { break }
        }
        // Those that were not read from come before those that ask for more.
        swap(&queue, &waiting)
        waiting.append(queue)
        schedule()
    }
}
