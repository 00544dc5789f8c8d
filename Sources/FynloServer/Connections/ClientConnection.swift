// One accepted socket: it reads, feeds the protocol stack, carries its effects to the hub, and writes what is queued: its
// own answers right after it was read from, all else once at the end of the turn. What the stack decides, it does.

import FynloCore
import FynloIO

/// A client's connection.
final class ClientConnection: Numbered, EventSource {
    /// Whom this connection counts for, of the clients' addresses.
    enum Counted {
        case nobody
        /// The other end of the socket.
        case peer
        /// A trusted proxy's client, while a request of its is under way, and as a WebSocket: `Extras.client`.
        case client
    }

    /// How the kernel takes what is written.
    enum Outlet {
        case open
        /// It takes nothing since `Extras.changedAt`, when it last took something.
        case stalled
        /// The last byte was written at `Extras.changedAt`: the peer may still read it, so its own close is waited for.
        case lingering
    }

    /// What few have, or have for a short time.
    final class Extras {
        /// Encrypts, if the connection does.
        var tls: TLSEngine?
        /// What is encrypted and not written yet.
        var ciphertext = ByteBuffer()
        /// No byte has come yet: the first one tells TLS from plain HTTP.
        var isUntouched = true
        /// What was read and could not be used yet.
        var leftover = ByteBuffer()
        /// For whom a trusted proxy speaks, and whom this connection counts for.
        var client: IPAddress?
        /// When the outlet became what it is.
        var changedAt = Instant.never

        var isEmpty: Bool {
            tls == nil && leftover.isEmpty && ciphertext.isEmpty && client == nil && changedAt == .never
        }
    }

    // There is one of these for every tablet, and nearly all are idle nearly always: in the order that packs best, with what
    // only some need elsewhere.
    /// Where it comes from; no bits for a local socket.
    private(set) var peer = IPAddress(bits: 0)
    let hub: Hub
    /// Counted by the hub, from 1.
    private(set) var number: UInt64 = 0
    /// When it was accepted, became a WebSocket, or was authenticated.
    private(set) var since: Instant
    var allowance: ReadAllowance
    var extras: Extras?
    /// What is queued for the peer, as plaintext.
    var outbound = ByteBuffer()
    var token = SourceToken.none
    /// How many bytes at the front of `outbound` belong to a frame (or a response) that was written in part: a queue is
    /// only ever cut behind them.
    var partialFrameBytes: UInt32 = 0
    /// Its descriptor, which it owns: -1 before `start` and after `leave`. A bare number, as it is asked for everywhere, and each
    /// access to a property that cannot be copied is looked up among those under way.
    private(set) var socket: Int32 = -1
    var interest: Interest = .read
    var outlet = Outlet.open
    var counted = Counted.nobody
    var flags = Flags()
    /// What becomes of the socket, as the stack said when it was last changed.
    var transport = ProtocolStack.Transport.open
    var stack: ProtocolStack

    /// Bytes read at once: the others want to be served too.
    static let promptBytes = 4_096
    /// Bytes read when all the others have been served: two hundred pings, half a millisecond or one.
    static let readBytesPerTurn = 32_768
    /// What a tablet missed is queued no further ahead than this.
    static let replayBytesAhead = 65_536
    /// A peer that does not read what it asked for is neither read from nor answered.
    static let backPressureBytes = 131_072
    /// Plaintext encrypted at a time; what is not encrypted yet can still be dropped.
    static let encryptedBytesAhead = 65_536
    /// An answer that is worth a write of its own.
    static let pageBytes = 8_192
    /// How long a peer may take nothing of an answer before its connection is reset.
    static let stallTimeout = Duration.seconds(30)
    /// How long a peer has to close its side after our last byte.
    static let lingerTimeout = Duration.seconds(2)

    /// One without a socket, for the hub's store.
    init(hub: Hub) {
        self.hub = hub
        since = hub.loop.now.instant
        allowance = ReadAllowance(now: since)
        stack = ProtocolStack()
    }

