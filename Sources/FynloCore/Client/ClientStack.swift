// One connection to the server as one value, the mirror of ProtocolStack. Bytes and the time go in; bytes to send and events
// come out. It reads no clock and no socket, so a test or a simulation can drive it.
//
//     connecting ─opened()─► upgrading ─101─► authenticating ─authenticated─► connected
//          │                     │                   │                            │
//          └─────────────────────┴───────────────────┴────────────────────────────┴──► closed

/// A client's connection, from the decision to connect to its end; a new one is made for each attempt. After `.closed` the
/// owner writes what is in the output and closes the socket.
public struct ClientStack: Sendable {
    public enum State: Equatable, Sendable {
        case connecting, upgrading, authenticating, connected, closed
    }

    /// The state with what it needs: small values only.
    enum Phase {
        case connecting(deadline: Instant)
        case upgrading(key: String, deadline: Instant)
        case authenticating(deadline: Instant)
        case connected(ClientHeartbeat)
        case closed
    }

    /// A command that waits for its answer.
    struct Unanswered {
        let id: String
        let deadline: Instant
    }

    static let protocols = ["fynlo.v1"]

    let identity: ClientIdentity
    let limits: ClientLimits
    let maskSeed: UInt64
    let key: String
    /// Makes the ids of our messages unique, together with a counter.
    let idPrefix: UInt64
    var sentMessages: UInt64 = 0
    var phase: Phase
    var parser: HTTPResponseParser
    var webSocket: WebSocketConnection?
    /// In the order in which they were sent, so that the first one is the first to time out.
    var unanswered: [Unanswered] = []
    /// The `auth_error` that announced the end.
    var refusal: ServerError?
    /// The delay that the server's `reconnect` asked for.
    var retryAfter: Duration?

    /// The newest durable event that was told, or need not be; `nil` before the first connection. Give it to the stack of the
    /// next attempt.
    public internal(set) var lastSequence: EventSequence?

    /// An attempt that begins now: the owner is about to resolve the name.
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

    /// Commands that wait for their answers.
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

    // MARK: Commands

    /// Sends a command; its answer comes as an event. `data` is the text of a JSON object. Without an `id` of the caller's it
    /// gets a new one. Returns the id.
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

    /// True if such a command is not too large to be sent.
    static func fits(type: String, data: String, id: String?, limits: ClientLimits) -> Bool {
        // The rest of the envelope has at most 300 bytes. Only the escaping of the id can need more.
        type.utf8.count + data.utf8.count + 6 * (id?.utf8.count ?? 40) + 300 <= limits.sentMessageBytes
    }

    mutating func nextID() -> String {
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

    /// The route to the server may have changed: a ping is due, which `tick` sends. Without an answer to it the connection ends.
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

    /// Hands the open WebSocket over to a program that speaks for itself from then on, such as one that measures a server; `nil`
    /// unless connected. This stack is closed by it, without an event.
    public mutating func takeWebSocket() -> WebSocketConnection? {
        guard case .connected = phase else { return nil }
        phase = .closed
        return webSocket.take()
    }

    /// Ends the connection with 1000, because the client wants to.
    public mutating func close(now: Moment, output: inout ByteBuffer, events: inout [ClientEvent]) {
        close(
            WebSocketCloseCode.normal, "Closed by the client", .never, now: now, output: &output, events: &events)
    }

    mutating func close(
        _ code: UInt16, _ reason: String, _ reconnection: Reconnection, now: Moment, output: inout ByteBuffer,
        events: inout [ClientEvent]
    ) {
        webSocket?.close(code: code, reason: reason, now: now, output: &output)
        end(
            ClientClosure(code: code, reason: reason, reconnection: reconnection, refusal: refusal), events: &events)
    }

    /// A loss. What an `auth_error` or a `reconnect` said about reconnecting holds even if the close frame did not arrive.
    private func lost(_ reason: String) -> ClientClosure {
        guard refusal != nil || retryAfter != nil else { return .lost(reason) }
        return ClientClosure(
            code: WebSocketCloseCode.abnormalClosure, reason: reason, refusal: refusal, retryAfter: retryAfter)
    }

    mutating func end(_ closure: ClientClosure, events: inout [ClientEvent]) {
        if case .closed = phase { return }
        phase = .closed
        unanswered = []
        events.append(.closed(closure))
    }
}
