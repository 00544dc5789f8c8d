// A tablet's whole life with the server as one value: connect, authenticate, resume, send what waited, lose the network,
// back off, reconnect. What happens and the time go in; what the owner has to do comes out. It knows no clock, no socket and
// no system, so an iPad drives it with its own sockets, and a test with none.
//
//                          ┌────────────────────────── lost ◄──────────────────────────┐
//                          ▼                                                           │
//     disconnected ─► [token] ─► connecting ─► authenticating ─► connected ────────────┤
//          ▲               ▲                                                           │
//          │               └─ reconnecting: after a delay, with a new token, when the network is back
//          └─ disconnect(), a close code that forbids reconnecting, no new token, or after ten attempts by choice

/// The mirror of ServerSession. Each method appends to `effects`; the owner carries them out in order.
public struct ClientSession: Sendable {
    /// The state of a client, by the names that tablets know.
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
        /// Get a token; then `deliver(token:)`. Forced: the current one was refused, or is about to expire.
        case token(isForced: Bool)
        /// Store these records so that they survive the program, in this order; `deliver(kept:)` for each `added`.
        case keep(OutboxRecord)
        /// Tell the listeners.
        case tell(Event)
    }

    /// What listeners are told.
    public enum Event: Equatable, Sendable {
        case state(State)
        /// The server has authenticated us, for the first time or again.
        case connect(Welcome)
        /// A connection, or an attempt to get one, has ended. `retryIn`: when the next attempt begins, `nil` when nothing
        /// is known of one: none will be made, or it waits for the network.
        case disconnect(ClientClosure, retryIn: Duration?)
        /// The server has refused us and there is no other token; the client is disconnected.
        case authError(ServerError)
        /// An `error` of the server that belongs to no command, or a refused `reauth`.
        case error(ServerError)
        /// This many attempts to reconnect have failed in a row.
        case maxReconnectAttempts(Int)
        /// A message from the server, of any type; durable events come in order, each once.
        case message(ReceivedMessage)
        /// A command has changed its state.
        case command(id: String, CommandState)
    }

    /// What happens after the last of `maximumReconnectAttempts`.
    public enum Persistence: Sendable, Equatable {
        /// The client stays disconnected.
        case stops
        /// The client goes on trying, at the longest delay.
        case goesOn
    }

    /// How a client behaves.
    public struct Settings: Sendable {
        public var limits = ClientLimits()
        public var outbox = OutboxLimits()
        /// False: the client does not reconnect after a connection has ended.
        public var isReconnecting = true
        /// Failures in a row after which `maxReconnectAttempts` is told.
        public var maximumReconnectAttempts = 10
        public var afterMaximum = Persistence.goesOn

        public init() {}
    }

    enum Phase {
        case disconnected
        /// A token for the next connection has been asked for. `retries`: this is not the first attempt.
        case awaitingToken(retries: Bool)
        /// There is a stack: a connection, or an attempt to get one.
        case up
        case waiting(until: Instant)
        /// There is no network.
        case offline
    }

    let settings: Settings
    var identity: ClientIdentity
    var generator: any RandomNumberGenerator & Sendable
    var phase = Phase.disconnected
    /// The connection, from the request for a socket to its end.
    var stack: ClientStack?
    var policy = ReconnectPolicy()
    var isNetworkLost = false
    /// The refusal after which another token was asked for; a second one ends the attempts.
    var refusal: ServerError?
    /// The server wants another token on this connection.
    var isTokenAsked = false
    /// The token that the server was last given on this connection.
    var tokenInUse = ""
    var toldState = State.disconnected
    /// Reused from call to call.
    var events: [ClientEvent] = []

    var commands: CommandSender
    /// The data for the report.
    public internal(set) var health = ClientHealth()
    /// The newest durable event that the owner was told; `nil` before the first connection.
    public internal(set) var lastSequence: EventSequence?

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

    /// The client's condition, for people and programs.
    public func report(now: Instant) -> DiagnosticReport {
        health.report(
            state: state, waitingCommands: outbox.waiting.count, resentCommands: commands.resent, now: now)
    }

    // MARK: Requests of the owner

    /// Connects, at once if the client was waiting to. False if a connection exists or is being made: there is never a second.
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

    /// Ends the connection with 1000, or the attempts to make one. Commands without an answer stay in the outbox.
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

    /// Has the next connection ask for the events after this one. Does nothing unless disconnected.
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

    /// Takes a command. It is stored, and sent in its turn as soon as there is a connection. `data` is the text of a JSON
    /// object; without an `id` it gets one. Returns the id; its states are told from `queued` on.
    @discardableResult
    public mutating func submit(
        _ type: String, data: String, id: String? = nil, now: Moment, effects: inout [Effect]
    ) throws(CommandRefusal) -> String {
        try commands.submit(type, data: data, id: id, now: now.unixTime, using: &generator, effects: &effects)
    }

    // MARK: Answers

    /// The next `count` commands that had to be stored are stored, or cannot be, for the reason given (a sentence).
    public mutating func deliver(
        kept count: Int, failure: String? = nil, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        commands.kept(count, failure: failure, effects: &effects)
        sendNext(now: now, output: &output, effects: &effects)
    }

    /// Takes the token that was asked for, or one that was renewed for other reasons: a connected client gives it to the server.
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

    /// Gives the server the newest token; false if the server has it already.
    mutating func reauthenticate(now: Moment, output: inout ByteBuffer) -> Bool {
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
}

extension TokenFailure {
    fileprivate var serverError: ServerError {
        ServerError(code: "token_refresh_failed", sentence: sentence, isRetryable: isRetryable, retryAfter: nil)
    }
}
