// One accepted socket. Bytes are read into the protocol stack, its effects are carried out by the hub, and what is queued is
// written. The stack decides what becomes of the connection, the queue how it is written; here it is done.
//
//     ready ──► read ──► change the stack ──► advance ──► write, read on, linger, abort …  (+Advance)
//     handlers ────────► change the stack ──► advance
//     end of turn ──────────────────────────► advance

import FynloCore
import FynloIO

/// A client's connection.
final class ClientConnection: Numbered, EventSource {
    /// Whom this connection counts for among the clients' addresses.
    enum Counted {
        case nobody
        /// The other end of the socket.
        case peer
        /// A trusted proxy's client, while its request is under way or its WebSocket is open: `Extras.client`.
        case client
    }

    /// Why input is left over.
    enum Leftover {
        /// A message has not come whole.
        case incomplete
        /// An answer was awaited when it came. It can be used as soon as that is there.
        case unread
        /// The connection has had its share: its turn comes when the earlier answers are written.
        case heldBack
    }

    /// What few connections have, or have for a short time.
    final class Extras {
        /// Encrypts, if the connection does.
        var tls: TLSEngine?
        /// What is encrypted and not written yet.
        var ciphertext = ByteBuffer()
        /// No byte has come yet: the first one tells TLS from plain HTTP.
        var isUntouched = true
        /// What was read and could not be used yet.
        var leftover = ByteBuffer()
        var leftoverIs = Leftover.incomplete
        /// For whom a trusted proxy speaks, and whom this connection counts for.
        var client: IPAddress?

        var isEmpty: Bool { tls == nil && leftover.isEmpty && ciphertext.isEmpty && client == nil }
    }

    /// What is true of a connection or not: a bit each.
    struct Marks: OptionSet {
        let rawValue: UInt8

        /// It is for operators, and counts for nothing else.
        static let isOperators = Marks(rawValue: 1 << 0)
        /// The hub has it wait to be read from.
        static let isWaitingToRead = Marks(rawValue: 1 << 1)
        /// A hang-up was seen, perhaps while it waited.
        static let isHungUp = Marks(rawValue: 1 << 2)
        /// It will be written to at the end of the turn.
        static let isFlushScheduled = Marks(rawValue: 1 << 3)
        /// It is being worked on: `advance` comes at the end of that.
        static let isBusy = Marks(rawValue: 1 << 4)
        /// The tablet is to read some before it is sent more of what it missed.
        static let resumesReplay = Marks(rawValue: 1 << 5)

        subscript(mark: Marks) -> Bool { contains(mark) }
    }

    // Every tablet has one of these, and nearly all are idle nearly always: in the order that packs best (360 bytes), with what
    // only some need elsewhere.
    /// Where it comes from; no bits for a local socket.
    private(set) var peer = IPAddress(bits: 0)
    let hub: Hub
    /// Counted by the hub, from 1.
    private(set) var number: UInt64 = 0
    /// When it was accepted, became a WebSocket, or was authenticated.
    var since: Instant
    var allowance: ReadAllowance
    var extras: Extras?
    /// What is queued for the peer, as plaintext.
    var queue = OutboundQueue()
    var interest: Interest = .read
    var counted = Counted.nobody
    /// What becomes of the socket, as the stack said when it was last changed.
    var transport = ProtocolStack.Transport.open
    /// Its descriptor, which it owns: -1 before `start` and after `leave`. A bare number, since it is asked for everywhere and
    /// each access to a property that cannot be copied is checked at run time.
    private(set) var socket: Int32 = -1
    var token = SourceToken.none
    var stack: ProtocolStack
    private(set) var marks = Marks()

    /// Bytes read at once: the other connections want to be served, too.
    static let promptBytes = 4_096
    /// Bytes read when all the others have been served: two hundred pings, half a millisecond to one.
    static let readBytesPerTurn = 32_768
    /// What a tablet missed is queued no further ahead than this.
    static let replayBytesAhead = 65_536
    /// A peer that does not read what it asked for is neither read from nor answered.
    static let backPressureBytes = 131_072
    /// Plaintext encrypted at a time. What is not encrypted yet can still be dropped.
    static let encryptedBytesAhead = 65_536
    /// An answer that is worth a write of its own.
    static let pageBytes = 8_192

