// One connection as one value: HTTP first, and after an upgrade WebSocket with a session on top. Bytes and the time go
// in; bytes to send and effects come out. It reads no clock and no socket, so a test or a simulation can be its shell.
//
//     input ─► HTTPConnection ──request──► Effect.respond ─► deliver(response:) ─► output
//                    │ upgrade
//                    ▼
//              WebSocketConnection ──text──► ServerSession ─► output, effects

/// The protocols of one connection.
public struct ProtocolStack: Sendable {
    /// What the shell does with the socket once the output is written.
    public enum Transport: Equatable, Sendable {
        /// Keep reading.
        case open
        /// Read nothing until the awaited answer is there; keep what has arrived.
        case paused
        /// Write what is queued, then close.
        case closing
        /// Close at once, dropping what is queued.
        case aborted
    }

    /// Where a connection came from.
    public enum Origin: Sendable {
        /// A program on this machine.
        case local
        case remote
        /// The listener of FYNLO_ADMIN_LISTEN: whoever can reach it may see everything it offers.
        case operations
    }

    // Nearly all connections are idle WebSockets nearly all the time, so state that only others need lies out of line. The
    // session is changed in place; it is the larger part of a connection.
    /// Until it is a WebSocket, and afterwards if a trusted proxy opened that.
    private var http: OutOfLine<HTTPSide>
    private var webSocket: WebSocketConnection?
    /// `nil` before the upgrade, and for an echo.
    private var tabletSession: ServerSession?
    /// What the session has counted and noted.
    public private(set) var log = SessionLog()
    /// True for a conformance echo: its queue is bounded by back-pressure alone, since one message may be 16 MiB.
    public private(set) var isEcho = false
    private var isAborted = false

    /// The stack of a socket that was just accepted from `peer`. With a `refusal`, any request gets that answer.
    public init(
        id: ConnectionID, settings: SessionSettings, peer: IPAddress? = nil, from place: Origin = .remote,
        refusal: APIError? = nil, now: Moment
    ) {
        http = OutOfLine(
            HTTPSide(id: id, settings: settings, peer: peer, from: place, refusal: refusal, now: now))
    }

    /// A stack without a socket.
    public init() {
        http = OutOfLine()
        isAborted = true
    }

    // MARK: State

    /// What becomes of the socket.
    public var transport: Transport {
        if isAborted { return .aborted }
        guard let webSocket else { return http.read { $0.transport } ?? .aborted }
        if webSocket.isFinished { return .closing }
        return isAuthenticating ? .paused : .open
    }

    /// True once the connection is a WebSocket: its output consists of frames.
    public var isWebSocket: Bool { webSocket != nil }

    /// True while nothing is known of the peer and nothing is done for it: it has made no whole request yet, none is under
    /// way, or its WebSocket has not asked to be authenticated.
    public var isStranger: Bool {
        if let tabletSession { return tabletSession.isAwaitingAuthentication }
        return webSocket == nil && http.read { $0.isStranger } == true
    }

    /// True while the answer to `authenticate` is awaited.
    public var isAuthenticating: Bool { tabletSession?.isAuthenticating ?? false }

    /// A summary of a tablet's WebSocket; `nil` for anything else.
    public var sessionSummary: (restaurant: RestaurantID, client: ClientType, phase: ServerSession.Phase)? {
        tabletSession.map { ($0.restaurant, $0.client, $0.phase) }
    }

    /// A copy of the session of a tablet's WebSocket, for inspection; `nil` for anything else.
    public var session: ServerSession? { tabletSession }

    /// The authenticated user.
    public var user: UserID? { tabletSession?.user }

    /// The restaurant of the WebSocket's path.
    public var restaurant: RestaurantID? { tabletSession?.restaurant }

    /// For whom a trusted proxy sent the request under way, or opened the WebSocket; `nil` for its own requests, between
    /// requests, and for peers that speak for themselves.
    public var forwardedFor: IPAddress? { http.read { $0.forwardedFor } ?? nil }

    /// False while too many WebSockets wait for their authentication: an upgrade is then answered 503.
    public var admitsUpgrades: Bool {
        get { http.read { $0.admitsUpgrades } ?? true }
        set { http.change { $0.admitsUpgrades = newValue } }
    }

    /// When `tick` is next due.
    public var nextDeadline: Instant? {
        guard let webSocket else { return http.read { $0.nextDeadline } ?? nil }
        guard let other = tabletSession?.nextDeadline else { return webSocket.nextDeadline }
        return webSocket.nextDeadline.map { min($0, other) } ?? other
    }

    // MARK: From the peer

