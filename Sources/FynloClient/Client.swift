// A tablet's client: gives a ClientSession its sockets, its clock, its tokens and its storage, and tells the listeners what
// happens.

public import FynloCore
public import FynloIO

/// One device of one user in one restaurant. It belongs to its loop's thread; the loop keeps it from `connect` until it is
/// disconnected.
///
/// Listeners are called from turns of the loop, one after the other, and may call any method.
public final class Client {
    /// What a client is for.
    public struct Settings: Sendable {
        public var server: ServerURL
        public var restaurant: RestaurantID
        public var clientType: ClientType
        public var user: UserID
        /// See `ClientIdentity.deviceID`.
        public var deviceID: String?
        /// See `ClientIdentity.clientVersion`.
        public var clientVersion: String?
        /// The newest event that was seen; `nil`: only those from now on.
        public var lastSequence: EventSequence?
        public var session = ClientSession.Settings()

        public init(server: ServerURL, restaurant: RestaurantID, clientType: ClientType = .pos, user: UserID) {
            self.server = server
            self.restaurant = restaurant
            self.clientType = clientType
            self.user = user
        }
    }

    /// What becomes of a command: its final state.
    public typealias Reply = (CommandState) -> Void

    private let loop: EventLoop
    private let settings: Settings
    private let tokens: TokenSource
    private let storage: any OutboxStorage
    private var encryption: Encryption
    private var session: ClientSession
    private var listeners = Listeners<ClientSession.Event>()
    private var replies: [String: Reply] = [:]

    private var timer: SourceToken?
    private var renewals: Subscription?
    private var dialer: Dialer?
    private var channel: Channel?
    /// In the place of a channel's output while there is none.
    private var nowhere = ByteBuffer()

    /// What is still to be done, oldest first: a listener may cause more.
    private var effects: [ClientSession.Effect] = []
    /// How many of them are done, or being done.
    private var performed = 0
    private var isPerforming = false
    private var toBeKept: [OutboxRecord] = []
    /// What the storage was given and has not answered.
    private var unkept = 0
    /// To be called once there is nothing of it left.
    private var closed: (() -> Void)?

    /// The newest event that a listener was told of; give it to the next client of this device that knows all up to it.
    public private(set) var lastSequence: EventSequence?

    /// A client that is disconnected.
    ///
    /// - Parameters:
    ///   - tokens: asked for a token for each connection; it may serve others too, and outlives the client.
    ///   - outbox: keeps the commands; `nil`: as long as this client lives.
    ///   - tls: whom to trust, at a server with https or wss; `nil`: the system's authorities.
    public init(
        loop: EventLoop, settings: Settings, tokens: TokenSource, outbox: (any OutboxStorage)? = nil,
        tls: TLSContext? = nil
    ) throws(StorageError) {
        self.loop = loop
        self.settings = settings
        self.tokens = tokens
        storage = outbox ?? MemoryOutbox(loop: loop)
        encryption = Encryption(settings.server, context: tls)
        lastSequence = settings.lastSequence
        let identity = ClientIdentity(
            authority: settings.server.authority, pathPrefix: settings.server.pathPrefix,
            restaurant: settings.restaurant, client: settings.clientType, user: settings.user, token: "",
            deviceID: settings.deviceID, clientVersion: settings.clientVersion)
        session = ClientSession(
            identity: identity, settings: settings.session, lastSequence: settings.lastSequence,
            commands: try storage.load(), using: SystemGenerator())
    }

    // MARK: State

    public var state: ClientSession.State { session.state }

    /// The commands without a final answer, and the last ones that have one.
    public var outbox: Outbox { session.outbox }

    /// Attempts to connect again since the last success.
    public var reconnectAttempts: Int { session.health.reconnectAttempts }

    /// Whether the server is heard from.
    public var health: HealthStatus { session.health.status(now: SystemClock.instant) }

    /// How the connection has been doing.
    public var report: DiagnosticReport { session.report(now: SystemClock.instant) }

    // MARK: Listeners

