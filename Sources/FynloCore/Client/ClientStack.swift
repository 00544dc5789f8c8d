// One connection to the server as one value, the mirror of ProtocolStack. Bytes and the time go in;
// bytes to send and events come out. It reads no clock and no socket, so a test or a simulation can be its shell.
//
//     connecting ─opened()─► upgrading ─101─► authenticating ─authenticated─► connected
//          │                     │                   │                            │
//          └─────────────────────┴───────────────────┴────────────────────────────┴──► closed

/// A client's connection, from the wish to connect to its end; a new one is made for each attempt. After `.closed` the
/// owner writes what is in the output and closes the socket.
public struct ClientStack: Sendable {
    public enum State: Equatable, Sendable {
        case connecting, upgrading, authenticating, connected, closed
    }

    /// The state with what it needs; small values only.
    private enum Phase {
        case connecting(deadline: Instant)
        case upgrading(key: String, deadline: Instant)
        case authenticating(deadline: Instant)
        case connected(ClientHeartbeat)
        case closed
    }

    /// A command whose answer is awaited.
    private struct Unanswered {
        let id: String
        let deadline: Instant
    }

    private static let protocols = ["fynlo.v1"]

    private let identity: ClientIdentity
    private let limits: ClientLimits
    private let maskSeed: UInt64
    private let key: String
    /// Makes our messages' ids unique, with a counter.
    private let idPrefix: UInt64
    private var sentMessages: UInt64 = 0
    private var phase: Phase
    private var parser: HTTPResponseParser
    private var webSocket: WebSocketConnection?
    /// In the order sent, so that the first is the first to be late.
    private var unanswered: [Unanswered] = []
    /// The `auth_error` that announced the end.
    private var refusal: ServerError?
    /// What `reconnect` asked for.
    private var retryAfter: Duration?

    /// The newest durable event that was handed out, or need not be; `nil` before the first connection. Give it to the
    /// session of the next attempt.
    public private(set) var lastSequence: EventSequence?

