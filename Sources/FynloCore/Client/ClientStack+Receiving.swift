// What a connection makes of the server's answer to the handshake, and of each message.

extension ClientStack {
    // MARK: Upgrade

    mutating func upgrade(
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

    /// Takes an answer other than 101. Servers that are busy, and gateways whose server is missing, recover; a wrong address
    /// stays wrong.
    mutating func refused(_ response: HTTPResponse, events: inout [ClientEvent]) {
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

    func notHTTP(_ error: HTTPError) -> ClientClosure {
        ClientClosure(
            code: WebSocketCloseCode.protocolError,
            reason: "The server's answer to the WebSocket handshake cannot be read: \(error.detail)",
            reconnection: .never)
    }

    // MARK: Messages

    mutating func receive(
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

    mutating func receive(
        _ text: Span<UInt8>, now: Moment, output: inout ByteBuffer, events: inout [ClientEvent]
    ) {
        guard let message = try? ReceivedMessage(text) else {
            events.append(.unreadable([UInt8](copying: text)))
            return
        }
        if let sequence = message.sequence {
            // Each event is told once, after a resumption too.
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
        // A new client loads what it missed by REST. If resuming fails, `resync_required` says so and gives a new sequence.
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
}