    /// Calls `listener` for each event of this name: `state`, `connect`, `disconnect`, `auth_error`, `error`,
    /// `max_reconnect_attempts`, `command`, the type of a message, or `message` for all of them.
    @discardableResult
    public func on(_ name: EventName, _ listener: @escaping (ClientSession.Event) -> Void) -> Subscription {
        listeners.add(name, isForOnce: false, listener)
    }

    /// Calls `listener` for the next event of this name.
    @discardableResult
    public func once(_ name: EventName, _ listener: @escaping (ClientSession.Event) -> Void) -> Subscription {
        listeners.add(name, isForOnce: true, listener)
    }

    public func off(_ subscription: Subscription) {
        listeners.remove(subscription)
    }

    // MARK: Wishes

    /// Connects, at once if it was waiting to. False when a connection is there or on its way: there is never a second.
    @discardableResult
    public func connect() -> Bool {
        if timer == nil { timer = loop.add(timer: ClientTimer(self)) }
        if renewals == nil {
            renewals = tokens.on(.tokenRefreshed) { [weak self] event in
                if case .refreshed(let token) = event { self?.deliver(.success(token)) }
            }
        }
        return input { session, now, _, effects in session.connect(now: now, effects: &effects) }
    }

    /// Ends the connection with 1000, or the attempts to get one, and lets go of everything but the commands, which wait
    /// for the next `connect`. Messages that no listener was told of yet come again after that.
    public func disconnect() {
        let done = effects[..<performed]
        let rest = effects[performed...].filter { if case .tell(.message) = $0 { false } else { true } }
        effects = Array(done) + rest
        input { session, now, output, effects in
            session.disconnect(now: now, output: &output, effects: &effects)
            session.resume(after: lastSequence)
        }
    }

    /// The system says that there is no network.
    public func networkLost() {
        input { session, now, _, effects in session.networkLost(now: now, effects: &effects) }
    }

    /// The system says that there is a network, perhaps another one.
    public func networkRestored() {
        input { session, now, output, effects in
            session.networkRestored(now: now, output: &output, effects: &effects)
        }
    }

    /// Takes a command: it is kept, and sent in its turn as soon as there is a connection. `data` is the text of a JSON
    /// object; without an `id` it gets one. Its states are told as `command`; `reply` is called with the final one. Returns
    /// the id.
    @discardableResult
    public func send(
        _ type: String, data: String, id: String? = nil, reply: Reply? = nil
    ) throws(CommandRefusal) -> String {
        let result = input { session, now, _, effects in
            Result { () throws(CommandRefusal) in
                try session.submit(type, data: data, id: id, now: now, effects: &effects)
            }
        }
        let id = try result.get()
        if let reply { replies[id] = reply }
        return id
    }

    /// `disconnect`, for good: nobody is told anything any more, and the outbox is closed as soon as it has what it was
    /// given; then `done` is called.
    public func close(done: @escaping () -> Void = {}) {
        disconnect()
        listeners = Listeners()
        replies = [:]
        closed = done
        closeIfKept()
    }

    private func closeIfKept() {
        guard let closed, !isPerforming, unkept == 0 else { return }
        self.closed = nil
        storage.close()
        closed()
    }

    // MARK: Inputs

    /// Tells the session something, and does what it says.
    @discardableResult
    private func input<T>(
        _ body: (inout ClientSession, Moment, inout ByteBuffer, inout [ClientSession.Effect]) -> T
    ) -> T {
        let now = SystemClock.now
        let result =
            if let channel {
                body(&session, now, &channel.output, &effects)
            } else {
                body(&session, now, &nowhere, &effects)
            }
        nowhere.removeAll()
        channel?.scheduleFlush()
        perform()
        return result
    }

    private func connected(_ descriptor: consuming FileDescriptor) {
        dialer = nil
        do {
            let tls = try encryption.makeEngine()
            let channel = try Channel(loop: loop, descriptor: descriptor, tls: tls) { [weak self] bytes, now in
                self?.received(&bytes, now: now)
            } ended: { [weak self] end, _ in
                self?.lose(end.reason)
            }
            self.channel = channel
            input { session, _, output, _ in session.opened(output: &output) }
        } catch {
            lose("\(error)")
        }
    }

    private func received(_ bytes: inout ByteBuffer, now: Moment) {
        input { session, _, output, effects in
            session.receive(&bytes, now: now, output: &output, effects: &effects)
        }
    }