    deinit {
        if let descriptor = takeSocket() { descriptor.close() }
    }

    /// Takes over a socket and joins the loop.
    func start(
        descriptor: consuming FileDescriptor, peer: SocketAddress, number: UInt64, countedFor: IPAddress?,
        isOperators: Bool = false, refusal: APIError?
    ) {
        self.number = number
        self.peer = peer.ipAddress ?? IPAddress(bits: 0)
        counted = countedFor == nil ? .nobody : .peer
        self.isOperators = isOperators
        since = hub.loop.now.instant
        allowance = ReadAllowance(now: since)
        socket = descriptor.release()
        stack = ProtocolStack(
            id: id, settings: hub.settings, peer: isOperators ? nil : peer.ipAddress,
            from: isOperators ? .operations : peer.isLoopback ? .local : .remote, refusal: refusal, now: hub.loop.now)
        transport = stack.transport
        if !isOperators, let engine = hub.makeTLSEngine() { extra().tls = engine }
        hub.enter(self)
        do {
            token = try hub.loop.add(self, descriptor: socket, interest: interest)
        } catch {
            hub.log.warning(
                "connection_refused", ["connection": id.uuid.description, "error": error.description])
            return abort()
        }
        settle(by: stack.nextDeadline)
    }

    /// It has its socket.
    var isOpen: Bool { socket >= 0 }

    /// Its name.
    var id: ConnectionID { ConnectionID(node: hub.node, number: number) }

    /// The address this connection counts for: a trusted proxy's for its client while a request is under way, and as a
    /// WebSocket; `nil` for nobody's.
    var countedFor: IPAddress? {
        switch counted {
        case .nobody: nil
        case .peer: peer
        case .client: extras?.client
        }
    }

    /// The authenticated user, if there is one.
    var user: UserID? { stack.user }

    /// The restaurant a tablet is of, or asks to be of.
    var restaurant: RestaurantID? { stack.restaurant }

    /// Where the client is: behind a trusted proxy, as that says it.
    var clientAddress: String {
        stack.forwardedFor?.description ?? (peer.bits == 0 ? "local" : peer.description)
    }

    /// True when nobody loses anything by its end.
    func canMakeRoom(_ now: Instant) -> Bool {
        !isOperators
            && (isLingering || stack.isStranger && now - since >= hub.settings.limits.strangerGrace)
    }

    /// The session of a tablet; `nil` for what is no tablet's.
    var session: ServerSession? { stack.session }

    /// The same in few words.
    var sessionSummary: (restaurant: RestaurantID, client: ClientType, phase: ServerSession.Phase)? {
        stack.sessionSummary
    }

    /// What its session has counted and noted.
    var log: SessionLog { stack.log }

    /// What its session has counted.
    var counts: SessionCounts { stack.log.counts }

    /// It is on its way out.
    var isEnding: Bool { isLingering || transport == .closing || transport == .aborted }

    /// The time to the peer and back, as the kernel has it.
    var roundTrip: Duration? {
        isOpen ? Socket.roundTrip(of: socket) : nil
    }

    var isLingering: Bool { outlet == .lingering }

    /// Room for what few have.
    func extra() -> Extras {
        if let extras { return extras }
        let made = Extras()
        extras = made
        return made
    }

    func setOutlet(_ outlet: Outlet, at now: Instant) {
        self.outlet = outlet
        if outlet != .open { extra().changedAt = now } else { extras?.changedAt = .never }
    }

    var hasLeftover: Bool { extras.map { !$0.leftover.isEmpty } ?? false }

    /// True while `authenticate` has no answer yet.
    var isAuthenticating: Bool { stack.isAuthenticating }

    // MARK: The stack

