// A tablet's whole life with the server as one value: connect, authenticate, resume, send what waited, lose the network,
// back off, come back. What happens and the time go in; what the owner has to do comes out. It knows no clock, no socket
// and no system, so an iPad drives it with its own sockets, and a test with none.
//
//                          ┌────────────────────────── lost ◄──────────────────────────┐
//                          ▼                                                           │
//     disconnected ─► [token] ─► connecting ─► authenticating ─► connected ────────────┤
//          ▲               ▲                                                           │
//          │               └─ reconnecting: after a delay, with a new token, when the network is back
//          └─ disconnect(), a close code that forbids to come back, no new token, or after ten attempts by choice

/// The mirror of ServerSession. Each method appends to `effects`; the owner carries them out in order.
public struct ClientSession: Sendable {
    /// Where a client is, by the names that tablets know.
    public enum State: String, Sendable {
        case disconnected = "DISCONNECTED"
        case connecting = "CONNECTING"
        case authenticating = "AUTHENTICATING"
        case connected = "CONNECTED"
        /// Waiting for the next attempt, or for the network.
        case reconnecting = "RECONNECTING"
    }

    /// What the owner has to do.
    public enum Effect: Equatable, Sendable {
        /// Connect a new socket; then `opened`, or `endOfInput` with the reason.
        case open
        /// Write what is in the output, and close the socket, or give up connecting it. Nothing of it may come in again.
        case close
        /// Get a token; `deliver(token:)`. Forced: the one at hand was refused, or is about to expire.
        case token(isForced: Bool)
        /// Keep this so that it survives the program, in the order told; `deliver(kept:)` for each `added`.
        case keep(OutboxRecord)
        /// Tell the listeners.
        case tell(Event)
    }

    /// What listeners are told.
    public enum Event: Equatable, Sendable {
        case state(State)
        /// The server has let us in, for the first time or again.
        case connect(Welcome)
        /// A connection, or an attempt to get one, has ended. `retryIn`: when the next attempt begins, `nil` when nothing
        /// is known of one: none will be made, or it waits for the network.
        case disconnect(ClientClosure, retryIn: Duration?)
        /// The server has refused us and there is no other token; the client is disconnected.
        case authError(ServerError)
        /// An `error` of the server that belongs to no command, or a refused `reauth`.
        case error(ServerError)
        /// So many attempts to connect again have failed in a row.
        case maxReconnectAttempts(Int)
        /// A message of the server, of any type; durable events in order, each once.
        case message(ReceivedMessage)
        /// A command has come to another state.
        case command(id: String, CommandState)
    }

    /// What happens after the last of `maximumReconnectAttempts`.
    public enum Persistence: Sendable, Equatable {
        /// The client stays disconnected.
        case stops
        /// It goes on at the longest delay.
        case goesOn
    }

    /// How a client behaves.
    public struct Settings: Sendable {
        public var limits = ClientLimits()
        public var outbox = OutboxLimits()
        /// False: the first end of a connection is the last.
        public var isReconnecting = true
        /// Failures in a row after which `maxReconnectAttempts` is told.
        public var maximumReconnectAttempts = 10
        public var afterMaximum = Persistence.goesOn

        public init() {}
    }

    private enum Phase {
        case disconnected
        /// A token has been asked for, to connect with. `retries`: this is not the first attempt.
        case awaitingToken(retries: Bool)
        /// There is a stack: a connection, or an attempt to get one.
        case up
        case waiting(until: Instant)
        /// The network is gone.
        case offline
    }

    private let settings: Settings
    private var identity: ClientIdentity
    private var generator: any RandomNumberGenerator & Sendable
    private var phase = Phase.disconnected
    /// The connection, from the wish for a socket to its end.
    private var stack: ClientStack?
    private var policy = ReconnectPolicy()
    private var isNetworkLost = false
    /// The refusal after which another token was asked for; a second one is the end.
    private var refusal: ServerError?
    /// The server wants another token on this connection.
    private var isTokenAsked = false
    /// The token that the server has of this connection.
    private var tokenInUse = ""
    private var toldState = State.disconnected
    /// Reused from call to call.
    private var events: [ClientEvent] = []

    private var commands: CommandSender
    /// What the report is made of.
    public private(set) var health = ClientHealth()
    /// The newest durable event that was handed out; `nil` before the first connection.
    public private(set) var lastSequence: EventSequence?

