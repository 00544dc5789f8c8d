// After a crowd has come or left, returns the memory that it used to the system.

import FynloCore
import FynloIO

/// The C library keeps small blocks that were freed. It is told to release them when many connections have ended or have been
/// made: the tokens, requests and answers of a thousand connections take a third of what the connections themselves do.
final class MemoryTrimmer: EventSource {
    private let loop: EventLoop
    private let hub: Hub
    private var token: SourceToken?
    /// The sockets accepted by the last tick, and by the last release of memory.
    private var lastAccepted: UInt64 = 0
    private var trimmedAccepted: UInt64 = 0
    /// Many connections have ended since the last release.
    private var haveLeft = false

    private static let interval = Duration.seconds(5)
    /// With fewer connections, what they leave behind is soon used again.
    private static let connections = 500
    /// While more than this, and more than a fiftieth of all connections, come within the interval, the crowd is still coming:
    /// releasing memory takes milliseconds, and the memory would be needed again.
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