    /// Takes what arrived from the front of `input`; leaves what cannot be used yet, and requests that come when
    /// `outputLimit` bytes of answers are waiting: call it again when they are written. `admits` is asked about the client
    /// for whom a trusted proxy sends a request; it counts the client, while it is `forwardedFor`, or refuses it.
    public mutating func receive(
        _ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer, outputLimit: Int = .max,
        effects: inout [Effect], admits: (IPAddress) -> APIError? = { _ in nil }
    ) {
        if webSocket == nil {
            let upgrade = inContext(now: now, &output, &effects) { stack, context in
                stack.http.change { http in
                    http.receive(&input, &context, outputLimit: outputLimit, admits: admits)
                }
            }
            guard let upgrade = upgrade ?? nil else { return }
            become(upgrade)
        }
        inContext(now: now, &output, &effects) { stack, context in stack.receiveFrames(&input, &context) }
    }

    /// Calls `body` with what the caller lends, moved into one context and out again.
    @inline(__always)
    private mutating func inContext<Result>(
        now: Moment, _ output: inout ByteBuffer, _ effects: inout [Effect],
        _ body: (inout ProtocolStack, inout SessionContext) -> Result
    ) -> Result {
        var context = SessionContext(now: now, output: ByteBuffer(), effects: [], log: log)
        swap(&context.output, &output)
        swap(&context.effects, &effects)
        let result = body(&self, &context)
        swap(&context.output, &output)
        swap(&context.effects, &effects)
        log = context.log
        assert(!isSpeakingAfterClose, "a session that is not over belongs to a WebSocket that is open")
        return result
    }

    /// Never true. The session writes its own frames and the broadcast ones straight into the output, past
    /// WebSocketConnection's check that nothing follows a close frame. It writes only while it is active, and it is over by
    /// the time a close frame is sent.
    private var isSpeakingAfterClose: Bool {
        guard let webSocket, let tabletSession else { return false }
        return webSocket.state != .open && !tabletSession.isOver
    }

    private mutating func become(_ upgrade: HTTPSide.Upgrade) {
        guard let limits = http.read({ $0.settings.limits }) else { return }
        if forwardedFor == nil { http.clear() }
        var messageBytes = limits.unauthenticatedMessageBytes
        switch upgrade {
        case .session(let session): tabletSession = session
        case .echo:
            isEcho = true
            messageBytes = 16 << 20
        }
        webSocket = WebSocketConnection(
            role: .server, maximumMessageBytes: messageBytes, closeTimeout: limits.closeTimeout)
    }

    private mutating func receiveFrames(
        _ input: inout ByteBuffer, _ context: inout SessionContext
    ) {
        while !isAuthenticating {
            let available = input.count
            guard let event = webSocket?.next(&input, now: context.now, output: &context.output) else {
                // Part of a message is as good a sign of life as a whole one; bytes left over from before are not.
                if input.count < available { tabletSession?.heard(now: context.now.instant) }
                return
            }
            switch event {
            case .message(let message):
                guard message.kind == .text || isEcho else {
                    endSession(.closed(.binaryRefused), effects: &context.effects)
                    close(after: .binaryRefused, &context)
                    continue
                }
                switch message.body {
                case .input(let positions):
                    input.withBytes(at: positions) { bytes in
                        receive(message.kind, bytes, &context)
                    }
                case .assembled(let buffer):
                    buffer.withReadable { bytes in
                        receive(message.kind, bytes, &context)
                    }
                }
            case .ping:
                tabletSession?.heardPing(&context)
            case .pong:
                tabletSession?.heardPong(&context)
            case .closing(let code, _):
                context.note(.closeReceived)
                endSession(.left(code: code), effects: &context.effects)
            case .failed(let code, _):
                context.note(.closeSent)
                endSession(.violation(code: code), effects: &context.effects)
            }
        }
    }

    private mutating func receive(
        _ kind: WebSocketMessage.Kind, _ bytes: Span<UInt8>, _ context: inout SessionContext
    ) {
        if isEcho {
            webSocket?.sendFrame(kind == .text ? .text : .binary, payload: bytes, to: &context.output)
        } else {
            let reason = tabletSession?.receive(bytes, &context)
            close(after: reason ?? nil, &context)
        }
    }

    /// The peer will send nothing more, or the socket broke. No tablet goes on with half a connection.
    public mutating func endOfInput(now: Moment, effects: inout [Effect]) {
        if webSocket != nil {
            endSession(.lost, effects: &effects)
            // After both close frames this is the proper end, and our answer may still be on its way.
            if webSocket?.isFinished == false { isAborted = true }
        } else {
            http.change { $0.endOfInput() }
        }
    }

    // MARK: Answers to effects

    /// The answer to the request under way.
    public mutating func deliver(response: HTTPResponse, now: Moment, output: inout ByteBuffer) {
        var effects: [Effect] = []
        inContext(now: now, &output, &effects) { stack, context in
            stack.http.change { $0.deliver(response: response, &context) }
        }
    }

