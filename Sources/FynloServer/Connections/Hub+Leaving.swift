// The end of all connections, when the server goes away.

import FynloCore
import FynloIO

extension Hub {
    /// Ends every connection for good, since the server is leaving. HTTP connections, of which there are few, end at once:
    /// every answer from now on says so, and idle ones close. Each tablet is given a slot of its own to come back, a
    /// millisecond after the one before: to authenticate them then costs the next server less.
    func leaveAll() {
        isLeaving = true
        var tablets: [UInt64] = []
        for connection in allConnections {
            if connection.isWebSocket {
                tablets.append(connection.number)
            } else {
                connection.leave(retryAfter: Hub.earliestReturn)
            }
        }
        var generator = SystemGenerator()
        leave(tablets.shuffled(using: &generator), from: 0)
    }

    /// Those from `first` on: as many as the turn has time for, and the others in later turns.
    private func leave(_ tablets: [UInt64], from first: Int) {
        guard first < tablets.count else { return }
        loop.later { [self] in
            var generator = SystemGenerator()
            var slot = first
            repeat {
                let jitter = Int.random(in: 0..<250, using: &generator)
                connection(tablets[slot])?.leave(retryAfter: Hub.earliestReturn + .milliseconds(slot + jitter))
                slot += 1
            } while slot < tablets.count && !loop.isOverdue
            leave(tablets, from: slot)
        }
    }

    /// What a server needs at least to be replaced.
    private static let earliestReturn = Duration.milliseconds(250)

    /// Closes every socket at once.
    func abortAll() {
        for connection in allConnections { connection.abort() }
        // The unused ones hold their hub.
        emptyStore()
    }
}
