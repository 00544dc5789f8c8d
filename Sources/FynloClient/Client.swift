// A tablet's client. It gives a ClientSession sockets, a clock, tokens and storage, and tells listeners what happens.

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
        /// The newest event that the device has seen; `nil` to receive only events from now on.
        public var lastSequence: EventSequence?
        public var session = ClientSession.Settings()

        public init(server: ServerURL, restaurant: RestaurantID, clientType: ClientType = .pos, user: UserID) {
            self.server = server
            self.restaurant = restaurant
            self.clientType = clientType
            self.user = user
        }
    }

    /// Called with the final state of a command.
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
    /// Stands in for a channel's output while there is no channel.
    private var nowhere = ByteBuffer()

    /// Effects still to be carried out, oldest first; listeners may add more.
    private var effects: [ClientSession.Effect] = []
    /// How many of them are done or in progress.
    private var performed = 0
    private var isPerforming = false
    private var toBeKept: [OutboxRecord] = []
    /// How many requests the storage has not answered yet.
    private var unkept = 0
    /// Called once the storage has answered all of them.
    private var closed: (() -> Void)?

    /// The newest event that listeners were told of. Give it to the device's next client if everything up to it has been
    /// applied.
    public private(set) var lastSequence: EventSequence?

    /// Makes a client, which is disconnected at first.
    ///
    /// - Parameters:
    ///   - tokens: provides a token for each connection. It may serve other clients too, and outlives this one.
    ///   - outbox: stores the commands; `nil` keeps them only in memory, as long as this client lives.
    ///   - tls: the authorities to trust, for https or wss; `nil` for the system's.
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

    /// The commands without a final answer, and the most recent ones with one.
    public var outbox: Outbox { session.outbox }

    /// Attempts to reconnect since the last success.
    public var reconnectAttempts: Int { session.health.reconnectAttempts }

    /// How healthy the connection is, by the age of the last pong.
    public var health: HealthStatus { session.health.status(now: SystemClock.instant) }

    /// The diagnostic report on the connection.
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

    // MARK: Calls

    /// Connects, without waiting out the back-off. Returns false if there already is a connection or an attempt: there is never
    /// a second.
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

    /// Closes the connection with 1000, or stops the attempts to get one, and releases everything but the commands, which wait
    /// for the next `connect`. Messages that no listener has been told of are received again after that.
    public func disconnect() {
        let done = effects[..<performed]
        let rest = effects[performed...].filter { if case .tell(.message) = $0 { false } else { true } }
        effects = Array(done) + rest
        input { session, now, output, effects in
            session.disconnect(now: now, output: &output, effects: &effects)
            session.resume(after: lastSequence)
        }
    }

    /// Tells the client that the system has no network.
    public func networkLost() {
        input { session, now, _, effects in session.networkLost(now: now, effects: &effects) }
    }

    /// Tells the client that the system has a network again, possibly a different one.
    public func networkRestored() {
        input { session, now, output, effects in
            session.networkRestored(now: now, output: &output, effects: &effects)
        }
    }

    /// Queues a command: it is stored, and sent in order as soon as there is a connection. `data` is the text of a JSON object.
    /// If no `id` is given, one is made. Listeners of `command` are told of each state; `reply` is called with the final one.
    /// Returns the id.
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

    /// Disconnects for good: listeners are told nothing more, and the outbox is closed once it has stored what it was given.
    /// Then `done` is called.
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

    /// Gives the session an input and carries out its effects.
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

    /// Carries out effects in order, including those that listeners cause meanwhile.
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

    /// Gives the storage all new records at once.
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
    /// The name to listen for.
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
            // A message whose type is the name of one of the client's own events must not pass for that event.
            EventName.ofClient.contains(EventName(rawValue: message.type))
                ? [.message] : [EventName(rawValue: message.type), .message]
        }
    }
}

/// The client as a source of the loop: it has no descriptor, only deadlines.
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