    /// A connection without a socket, for the hub's store.
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
        set(.isOperators, to: isOperators)
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
        wake(by: stack.nextDeadline)
        advance()
    }

    // MARK: State

    /// True while it has its socket.
    var isOpen: Bool { socket >= 0 }

    /// Its name.
    var id: ConnectionID { ConnectionID(node: hub.node, number: number) }

    /// The address this connection counts for; `nil` when it counts for nobody's.
    var countedFor: IPAddress? {
        switch counted {
        case .nobody: nil
        case .peer: peer
        case .client: extras?.client
        }
    }

    /// Sets or clears a mark. Always through here: a property that is only ever assigned as a whole needs no check at run time.
    func set(_ mark: Marks, to value: Bool) {
        marks = value ? marks.union(mark) : marks.subtracting(mark)
    }

    /// True for a connection of the operators' listener.
    var isOperators: Bool { marks[.isOperators] }

    /// True while the hub has it wait to be read from.
    var isWaitingToRead: Bool {
        get { marks[.isWaitingToRead] }
        set { set(.isWaitingToRead, to: newValue) }
    }

    /// True while the tablet is to read some before it is sent more of what it missed.
    var resumesReplay: Bool {
        get { marks[.resumesReplay] }
        set { set(.resumesReplay, to: newValue) }
    }

    /// True once the socket is used for a WebSocket.
    var isWebSocket: Bool { queue.isFramed }

    /// The authenticated user, if there is one.
    var user: UserID? { stack.user }

    /// The restaurant to which a tablet belongs, or asks to belong.
    var restaurant: RestaurantID? { stack.restaurant }

    /// Where the client is. Behind a trusted proxy, as the proxy says.
    var clientAddress: String {
        stack.forwardedFor?.description ?? (peer.bits == 0 ? "local" : peer.description)
    }

    /// True when nobody loses anything by its end.
    func canMakeRoom(_ now: Instant) -> Bool {
        !isOperators
            && (queue.isLingering || stack.isStranger && now - since >= hub.settings.limits.strangerGrace)
    }

    /// The session of a tablet; `nil` for anything else.
    var session: ServerSession? { stack.session }

    /// What a tablet's session is, in few words; `nil` for anything else.
    var sessionSummary: (restaurant: RestaurantID, client: ClientType, phase: ServerSession.Phase)? {
        stack.sessionSummary
    }

    /// What its session has counted and noted.
    var log: SessionLog { stack.log }

    /// What its session has counted.
    var counts: SessionCounts { stack.log.counts }

    /// True when it is on its way out.
    var isEnding: Bool { queue.isLingering || transport == .closing || transport == .aborted }

    /// True while `authenticate` has no answer yet.
    var isAuthenticating: Bool { stack.isAuthenticating }

    /// The time to the peer and back, as the kernel has it.
    var roundTrip: Duration? {
        isOpen ? Socket.roundTrip(of: socket) : nil
    }

    /// What waits to be written.
    var queuedBytes: Int { queue.count + encryptedBytes }

    /// What is encrypted and waits to be written.
    var encryptedBytes: Int { extras?.ciphertext.count ?? 0 }

    /// Room for what few connections have.
    func extra() -> Extras {
        if let extras { return extras }
        let made = Extras()
        extras = made
        return made
    }

    func releaseCount() {
        if let countedFor { hub.release(countedFor) }
        counted = .nobody
        extras?.client = nil
    }

    // MARK: Time

    func tick(now: Moment) -> Instant? {
        guard isOpen else { return nil }
        switch queue.ending(at: now.instant) {
        case .reset: abort()
        case .close: finish()
        case nil:
            if queue.isLingering { break }
            withStack { stack, output, effects in stack.tick(now: now, output: &output, effects: &effects) }
        }
        return isOpen ? queue.nextDeadline : nil
    }

    /// Sees to it that `tick` is called by then.
    func wake(by deadline: Instant?) {
        if let deadline { hub.loop.wake(token, by: deadline) }
    }

    // MARK: The end

    /// Everything is written: says so to the peer, and waits a little for it to have read it.
    func linger() {
        guard !token.isNone else { return }
        if let extras, let tls = extras.tls {
            tls.close(output: &extras.ciphertext)
            // If the kernel does not take even that, the peer learns it from the end of the connection.
            _ = try? Socket.send(socket, from: &extras.ciphertext)
            extras.ciphertext = ByteBuffer()
        }
        extras?.leftover = ByteBuffer()
        Socket.shutdownWrite(socket)
        queue.linger(now: hub.loop.now.instant)
        wake(by: queue.nextDeadline)
        updateInterest()
    }

    /// Reads and drops what still comes while the peer's end is awaited.
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

    /// Closes the socket after everything was sent.
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
    private func leave() -> FileDescriptor? {
        guard let descriptor = takeSocket() else { return nil }
        if !token.isNone { hub.loop.remove(token) }
        token = .none
        var effects: [Effect] = []
        stack.abandon(effects: &effects)
        hub.forget(self)
        counted = .nobody
        for effect in effects { hub.carryOut(effect, self) }
        returnMemory()
        extras = nil
        return descriptor
    }
}
