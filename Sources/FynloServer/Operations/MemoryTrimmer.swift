// After a crowd has left: what it used goes back to the system.

import FynloCore
import FynloIO

/// The C library keeps small blocks that were freed. It is told to let go of them when many connections have ended.
final class MemoryTrimmer: EventSource {
    private let loop: EventLoop
    private let hub: Hub
    private var token: SourceToken?

    private static let interval = Duration.seconds(10)
    /// Below this, what they leave behind is soon used again.
    private static let connections = 500

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
        if hub.takeEndedConnections() >= MemoryTrimmer.connections { ProcessSetup.releaseFreeMemory() }
        return now.instant + MemoryTrimmer.interval
    }
}
