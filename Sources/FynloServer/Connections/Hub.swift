// Every connection of the process, by number; who of them listens to which restaurant; and the one place where bytes are
// handed to many.

import FynloCore
import FynloIO

/// The connections of one process.
final class Hub {
    let loop: EventLoop
    let settings: SessionSettings
    let log: Logger
    /// This process, in connection and message identifiers.
    let node: UInt64
    /// What is kept of them all.
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
    /// The most there were since they were counted.
    private var mostConnections = 0
    private var lastNumber: UInt64 = 0
    private var isLeaving = false
    private var registry = ConnectionRegistry()
    private var admission: AdmissionControl
    /// Sockets that could make room when they were last looked for, the oldest at the end.
    private var strangers: [UInt64] = []
    private var nextSearch = Instant(nanoseconds: 0)
    /// A search looks at every connection, so it is not made for every newcomer.
    private static let searchInterval = Duration.milliseconds(100)

    // Those that have used up what they may at once, in the order in which they are read from.
    private var readers = WorkQueue<ClientConnection>()
    private var isReadingScheduled = false

    // Made once: a turn's work needs no new memory.
    private var flushWork: () -> Void = {}
    private var flushLaterWork: () -> Void = {}
    private var readingWork: () -> Void = {}

    // What waits to be written at the end of the turn.
    private var unflushed = WorkQueue<ClientConnection>()
    private var isFlushScheduled = false
    /// Sockets of operators.
    private var operators = 0
    /// The loop's one read buffer, lent to the connection that reads.
    private var readBuffer = ByteBuffer()
    /// Emptied buffers for output, so that a turn's answers need no new memory.
    private var spareBuffers: [ByteBuffer] = []
    private var spareBytes = 0
    /// As `readBuffer`, for what is read before it is decrypted.
    private var cipherBuffer = ByteBuffer()

    /// Certificates for the connections to come; `nil`: they are plain.
    var tlsContext: TLSContext?
    private var handshakesLeft = Hub.handshakesPerTurn

    /// Reads of unfinished handshakes in one turn: at 0.3 ms each, the others are read from within a millisecond or two.
    static let handshakesPerTurn = 4

    init(loop: EventLoop, settings: SessionSettings, log: Logger, node: UInt64) {
        self.loop = loop
        self.settings = settings
        self.log = log
        self.node = node
        admission = AdmissionControl(limits: settings.limits)
        ledger = ConnectionLedger(loop: loop, log: log, heartbeatInterval: settings.limits.heartbeatInterval)
        metrics = ledger.metrics
        flushWork = { [unowned self] in flush() }
        flushLaterWork = { [unowned self] in scheduleFlush() }
        readingWork = { [unowned self] in readInTurn() }
    }

    // MARK: Coming and going

    /// Takes over an accepted socket; one over a limit is served a refusal only.
    func adopt(_ descriptor: consuming FileDescriptor, from peer: SocketAddress) {
        // A trusted proxy's sockets count for the clients whose requests come through them.
        let address = peer.ipAddress.flatMap { settings.trustedProxies.trusts($0) ? nil : $0 }
        let refusal = admission.accepted(from: address)
        lastNumber += 1
        metrics.acceptedSockets += 1
        let connection = takeFromStore()
        connection.start(
            descriptor: descriptor, peer: peer, number: lastNumber, countedFor: address, refusal: refusal)
    }

    /// Connections are made many at a time: what comes and goes while a crowd is let in, tokens and requests, then lies
    /// between stretches of them and not between each two, and whole pages of it can be given back.
    private func takeFromStore() -> ClientConnection {
        if store.isEmpty { for _ in 0..<Hub.storeSize { store.append(ClientConnection(hub: self)) } }
        return store.removeLast()
    }

    private static let storeSize = 128

    /// Takes over a socket of the operators' listener, as long as there are few of them: they are let in when tablets have
    /// taken all places.
    func adoptOperator(_ descriptor: consuming FileDescriptor, from peer: SocketAddress) {
        guard operators < Hub.operatorsSockets else { return }
        operators += 1
        lastNumber += 1
        metrics.acceptedOperationsSockets += 1
        takeFromStore().start(
            descriptor: descriptor, peer: peer, number: lastNumber, countedFor: nil, isOperators: true, refusal: nil)
    }

