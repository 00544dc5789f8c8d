// The limits of the POS protocol, each with its unit and reason; those of HTTP are in HTTPLimits.swift. A limit that operators
// can set has the name of its variable.

/// The limits of one server process.
public struct Limits: Sendable {
    // MARK: Connections

    /// FYNLO_MAX_CONNECTIONS: open sockets; beyond it a request is answered 503 before any upgrade.
    public var connections = 10_000
    /// FYNLO_MAX_UNAUTHENTICATED: WebSockets that have not authenticated. A quarter, so that strangers cannot lock out staff.
    public var unauthenticatedConnections = 2_500
    /// FYNLO_MAX_CONNECTIONS_PER_IP: sockets of one IPv4 address or one IPv6 /64 network. 0 means no limit, since all tablets of
    /// a restaurant share one address.
    public var connectionsPerAddress = 0
    /// FYNLO_MAX_CONNECTIONS_PER_RESTAURANT: authenticated tablets of one restaurant.
    public var connectionsPerRestaurant = 100
    /// FYNLO_MAX_CONNECTIONS_PER_USER: authenticated tablets of one user in one restaurant.
    public var connectionsPerUser = 5

    // MARK: Times

    /// While all places are taken, how long a socket may be idle, before its upgrade or between that and `authenticate`, before
    /// it has to make room for a new one. A tablet takes far less.
    public var strangerGrace = Duration.seconds(2)
    /// FYNLO_AUTH_TIMEOUT: from the upgrade to the first message.
    public var authenticationTimeout = Duration.seconds(10)
    /// FYNLO_IDLE_PING: silence after which the server asks for a sign of life.
    public var idlePing = Duration.seconds(30)
    /// FYNLO_STALE_AFTER: silence after which a tablet counts as gone.
    public var staleAfter = Duration.seconds(60)
    /// FYNLO_SWEEP_INTERVAL: the longest time for which a stale tablet may go unnoticed.
    public var sweepInterval = Duration.seconds(30)
    /// FYNLO_HEARTBEAT_INTERVAL: how often tablets are told to ping.
    public var heartbeatInterval = Duration.seconds(15)
    /// FYNLO_TOKEN_WARNING: how long before its end a token's holder is warned.
    public var tokenWarning = Duration.seconds(300)
    /// FYNLO_JWT_LEEWAY: how long after its `exp` a token is accepted and stays in use.
    public var tokenLeeway = Duration.seconds(30)
    /// From our close frame to the peer's, or to the end of writing: then the socket is reset.
    public var closeTimeout = Duration.seconds(5)

    // MARK: Messages

    /// FYNLO_RATE_LIMIT: messages per second of one connection.
    public var messagesPerSecond = 20
    /// FYNLO_RATE_BURST: messages at once, for a tablet that resends its queue.
    public var messageBurst = 100
    /// Refusals within `rateRefusalWindow` after which the connection is closed: it ignores them.
    public var rateRefusals = 100
    /// The window in which `rateRefusals` are counted.
    public var rateRefusalWindow = Duration.seconds(10)
    /// FYNLO_MAX_MESSAGE: bytes of one message after reassembly.
    public var messageBytes = 65_536
    /// Bytes of the first message: a token of 8 KiB and its envelope, smaller than what an authenticated tablet may send.
    public var unauthenticatedMessageBytes = 16_384
    /// Bytes of a transient event's `data`: it is copied to every tablet of the restaurant.
    public var transientDataBytes = 16_384
    /// FYNLO_SEND_QUEUE: bytes queued for a tablet that does not read.
    public var sendQueueBytes = 1_048_576
    /// Commands of one connection that wait for the one in flight.
    public var waitingCommands = 64
    /// Events sent to a tablet that resumes; one that missed more reloads, which is cheaper for both.
    public var replayedEvents = 1_000
    /// Bytes of a command's identifier.
    public var commandIDBytes = 128
    /// Bytes of `client_type`, `client_version` and `device_id`.
    public var freeTextBytes = 64

    // MARK: Orders and notifications over REST

    /// Bytes of a JSON body, even if FYNLO_MAX_BODY allows more: a page of the largest orders must still fit in memory.
    public var requestBodyBytes = 131_072
    /// Items of one new order: a large party's table, several times over.
    public var orderItems = 200
    /// The greatest quantity of one item.
    public var itemQuantity: Int32 = 99_999
    /// Bytes of a table's number or an order's type.
    public var labelBytes = 64
    /// Bytes of a name: a customer's, a product's, a notification's title.
    public var nameBytes = 200
    /// Bytes of what people write: notes, special instructions, a notification's message.
    public var noteBytes = 2_000
    /// Bytes of an item's modifiers, in JSON.
    public var modifiersBytes = 8_192
    /// The most orders on one page; the same holds for the menu.
    public var ordersPerPage = 100
    /// The most events in one answer: as many as a resuming tablet is sent.
    public var eventsPerPage = 1_000

    // MARK: Tokens

    /// Bytes of tokens whose signatures need not be checked again: those of a thousand users.
    public var verifiedTokensBytes = 1 << 20

    // MARK: The menu

    /// Bytes of the menu's copies in this process: a thousand pages of 50 products.
    public var menuCopiesBytes = 32 << 20
    /// Restaurants that the pulse asks about because their menu was read lately: each adds 40 bytes to its query.
    public var cachedRestaurants = 4_000
    /// Users who read a menu lately: about 300 bytes each.
    public var cachedReaders = 10_000
    /// How long an answer of the database is trusted, counted from the query: the greatest age of a menu that is served while
    /// the database is reachable.
    public var accessCacheLifetime = Duration.seconds(1)
    /// How long after that its users are still served copies (X-Cache: STALE) while the database is away.
    public var staleLifetime = Duration.seconds(60)
    /// How long the pulse asks about a restaurant after its menu was last read.
    public var menuWatchLifetime = Duration.seconds(60)
    /// Pages read from the database at the same time: a quarter of the connections that serve one request each, so that
    /// menus never hold up orders.
    public var menuReads = 4
    /// Pages that may wait to be read; more get 503. At 5 ms each, all are read within half a second.
    public var waitingMenuReads = 256

    public init() {}
}
