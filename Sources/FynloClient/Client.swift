// A client that stays connected: drives one ClientStack after the other over a loop, waits between them as the
// ReconnectPolicy says, and resumes where the last one ended.

public import FynloCore
public import FynloIO

/// One device of one user in one restaurant. It belongs to its loop's thread; the loop keeps it from `connect` until
/// `close`, or until it has given up.
///
/// Set the listeners before `connect`. They are called from turns of the loop, never from within a call of theirs, and
/// may call any method.
public final class Client {
    /// Where a client is in its life.
    public enum State: String, Sendable {
        case disconnected = "DISCONNECTED"
        case connecting = "CONNECTING"
        case authenticating = "AUTHENTICATING"
        case connected = "CONNECTED"
        /// Waiting for the next attempt.
        case reconnecting = "RECONNECTING"
    }

    /// What a client is for.
    public struct Settings: Sendable {
        public var server: ServerURL
        public var restaurant: RestaurantID
        public var clientType: ClientType
        public var user: UserID
        public var token: String
        /// See `ClientIdentity.deviceID`.
        public var deviceID: String?
        /// See `ClientIdentity.clientVersion`.
        public var clientVersion: String?
        /// False: the first end of a connection is the last.
        public var isReconnecting = true
        /// The last event that was seen; `nil`: only those from now on.
        public var lastSequence: EventSequence?
        public var limits = ClientLimits()

        public init(
            server: ServerURL, restaurant: RestaurantID, clientType: ClientType = .pos, user: UserID, token: String
        ) {
            self.server = server
            self.restaurant = restaurant
            self.clientType = clientType
            self.user = user
            self.token = token
        }
    }

    /// The server has let us in, for the first time or again.
    public var onConnect: (Welcome) -> Void = { _ in }
    /// A connection, or an attempt, has ended. `retryIn` is when the next attempt begins; `nil`: there will be none, the
    /// client is disconnected. Not called for `close`.
    public var onDisconnect: (_ closure: ClientClosure, _ retryIn: Duration?) -> Void = { _, _ in }
    /// A message of the server, of any type.
    public var onMessage: (ReceivedMessage) -> Void = { _ in }

    /// What becomes of a command.
    public typealias Reply = (Result<CommandOutcome, ClientError>) -> Void

    /// Used from the next attempt on.
    public var token: String
    /// The newest event that was seen.
    public private(set) var lastSequence: EventSequence?

    private let loop: EventLoop
    private let settings: Settings
    private var encryption: Encryption
    private var policy = ReconnectPolicy()
    private var generator = SystemGenerator()
    /// Counts the attempts, so that what belongs to an earlier one is known by it.
    private var attempt = 0
    private var timer: SourceToken?
    private var session: ClientStack?
    private var dialer: Dialer?
    private var channel: Channel?
    /// When the next attempt begins, while waiting for it.
    private var retryAt: Instant?
    private var replies: [String: Reply] = [:]

    /// - Parameter tls: whom to trust, at a server with https or wss; `nil`: the system's authorities.
    public init(loop: EventLoop, settings: Settings, tls: TLSContext? = nil) {
        self.loop = loop
        self.settings = settings
        encryption = Encryption(settings.server, context: tls)
        token = settings.token
        lastSequence = settings.lastSequence
    }

    // MARK: State

    public var state: State {
        if retryAt != nil { return .reconnecting }
        switch session?.state {
        case .connecting, .upgrading: return .connecting
        case .authenticating: return .authenticating
        case .connected: return .connected
        case .closed, nil: return .disconnected
        }
    }

    /// Attempts that failed since the last connection.
    public var failedAttempts: Int { policy.failures }

    // MARK: Connecting

    /// Connects, at once if it was waiting to; does nothing while a connection is there or on its way.
    public func connect() {
        guard session == nil else { return }
        let timer = self.timer ?? loop.add(timer: ClientTimer(self))
        self.timer = timer
        retryAt = nil
        attempt += 1
        let now = SystemClock.now
        let identity = ClientIdentity(
            authority: settings.server.authority, pathPrefix: settings.server.pathPrefix,
            restaurant: settings.restaurant, client: settings.clientType, user: settings.user, token: token,
            deviceID: settings.deviceID, clientVersion: settings.clientVersion)
        session = ClientStack(
            identity: identity, limits: settings.limits, lastSequence: lastSequence, using: &generator, now: now)
        let dialer = Dialer(
            loop: loop, server: settings.server, deadline: now.instant + settings.limits.connectTimeout,
            connected: { [weak self] in self?.connected($0) },
            failed: { [weak self] error in
                guard let self else { return }
                lose(ClientError.unreachable(settings.server, error).description)
            })
        self.dialer = dialer
        dialer.start()
        wake()
    }