    /// Calls the stack with the outbound buffer, carries out its effects, and does what it decided about the socket.
    ///
    /// What it decided is asked while it is being changed, and kept: to read a computed property of a value that is a class'
    /// own, the value is copied first, with a count for each thing that it refers to, and each access to one that is also
    /// changed in place is looked up in the table of those under way. Both together were half of a message's cost.
    func withStack(_ body: (inout ProtocolStack, inout ByteBuffer, inout [Effect]) -> Void) {
        guard isOpen else { return }
        var effects: [Effect] = []
        var output = ByteBuffer()
        swap(&output, &outbound)
        if output.capacity == 0 { output = hub.buffers.borrowForOutput() }
        let wasWebSocket = isWebSocket
        let mayUpgrade = wasWebSocket || hub.admitsUpgrades
        let deadline = change(&stack) { stack in
            if !wasWebSocket { stack.admitsUpgrades = mayUpgrade }
            body(&stack, &output, &effects)
            transport = stack.transport
            isWebSocket = stack.isWebSocket
            return stack.nextDeadline
        }
        if isWebSocket, !wasWebSocket {
            partialFrameBytes = UInt32(output.count)
            since = hub.loop.now.instant
        }
        swap(&output, &outbound)
        if counted == .client, stack.forwardedFor == nil { releaseCount() }
        if effects.isEmpty { return settle(by: deadline) }
        for effect in effects { hub.carryOut(effect, self) }
        // What was answered at once may have changed it.
        settle(by: stack.nextDeadline)
    }

    @inline(__always)
    func change<Answer>(_ stack: inout ProtocolStack, _ body: (inout ProtocolStack) -> Answer) -> Answer {
        body(&stack)
    }

    func releaseCount() {
        if let countedFor { hub.release(countedFor) }
        counted = .nobody
        extras?.client = nil
    }

    /// The answer to a request.
    func deliver(response: HTTPResponse) {
        let now = hub.loop.now
        withStack { stack, output, _ in
            let queued = output.count
            stack.deliver(response: response, now: now, output: &output)
            allowance.spend(output.count - queued, now: now.instant)
        }
        // A page is written at once and not at the end of the turn: one buffer serves all of the turn's, and the kernel copies
        // it while it is in the processor's cache.
        if isFlushScheduled, outbound.count >= ClientConnection.pageBytes { flush() }
        readOn()
    }

