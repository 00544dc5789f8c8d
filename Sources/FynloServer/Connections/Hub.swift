// Every connection of the process, by number, and which of them listens to which restaurant. Who is read from and written to
// when, and who is sent what, is next door: ReadingTurns, WritingTurns, Hub+Sending.

import FynloCore
import FynloIO

/// The connections of one process.
final class Hub {
    let loop: EventLoop
    let settings: SessionSettings
    let log: Logger
    /// This process, in connection and message identifiers.
    let node: UInt64
    /// The counts that outlive a connection.
    let ledger: ConnectionLedger
    let metrics: Metrics

    /// Carries out what connections ask for.
    @SetOnce var carryOut: (Effect, ClientConnection) -> Void = { _, _ in }
    /// Called when the last tablet of a restaurant has left.
    @SetOnce var whenRestaurantEmptied: (RestaurantID) -> Void = { _ in }
    /// Called with the number of an authenticated connection that has ended.
    @SetOnce var whenLeft: (UInt64, RestaurantID) -> Void = { _, _ in }

    private var connections = ConnectionTable<ClientConnection>()
    private var store: [ClientConnection] = []
    /// The most connections there were at a time since `takeEndedConnections` was last called.
    private var mostConnections = 0
    private var lastNumber: UInt64 = 0
    /// The server is going away.
    var isLeaving = false
    private var registry = ConnectionRegistry()
    private var admission: AdmissionControl
    /// Sockets that could make room when they were last searched for, the oldest at the end.
    private var strangers: [UInt64] = []
    private var nextSearch = Instant(nanoseconds: 0)
    /// A search looks at every connection: it is not made for every newcomer.
    private static let searchInterval = Duration.milliseconds(100)

    /// Sockets of operators.
    private var operators = 0
    var buffers = BufferPool()
    let writing: WritingTurns
    private let reading: ReadingTurns

    /// The certificates for new connections; `nil` when they are plain.
    var tlsContext: TLSContext?
    private var handshakesLeft = Hub.handshakesPerTurn

    /// Reads of unfinished handshakes in one turn. At 0.3 ms each, the other connections wait a millisecond or two.
    static let handshakesPerTurn = 4

    init(loop: EventLoop, settings: SessionSettings, log: Logger, node: UInt64) {
        self.loop = loop
        self.settings = settings
        self.log = log
        self.node = node
        admission = AdmissionControl(limits: settings.limits)
        ledger = ConnectionLedger(loop: loop, log: log, heartbeatInterval: settings.limits.heartbeatInterval)
        metrics = ledger.metrics
        writing = WritingTurns(loop: loop, metrics: metrics)
        reading = ReadingTurns(loop: loop)
    }

    // MARK: Coming and going

    /// Takes over an accepted socket. One over a limit is served a refusal only.
    func adopt(_ descriptor: consuming FileDescriptor, from peer: SocketAddress) {
        // A trusted proxy's sockets count for the clients whose requests they carry.
        let address = peer.ipAddress.flatMap { settings.trustedProxies.trusts($0) ? nil : $0 }
        let refusal = admission.accepted(from: address)
        lastNumber += 1
        metrics.acceptedSockets += 1
        let connection = takeFromStore()
        connection.start(
            descriptor: descriptor, peer: peer, number: lastNumber, countedFor: address, refusal: refusal)
    }

    /// Connections are made many at a time. What comes and goes while a crowd is let in, tokens and requests, then lies
    /// between batches of connections and not between every two of them: whole pages of it can be given back.
    private func takeFromStore() -> ClientConnection {
        if store.isEmpty { for _ in 0..<Hub.storeSize { store.append(ClientConnection(hub: self)) } }
        return store.removeLast()
    }

    private static let storeSize = 128

    /// Lets go of the connections that were made for later.
    func emptyStore() { store = [] }

    /// Takes over a socket of the operators' listener, as long as there are few of them. Operators are let in even when
    /// tablets have taken all places.
    func adoptOperator(_ descriptor: consuming FileDescriptor, from peer: SocketAddress) {
        guard operators < Hub.operatorsSockets else { return }
        operators += 1
        lastNumber += 1
        metrics.acceptedOperationsSockets += 1
        takeFromStore().start(
            descriptor: descriptor, peer: peer, number: lastNumber, countedFor: nil, isOperators: true, refusal: nil)
    }

    /// Takes in a connection that has its number.
    func enter(_ connection: ClientConnection) {
        connections.insert(connection)
        mostConnections = max(mostConnections, connections.count)
    }

    /// More than the programs that watch a server open.
    private static let operatorsSockets = 64

    /// True when not even a refusal can be afforded.
    var isExhausted: Bool { admission.isExhausted }

    /// When all places are taken, closes the oldest socket that has had time to say something and for which nothing is being
    /// done. That may be a WebSocket that has not asked to be authenticated, but never an authenticated one.
    func makeRoom() {
        guard admission.isFull else { return }
        let now = loop.now.instant
        if strangers.isEmpty, now >= nextSearch {
            nextSearch = now + Hub.searchInterval
            strangers = connections.all.filter { $0.canMakeRoom(now) }.map(\.number).sorted(by: >)
        }
        while let number = strangers.popLast() {
            guard let connection = connections[number], connection.canMakeRoom(now) else { continue }
            return connection.abort()
        }
    }

