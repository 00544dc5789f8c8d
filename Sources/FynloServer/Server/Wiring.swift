// The parts of a server, built layer by layer, and every callback between them. A part knows the parts below it by its
// initializer. Where a lower part has to call a higher one, it has a callback, and `connect` is the only place that sets it.

import FynloCore
import FynloIO

/// What reads and writes the database and its caches.
struct StorageParts {
    let pool: PostgresPool
    /// `nil`: this node is alone and shares no cache.
    let redis: RedisConnection?
    let users: UserRepository
    let orders: OrderRepository
    let events: EventLog
    let menus: MenuRepository
    let cache: MenuCache
    let known: AccessLookup
    let pulse: Pulse
    let health: DatabaseHealth

    init(loop: EventLoop, config: Config, log: Logger) {
        pool = PostgresPool(loop: loop, settings: config.postgres, log: log)
        redis = config.redis.map { settings in
            RedisConnection(loop: loop, settings: settings) { level, sentence in
                log.log(level, "redis", ["detail": sentence])
            }
        }
        users = UserRepository(pool: pool)
        orders = OrderRepository(pool: pool, idempotencyWindow: config.idempotencyWindow)
        events = EventLog(pool: pool)
        menus = MenuRepository(pool: pool)
        known = AccessLookup(users: users, limits: config.limits)
        cache = MenuCache(
            loop: loop, redis: redis, menus: menus, known: known,
            settings: MenuCache.Settings(
                limits: config.limits, redisBudget: config.redisBudget, patience: config.queryTimeout))
        pulse = Pulse(loop: loop, pool: pool, interval: config.pulseInterval)
        health = DatabaseHealth(pool: pool)
    }
}

/// What joins this node to the others.
struct NodeParts {
    /// `nil` without Redis.
    let bus: RedisBus?
    let leases: Leases

    init(loop: EventLoop, config: Config, redis: RedisConnection?, node: UInt64, log: Logger) {
        let keys = RedisKeys(prefix: config.redisKeyPrefix)
        bus = config.redis.flatMap { settings in
            redis.map { redis in
                RedisBus(loop: loop, settings: settings, publisher: redis, node: node, keys: keys, log: log)
            }
        }
        leases = Leases(
            loop: loop, redis: redis, node: node,
            settings: Leases.Settings(
                keys: keys, limits: config.limits, terms: config.leaseTerms, redisBudget: config.redisBudget),
            log: log)
    }
}

/// What serves tablets and answers other nodes.
struct HandlerParts {
    let tokens: TokenChecker
    let feeds: FeedHandler
    let access: AccessHandler
    let nodes: NodeHandler
    let authentication: AuthenticationHandler
    let commands: CommandHandler

    init(
        hub: Hub, storage: StorageParts, joined: NodeParts, keys: TokenKeyring, policy: TokenPolicy, log: Logger
    ) {
        let loop = hub.loop
        tokens = TokenChecker(loop: loop, keys: keys, policy: policy, limits: hub.settings.limits)
        feeds = FeedHandler(loop: loop, hub: hub, events: storage.events, log: log)
        access = AccessHandler(hub: hub, users: storage.users, log: log)
        nodes = NodeHandler(loop: loop, hub: hub, feeds: feeds, known: storage.known, bus: joined.bus, log: log)
        authentication = AuthenticationHandler(
            loop: loop, hub: hub, feeds: feeds, access: access, leases: joined.leases, users: storage.users,
            known: storage.known, tokens: tokens, log: log)
        commands = CommandHandler(hub: hub, feeds: feeds, orders: storage.orders, log: log)
    }
}

/// What looks after the process.
struct OperationsParts {
    let pruner: Pruner
    let trimmer: MemoryTrimmer
    let activity: ActivityRecorder

    init(hub: Hub, storage: StorageParts, config: Config, log: Logger) {
        pruner = Pruner(
            loop: hub.loop, rows: PruningRepository(pool: storage.pool), log: log,
            eventRetention: config.eventRetention, idempotencyWindow: config.idempotencyWindow)
        trimmer = MemoryTrimmer(loop: hub.loop, hub: hub)
        activity = ActivityRecorder(
            loop: hub.loop, hub: hub, cache: storage.cache, interval: config.activityInterval)
    }
}

/// What answers requests.
struct EndpointParts {
    let menus: MenuEndpoint
    let orders: OrdersEndpoint
    let events: EventsEndpoint
    let notifications: NotificationsEndpoint
    let profiles: ProfileEndpoint
    let health: HealthEndpoint
    let metrics: MetricsEndpoint
    let diagnostics: DiagnosticsEndpoint

    init(
        hub: Hub, storage: StorageParts, joined: NodeParts, handlers: HandlerParts, operations: OperationsParts,
        config: Config, log: Logger
    ) {
        let (loop, limits, feeds) = (hub.loop, config.limits, handlers.feeds)
        let authorizer = RequestAuthorizer(
            loop: loop, tokens: handlers.tokens, users: storage.users, orders: storage.orders, known: storage.known)
        menus = MenuEndpoint(
            authorizer: authorizer, known: storage.known, menus: storage.menus, cache: storage.cache,
            nodes: handlers.nodes, log: log)
        orders = OrdersEndpoint(
            authorizer: authorizer, feeds: feeds, orders: storage.orders, limits: limits, log: log)
        events = EventsEndpoint(
            authorizer: authorizer, known: storage.known, events: storage.events, limits: limits, log: log)
        notifications = NotificationsEndpoint(
            authorizer: authorizer, feeds: feeds,
            notifications: NotificationRepository(pool: storage.pool, idempotencyWindow: config.idempotencyWindow),
            limits: limits, log: log)
        profiles = ProfileEndpoint(authorizer: authorizer, users: storage.users, log: log)
        health = HealthEndpoint(
            loop: loop, hub: hub, database: storage.health, redis: storage.redis, leases: joined.leases)
        metrics = MetricsEndpoint(
            loop: loop, hub: hub, feeds: feeds, pool: storage.pool, redis: storage.redis, bus: joined.bus,
            cache: storage.cache, leases: joined.leases, log: log)
        diagnostics = DiagnosticsEndpoint(
            loop: loop, hub: hub, feeds: feeds, authorizer: authorizer, nodes: handlers.nodes, cache: storage.cache,
            activity: operations.activity, log: log)
    }
}