    /// The outcome of an authentication.
    func deliver(authentication outcome: AuthenticationOutcome) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            if case .accepted = outcome { since = now.instant }
            stack.deliver(authentication: outcome, now: now, output: &output, effects: &effects)
        }
        readOn()
    }

    /// The outcome of a `reauth`.
    func deliver(reauthentication outcome: ReauthenticationOutcome) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            stack.deliver(reauthentication: outcome, now: now, output: &output, effects: &effects)
        }
    }

    /// The answer to a command.
    func deliver(command answer: CommandAnswer) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            stack.deliver(command: answer, now: now, output: &output, effects: &effects)
        }
    }

    /// What is to be done after a frame was handed over.
    enum Delivery {
        case nothing
        /// `flush` at the end of the turn.
        case flush
        /// `settle`: there is more queued than a tablet should leave unread.
        case settle
    }

    /// Takes a frame for every tablet of the restaurant. By far the most frequent call: it changes neither what becomes of the
    /// socket nor a deadline, and leaves the rest to the hub.
    func take(frame: ByteBuffer, sequence: EventSequence?, now: Moment) -> Delivery {
        guard isOpen else { return .nothing }
        var output = ByteBuffer()
        swap(&output, &outbound)
        let hadMemory = output.capacity > 0
        change(&stack) { $0.deliver(frame: frame, sequence: sequence, now: now, output: &output) }
        if !hadMemory, output.capacity > 0 { sharesOutbound = true }
        swap(&output, &outbound)
        let queued = queuedBytes
        if queued >= ClientConnection.backPressureBytes || queued > hub.settings.limits.sendQueueBytes {
            return .settle
        }
        guard isFlushDue else { return .nothing }
        isFlushScheduled = true
        return .flush
    }

    /// A part of what the tablet missed.
    func deliver(replay: Replay) {
        let now = hub.loop.now
        withStack { stack, output, _ in stack.deliver(replay: replay, now: now, output: &output) }
    }

    /// The number after which the tablet is still to be sent what it missed; `nil` when it has caught up.
    var replayPosition: EventSequence? { stack.replayPosition }

    /// True when there is room for one more part of it.
    var takesMore: Bool { queuedBytes < ClientConnection.replayBytesAhead }

    /// Ends the connection with a reason.
    func close(_ reason: CloseReason) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            stack.close(reason, now: now, output: &output, effects: &effects)
        }
    }

    /// Ends the connection because the server is leaving; a tablet is told to come back after `retryAfter`. A request that
    /// has arrived is answered.
    func leave(retryAfter: Duration) {
        let now = hub.loop.now
        if !isWebSocket { read(now, limit: ClientConnection.promptBytes) }
        withStack { stack, output, effects in
            stack.leave(retryAfter: retryAfter, now: now, output: &output, effects: &effects)
        }
    }

    func tick(now: Moment) -> Instant? {
        guard isOpen else { return nil }
        if let held = extras?.changedAt, held != .never {
            if isLingering, now.instant - held >= ClientConnection.lingerTimeout {
                finish()
                return nil
            }
            if outlet == .stalled, !isWebSocket, now.instant - held >= ClientConnection.stallTimeout {
                abort()
                return nil
            }
        }
        withStack { stack, output, effects in stack.tick(now: now, output: &output, effects: &effects) }
        return isOpen ? deadline(stack.nextDeadline) : nil
    }

    /// When to look at it next: `deadline` is the stack's.
    func deadline(_ deadline: Instant?) -> Instant? {
        guard let extras, extras.changedAt != .never else { return deadline }
        switch outlet {
        case .lingering: return extras.changedAt + ClientConnection.lingerTimeout
        case .stalled where !isWebSocket:
            let end = extras.changedAt + ClientConnection.stallTimeout
            return deadline.map { min($0, end) } ?? end
        case .open, .stalled: return deadline
        }
    }

    // MARK: The end

    /// Everything is written: says so to the peer, and waits a little for it to have read it. Closing at once could
    /// reset the connection under the peer's unread data.
    func linger() {
        guard !token.isNone else { return }
        if let extras, let tls = extras.tls {
            tls.close(output: &extras.ciphertext)
            // If the kernel does not take even that, the peer learns it from the end of the connection.
            _ = try? Socket.send(socket, from: &extras.ciphertext)
            extras.ciphertext = ByteBuffer()
        }
        Socket.shutdownWrite(socket)
        setOutlet(.lingering, at: hub.loop.now.instant)
        extras?.leftover = ByteBuffer()
        updateInterest()
        hub.loop.wake(token, by: hub.loop.now.instant + ClientConnection.lingerTimeout)
    }

    /// Reads and forgets what still comes while the end is waited for.
    func drain() {
        guard isOpen else { return }
        var input = hub.buffers.borrowForReading()
        defer { hub.buffers.returnFromReading(input) }
        do {
            switch try Socket.receive(socket, into: &input, limit: ClientConnection.readBytesPerTurn) {
            case .bytes, .wouldBlock: break
            case .endOfStream: finish()
            }
        } catch {
            finish()
        }
    }

    /// Resets the connection; nothing that is queued is sent.
    func abort() {
        guard let descriptor = leave() else { return }
        Socket.abortiveClose(descriptor)
    }

    func finish() {
        guard let descriptor = leave() else { return }
        descriptor.close()
    }

    private func takeSocket() -> FileDescriptor? {
        guard isOpen else { return nil }
        defer { socket = -1 }
        return FileDescriptor(owning: socket)
    }

    /// Leaves loop and hub, once; gives back the descriptor to be closed.
    func leave() -> FileDescriptor? {
        guard let descriptor = takeSocket() else { return nil }
        if !token.isNone { hub.loop.remove(token) }
        token = .none
        var effects: [Effect] = []
        stack.abandon(effects: &effects)
        hub.forget(self)
        counted = .nobody
        for effect in effects { hub.carryOut(effect, self) }
        returnOutbound()
        extras = nil
        return descriptor
    }
}
