// After a crowd has come or left: what it used goes back to the system.

import FynloCore
import FynloIO

/// The C library keeps small blocks that were freed. It is told to let go of them when many connections have ended, or have
/// been made: tokens, requests and answers of a thousand at a time are a third of what the connections themselves take.
final class MemoryTrimmer: EventSource {
    private let loop: EventLoop
    private let hub: Hub
    private var token: SourceToken?
    /// Sockets accepted when it was last looked, and when memory was last given back.
    private var lastAccepted: UInt64 = 0
    private var trimmedAccepted: UInt64 = 0
    /// Many have ended since then.
    private var haveLeft = false

    private static let interval = Duration.seconds(5)
    /// Below this, what they leave behind is soon used again.
    private static let connections = 500
    /// As long as more come within the interval, or more than a fiftieth of those that are there, it is not over: to give
    /// memory back takes milliseconds, and what is given back would be asked for again.
    private static let trickle = 50

    init(loop: EventLoop, hub: Hub) {
        self.loop = loop
        self.hub = hub
    }

    func start() {
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: loop.now.instant + MemoryTrimmer.interval)
    }

    func stop() {
        if let token { loop.remove(token) }
        token = nil
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        let accepted = hub.metrics.acceptedSockets
        let haveCome = accepted - trimmedAccepted >= UInt64(MemoryTrimmer.connections)
        let isCalm = accepted - lastAccepted <= UInt64(max(MemoryTrimmer.trickle, hub.connectionCount / 50))
        lastAccepted = accepted
        if hub.takeEndedConnections() >= MemoryTrimmer.connections { haveLeft = true }
        if isCalm, haveCome || haveLeft {
            trimmedAccepted = accepted
            haveLeft = false
            ProcessSetup.releaseFreeMemory()
        }
        return now.instant + MemoryTrimmer.interval
    }
}