    /// A connection has its number.
    func enter(_ connection: ClientConnection) {
        connections.insert(connection)
        mostConnections = max(mostConnections, connections.count)
    }

    /// More than programs that watch a server open.
    private static let operatorsSockets = 64

    /// True when not even a refusal can be afforded.
    var isExhausted: Bool { admission.isExhausted }

    /// When all places are taken, a socket that has had time to say something, and for which nothing is being done, goes,
    /// the oldest first: WebSockets that have not asked to be authenticated are among them, authenticated ones never.
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

    /// Counts a connection for the client in whose name a trusted proxy sent a request; returns the refusal of one too many.
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

    /// May one more WebSocket be opened? None that began its request before the server began to leave, and would hold it
    /// up.
    var admitsUpgrades: Bool { !isLeaving && admission.admitsUpgrades }

    /// A connection became a WebSocket.
    func upgraded() {
        admission.beganAuthentication()
    }

    /// Is there room for one more connection of this user and device, as far as this process knows?
    func hasRoom(for connection: ClientConnection, user: UserID, device: String?, in restaurant: RestaurantID) -> Bool {
        registry.admits(
            ConnectionRegistry.Member(connection.number, user: user, device: device), to: restaurant,
            perRestaurant: settings.limits.connectionsPerRestaurant, perUser: settings.limits.connectionsPerUser)
    }

    /// Takes an authenticated connection into its restaurant, or refuses it. The same device's older connection, if any,
    /// is closed.
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

    // MARK: Sending

    /// Relays a text frame, which came at `receivedAt` (`nil`: to another process), to every tablet of a restaurant.
    func relay(_ frame: ByteBuffer, receivedAt: Instant?, to restaurant: RestaurantID) {
        broadcast(frame, sequence: nil, to: restaurant)
        if let receivedAt { metrics.relaying(receivedAt: receivedAt) }
        scheduleFlush()
    }

    /// Hands a durable event to every tablet of a restaurant.
    func broadcast(_ event: EventFrame, to restaurant: RestaurantID) {
        broadcast(event.frame, sequence: event.sequence, to: restaurant)
        metrics.delivering(committedAt: event.createdAt, in: restaurant)
        scheduleFlush()
    }

    private func broadcast(_ frame: ByteBuffer, sequence: EventSequence?, to restaurant: RestaurantID) {
        let members = registry.members(of: restaurant)
        let now = loop.now
        metrics.deliveries &+= UInt64(members.count)
        // Out of the property meanwhile: each access to that would be looked up among those under way.
        var queue = WorkQueue<ClientConnection>()
        swap(&queue, &unflushed)
        for index in members.indices {
            guard let connection = connections[members[index].connection] else { continue }
            switch connection.take(frame: frame, sequence: sequence, now: now) {
            case .nothing: break
            case .flush: queue.append(connection)
            case .settle:
                // It may have others queue something.
                swap(&queue, &unflushed)
                connection.settle()
                swap(&queue, &unflushed)
            }
        }
        swap(&queue, &unflushed)
    }

    /// A command that came at `receivedAt` is being answered in this turn.
    func answered(commandReceivedAt receivedAt: Instant) {
        metrics.answering(receivedAt: receivedAt)
        scheduleFlush()
    }

    /// Remembers to write what a connection has queued, once, at the end of the turn.
    func scheduleFlush(_ connection: ClientConnection) {
        scheduleFlush()
        unflushed.append(connection)
    }

    private func scheduleFlush() {
        if isFlushScheduled { return }
        isFlushScheduled = true
        loop.atEndOfTurn(flushWork)
    }

    private func flush() {
        // Closing one may queue bytes for another, which then flushes in the same phase.
        isFlushScheduled = false
        var queue = WorkQueue<ClientConnection>()
        swap(&queue, &unflushed)
        var count = 0
        while let connection = queue.popFirst() {
            connection.flush()
            count += 1
            if count % Hub.flushesPerLook == 0, loop.isOverdue { break }
        }
        let isDone = queue.isEmpty
        // The rest comes first in the next turn.
        swap(&queue, &unflushed)
        unflushed.append(queue)
        if isDone { metrics.wrote() } else { loop.later(flushLaterWork) }
    }

    /// Connections written to between two looks at the clock.
    private static let flushesPerLook = 8

