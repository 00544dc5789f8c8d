// A server process without a kernel and without a database: the core's values, and around them what FynloServer's
// connections, hub and handlers do, in as few words as possible. What it wants from the world it leaves in its outbox.

import FynloCore

/// One life of a server.
struct SimulatedServer {
    /// Bytes of input that may be kept for a connection whose answer is awaited; then it is no longer read from.
    static let inputBytes = 65_536

    /// One socket.
    struct Connection {
        let link: Int
        var stack: ProtocolStack
        var leftover = ByteBuffer()
        var queue = OutboundQueue()
        var isFlushScheduled = false
        var resumesReplay = false
        /// When it is going to be ticked.
        var wakeUp: Instant?
        var wire: Wire

        var canRead: Bool { stack.transport == .open && queue.count < SimulatedServer.backPressureBytes }
    }

    /// What a turn leaves to be done by the world.
    struct Outbox {
        var questions: [Question] = []
        /// Connections with bytes to be written.
        var unflushed: [UInt64] = []
        /// Links on which the server will say nothing more.
        var halfClosed: [Int] = []
        /// Sockets that are closed; the bytes on their way arrive, or are lost with a reset.
        var closed: [(link: Int, isReset: Bool)] = []
        /// Connections that want to be ticked, and when.
        var wakeUps: [(connection: UInt64, at: Instant)] = []
        var wantsNextTurn = false
    }

    // As in ClientConnection and the handlers, in the proportion of the simulated limits to the real ones.
    static let backPressureBytes = 8_192
    static let replayBytesAhead = 4_096
    static let concurrentLookups = 2
    static let signaturesPerTurn = 3
    static let patience = Duration.seconds(5)
    static let framesPerTurn = 100

    let life: ServerLife
    let node: UInt64
    let settings: SessionSettings
    let keys = EveryKey()
    var now: Moment
    var outbox = Outbox()
    /// Broken promises.
    var violations: [String] = []
    /// See Wire.resyncs.
    var resyncs: [(restaurant: RestaurantID, missing: EventSequence, head: EventSequence)] = []
    /// What happened that is worth counting.
    var seen: [String] = []

    var connections: [UInt64: Connection] = [:]
    var lastNumber: UInt64 = 0
    var registry = ConnectionRegistry()
    var admission: AdmissionControl

    var applicants = FairQueue<Applicant>()
    var lookupsUnderWay = 0
    var signaturesLeft = SimulatedServer.signaturesPerTurn
    var admitsAtEndOfTurn = false
    /// Refused renewals, told at the end of the turn.
    var refusedRenewals: [UInt64] = []

    var feeds: [RestaurantID: RestaurantFeed] = [:]
    var waiting: [RestaurantID: [UInt64]] = [:]
    var reads: [(restaurant: RestaurantID, read: RestaurantFeed.Read)] = []
    var readsUnderWay = 0
    var framesLeft = SimulatedServer.framesPerTurn
    var postponed: [UInt64] = []

    var watches: [RestaurantID: AccessWatch] = [:]
    var isPulsing = false
    /// It has been told to stop.
    private(set) var isLeaving = false

    init(life: ServerLife, node: UInt64, settings: SessionSettings, now: Moment) {
        self.life = life
        self.node = node
        self.settings = settings
        self.now = now
        admission = AdmissionControl(limits: settings.limits)
    }

    // MARK: The stack

    /// Calls a connection's stack, looks at what it wrote, and carries out what it asked for.
    mutating func withStack(
        _ number: UInt64, _ body: (inout ProtocolStack, inout ByteBuffer, inout [Effect]) -> Void
    ) {
        guard var connection = connections.removeValue(forKey: number) else { return }
        var effects: [Effect] = []
        let wasWebSocket = connection.stack.isWebSocket
        if !wasWebSocket { connection.stack.admitsUpgrades = !isLeaving && admission.admitsUpgrades }
        var output = connection.queue.lend()
        let before = output.count
        body(&connection.stack, &output, &effects)
        if wasWebSocket, output.count > before { connection.wire.wrote(Array(output.bytes()[before...])) }
        connection.queue.giveBack(output)
        if !wasWebSocket, connection.stack.isWebSocket { connection.queue.beginFrames() }
        for case .storage(.updateOrderStatus(_, _, _, let id), _) in effects { connection.wire.began(id) }
        report(&connection.wire, number)
        connections[number] = connection
        for effect in effects { carryOut(effect, for: number) }
        settle(number)
    }

    private mutating func report(_ wire: inout Wire, _ number: UInt64) {
        if !wire.seen.isEmpty {
            seen += wire.seen
            wire.seen = []
        }
        for (missing, head) in wire.resyncs { resyncs.append((wire.restaurant, missing, head)) }
        wire.resyncs = []
        guard !wire.violations.isEmpty else { return }
        violations += wire.violations.map { "connection \(number): \($0)" }
        wire.violations = []
    }

    mutating func carryOut(_ effect: Effect, for number: UInt64) {
        switch effect {
        case .respond: violations.append("a tablet made an HTTP request")
        case .upgraded: admission.beganAuthentication()
        case .authenticate(let request, let restaurant, _): authenticate(request, restaurant, number)
        case .reauthenticate(let token, let user): renew(token, user, number)
        case .storage(let request, _): outbox.questions.append(.command(request, connection: number))
        case .broadcast(let frame, let restaurant, _): broadcast(frame, sequence: nil, to: restaurant)
        case .replay(let restaurant): replay(to: number, of: restaurant)
        case .refused: break
        case .sessionEnded(let restaurant, _, let wasAuthenticated):
            guard wasAuthenticated else { return admission.endedAuthentication() }
            registry.remove(number, from: restaurant)
            if registry.members(of: restaurant).isEmpty {
                feeds[restaurant] = nil
                waiting[restaurant] = nil
                watches[restaurant] = nil
            }
        }
    }