    /// A client that is disconnected.
    ///
    /// - Parameters:
    ///   - identity: its token is not used: each connection asks for one.
    ///   - lastSequence: the newest event the owner has seen; those after it are asked for. `nil`: those from now on.
    ///   - commands: what the storage has kept, oldest first.
    ///   - generator: the system's, as keys and ids that nobody can foresee are drawn from it.
    public init(
        identity: ClientIdentity, settings: Settings = Settings(), lastSequence: EventSequence? = nil,
        commands: [OutboxEntry] = [], using generator: any RandomNumberGenerator & Sendable
    ) {
        self.identity = identity
        self.settings = settings
        self.lastSequence = lastSequence
        self.generator = generator
        self.commands = CommandSender(Outbox(commands, limits: settings.outbox), limits: settings.limits)
    }

    // MARK: State

    /// The commands without a final answer, and the last ones that have one.
    public var outbox: Outbox { commands.outbox }

    public var state: State {
        switch phase {
        case .disconnected: .disconnected
        case .awaitingToken(let retries): retries ? .reconnecting : .connecting
        case .waiting, .offline: .reconnecting
        case .up:
            switch stack?.state {
            case .connecting, .upgrading: .connecting
            case .authenticating: .authenticating
            case .connected: .connected
            case .closed, nil: .disconnected
            }
        }
    }

    /// When `tick` is next due.
    public var nextDeadline: Instant? {
        switch phase {
        case .waiting(let until): return until
        case .up:
            return [stack?.nextDeadline, commands.nextDeadline].compactMap(\.self).min()
        case .disconnected, .awaitingToken, .offline: return nil
        }
    }

    /// How it is, for people and programs.
    public func report(now: Instant) -> DiagnosticReport {
        health.report(
            state: state, waitingCommands: outbox.waiting.count, resentCommands: commands.resent, now: now)
    }

    // MARK: The owner's wishes

    /// Connects, at once if it was waiting to. False when a connection is there or on its way: there is never a second.
    @discardableResult
    public mutating func connect(now: Moment, effects: inout [Effect]) -> Bool {
        switch phase {
        case .awaitingToken, .up: return false
        case .disconnected:
            policy.reset()
            refusal = nil
            askForToken(isForced: false, retries: false, effects: &effects)
        case .waiting, .offline:
            isNetworkLost = false
            askForToken(isForced: false, retries: true, effects: &effects)
        }
        return true
    }

    /// Ends the connection with 1000, or the attempts to get one. Commands without an answer stay in the outbox.
    public mutating func disconnect(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        switch phase {
        case .disconnected: return
        case .awaitingToken, .waiting, .offline, .up:
            events.removeAll(keepingCapacity: true)
            stack?.close(now: now, output: &output, events: &events)
            let closure = ClientClosure(
                code: WebSocketCloseCode.normal, reason: "Closed by the client", reconnection: .never)
            leaveStack(closure: nil, now: now, effects: &effects)
            rest(closure, effects: &effects)
        }
    }

    /// The next connection asks for the events after this one. Does nothing unless disconnected.
    public mutating func resume(after sequence: EventSequence?) {
        if case .disconnected = phase { lastSequence = sequence }
    }

    /// The system says that there is no network: the connection counts as lost at once, and nothing is tried until
    /// `networkRestored`, or `connect`.
    public mutating func networkLost(now: Moment, effects: inout [Effect]) {
        isNetworkLost = true
        switch phase {
        case .up: lose(.lost("The network is gone."), now: now, effects: &effects)
        case .waiting: phase = .offline
        case .disconnected, .awaitingToken, .offline: break
        }
        tellState(&effects)
    }

    /// The system says that there is a network, perhaps another one: a waiting client connects at once, a connected one
    /// makes sure that its connection still works.
    public mutating func networkRestored(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        isNetworkLost = false
        switch phase {
        case .waiting, .offline:
            policy.reset()
            askForToken(isForced: false, retries: true, effects: &effects)
        case .up:
            stack?.probe(now: now)
            tick(now: now, output: &output, effects: &effects)
        case .disconnected, .awaitingToken: break
        }
    }

    /// Takes a command: it is kept, and sent in its turn as soon as there is a connection. `data` is the text of a JSON
    /// object; without an `id` it gets one. Returns the id; its states are told from `queued` on.
    @discardableResult
    public mutating func submit(
        _ type: String, data: String, id: String? = nil, now: Moment, effects: inout [Effect]
    ) throws(CommandRefusal) -> String {
        try commands.submit(type, data: data, id: id, now: now.unixTime, using: &generator, effects: &effects)
    }

    // MARK: Answers