    /// An attempt that begins now: the shell is about to look up the name.
    ///
    /// - Parameters:
    ///   - lastSequence: that of the session before; the events after it are asked for.
    ///   - generator: the system's, as keys and ids that nobody can foresee are drawn from it.
    public init(
        identity: ClientIdentity, limits: ClientLimits = ClientLimits(), lastSequence: EventSequence? = nil,
        using generator: inout some RandomNumberGenerator, now: Moment
    ) {
        self.identity = identity
        self.limits = limits
        self.lastSequence = lastSequence
        maskSeed = generator.next()
        idPrefix = generator.next()
        key = WebSocketHandshake.makeKey(random: (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
        parser = HTTPResponseParser(limits: HTTPLimits())
        phase = .connecting(deadline: now.instant + limits.connectTimeout)
    }

    // MARK: State

    public var state: State {
        switch phase {
        case .connecting: .connecting
        case .upgrading: .upgrading
        case .authenticating: .authenticating
        case .connected: .connected
        case .closed: .closed
        }
    }

    /// When `tick` is next due.
    public var nextDeadline: Instant? {
        switch phase {
        case .connecting(let deadline), .upgrading(_, let deadline), .authenticating(let deadline): deadline
        case .connected(let heartbeat):
            unanswered.first.map { min($0.deadline, heartbeat.nextDeadline) } ?? heartbeat.nextDeadline
        case .closed: nil
        }
    }

    /// Commands whose answers are awaited.
    public var unansweredCount: Int { unanswered.count }

    // MARK: The socket

    /// The socket is connected: asks for the upgrade.
    public mutating func opened(output: inout ByteBuffer) {
        guard case .connecting(let deadline) = phase else { return }
        var headers = HTTPHeaders()
        headers.append("Host", identity.authority)
        for (name, value) in WebSocketHandshake.requestHeaders(key: key, protocols: ClientStack.protocols) {
            headers.append(name, value)
        }
        HTTPEncoder.encodeRequest(method: .get, target: identity.target, headers: headers, body: [], into: &output)
        phase = .upgrading(key: key, deadline: deadline)
    }

    /// Takes what arrived from the front of `input`; leaves what cannot be used yet.
    public mutating func receive(
        _ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer, events: inout [ClientEvent]
    ) {
        if case .upgrading(let key, _) = phase {
            do {
                guard let response = try parser.next(&input, requestMethod: .get) else { return }
                upgrade(response, key: key, now: now, output: &output, events: &events)
            } catch {
                end(notHTTP(error), events: &events)
            }
        }
        while state != .closed, let event = webSocket?.next(&input, now: now, output: &output) {
            receive(event, input, now: now, output: &output, events: &events)
        }
        if state == .closed { input.removeAll() }
    }

    /// The server will send nothing more, or the socket has failed for the `reason` given (a sentence).
    public mutating func endOfInput(reason: String? = nil, events: inout [ClientEvent]) {
        if case .upgrading = phase, reason == nil, let response = try? parser.endOfInput() {
            return refused(response, events: &events)
        }
        let what =
            switch phase {
            case .connecting: "The server cannot be reached."
            case .upgrading: "The server closed the connection without an answer to the WebSocket handshake."
            case .authenticating, .connected, .closed: "The connection was lost."
            }
        end(lost(reason ?? what), events: &events)
    }

    // MARK: Upgrade

    private mutating func upgrade(
        _ response: HTTPResponse, key: String, now: Moment, output: inout ByteBuffer, events: inout [ClientEvent]
    ) {
        guard response.status == 101 else { return refused(response, events: &events) }
        do {
            _ = try WebSocketHandshake.verify(response, key: key, protocols: ClientStack.protocols)
        } catch {
            let closure = ClientClosure(
                code: WebSocketCloseCode.protocolError, reason: error.sentence, reconnection: .never)
            return end(closure, events: &events)
        }
        var webSocket = WebSocketConnection(
            role: .client(maskSeed: maskSeed), maximumMessageBytes: limits.messageBytes,
            closeTimeout: limits.closeTimeout)
        let id = nextID()
        webSocket.sendText(to: &output) { payload in
            ClientMessageEncoder.appendAuthenticate(
                identity, lastSequence: lastSequence, id: id, at: now.unixTime, to: &payload)
        }
        self.webSocket = webSocket
        phase = .authenticating(deadline: now.instant + limits.authenticationTimeout)
    }

    /// An answer other than 101. Busy servers and gateways without one recover; a wrong address stays wrong.
    private mutating func refused(_ response: HTTPResponse, events: inout [ClientEvent]) {
        let detail = ClientStack.detail(of: response)
        let reason = detail ?? WebSocketError.statusNotSwitchingProtocols(response.status).sentence
        let retryAfter = response.headers.first("retry-after").flatMap { Int64($0) }
            .map { Duration.seconds(min(max($0, 0), 3_600)) }
        let passes = response.status >= 500 || response.status == 429 || response.status == 408
        end(
            ClientClosure(
                code: WebSocketCloseCode.abnormalClosure, reason: reason,
                reconnection: passes ? .afterDelay(atLeast: retryAfter) : .never),
            events: &events)
    }

    /// The sentence of a problem+json body (RFC 9457).
    private static func detail(of response: HTTPResponse) -> String? {
        guard String(validating: response.body.span) != nil else { return nil }
        let text = response.body.span
        var detail: String?
        _ = try? JSON.scanObject(text) { key, value in
            if JSON.equals(key, "detail", in: text) { detail = JSON.string(value, in: text) }
        }
        return detail.flatMap { $0.isEmpty ? nil : $0 }
    }

    private func notHTTP(_ error: HTTPError) -> ClientClosure {
        ClientClosure(
            code: WebSocketCloseCode.protocolError,
            reason: "The server's answer to the WebSocket handshake cannot be read: \(error.detail)",
            reconnection: .never)
    }

    // MARK: Messages

    private mutating func receive(
        _ event: WebSocketEvent, _ input: borrowing ByteBuffer, now: Moment, output: inout ByteBuffer,
        events: inout [ClientEvent]
    ) {
        switch event {
        case .message(let message) where message.kind == .text:
            message.withPayload(in: input) { receive($0, now: now, output: &output, events: &events) }
        case .message:
            close(
                CloseReason.binaryRefused.code, CloseReason.binaryRefused.sentence.description, .never, now: now,
                output: &output, events: &events)
        case .ping, .pong:
            break
        case .closing(let code, let reason):
            end(
                ClientClosure(code: code, reason: reason, refusal: refusal, retryAfter: retryAfter), events: &events)
        case .failed(let code, let reason):
            end(ClientClosure(code: code, reason: reason, reconnection: .never), events: &events)
        }
    }

    private mutating func receive(
        _ text: Span<UInt8>, now: Moment, output: inout ByteBuffer, events: inout [ClientEvent]
    ) {
        guard let message = try? ReceivedMessage(text) else {
            events.append(.unreadable([UInt8](copying: text)))
            return
        }
        if let sequence = message.sequence {
            // Also after a resumption each event is handed out once.
            if let lastSequence, sequence <= lastSequence { return }
            lastSequence = sequence
        }
        events.append(.message(message))
        guard message.isProtocol else { return }
        let fields = ReceivedFields(message)
        switch (message.type, phase) {
        case ("authenticated", .authenticating):
            welcome(fields, now: now, events: &events)
        case ("authenticated", .connected):
            events.append(.reauthenticated)
        case ("auth_error", .authenticating):
            refusal = fields.error
        case ("auth_error", .connected):
            events.append(.reauthenticationRefused(fields.error))
        case ("ping", _):
            let id = nextID()
            webSocket?.sendText(to: &output) { [identity] payload in
                ClientMessageEncoder.appendPong(
                    id: id, restaurant: identity.restaurant, at: now.unixTime, to: &payload)
            }
        case ("pong", .connected(var heartbeat)):
            let roundTrip = heartbeat.pong(now: now.instant)
            phase = .connected(heartbeat)
            events.append(.pong(roundTrip: roundTrip, serverTime: fields.serverTime))
        case ("ack", _):
            answer(fields.id, .acknowledged(sequence: fields.sequence, message), events: &events)
        case ("error", _):
            answer(fields.id, .refused(fields.error, message), events: &events)
        case ("resync_required", _):
            lastSequence = fields.sequence ?? lastSequence
        case ("reconnect", _):
            retryAfter = fields.retryAfter
        default:
            break
        }
    }

    private mutating func welcome(_ fields: ReceivedFields, now: Moment, events: inout [ClientEvent]) {
        let bounds = limits.heartbeatIntervals
        let interval = min(
            max(fields.heartbeatInterval ?? limits.heartbeatInterval, bounds.lowerBound), bounds.upperBound)
        // What a fresh client missed it will load by REST. Where resuming fails, `resync_required` says so and moves us.
        if lastSequence == nil { lastSequence = fields.sequence }
        phase = .connected(
            ClientHeartbeat(interval: interval, pongTimeout: limits.pongTimeout, now: now.instant))
        events.append(
            .connected(
                Welcome(
                    connection: fields.connection ?? "", role: fields.role ?? "", sequence: fields.sequence,
                    isResumed: fields.isResumed, heartbeatInterval: interval,
                    tokenExpiresAt: fields.tokenExpiresAt)))
    }

    private mutating func answer(_ id: String?, _ outcome: CommandOutcome, events: inout [ClientEvent]) {
        guard let id, let position = unanswered.firstIndex(where: { $0.id == id }) else {
            if case .refused(let error, _) = outcome { events.append(.error(error)) }
            return
        }
        unanswered.remove(at: position)
        events.append(.answered(id: id, outcome))
    }

    // MARK: Commands

    /// Sends a command; its answer is an event. `data` is the text of a JSON object; without an `id` of the caller's it
    /// gets one of ours. Returns the id.
    @discardableResult
    public mutating func send(
        _ type: String, data: String, id: String? = nil, now: Moment, output: inout ByteBuffer
    ) throws(CommandRefusal) -> String {
        guard case .connected = phase else { throw .notConnected }
        if let id, !(1...128).contains(id.utf8.count) || id.utf8.contains(0) { throw .idInvalid }
        if let id, unanswered.contains(where: { $0.id == id }) { throw .idInUse }
        guard unanswered.count < limits.unansweredCommands else {
            throw .tooManyUnanswered(limit: limits.unansweredCommands)
        }
        guard (try? JSON.scanObject(data.utf8Span.span) { _, _ in }) != nil else { throw .dataNotAnObject }
        guard ClientStack.fits(type: type, data: data, id: id, limits: limits) else {
            throw .tooLarge(limitBytes: limits.sentMessageBytes)
        }
        let id = id ?? nextID()
        webSocket?.sendText(to: &output) { [identity] payload in
            ClientMessageEncoder.append(
                type, id: id, restaurant: identity.restaurant, at: now.unixTime, to: &payload
            ) { $0.append(data) }
        }
        unanswered.append(Unanswered(id: id, deadline: now.instant + limits.commandTimeout))
        return id
    }

    /// True when such a command is not too large to be sent.
    static func fits(type: String, data: String, id: String?, limits: ClientLimits) -> Bool {
        // The envelope beside them has at most 300 bytes, and more only where the id is made of characters to be escaped.
        type.utf8.count + data.utf8.count + 6 * (id?.utf8.count ?? 40) + 300 <= limits.sentMessageBytes
    }

    private mutating func nextID() -> String {
        sentMessages += 1
        var text = ByteBuffer()
        text.append(hexadecimal: idPrefix)
        text.append("-")
        text.append(decimal: sentMessages)
        return text.withReadable { String(validating: $0) ?? "" }
    }

    // MARK: Token

    /// Gives the server a new token for this connection; the answer is `reauthenticated` or `reauthenticationRefused`.
    /// Does nothing unless connected.
    public mutating func reauthenticate(_ token: String, now: Moment, output: inout ByteBuffer) {
        guard case .connected = phase else { return }
        let id = nextID()
        webSocket?.sendText(to: &output) { [identity] payload in
            ClientMessageEncoder.append(
                "reauth", id: id, restaurant: identity.restaurant, at: now.unixTime, to: &payload
            ) {
                $0.append("{\"token\":")
                $0.append(jsonString: token)
                $0.append("}")
            }
        }
    }

    // MARK: Time

    /// The way to the server may have changed: a ping is due, and if it stays without an answer, so is the end. `tick`
    /// sends it.
    public mutating func probe(now: Moment) {
        guard case .connected(var heartbeat) = phase else { return }
        heartbeat.probe(now: now.instant)
        phase = .connected(heartbeat)
    }

    /// Does what is due.
    public mutating func tick(now: Moment, output: inout ByteBuffer, events: inout [ClientEvent]) {
        switch phase {
        case .connecting(let deadline) where now.instant >= deadline:
            end(lost("The server cannot be reached in time."), events: &events)
        case .upgrading(_, let deadline) where now.instant >= deadline:
            end(lost("The server did not answer the WebSocket handshake in time."), events: &events)
        case .authenticating(let deadline) where now.instant >= deadline:
            close(
                CloseReason.authenticationTimeout.code, "The server did not answer the authentication in time.",
                .afterDelay(atLeast: nil), now: now, output: &output, events: &events)
        case .connected(var heartbeat):
            while let finding = heartbeat.tick(now: now.instant) {
                phase = .connected(heartbeat)
                switch finding {
                case .dead:
                    events.append(.pongMissed)
                    let pings = heartbeat.missed == 1 ? "the last ping" : "\(heartbeat.missed) pings"
                    return close(
                        CloseReason.heartbeatTimeout.code, "The server did not answer \(pings).",
                        .afterDelay(atLeast: nil), now: now, output: &output, events: &events)
                case .missed:
                    events.append(.pongMissed)
                case .ping:
                    ping(roundTrip: heartbeat.roundTrip, now: now, output: &output)
                }
            }
            phase = .connected(heartbeat)
            while let first = unanswered.first, now.instant >= first.deadline {
                unanswered.removeFirst()
                events.append(.answered(id: first.id, .timedOut))
            }
        case .connecting, .upgrading, .authenticating, .closed:
            break
        }
    }

    private mutating func ping(roundTrip: Duration?, now: Moment, output: inout ByteBuffer) {
        let id = nextID()
        webSocket?.sendText(to: &output) { [identity, lastSequence] payload in
            ClientMessageEncoder.appendPing(
                lastSequence: lastSequence, roundTrip: roundTrip, id: id, restaurant: identity.restaurant,
                at: now.unixTime, to: &payload)
        }
    }

    // MARK: The end

    /// Hands the open WebSocket over to a program that speaks for itself from then on, as one that measures a server;
    /// `nil` unless connected. This stack's life ends with it, without an event.
    public mutating func takeWebSocket() -> WebSocketConnection? {
        guard case .connected = phase else { return nil }
        phase = .closed
        return webSocket.take()
    }

    /// Ends the connection by our own wish, with 1000.
    public mutating func close(now: Moment, output: inout ByteBuffer, events: inout [ClientEvent]) {
        close(
            WebSocketCloseCode.normal, "Closed by the client", .never, now: now, output: &output, events: &events)
    }

    private mutating func close(
        _ code: UInt16, _ reason: String, _ reconnection: Reconnection, now: Moment, output: inout ByteBuffer,
        events: inout [ClientEvent]
    ) {
        webSocket?.close(code: code, reason: reason, now: now, output: &output)
        end(
            ClientClosure(code: code, reason: reason, reconnection: reconnection, refusal: refusal), events: &events)
    }

    /// A loss; after an `auth_error` its word on coming back holds even if the close frame did not make it.
    private func lost(_ reason: String) -> ClientClosure {
        guard refusal != nil || retryAfter != nil else { return .lost(reason) }
        return ClientClosure(
            code: WebSocketCloseCode.abnormalClosure, reason: reason, refusal: refusal, retryAfter: retryAfter)
    }

    private mutating func end(_ closure: ClientClosure, events: inout [ClientEvent]) {
        if case .closed = phase { return }
        phase = .closed
        unanswered = []
        events.append(.closed(closure))
    }
}