/// Everything that is built and can be connected without the possibility of failure.
struct Wiring {
    let storage: StorageParts
    let joined: NodeParts
    let hub: Hub
    let handlers: HandlerParts
    let operations: OperationsParts
    let endpoints: EndpointParts
    let dispatcher: EffectDispatcher

    init(loop: EventLoop, config: Config, settings: SessionSettings, keys: TokenKeyring, log: Logger) {
        let node = ConnectionID.node(random: ProcessSetup.randomBytes(8).reduce(0) { $0 << 8 | UInt64($1) })
        storage = StorageParts(loop: loop, config: config, log: log)
        joined = NodeParts(loop: loop, config: config, redis: storage.redis, node: node, log: log)
        hub = Hub(loop: loop, settings: settings, log: log, node: node)
        handlers = HandlerParts(
            hub: hub, storage: storage, joined: joined, keys: keys, policy: config.tokens.policy, log: log)
        operations = OperationsParts(hub: hub, storage: storage, config: config, log: log)
        endpoints = EndpointParts(
            hub: hub, storage: storage, joined: joined, handlers: handlers, operations: operations, config: config,
            log: log)
        dispatcher = EffectDispatcher(hub: hub, handlers: handlers, endpoints: endpoints, log: log)
    }

    // MARK: Callbacks

    /// Sets every callback. From here on the parts hold each other, until `disconnect`.
    func connect() {
        let (pulse, known, leases) = (storage.pulse, storage.known, joined.leases)
        let (feeds, access, nodes) = (handlers.feeds, handlers.access, handlers.nodes)
        let (hub, dispatcher, diagnostics) = (hub, dispatcher, endpoints.diagnostics)

        storage.pool.whenNotified = { Wiring.notified($0, pulse: pulse, known: known, feeds: feeds, access: access) }
        storage.redis?.whenReady = { leases.renew() }
        pulse.watched = { Set(hub.restaurants).union(known.watched) }
        pulse.found = { Wiring.found($0, known: known, feeds: feeds, access: access) }

        joined.bus?.received = { nodes.receive($0, from: $1) }
        joined.bus?.whenCaughtUp = { pulse.ask() }  // what other nodes said meanwhile was not heard
        leases.restaurants = { hub.restaurants }
        leases.members = { hub.members(of: $0) }
        leases.close = { hub.connection($0)?.close($1) }
        leases.whenReplacedElsewhere = { nodes.replace($0) }

        hub.carryOut = { dispatcher.carryOut($0, for: $1) }
        hub.whenLeft = { leases.left($0, $1) }
        hub.whenRestaurantEmptied = { Wiring.emptied($0, feeds: feeds, nodes: nodes, access: access) }

        feeds.whenMenuUpdated = { known.menuUpdated($0, to: $1) }
        feeds.whenJoined = { nodes.join($0) }
        feeds.whenCommitted = { nodes.committed($0, head: $1) }
        nodes.askPulse = { pulse.ask() }
        nodes.describe = { diagnostics.describe($0, $1) }
    }

    /// Clears every callback that `connect` has set, so that nothing holds the parts any more. The bus has cleared its own.
    func disconnect() {
        storage.pool.$whenNotified.clear()
        storage.redis?.$whenReady.clear()
        storage.pulse.$watched.clear()
        storage.pulse.$found.clear()
        joined.leases.$restaurants.clear()
        joined.leases.$members.clear()
        joined.leases.$close.clear()
        joined.leases.$whenReplacedElsewhere.clear()
        hub.$carryOut.clear()
        hub.$whenLeft.clear()
        hub.$whenRestaurantEmptied.clear()
        handlers.feeds.$whenMenuUpdated.clear()
        handlers.feeds.$whenJoined.clear()
        handlers.feeds.$whenCommitted.clear()
        handlers.nodes.$askPulse.clear()
        handlers.nodes.$describe.clear()
    }

    /// Another program has changed the database and says what; if it does not say it readably, the pulse finds out.
    private static func notified(
        _ payload: String, pulse: Pulse, known: AccessLookup, feeds: FeedHandler, access: AccessHandler
    ) {
        guard let counters = StreamCounters(notification: payload) else { return pulse.ask() }
        known.hint(counters)
        feeds.hint(counters.restaurant, head: counters.head)
        access.found(counters.restaurant, version: counters.accessVersion)
    }

    /// The pulse has read the counters of the watched restaurants.
    private static func found(
        _ finding: Pulse.Finding, known: AccessLookup, feeds: FeedHandler, access: AccessHandler
    ) {
        known.found(finding)
        for counters in finding.counters {
            feeds.hint(counters.restaurant, head: counters.head)
            access.found(counters.restaurant, version: counters.accessVersion)
        }
        for restaurant in finding.missing { access.found(restaurant, version: nil) }
        feeds.tick()
    }

    /// The last tablet of a restaurant has left.
    private static func emptied(
        _ restaurant: RestaurantID, feeds: FeedHandler, nodes: NodeHandler, access: AccessHandler
    ) {
        feeds.leave(restaurant)
        nodes.leave(restaurant)
        access.leave(restaurant)
    }
}