    /// The next `count` commands that were to be kept are kept, or cannot be, for the reason given (a sentence).
    public mutating func deliver(
        kept count: Int, failure: String? = nil, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        commands.kept(count, failure: failure, effects: &effects)
        sendNext(now: now, output: &output, effects: &effects)
    }

    /// The token that was asked for, or one that was renewed for other reasons: a connected client gives it to the server.
    public mutating func deliver(
        token result: Result<String, TokenFailure>, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        switch (phase, result) {
        case (.awaitingToken, .success(let token)):
            identity.token = token
            open(now: now, effects: &effects)
        case (.awaitingToken, .failure(let failure)) where failure.isRetryable:
            health.error("token_refresh_failed")
            retry(.lost(failure.sentence), now: now, effects: &effects)
        case (.awaitingToken, .failure(let failure)):
            health.error("token_refresh_failed")
            effects.append(.tell(.authError(refusal ?? failure.serverError)))
            rest(nil, effects: &effects)
        case (.up, .success(let token)):
            let wasAsked = isTokenAsked
            isTokenAsked = false
            identity.token = token
            if stack?.state == .connected, !reauthenticate(now: now, output: &output), wasAsked {
                let failure = TokenFailure.refused("There is no other token.")
                effects.append(.tell(.error(failure.serverError)))
            }
        case (.up, .failure(let failure)):
            guard isTokenAsked else { return }
            isTokenAsked = false
            health.error("token_refresh_failed")
            effects.append(.tell(.error(failure.serverError)))
        case (.disconnected, _), (.waiting, _), (.offline, _):
            break
        }
    }

    /// Gives the server the newest token, if it has another one: false if not.
    private mutating func reauthenticate(now: Moment, output: inout ByteBuffer) -> Bool {
        guard identity.token != tokenInUse else { return false }
        tokenInUse = identity.token
        health.tokenRefreshed()
        stack?.reauthenticate(tokenInUse, now: now, output: &output)
        return true
    }

    // MARK: The socket

    /// The socket is connected.
    public mutating func opened(output: inout ByteBuffer) {
        stack?.opened(output: &output)
    }

    /// Takes what arrived from the front of `input`; leaves what cannot be used yet.
    public mutating func receive(
        _ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        events.removeAll(keepingCapacity: true)
        stack?.receive(&input, now: now, output: &output, events: &events)
        handle(now: now, output: &output, effects: &effects)
    }

    /// The server will send nothing more, or the socket has failed for the `reason` given (a sentence).
    public mutating func endOfInput(
        reason: String? = nil, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        events.removeAll(keepingCapacity: true)
        stack?.endOfInput(reason: reason, events: &events)
        handle(now: now, output: &output, effects: &effects)
    }

    /// Does what is due.
    public mutating func tick(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        switch phase {
        case .waiting(let until) where now.instant >= until:
            askForToken(isForced: false, retries: true, effects: &effects)
        case .up:
            events.removeAll(keepingCapacity: true)
            stack?.tick(now: now, output: &output, events: &events)
            handle(now: now, output: &output, effects: &effects)
            sendNext(now: now, output: &output, effects: &effects)
        case .waiting, .disconnected, .awaitingToken, .offline:
            break
        }
    }

    // MARK: Connecting

    private mutating func askForToken(isForced: Bool, retries: Bool, effects: inout [Effect]) {
        phase = .awaitingToken(retries: retries)
        if retries { health.reconnecting() }
        effects.append(.token(isForced: isForced))
        tellState(&effects)
    }

    private mutating func open(now: Moment, effects: inout [Effect]) {
        stack = ClientStack(
            identity: identity, limits: settings.limits, lastSequence: lastSequence, using: &generator, now: now)
        phase = .up
        isTokenAsked = false
        tokenInUse = identity.token
        effects.append(.open)
        tellState(&effects)
    }

    /// What the stack told.
    private mutating func handle(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        for event in events {
            switch event {
            case .connected(let welcome):
                connected(welcome, now: now, output: &output, effects: &effects)
            case .message(let message):
                received(message, now: now, effects: &effects)
            case .unreadable:
                health.error("unreadable")
            case .pong(let roundTrip, let serverTime):
                health.pong(roundTrip: roundTrip, serverTime: serverTime, now: now)
            case .pongMissed:
                health.pongMissed()
            case .error(let error):
                health.error(error.code)
                effects.append(.tell(.error(error)))
            case .reauthenticated:
                break
            case .reauthenticationRefused(let error):
                health.tokenRefused()
                effects.append(.tell(.error(error)))
            case .answered(let id, let outcome):
                switch outcome {
                case .refused(let error, _): health.error(error.code)
                case .timedOut: health.error("timed_out")
                case .acknowledged: break
                }
                commands.answered(id, outcome, now: now.instant, using: &generator, effects: &effects)
                sendNext(now: now, output: &output, effects: &effects)
            case .closed(let closure):
                lose(closure, now: now, effects: &effects)
            }
        }
        lastSequence = stack?.lastSequence ?? lastSequence
        tellState(&effects)
    }