    mutating func close(_ number: UInt64, _ reason: CloseReason) {
        withStack(number) { [now] stack, output, effects in
            stack.close(reason, now: now, output: &output, effects: &effects)
        }
    }

    /// The server is told to stop; see Hub.
    mutating func leaveAll() {
        isLeaving = true
        for number in connections.keys.sorted() {
            withStack(number) { [now] stack, output, effects in
                stack.leave(retryAfter: .milliseconds(250), now: now, output: &output, effects: &effects)
            }
        }
    }

    mutating func broadcast(_ frame: ByteBuffer, sequence: EventSequence?, to restaurant: RestaurantID) {
        for member in registry.members(of: restaurant) {
            withStack(member.connection) { [now] stack, output, _ in
                stack.deliver(frame: frame, sequence: sequence, now: now, output: &output)
            }
        }
    }

    // MARK: Answers

    mutating func deliver(_ answer: Answer, to question: Question) {
        switch (question, answer) {
        case (.access(let applicant, let token), _):
            lookupsUnderWay -= 1
            finish(applicant, token, answer)
            admitNext()
        case (.renewal(let token, let user, let number), _):
            finishRenewal(token, user, number, answer)
        case (.command(_, let number), .command(let answer, let event)):
            deliver(command: answer, to: number)
            if let event { committed(event) }
        case (.command(_, let number), _):
            deliver(command: .refused(.unavailable), to: number)
        case (.events(let restaurant, let after), .events(let rows)):
            guard feeds[restaurant]?.isReading(after: after) == true else { return }
            if let step = feeds[restaurant]?.deliver(rows) { take(step, restaurant) }
        case (.events(let restaurant, let after), _):
            if feeds[restaurant]?.isReading(after: after) == true { feeds[restaurant]?.readFailed() }
        case (.replay(let restaurant, let read), .events(let rows)):
            finish(read, restaurant, rows)
        case (.replay(let restaurant, let read), _):
            finish(read, restaurant, nil)
        case (.counters(let asked), .counters(let counters)):
            isPulsing = false
            found(counters, asked: asked)
        case (.counters, _):
            isPulsing = false
        case (.rights(let restaurant, let members), .rights(let version, let records)):
            watches[restaurant]?.checked(at: version)
            revoke(members, restaurant, records)
        case (.rights(let restaurant, _), _):
            watches[restaurant]?.checkFailed()
        }
    }

    private mutating func deliver(command answer: CommandAnswer, to number: UInt64) {
        withStack(number) { [now] stack, output, effects in
            stack.deliver(command: answer, now: now, output: &output, effects: &effects)
        }
        if case .refused(.unavailable) = answer, connections[number]?.stack.user != nil,
            let left = connections[number]?.wire.unanswered, !left.isEmpty
        {
            violations.append("connection \(number): \(left) wait on behind a command whose outcome is unknown")
        }
    }

    // MARK: The turn

    /// What is due at the end of a turn, before the bytes are written.
    mutating func endTurn() {
        if admitsAtEndOfTurn {
            admitsAtEndOfTurn = false
            admitNext()
        }
        for number in refusedRenewals { deliver(renewal: .failed(.invalidToken), to: number) }
        refusedRenewals = []
    }

    /// What was put off to the next turn.
    mutating func beginTurn() {
        signaturesLeft = SimulatedServer.signaturesPerTurn
        admitNext()
        framesLeft = SimulatedServer.framesPerTurn
        let numbers = postponed
        postponed = []
        for number in numbers {
            if let restaurant = connections[number]?.stack.restaurant { replay(to: number, of: restaurant) }
        }
    }

    /// Promises that hold between two turns.
    func brokenLimits() -> [String] {
        var broken: [String] = []
        let limits = settings.limits
        var authenticated = 0
        for (number, connection) in connections {
            if connection.stack.user != nil { authenticated += 1 }
            if connection.stack.user != nil, connection.wire.unanswered.count > limits.waitingCommands + 1 {
                broken.append("connection \(number): \(connection.wire.unanswered.count) commands wait")
            }
            if connection.queue.count > limits.sendQueueBytes {
                broken.append("connection \(number): \(connection.queue.count) bytes are queued")
            }
        }
        if authenticated != registry.count {
            broken.append("\(authenticated) tablets, \(registry.count) in the registry")
        }
        if admission.unauthenticated > limits.unauthenticatedConnections { broken.append("too many strangers") }
        if admission.connections != connections.count { broken.append("sockets are counted wrongly") }
        for feed in feeds.values where feed.tailBytes > 5 << 20 {
            broken.append("\(feed.tailBytes) bytes are kept for those who come back")
        }
        for restaurant in registry.restaurants {
            let members = registry.members(of: restaurant)
            if members.count > limits.connectionsPerRestaurant {
                broken.append("\(members.count) tablets of one place")
            }
            for member in members where members.count(where: { $0.user == member.user }) > limits.connectionsPerUser {
                broken.append("too many tablets of one user")
            }
        }
        return broken.sorted()
    }
}

/// Signatures are not what is simulated.
struct EveryKey: TokenSignatureChecking {
    func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool { true }
}
