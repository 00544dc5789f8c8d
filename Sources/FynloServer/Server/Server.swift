// Builds the parts, joins them, and ends them in order.

import FynloCore
import FynloIO
import Glibc

/// One server on one loop.
final class Server {
    let loop: EventLoop
    let log: Logger
    let hub: Hub
    private let config: Config
    private let pool: PostgresPool
    private let redis: RedisConnection?
    private let acceptor: Acceptor
    private let operationsAcceptor: Acceptor?
    /// `nil` without Redis.
    let bus: EventBus?
    private let nodes: NodeHandler
    private let pulse: Pulse
    private let pruner: Pruner
    private let trimmer: MemoryTrimmer
    let activity: ActivityRecorder
    private let effects: EffectDispatcher
    private let authentication: AuthenticationHandler
    private let health: HealthEndpoint
    let leases: Leases
    private var drainDeadline: Instant?

    /// Reads keys and certificates, listens, and begins to connect to Postgres and Redis; serves as soon as the loop
    /// turns. Listens where the configuration says, unless a `listener` was inherited, or one for operators. Throws
    /// ConfigError or SystemError.
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
        let node = ConnectionID.node(
            random: ProcessSetup.randomBytes(8).reduce(0) { $0 << 8 | UInt64($1) })
        hub = Hub(loop: loop, settings: settings, log: log, node: node)
        pool = PostgresPool(loop: loop, settings: config.postgres, log: log)
        redis = config.redis.map { settings in
            RedisConnection(loop: loop, settings: settings) { level, text in
                if level == "info" {
                    log.info("redis", ["detail": text])
                } else {
                    log.warning("redis", ["detail": text])
                }
            }
        }
        let feeds = FeedHandler(loop: loop, hub: hub, events: EventLog(pool: pool), log: log)
        let users = UserRepository(pool: pool)
        let known = RestaurantKnowledge(users: users, limits: config.limits)
        bus = config.redis.flatMap { [redis] settings in
            redis.map { redis in
                EventBus(
                    loop: loop, settings: settings, publisher: redis, node: node, space: config.redisSpace, log: log)
            }
        }
        nodes = NodeHandler(
            loop: loop, hub: hub, feeds: feeds, known: known, bus: bus,
            directory: redis.map { NodeDirectory(loop: loop, redis: $0, node: node, space: config.redisSpace) },
            log: log)
        let access = AccessHandler(hub: hub, users: users, log: log)
        leases = Leases(
            loop: loop, redis: redis, node: node,
            settings: Leases.Settings(
                space: config.redisSpace, limits: config.limits, terms: config.leaseTerms,
                redisBudget: config.redisBudget), log: log)
        authentication = AuthenticationHandler(
            loop: loop, hub: hub, feeds: feeds, access: access, leases: leases, users: users, known: known,
            keys: try config.tokens.loadKeys(), policy: config.tokens.policy, log: log)
        let orders = OrderRepository(pool: pool, idempotencyWindow: config.idempotencyWindow)
        let menus = MenuRepository(pool: pool)
        let cache = MenuCache(
            loop: loop, redis: redis, menus: menus, known: known,
            settings: MenuCache.Settings(
                limits: config.limits, redisBudget: config.redisBudget, patience: config.queryTimeout))
        activity = ActivityRecorder(loop: loop, hub: hub, cache: cache, interval: config.activityInterval)
        health = HealthEndpoint(loop: loop, hub: hub, pool: pool, redis: redis, leases: leases)
        effects = EffectDispatcher(
            loop: loop, hub: hub, authentication: authentication, feeds: feeds, nodes: nodes,
            menus: MenuEndpoint(authentication: authentication, menus: menus, cache: cache, nodes: nodes, log: log),
            commands: CommandHandler(hub: hub, feeds: feeds, orders: orders, log: log),
            orders: OrdersEndpoint(
                authentication: authentication, feeds: feeds, orders: orders, limits: config.limits, log: log),
            events: EventsEndpoint(
                authentication: authentication, events: EventLog(pool: pool), limits: config.limits, log: log),
            notifications: NotificationsEndpoint(
                authentication: authentication, feeds: feeds,
                notifications: NotificationRepository(pool: pool, idempotencyWindow: config.idempotencyWindow),
                limits: config.limits, log: log),
            profiles: ProfileEndpoint(authentication: authentication, users: users, log: log),
            health: health,
            metrics: MetricsEndpoint(
                loop: loop, hub: hub, feeds: feeds, pool: pool, redis: redis, bus: bus, cache: cache,
                leases: leases, log: log),
            diagnostics: DiagnosticsEndpoint(
                loop: loop, hub: hub, feeds: feeds, authentication: authentication, nodes: nodes, cache: cache,
                activity: activity, log: log),
            log: log)
        pulse = Pulse(loop: loop, pool: pool, interval: config.pulseInterval) { [hub, known] in
            Set(hub.restaurants).union(known.watched)
        } found: { [feeds, access, known] finding in
            known.found(finding)
            for counters in finding.counters {
                feeds.hint(counters.restaurant, head: counters.head)
                access.found(counters.restaurant, version: counters.accessVersion)
            }
            for restaurant in finding.missing { access.found(restaurant, version: nil) }
            feeds.tick()
        }
        pruner = Pruner(
            loop: loop, pool: pool, log: log, eventRetention: config.eventRetention,
            idempotencyWindow: config.idempotencyWindow)
        trimmer = MemoryTrimmer(loop: loop, hub: hub)
        acceptor = try Acceptor(loop: loop, hub: hub, listener: listener ?? Listener(config.listen))
        do {
            let listener =
                try operationsListener
                ?? config.operationsListen.map { address throws(SystemError) in
                    try Listener(address)
                }
            operationsAcceptor = try listener.map { [hub] listener throws(SystemError) in
                try Acceptor(loop: loop, hub: hub, listener: listener, for: .operations)
            }
        } catch {
            acceptor.close()
            throw error
        }
        hub.tlsContext = try config.tls?.load()
        // From here on nothing fails: these hold each other until `stop`.
        pool.whenNotified = { [feeds, access, known, pulse] payload in
            guard let counters = StreamCounters(notification: payload) else { return pulse.ask() }
            known.hint(counters)
            feeds.hint(counters.restaurant, head: counters.head)
            access.found(counters.restaurant, version: counters.accessVersion)
        }
        feeds.whenMenuUpdated = { [known] in known.menuUpdated($0, to: $1) }
        hub.carryOut = { [effects] effect, connection in effects.carryOut(effect, for: connection) }
        nodes.askPulse = { [pulse] in pulse.ask() }
        hub.whenRestaurantEmptied = { [feeds, access, nodes] restaurant in
            feeds.leave(restaurant)
            nodes.leave(restaurant)
            access.leave(restaurant)
        }
        hub.whenLeft = { [leases] connection, restaurant in leases.left(connection, restaurant) }
        leases.restaurants = { [hub] in hub.restaurants }
        leases.members = { [hub] restaurant in hub.members(of: restaurant) }
        leases.whenReplacedElsewhere = { [nodes] connection in nodes.replace(connection) }
        leases.close = { [hub] connection, reason in hub.connection(connection)?.close(reason) }
        if let operationsAcceptor {
            log.info("serving_operators", ["address": operationsAcceptor.address.description])
        }
        pool.start()
        leases.start()
        redis?.open()
        nodes.start()
        pulse.start()
        pruner.start()
        trimmer.start()
        activity.start()
    }

    /// True while there is a connection to Redis.
    var isRedisReady: Bool { redis?.isReady ?? false }

    /// Where it listens.
    var address: SocketAddress { acceptor.address }

    /// Where it listens for operators, if that is apart.
    var operationsAddress: SocketAddress? { operationsAcceptor?.address }

    /// Reads keys and certificates anew, for what begins from now on; what is there stays. Files that cannot be used
    /// leave the old ones in place, and the reason is returned.
    @discardableResult
    func reload() -> ConfigError? {
        do {
            let keys = try config.tokens.loadKeys()
            let context = try config.tls?.load()
            authentication.replaceKeys(keys)
            hub.tlsContext = context
            log.info("reloaded")
            return nil
        } catch {
            log.error("not_reloaded", ["error": error.description])
            return error
        }
    }

    // MARK: The beginning

    /// Calls `then` once Postgres has answered and has every migration; until then `waiting` is told why not, each time
    /// that it is asked.
    func whenReady(_ then: @escaping () -> Void, waiting: @escaping (HealthEndpoint.Finding) -> Void) {
        health.ask { [weak self] finding in
            guard let self, self.drainDeadline == nil else { return }
            if finding.isReady { return then() }
            waiting(finding)
            self.loop.after(Server.readinessInterval) { [weak self] in self?.whenReady(then, waiting: waiting) }
        }
    }

    private static let readinessInterval = Duration.milliseconds(200)

    /// One sentence on what it does.
    var status: String {
        let (connections, tablets) = (hub.connectionCount, hub.tabletCount)
        if isDraining { return "Draining: \(connections) \(connections == 1 ? "connection" : "connections") left." }
        return "Listening on \(address), \(tablets) \(tablets == 1 ? "tablet" : "tablets") connected."
    }

    // MARK: The end

    /// It has been told to stop.
    var isDraining: Bool { drainDeadline != nil }

    /// Accepts no more, tells every tablet when to come back, closes each with 1001 when its command under way is answered, and
    /// calls `done` when all are gone and no statement is under way, or after FYNLO_DRAIN_TIMEOUT.
    func drain(done: @escaping () -> Void) {
        guard drainDeadline == nil else { return }
        drainDeadline = loop.now.instant + config.drainTimeout
        log.info("draining", ["connections": String(hub.connectionCount)])
        acceptor.leave()
        operationsAcceptor?.leave()
        pulse.stop()
        pruner.stop()
        trimmer.stop()
        hub.leaveAll()
        waitForTheEnd(done)
    }

    private func waitForTheEnd(_ done: @escaping () -> Void) {
        let isLate = drainDeadline.map { loop.now.instant >= $0 } ?? true
        guard !isLate, hub.connectionCount > 0 || pool.requestCount > 0 else {
            if isLate {
                log.warning(
                    "drain_cut_short",
                    ["connections": String(hub.connectionCount), "statements": String(pool.requestCount)])
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
        pulse.stop()
        pruner.stop()
        trimmer.stop()
        activity.stop()
        hub.abortAll()
        pool.close()
        leases.stop()
        nodes.stop()
        redis?.close()
        // The hub and those who carry out its effects hold each other.
        hub.carryOut = { _, _ in }
        hub.whenRestaurantEmptied = { _ in }
        hub.whenLeft = { _, _ in }
        pool.whenNotified = { _ in }
    }
}