    /// Counts a connection for the client in whose name a trusted proxy sent a request. Returns a refusal when it is one too
    /// many.
    func occupy(_ client: IPAddress) -> APIError? { admission.occupy(client) }

    /// A connection no longer counts for a client.
    func release(_ client: IPAddress) { admission.release(client) }

    /// A connection by its number; `nil` when it is gone.
    func connection(_ number: UInt64) -> ClientConnection? {
        connections[number]
    }

    /// The name of a connection in the log and on the wire, whether it is still there or not.
    func name(of number: UInt64) -> String {
        ConnectionID(node: node, number: number).uuid.description
    }

    /// A connection has closed its socket.
    func forget(_ connection: ClientConnection) {
        guard connections.remove(connection.number) else { return }
        if connection.isOperators {
            operators -= 1
            return
        }
        admission.closed(from: connection.countedFor)
    }

    /// True when one more WebSocket may be opened. A server that leaves opens none: it would be held up by them.
    var admitsUpgrades: Bool { !isLeaving && admission.admitsUpgrades }

    /// A connection became a WebSocket.
    func upgraded() {
        admission.beganAuthentication()
    }

    /// True when there is room for one more connection of this user and device, as far as this process knows.
    func hasRoom(for connection: ClientConnection, user: UserID, device: String?, in restaurant: RestaurantID) -> Bool {
        registry.admits(
            ConnectionRegistry.Member(connection.number, user: user, device: device), to: restaurant,
            perRestaurant: settings.limits.connectionsPerRestaurant, perUser: settings.limits.connectionsPerUser)
    }

    /// Takes an authenticated connection into its restaurant; false when it is refused. An older connection of the same
    /// device is closed.
    func admit(
        _ connection: ClientConnection, user: UserID, role: Role, device: String?, version: String? = nil,
        to restaurant: RestaurantID
    ) -> Bool {
        let limits = settings.limits
        let member = ConnectionRegistry.Member(
            connection.number, user: user, role: role, device: device, version: ledger.place(of: version))
        switch registry.admit(
            member, to: restaurant, perRestaurant: limits.connectionsPerRestaurant,
            perUser: limits.connectionsPerUser)
        {
        case .refused: return false
        case .admitted(let replaced):
            admission.endedAuthentication()
            if let replaced, let older = self.connection(replaced) {
                ledger.replacing(replaced, by: member)
                older.close(.replaced)
            }
            let isReturning = replaced != nil || connection.session?.isReturning == true
            ledger.joined(restaurant, member, isReturning: isReturning)
            return true
        }
    }

    /// A session is over, authenticated or not.
    func sessionEnded(
        _ connection: ClientConnection, restaurant: RestaurantID, _ end: SessionEnd, wasAuthenticated: Bool
    ) {
        ledger.ended(connection, restaurant, end, wasAuthenticated: wasAuthenticated) {
            registry.members(of: restaurant).first { $0.connection == connection.number }
        }
        guard wasAuthenticated else { return admission.endedAuthentication() }
        registry.remove(connection.number, from: restaurant)
        whenLeft(connection.number, restaurant)
        if registry.members(of: restaurant).isEmpty { whenRestaurantEmptied(restaurant) }
    }

    // MARK: Turns

    /// Writes what a connection has queued, once, at the end of the turn.
    func scheduleFlush(_ connection: ClientConnection) { writing.append(connection) }

    /// Reads from a connection when those that ask for less have been served, in this turn or a later one.
    func readLater(_ connection: ClientConnection) { reading.readLater(connection) }

    // MARK: TLS

    /// The server's side of TLS for one connection; `nil` when connections are plain.
    func makeTLSEngine() -> TLSEngine? {
        guard let tlsContext else { return nil }
        do {
            return try TLSEngine(server: tlsContext)
        } catch {
            preconditionFailure("a TLS connection is refused only when there is no memory left: \(error)")
        }
    }

    /// True if one more handshake may go on in this turn.
    func takeHandshake() -> Bool {
        guard handshakesLeft > 0 else { return false }
        if handshakesLeft == Hub.handshakesPerTurn {
            loop.atEndOfTurn { [self] in handshakesLeft = Hub.handshakesPerTurn }
        }
        handshakesLeft -= 1
        return true
    }

    // MARK: All of them

    /// Every connection, in no order.
    var allConnections: [ClientConnection] { connections.all }

    /// Open sockets.
    var connectionCount: Int { connections.count }

    /// How many connections have ended since there were the most of them; counted anew from now on.
    func takeEndedConnections() -> Int {
        defer { mostConnections = connections.count }
        return mostConnections - connections.count
    }

    /// Authenticated tablets.
    var tabletCount: Int { registry.count }

    /// WebSockets that have not authenticated yet.
    var unauthenticatedCount: Int { admission.unauthenticated }

    /// Restaurants with listeners.
    var restaurants: [RestaurantID] { Array(registry.restaurants) }

    /// How many they are.
    var restaurantCount: Int { registry.restaurants.count }

    /// The tablets of a restaurant.
    func members(of restaurant: RestaurantID) -> [ConnectionRegistry.Member] {
        registry.members(of: restaurant)
    }

    /// True when somebody listens to the restaurant.
    func hasListeners(_ restaurant: RestaurantID) -> Bool {
        !registry.members(of: restaurant).isEmpty
    }
}