    private func connected(_ descriptor: consuming FileDescriptor) {
        dialer = nil
        do {
            let tls = try encryption.makeEngine()
            let channel = try Channel(loop: loop, descriptor: descriptor, tls: tls) { [weak self] input, now in
                self?.received(&input, now: now)
            } ended: { [weak self] end, _ in
                self?.lose(end.reason)
            }
            self.channel = channel
            session?.opened(output: &channel.output)
            channel.scheduleFlush()
        } catch {
            lose("\(error)")
        }
    }

    private func received(_ input: inout ByteBuffer, now: Moment) {
        guard let channel else { return }
        var events: [ClientEvent] = []
        session?.receive(&input, now: now, output: &channel.output, events: &events)
        handle(events)
    }

    private func lose(_ reason: String?) {
        var events: [ClientEvent] = []
        session?.endOfInput(reason: reason, events: &events)
        handle(events)
    }

    fileprivate func tick(now: Moment) -> Instant? {
        if let retryAt {
            guard now.instant >= retryAt else { return retryAt }
            connect()
        } else {
            var events: [ClientEvent] = []
            var nowhere = ByteBuffer()
            if let channel {
                session?.tick(now: now, output: &channel.output, events: &events)
            } else {
                session?.tick(now: now, output: &nowhere, events: &events)
            }
            handle(events)
        }
        return retryAt ?? session?.nextDeadline
    }

    // MARK: Events

    private func handle(_ events: [ClientEvent]) {
        channel?.scheduleFlush()
        lastSequence = session?.lastSequence ?? lastSequence
        wake()
        let attempt = attempt
        for event in events {
            // A listener may have closed the client, or begun anew.
            guard attempt == self.attempt else { return }
            switch event {
            case .connected(let welcome):
                policy.reset()
                onConnect(welcome)
            case .message(let message):
                onMessage(message)
            case .unreadable:
                break
            case .answered(let id, let outcome):
                replies.removeValue(forKey: id)?(.success(outcome))
            case .closed(let closure):
                ended(closure)
            }
        }
    }

    private func ended(_ closure: ClientClosure) {
        let untold = letGo()
        var delay: Duration?
        if settings.isReconnecting, case .afterDelay(let least) = closure.reconnection {
            let policyDelay = policy.nextDelay(using: &generator)
            let chosen = max(policyDelay, least ?? .zero)
            retryAt = SystemClock.instant + chosen
            delay = chosen
            wake()
        } else {
            leave()
        }
        let attempt = attempt
        for reply in untold { reply(.failure(.connectionLost(closure.reason))) }
        // A reply may have closed the client.
        if attempt == self.attempt { onDisconnect(closure, delay) }
    }

    private func wake() {
        guard let timer, let deadline = retryAt ?? session?.nextDeadline else { return }
        loop.wake(timer, by: deadline)
    }

    // MARK: Commands

    /// Sends a command. `data` is the text of a JSON object; without an `id` it gets one. `reply` is called exactly once,
    /// after this call has returned.
    public func send(_ type: String, data: String, id: String? = nil, reply: @escaping Reply = { _ in }) {
        do throws(CommandRefusal) {
            guard let channel, session != nil else { throw .notConnected }
            guard let used = try session?.send(type, data: data, id: id, now: SystemClock.now, output: &channel.output)
            else { throw .notConnected }
            replies[used] = reply
            channel.scheduleFlush()
            wake()
        } catch {
            loop.atEndOfTurn { reply(.failure(.refused(error))) }
        }
    }

    // MARK: The end

    /// Ends the connection with 1000, or the attempts to get one, and lets go of everything. Commands without an answer
    /// fail with `closed` at the end of the turn. `connect` begins anew.
    public func close() {
        if let channel {
            var events: [ClientEvent] = []
            session?.close(now: SystemClock.now, output: &channel.output, events: &events)
        }
        attempt += 1
        retryAt = nil
        policy.reset()
        let untold = letGo()
        leave()
        guard !untold.isEmpty else { return }
        loop.atEndOfTurn {
            for reply in untold { reply(.failure(.closed)) }
        }
    }

    /// Lets go of all that belongs to this connection. Returns the replies that have been told nothing.
    private func letGo() -> [Reply] {
        dialer?.cancel()
        dialer = nil
        channel?.close()
        channel = nil
        session = nil
        defer { replies = [:] }
        return Array(replies.values)
    }

    private func leave() {
        if let timer { loop.remove(timer) }
        timer = nil
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