    private mutating func connected(
        _ welcome: Welcome, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        policy.reset()
        refusal = nil
        health.connected(welcome, lastSequence: lastSequence, now: now.instant)
        lastSequence = stack?.lastSequence ?? lastSequence
        tellState(&effects)
        effects.append(.tell(.connect(welcome)))
        // One that came while this connection was on its way.
        _ = reauthenticate(now: now, output: &output)
        sendNext(now: now, output: &output, effects: &effects)
    }

    private mutating func received(_ message: ReceivedMessage, now: Moment, effects: inout [Effect]) {
        health.message()
        effects.append(.tell(.message(message)))
        if message.type == "token_expired", !isTokenAsked {
            isTokenAsked = true
            effects.append(.token(isForced: true))
        }
    }

    /// Sends the command whose turn it is, if there is a connection and none is on its way.
    private mutating func sendNext(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        if stack?.state == .connected { commands.sendNext(over: &stack, now: now, output: &output, effects: &effects) }
    }

    // MARK: The end of a connection

    private mutating func lose(_ closure: ClientClosure, now: Moment, effects: inout [Effect]) {
        leaveStack(closure: closure, now: now, effects: &effects)
        guard settings.isReconnecting else { return rest(closure, effects: &effects) }
        switch closure.reconnection {
        case .never:
            rest(closure, effects: &effects)
        case .afterDelay(let least):
            retry(closure, atLeast: least, now: now, effects: &effects)
        case .withNewToken:
            health.tokenRefused()
            let error =
                closure.refusal
                ?? ServerError(
                    code: closure.code == CloseReason.tokenExpired.code ? "token_expired" : "authentication_failed",
                    sentence: closure.reason, isRetryable: false, retryAfter: nil)
            if refusal != nil {
                effects.append(.tell(.disconnect(closure, retryIn: nil)))
                effects.append(.tell(.authError(error)))
                return rest(nil, effects: &effects)
            }
            refusal = error
            effects.append(.tell(.disconnect(closure, retryIn: .zero)))
            askForToken(isForced: true, retries: true, effects: &effects)
        }
    }

    /// Lets go of the connection. What was on its way waits again, unless it is itself what the server could not take.
    private mutating func leaveStack(closure: ClientClosure?, now: Moment, effects: inout [Effect]) {
        guard stack != nil else { return }
        lastSequence = stack?.lastSequence ?? lastSequence
        stack = nil
        effects.append(.close)
        health.disconnected(closure, now: now.instant)
        commands.disconnected(closure, effects: &effects)
    }

    private mutating func retry(
        _ closure: ClientClosure, atLeast least: Duration? = nil, now: Moment, effects: inout [Effect]
    ) {
        guard settings.isReconnecting else { return rest(closure, effects: &effects) }
        if isNetworkLost {
            phase = .offline
            effects.append(.tell(.disconnect(closure, retryIn: nil)))
            return tellState(&effects)
        }
        if policy.failures == settings.maximumReconnectAttempts {
            effects.append(.tell(.maxReconnectAttempts(policy.failures)))
            if settings.afterMaximum == .stops { return rest(closure, effects: &effects) }
        }
        let delay = max(policy.nextDelay(using: &generator), least ?? .zero)
        phase = .waiting(until: now.instant + delay)
        effects.append(.tell(.disconnect(closure, retryIn: delay)))
        tellState(&effects)
    }

    /// Nothing more is tried. `closure` is told, if it was not yet.
    private mutating func rest(_ closure: ClientClosure?, effects: inout [Effect]) {
        phase = .disconnected
        if let closure { effects.append(.tell(.disconnect(closure, retryIn: nil))) }
        tellState(&effects)
    }

    private mutating func tellState(_ effects: inout [Effect]) {
        guard state != toldState else { return }
        toldState = state
        effects.append(.tell(.state(state)))
    }
}

extension TokenFailure {
    fileprivate var serverError: ServerError {
        ServerError(code: "token_refresh_failed", sentence: sentence, isRetryable: isRetryable, retryAfter: nil)
    }
}