    /// The outcome of Effect.authenticate. What the tablet sent meanwhile is still in the input: call `receive` next.
    public mutating func deliver(
        authentication outcome: AuthenticationOutcome, now: Moment, output: inout ByteBuffer,
        effects: inout [Effect]
    ) {
        inContext(now: now, &output, &effects) { stack, context in
            let reason = stack.tabletSession?.deliver(authentication: outcome, &context)
            stack.close(after: reason ?? nil, &context)
        }
        if let bytes = tabletSession?.messageBytes { webSocket?.maximumMessageBytes = bytes }
    }

    /// The outcome of Effect.reauthenticate.
    public mutating func deliver(
        reauthentication outcome: ReauthenticationOutcome, now: Moment, output: inout ByteBuffer,
        effects: inout [Effect]
    ) {
        inContext(now: now, &output, &effects) { stack, context in
            let reason = stack.tabletSession?.deliver(reauthentication: outcome, &context)
            stack.close(after: reason ?? nil, &context)
        }
    }

    /// The answer to Effect.storage.
    public mutating func deliver(
        command answer: CommandAnswer, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        inContext(now: now, &output, &effects) { stack, context in
            let reason = stack.tabletSession?.deliver(command: answer, &context)
            stack.close(after: reason ?? nil, &context)
        }
    }

    /// A whole frame for every tablet of the restaurant: an event with its number, or a transient one without.
    public mutating func deliver(
        frame: ByteBuffer, sequence: EventSequence?, now: Moment, output: inout ByteBuffer
    ) {
        // Every tablet of a restaurant gets its events this way: only a gap is worth a context.
        switch tabletSession?.admit(sequence: sequence) ?? .pass {
        case .pass: return
        case .next: break
        case .gap: sendResync(before: sequence ?? 0, now: now, output: &output)
        }
        log.note(.event, at: now.instant)
        // To most tablets it is all that is to be sent now: they share its memory.
        if output.isEmpty { output = frame } else { output.append(frame) }
    }

    private mutating func sendResync(before sequence: EventSequence, now: Moment, output: inout ByteBuffer) {
        var effects: [Effect] = []
        inContext(now: now, &output, &effects) { stack, context in
            context.note(.resync)
            stack.tabletSession?.send(.resyncRequired(head: sequence - 1), &context)
        }
    }

    /// The number after which the tablet is still to be sent what it missed; `nil` once it has caught up.
    public var replayPosition: EventSequence? { tabletSession?.replayPosition }

    /// An answer to Effect.replay.
    public mutating func deliver(replay: Replay, now: Moment, output: inout ByteBuffer) {
        var effects: [Effect] = []
        inContext(now: now, &output, &effects) { stack, context in
            stack.tabletSession?.deliver(replay: replay, &context)
        }
    }

    // MARK: Time and the end

    /// Does what is due.
    public mutating func tick(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        guard webSocket != nil else {
            inContext(now: now, &output, &effects) { stack, context in
                stack.http.change { $0.tick(&context) }
            }
            return
        }
        if webSocket?.tick(now: now) == true { isAborted = true }
        inContext(now: now, &output, &effects) { stack, context in
            let reason = stack.tabletSession?.tick(&context)
            stack.close(after: reason ?? nil, &context)
        }
    }

    /// The server ends the connection: an idle HTTP connection at once, one with a request under way after its answer, a
    /// WebSocket by the closing handshake.
    public mutating func close(
        _ reason: CloseReason, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        if webSocket != nil {
            inContext(now: now, &output, &effects) { stack, context in
                stack.endSession(.closed(reason), effects: &context.effects)
                stack.close(after: reason, &context)
            }
        } else {
            http.change { $0.close() }
        }
    }

    /// Ends the connection as `close` does, because the server is going away. A tablet is told to come back after
    /// `retryAfter`, and stays for the answer to the command that is with storage.
    public mutating func leave(
        retryAfter: Duration, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        if webSocket == nil {
            http.change { $0.leave(now: now.instant) }
        } else if tabletSession == nil {
            close(.goingAway, now: now, output: &output, effects: &effects)
        } else {
            inContext(now: now, &output, &effects) { stack, context in
                let reason = stack.tabletSession?.leave(retryAfter: retryAfter, &context)
                stack.close(after: reason ?? nil, &context)
            }
        }
    }

    /// The socket is gone: the session ends without another byte.
    public mutating func abandon(effects: inout [Effect]) {
        endSession(.lost, effects: &effects)
        isAborted = true
    }

    private mutating func endSession(_ end: SessionEnd, effects: inout [Effect]) {
        tabletSession?.end(end, effects: &effects)
    }

    /// Begins the closing handshake when the session has ended for a reason.
    private mutating func close(after reason: CloseReason?, _ context: inout SessionContext) {
        guard let reason else { return }
        context.note(.closeSent)
        webSocket?.close(
            code: reason.code, reason: reason.sentence.description, now: context.now, output: &context.output)
    }
}