    // MARK: Reading from the greedy

    /// Reads from a connection when those that ask for less have been served, in this turn or a later one.
    func readLater(_ connection: ClientConnection) {
        if !connection.isWaitingToRead {
            connection.isWaitingToRead = true
            readers.append(connection)
        }
        scheduleReading()
    }

    private func scheduleReading() {
        guard !readers.isEmpty, !isReadingScheduled else { return }
        isReadingScheduled = true
        loop.later(readingWork)
    }

    private func readInTurn() {
        isReadingScheduled = false
        var queue = WorkQueue<ClientConnection>()
        swap(&queue, &readers)
        while let connection = queue.popFirst() {
            connection.isWaitingToRead = false
            connection.readInTurn()
            if loop.isOverdue { break }
        }
        // Those that have not been read from come before those that ask for more.
        swap(&queue, &readers)
        readers.append(queue)
        scheduleReading()
    }

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

    // MARK: Buffers

    /// Lends the read buffer, empty.
    func borrowReadBuffer() -> ByteBuffer {
        var buffer = ByteBuffer()
        swap(&buffer, &readBuffer)
        return buffer
    }

    func returnReadBuffer(_ buffer: consuming ByteBuffer) {
        buffer.removeAll(keepingCapacity: buffer.capacity <= 262_144)
        readBuffer = buffer
    }

    /// Lends the buffer for ciphertext, empty.
    func borrowCipherBuffer() -> ByteBuffer {
        var buffer = ByteBuffer()
        swap(&buffer, &cipherBuffer)
        return buffer
    }

    func returnCipherBuffer(_ buffer: consuming ByteBuffer) {
        buffer.removeAll(keepingCapacity: buffer.capacity <= 262_144)
        cipherBuffer = buffer
    }

    /// An empty buffer for output.
    func borrowBuffer() -> ByteBuffer {
        guard let buffer = spareBuffers.popLast() else { return ByteBuffer() }
        spareBytes -= buffer.capacity
        return buffer
    }

    /// Takes an output buffer back; large ones and too many of them are let go.
    func returnBuffer(_ buffer: consuming ByteBuffer) {
        let capacity = buffer.capacity
        guard capacity > 0, capacity <= Hub.spareBufferBytes, spareBytes + capacity <= Hub.spareBuffersBytes,
            spareBuffers.count < Hub.spareBufferCount
        else { return }
        buffer.removeAll(keepingCapacity: true)
        spareBuffers.append(buffer)
        spareBytes += capacity
    }

    /// The largest page of a menu, with its head: memory for one, allocated and zeroed each time, costs 5 µs.
    private static let spareBufferBytes = 131_072
    /// What is kept of all.
    private static let spareBuffersBytes = 4 << 20
    private static let spareBufferCount = 256

    // MARK: All of them

    /// Ends every connection for good, since the server is leaving: those of HTTP, of which there are few, at once, so that
    /// every answer from now on says so; idle ones close. Each tablet is given a slot of its own to come back, a millisecond
    /// after another one's: authenticating it costs the next server less.
    func leaveAll() {
        isLeaving = true
        var tablets: [UInt64] = []
        for connection in connections.all {
            if connection.isWebSocket {
                tablets.append(connection.number)
            } else {
                connection.leave(retryAfter: Hub.earliestReturn)
            }
        }
        var generator = SystemGenerator()
        leave(tablets.shuffled(using: &generator), from: 0)
    }

    /// Those from `first` on: as many as the turn has time for, and the others in the next ones.
    private func leave(_ tablets: [UInt64], from first: Int) {
        guard first < tablets.count else { return }
        loop.later { [self] in
            var generator = SystemGenerator()
            var slot = first
            repeat {
                let jitter = Int.random(in: 0..<250, using: &generator)
                connections[tablets[slot]]?.leave(retryAfter: Hub.earliestReturn + .milliseconds(slot + jitter))
                slot += 1
            } while slot < tablets.count && !loop.isOverdue
            leave(tablets, from: slot)
        }
    }

    /// What a server needs at least to be replaced.
    private static let earliestReturn = Duration.milliseconds(250)

    /// Closes every socket at once.
    func abortAll() {
        for connection in connections.all { connection.abort() }
        // They know their hub.
        store = []
    }

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