    private func lose(_ reason: String?) {
        input { session, now, output, effects in
            session.endOfInput(reason: reason, now: now, output: &output, effects: &effects)
        }
    }

    private func deliver(_ token: Result<HeldToken, TokenFailure>) {
        input { session, now, output, effects in
            session.deliver(token: token.map(\.compact), now: now, output: &output, effects: &effects)
        }
    }

    fileprivate func tick(now: Moment) -> Instant? {
        input { session, _, output, effects in session.tick(now: now, output: &output, effects: &effects) }
        return session.nextDeadline
    }

    // MARK: Effects

    /// Does what is to be done, in order, also what a listener causes meanwhile.
    private func perform() {
        guard !isPerforming else { return }
        isPerforming = true
        while performed < effects.count {
            performed += 1
            perform(effects[performed - 1])
        }
        effects.removeAll(keepingCapacity: true)
        performed = 0
        isPerforming = false
        keep()
        if session.state == .disconnected { leave() } else { wake() }
        closeIfKept()
    }

    private func perform(_ effect: ClientSession.Effect) {
        switch effect {
        case .open: open()
        case .close:
            dialer?.cancel()
            dialer = nil
            channel?.close()
            channel = nil
        case .token(let isForced):
            tokens.request(isForced: isForced) { [weak self] in self?.deliver($0) }
        case .keep(let record):
            toBeKept.append(record)
        case .tell(let event):
            tell(event)
        }
    }

    private func open() {
        let dialer = Dialer(
            loop: loop, server: settings.server,
            deadline: SystemClock.instant + settings.session.limits.connectTimeout,
            connected: { [weak self] in self?.connected($0) },
            failed: { [weak self] error in
                guard let self else { return }
                lose(ClientError.unreachable(settings.server, error).description)
            })
        self.dialer = dialer
        dialer.start()
    }

    /// Gives the storage what is new, all at once.
    private func keep() {
        guard !toBeKept.isEmpty else { return }
        let records = toBeKept
        toBeKept = []
        let added = records.count { if case .added = $0 { true } else { false } }
        unkept += 1
        storage.keep(records) { [self] error in
            unkept -= 1
            if added > 0 {
                input { session, now, output, effects in
                    session.deliver(
                        kept: added, failure: error?.description, now: now, output: &output, effects: &effects)
                }
            }
            closeIfKept()
        }
    }

    private func tell(_ event: ClientSession.Event) {
        var reply: Reply?
        switch event {
        case .connect(let welcome):
            lastSequence = lastSequence ?? welcome.sequence
        case .message(let message):
            if message.type == "resync_required" { lastSequence = message.dataSequence ?? lastSequence }
            lastSequence = message.sequence ?? lastSequence
        case .command(let id, let state):
            if state.isFinal { reply = replies.removeValue(forKey: id) }
            reply?(state)
        case .state, .disconnect, .authError, .error, .maxReconnectAttempts:
            break
        }
        for name in event.names {
            for number in listeners.numbers(of: name) { listeners.take(number, of: name)?(event) }
        }
    }

    private func wake() {
        guard let timer, let deadline = session.nextDeadline else { return }
        loop.wake(timer, by: deadline)
    }

    private func leave() {
        if let timer { loop.remove(timer) }
        timer = nil
        if let renewals { tokens.off(renewals) }
        renewals = nil
    }
}

extension ClientSession.Event {
    /// By which it is listened to.
    public var names: [EventName] {
        switch self {
        case .state: [.state]
        case .connect: [.connect]
        case .disconnect: [.disconnect]
        case .authError: [.authError]
        case .error: [.error]
        case .maxReconnectAttempts: [.maxReconnectAttempts]
        case .command: [.command]
        case .message(let message):
            // What a server calls a message is not taken for what only the client itself can say.
            EventName.ofClient.contains(EventName(rawValue: message.type))
                ? [.message] : [EventName(rawValue: message.type), .message]
        }
    }
}

/// What the loop keeps of a client: it has no descriptor of its own, only deadlines.
private final class ClientTimer: EventSource {
    private let client: Client

    init(_ client: Client) {
        self.client = client
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        client.tick(now: now)
    }
}
