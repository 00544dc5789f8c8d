// Starts the parts, reloads them, and ends them in order. Wiring builds and connects them.

import FynloCore
import FynloIO
import Glibc

/// One server on one loop.
final class Server {
    let loop: EventLoop
    let log: Logger
    private let config: Config
    private let wiring: Wiring
    private let acceptor: Acceptor
    /// `nil`: the paths of operations are served by `acceptor`.
    private let operationsAcceptor: Acceptor?
    private var drainDeadline: Instant?

    /// Reads keys and certificates, listens, and begins to connect to Postgres and Redis; it serves as soon as the loop turns.
    /// An inherited `listener` or `operationsListener` takes the place of the configured address. Throws ConfigError or
    /// SystemError.
    init(
        loop: EventLoop, config: Config, log: Logger, listener: Listener? = nil, operationsListener: Listener? = nil
    ) throws {
        self.loop = loop
        self.config = config
        self.log = log
        let settings = SessionSettings(
            limits: config.limits, http: config.http, hasEcho: config.hasEcho,
            hasOperationsListener: config.operationsListen != nil || operationsListener != nil,
            allowedOrigins: config.allowedOrigins,
            allowsQueryToken: config.allowsQueryToken, trustedProxies: config.trustedProxies)
        wiring = Wiring(
            loop: loop, config: config, settings: settings, keys: try config.tokens.loadKeys(), log: log)
        let hub = wiring.hub
        acceptor = try Acceptor(loop: loop, hub: hub, listener: listener ?? Listener(config.listen))
        do {
            let listener =
                try operationsListener
                ?? config.operationsListen.map { address throws(SystemError) in
                    try Listener(address)
                }
            operationsAcceptor = try listener.map { listener throws(SystemError) in
                try Acceptor(loop: loop, hub: hub, listener: listener, for: .operations)
            }
        } catch {
            acceptor.close()
            throw error
        }
        hub.tlsContext = try config.tls?.load()
        // From here on nothing fails.
        wiring.connect()
        if let operationsAcceptor {
            log.info("serving_operators", ["address": operationsAcceptor.address.description])
        }
        start()
    }

    private func start() {
        wiring.storage.pool.start()
        wiring.joined.leases.start()
        wiring.storage.redis?.open()
        wiring.handlers.nodes.start()
        wiring.storage.pulse.start()
        wiring.operations.pruner.start()
        wiring.operations.trimmer.start()
        wiring.operations.activity.start()
    }

    var hub: Hub { wiring.hub }

    /// `nil` without Redis.
    var bus: RedisBus? { wiring.joined.bus }

    var leases: Leases { wiring.joined.leases }

    var activity: ActivityRecorder { wiring.operations.activity }

    /// True while Redis is connected.
    var isRedisReady: Bool { wiring.storage.redis?.isReady ?? false }

    /// Where it listens.
    var address: SocketAddress { acceptor.address }

    /// Where the operations listener is, if there is one.
    var operationsAddress: SocketAddress? { operationsAcceptor?.address }

    /// Reads keys and certificates again, for tokens and connections that come from now on. If the files cannot be used, the old
    /// keys and certificates stay in force, and the reason is returned.
    @discardableResult
    func reload() -> ConfigError? {
        do {
            let keys = try config.tokens.loadKeys()
            let context = try config.tls?.load()
            wiring.handlers.tokens.replaceKeys(keys)
            hub.tlsContext = context
            log.info("reloaded")
            return nil
        } catch {
            log.error("not_reloaded", ["error": error.description])
            return error
        }
    }

    // MARK: Starting

    /// Calls `then` once Postgres answers and has every migration. Until then `waiting` is called with each negative finding.
    func whenReady(_ then: @escaping () -> Void, waiting: @escaping (DatabaseHealth.Finding) -> Void) {
        wiring.storage.health.ask { [weak self] finding in
            guard let self, self.drainDeadline == nil else { return }
            if finding.isReady { return then() }
            waiting(finding)
            self.loop.after(Server.readinessInterval) { [weak self] in self?.whenReady(then, waiting: waiting) }
        }
    }

    private static let readinessInterval = Duration.milliseconds(200)

    /// One sentence on what the server is doing.
    var status: String {
        let (connections, tablets) = (hub.connectionCount, hub.tabletCount)
        if isDraining { return "Draining: \(connections) \(connections == 1 ? "connection" : "connections") left." }
        return "Listening on \(address), \(tablets) \(tablets == 1 ? "tablet" : "tablets") connected."
    }

    // MARK: Ending

    /// `drain` has been called.
    var isDraining: Bool { drainDeadline != nil }

    /// Accepts no more connections, tells every tablet when to come back, and closes each with 1001 once its command under way is
    /// answered. Calls `done` when all are gone and no statement is under way, or after FYNLO_DRAIN_TIMEOUT.
    func drain(done: @escaping () -> Void) {
        guard drainDeadline == nil else { return }
        drainDeadline = loop.now.instant + config.drainTimeout
        log.info("draining", ["connections": String(hub.connectionCount)])
        acceptor.leave()
        operationsAcceptor?.leave()
        wiring.storage.pulse.stop()
        wiring.operations.pruner.stop()
        wiring.operations.trimmer.stop()
        hub.leaveAll()
        waitForTheEnd(done)
    }

    private func waitForTheEnd(_ done: @escaping () -> Void) {
        let isLate = drainDeadline.map { loop.now.instant >= $0 } ?? true
        guard !isLate, hub.connectionCount > 0 || wiring.storage.pool.requestCount > 0 else {
            if isLate {
                log.warning(
                    "drain_cut_short",
                    [
                        "connections": String(hub.connectionCount),
                        "statements": String(wiring.storage.pool.requestCount),
                    ])
            }
            stop()
            return done()
        }
        loop.after(.milliseconds(10)) { [self] in waitForTheEnd(done) }
    }

    /// Lets go of everything at once.
    func stop() {
        acceptor.close()
        operationsAcceptor?.close()
        wiring.storage.pulse.stop()
        wiring.operations.pruner.stop()
        wiring.operations.trimmer.stop()
        wiring.operations.activity.stop()
        hub.abortAll()
        wiring.storage.pool.close()
        wiring.joined.leases.stop()
        wiring.handlers.nodes.stop()
        wiring.storage.redis?.close()
        wiring.disconnect()
    }
}
