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
        /// Read on.
        case open
        /// Nothing more is read as long as an answer is awaited; what arrived is kept.
        case paused
        /// Write what is queued, then close.
        case closing
        /// Close at once, dropping what is queued.
        case aborted
    }

    /// What a WebSocket is used for.
    private enum Application {
        case session(ServerSession)
        /// RFC 6455 echo, for conformance suites.
        case echo
    }

    public let id: ConnectionID
    private let settings: SessionSettings
    private let place: Origin
    /// The other end of the socket, if it is a trusted proxy.
    private let proxy: IPAddress?
    private var http: HTTPConnection?
    private var webSocket: WebSocketConnection?
    private var application: Application?
    /// What the session has counted and noted.
    public private(set) var log = SessionLog()
    private var isAborted = false
    /// Set for a connection over a limit: the one answer it gets.
    private let refusal: APIError?
    /// False while too many WebSockets wait for their authentication: an upgrade is then answered 503.
    public var admitsUpgrades = true

    // One request at a time is being answered.
    private var requestID = RequestID.none
    private var requestCount: UInt64 = 0
    /// The page's origin, if it may read the answer.
    private var origin: String?
    /// For whom a trusted proxy sent the request under way, or opened the WebSocket; `nil` for its own requests, between
    /// requests, and for peers that speak for themselves.
    public private(set) var forwardedFor: IPAddress?

    /// Where a connection came from.
    public enum Origin: Sendable {
        /// A program of this machine.
        case local
        case remote
        /// FYNLO_ADMIN_LISTEN: who may reach that may see what is there.
        case operations
    }

    /// The stack of a socket that was just accepted from `peer`. With a `refusal`, any request gets that answer.
    public init(
        id: ConnectionID, settings: SessionSettings, peer: IPAddress? = nil, from place: Origin = .remote,
        refusal: APIError? = nil, now: Moment
    ) {
        self.id = id
        self.settings = settings
        self.place = place
        proxy = peer.flatMap { settings.trustedProxies.trusts($0) ? $0 : nil }
        self.refusal = refusal
        http = HTTPConnection(limits: settings.http, now: now.instant)
    }

    // MARK: State

    /// What becomes of the socket.
    public var transport: Transport {
        if isAborted { return .aborted }
        if let webSocket {
            if webSocket.isFinished { return .closing }
            if case .session(let session) = application, session.isAuthenticating { return .paused }
            return .open
        }
        guard let http else { return .aborted }
        if http.isClosing { return .closing }
        return http.isAwaitingResponse ? .paused : .open
    }

    /// True once the connection is a WebSocket: its output is made of frames.
    public var isWebSocket: Bool { webSocket != nil }

    /// True while nothing is known of the peer and nothing is done for it: it has made no whole request yet, none is under
    /// way, or its WebSocket has not asked to be authenticated.
    public var isStranger: Bool {
        if case .session(let session) = application { return session.isAwaitingAuthentication }
        guard let http else { return false }
        return requestCount == 0 ? !http.isAwaitingResponse : http.isIdle
    }

    /// True while the answer to `authenticate` is awaited.
    public var isAuthenticating: Bool {
        if case .session(let session) = application { session.isAuthenticating } else { false }
    }

    /// What a tablet's WebSocket is, in few words; `nil` for anything else.
    public var sessionSummary: (restaurant: RestaurantID, client: ClientType, phase: ServerSession.Phase)? {
        if case .session(let session) = application {
            (session.restaurant, session.client, session.phase)
        } else {
            nil
        }
    }

    /// The session of a tablet's WebSocket, to be looked at; `nil` for anything else.
    public var session: ServerSession? {
        if case .session(let session) = application { session } else { nil }
    }

    /// The authenticated user.
    public var user: UserID? {
        if case .session(let session) = application { session.user } else { nil }
    }

    /// The restaurant of the WebSocket's path.
    public var restaurant: RestaurantID? {
        if case .session(let session) = application { session.restaurant } else { nil }
    }

    /// When `tick` is next due.
    public var nextDeadline: Instant? {
        var deadline = http?.nextDeadline
        if let webSocket {
            deadline = webSocket.nextDeadline
            if case .session(let session) = application, let other = session.nextDeadline {
                deadline = deadline.map { min($0, other) } ?? other
            }
        }
        return deadline
    }

    // MARK: From the peer

    /// Takes what arrived from the front of `input`; leaves what cannot be used yet, and requests that come when
    /// `outputLimit` bytes of answers are waiting: call it again when they are written. `admits` is asked about the client
    /// for whom a trusted proxy sends a request; it counts the client, while it is `forwardedFor`, or refuses it.
    public mutating func receive(
        _ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer, outputLimit: Int = .max,
        effects: inout [Effect], admits: (IPAddress) -> APIError? = { _ in nil }
    ) {
        while http != nil {
            // An answer may be much longer than its request, and many requests fit in what is read at once.
            guard output.count < outputLimit else { return }
            guard let event = http?.next(&input, now: now, output: &output) else { return }
            switch event {
            case .failed(let error): respond(with: APIError(error), now: now, output: &output, effects: &effects)
            case .request(let request):
                handle(request, now: now, output: &output, effects: &effects, admits: admits)
            }
        }
        receiveFrames(&input, now: now, output: &output, effects: &effects)
    }

    private mutating func receiveFrames(
        _ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        while !isAuthenticating {
            let available = input.count
            guard let event = webSocket?.next(&input, now: now, output: &output) else {
                // A part of a message proves life as well as a whole one; what was left unused before does not.
                if input.count < available { heard(now: now.instant) }
                return
            }
            switch event {
            case .message(let message):
                guard message.kind == .text || isEcho else {
                    close(.binaryRefused, now: now, output: &output, effects: &effects)
                    continue
                }
                switch message.body {
                case .input(let positions):
                    input.withBytes(at: positions) { bytes in
                        receive(message.kind, bytes, now: now, output: &output, effects: &effects)
                    }
                case .assembled(let buffer):
                    buffer.withReadable { bytes in
                        receive(message.kind, bytes, now: now, output: &output, effects: &effects)
                    }
                }
            case .ping:
                with { session, log in session.heardPing(now: now.instant, log: &log) }
            case .pong:
                with { session, log in session.heardPong(now: now.instant, log: &log) }
            case .closing(let code, _):
                log.trace.note(.closeReceived, at: now.instant)
                endSession(.left(code: code), effects: &effects)
            case .failed(let code, _):
                log.trace.note(.closeSent, at: now.instant)
                endSession(.violation(code: code), effects: &effects)
            }
        }
    }

    private mutating func receive(
        _ kind: WebSocketMessage.Kind, _ bytes: Span<UInt8>, now: Moment, output: inout ByteBuffer,
        effects: inout [Effect]
    ) {
        switch application {
        case .echo:
            webSocket?.sendFrame(kind == .text ? .text : .binary, payload: bytes, to: &output)
        case .session(var session):
            // Moved out and back, so that the session is changed in place.
            application = nil
            let reason = session.receive(bytes, now: now, output: &output, log: &log, effects: &effects)
            application = .session(session)
            if let reason { webSocketClose(reason, now: now, output: &output) }
        case nil:
            break
        }
    }

    /// True for a conformance echo: its queue is bounded by back-pressure alone, since one message may be 16 MiB.
    public var isEcho: Bool {
        if case .echo = application { true } else { false }
    }

    private mutating func heard(now: Instant) {
        with { session, _ in session.heard(now: now) }
    }

    /// Changes the session in place, if there is one.
    private mutating func with(_ body: (inout ServerSession, inout SessionLog) -> Void) {
        guard case .session(var session) = application else { return }
        application = nil
        body(&session, &log)
        application = .session(session)
    }

    /// The peer will send nothing more (or the socket broke): no tablet talks on with half a connection.
    public mutating func endOfInput(now: Moment, effects: inout [Effect]) {
        if webSocket != nil {
            endSession(.lost, effects: &effects)
            // After both close frames the end is as it should be, and our answer may still be on its way.
            if webSocket?.isFinished == false { isAborted = true }
        } else {
            http?.endOfInput()
        }
    }

    // MARK: HTTP

    private mutating func handle(
        _ request: HTTPRequest, now: Moment, output: inout ByteBuffer, effects: inout [Effect],
        admits: (IPAddress) -> APIError?
    ) {
        requestCount += 1
        requestID = RequestID(request.headers, connection: id, count: requestCount)
        origin = settings.crossOrigin.listedOrigin(of: request)
        do throws(APIError) {
            if let refusal { throw refusal }
            if let proxy, let client = settings.trustedProxies.client(of: request.headers, from: proxy) {
                forwardedFor = client
                if let refusal = admits(client) { throw refusal }
            }
            if request.method == .options { return respond(try options(request), now: now, output: &output) }
            let route = try router.route(request.method, request.path)
            switch route {
            case .webSocket(let client, let restaurant):
                try upgrade(request, client, restaurant, now: now, output: &output, effects: &effects)
            case .echo where request.method == .get:
                try upgradeToEcho(request, now: now, output: &output)
            case .echo:
                var response = HTTPResponse(status: 200, body: request.body)
                response.headers.append("Content-Type", "application/octet-stream")
                respond(response, now: now, output: &output)
            case .metrics where place == .remote || place == .local && request.isForwarded:
                throw APIError(
                    .permissionDenied,
                    "Metrics are for programs on this machine that ask directly; for others set FYNLO_ADMIN_LISTEN.")
            case .metrics, .diagnostics, .closeConnection, .echoJSON, .menu, .menuCategories, .invalidateMenuCache,
                .orders, .createOrder, .order,
                .updateOrderStatus, .events, .postNotification, .health, .healthLive, .healthReady, .openAPI:
                var request = request
                request.id = requestID
                effects.append(.respond(request, route))
            }
        } catch {
            respond(with: error, now: now, output: &output, effects: &effects)
        }
    }

    /// The answer to the request under way.
    public mutating func deliver(response: HTTPResponse, now: Moment, output: inout ByteBuffer) {
        guard http?.isAwaitingResponse == true else { return }
        respond(response, now: now, output: &output)
    }

    private mutating func respond(
        with error: APIError, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        effects.append(.refused(error.code))
        if requestID == .none {
            // The request was never readable.
            requestCount += 1
            requestID = .counted(id, requestCount)
        }
        if refusal != nil { http?.close() }
        respond(error.response, now: now, output: &output)
    }

    private mutating func respond(_ response: HTTPResponse, now: Moment, output: inout ByteBuffer) {
        var response = response
        if response.status != 101 {
            settings.crossOrigin.permit(origin, to: &response)
            forwardedFor = nil
        }
        http?.respond(response, id: requestID, now: now, output: &output)
        requestID = .none
        origin = nil
    }

    private var router: Router { place == .operations ? settings.operationsRouter : settings.router }

    /// What a path takes. The router refuses OPTIONS by naming the methods there are.
    private func options(_ request: HTTPRequest) throws(APIError) -> HTTPResponse {
        if request.path == "*" { return HTTPResponse(status: 204) }
        do {
            _ = try router.route(.options, request.path)
            return HTTPResponse(status: 204)
        } catch {
            guard let methods = error.allowedMethods else { throw error }
            return settings.crossOrigin.options(request, methods: methods)
        }
    }

    // MARK: Upgrade

    private mutating func upgrade(
        _ request: HTTPRequest, _ client: ClientType, _ restaurant: RestaurantID, now: Moment,
        output: inout ByteBuffer, effects: inout [Effect]
    ) throws(APIError) {
        let upgrade = try acceptUpgrade(request)
        let host = request.headers.first("host")
        guard request.headers.values("origin").allSatisfy({ settings.allows(origin: $0, host: host) }) else {
            throw APIError(
                .originRefused, "Pages of this origin may not connect; the operator lists those that may.")
        }
        guard admitsUpgrades else { throw AdmissionControl.full }
        var session = ServerSession(
            connection: id, restaurant: restaurant, client: client, settings: settings, now: now)
        let token = settings.allowsQueryToken ? try QueryParameters(request).text("token") : nil
        // From here on nothing is refused any more: what began is counted until its sessionEnded.
        effects.append(.upgraded)
        log.trace.note(.upgrade, at: now.instant)
        if let token, !token.isEmpty { session.authenticate(queryToken: token, log: &log, effects: &effects) }
        switchProtocols(
            upgrade, .session(session), messageBytes: settings.limits.unauthenticatedMessageBytes, now: now,
            output: &output)
    }

    private mutating func upgradeToEcho(
        _ request: HTTPRequest, now: Moment, output: inout ByteBuffer
    ) throws(APIError) {
        switchProtocols(
            try acceptUpgrade(request), .echo, messageBytes: 16 << 20, now: now, output: &output)
    }

    private func acceptUpgrade(_ request: HTTPRequest) throws(APIError) -> WebSocketUpgrade {
        guard request.headers.tokens("upgrade").contains("websocket") else {
            throw APIError(.upgradeRequired, "This path is a WebSocket; connect with an RFC 6455 upgrade.")
        }
        do throws(WebSocketError) {
            return try WebSocketHandshake.accept(
                { request.headers.values($0) }, method: request.method.name,
                isHTTP11OrLater: request.version == .http11, protocols: ["fynlo.v1"])
        } catch {
            throw APIError(
                error.status == 426 ? .upgradeRequired : .invalidRequest, error.sentence, status: error.status)
        }
    }

    private mutating func switchProtocols(
        _ upgrade: WebSocketUpgrade, _ application: Application, messageBytes: Int, now: Moment,
        output: inout ByteBuffer
    ) {
        var response = HTTPResponse(status: 101)
        response.headers.append("Upgrade", "websocket")
        response.headers.append("Connection", "Upgrade")
        response.headers.append("Sec-WebSocket-Accept", upgrade.acceptKey)
        if let selected = upgrade.selectedProtocol { response.headers.append("Sec-WebSocket-Protocol", selected) }
        respond(response, now: now, output: &output)
        http = nil
        webSocket = WebSocketConnection(
            role: .server, maximumMessageBytes: messageBytes, closeTimeout: settings.limits.closeTimeout)
        self.application = application
    }

    // MARK: Answers to effects

    /// The outcome of Effect.authenticate. What the tablet sent meanwhile is still in the input: call `receive` next.
    public mutating func deliver(
        authentication outcome: AuthenticationOutcome, now: Moment, output: inout ByteBuffer,
        effects: inout [Effect]
    ) {
        withSession(now: now, output: &output) { session, log, output in
            session.deliver(authentication: outcome, now: now, output: &output, log: &log, effects: &effects)
        }
        if user != nil { webSocket?.maximumMessageBytes = settings.limits.messageBytes }
    }

    /// The outcome of Effect.reauthenticate.
    public mutating func deliver(
        reauthentication outcome: ReauthenticationOutcome, now: Moment, output: inout ByteBuffer,
        effects: inout [Effect]
    ) {
        withSession(now: now, output: &output) { session, log, output in
            session.deliver(reauthentication: outcome, now: now, output: &output, log: &log, effects: &effects)
        }
    }

    /// The answer to Effect.storage.
    public mutating func deliver(
        command answer: CommandAnswer, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        withSession(now: now, output: &output) { session, log, output in
            session.deliver(command: answer, now: now, output: &output, log: &log, effects: &effects)
        }
    }

    /// A whole frame for every tablet of the restaurant: an event with its number, or a transient one without.
    public mutating func deliver(
        frame: ByteBuffer, sequence: EventSequence?, now: Moment, output: inout ByteBuffer
    ) {
        withSession(now: now, output: &output) { session, log, output in
            session.deliver(frame: frame, sequence: sequence, now: now, output: &output, log: &log)
            return nil
        }
    }

    /// The number after which the tablet is still to be sent what it missed; `nil` once it has caught up.
    public var replayPosition: EventSequence? {
        if case .session(let session) = application { session.replayPosition } else { nil }
    }

    /// An answer to Effect.replay.
    public mutating func deliver(replay: Replay, now: Moment, output: inout ByteBuffer) {
        withSession(now: now, output: &output) { session, log, output in
            session.deliver(replay: replay, now: now, output: &output, log: &log)
            return nil
        }
    }

    // MARK: Time and the end

    /// Does what is due.
    public mutating func tick(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        if webSocket != nil {
            if webSocket?.tick(now: now) == true { isAborted = true }
            withSession(now: now, output: &output) { session, log, output in
                session.tick(now: now, output: &output, log: &log, effects: &effects)
            }
        } else if case .failed(let error) = http?.tick(now: now) {
            respond(with: APIError(error), now: now, output: &output, effects: &effects)
        }
    }

    /// The server ends the connection: an idle HTTP connection at once, one with a request under way after its answer, a
    /// WebSocket by the closing handshake.
    public mutating func close(
        _ reason: CloseReason, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        if webSocket != nil {
            endSession(.closed(reason), effects: &effects)
            webSocketClose(reason, now: now, output: &output)
        } else {
            http?.close()
        }
    }

    /// As `close`, because the server is going away; a tablet is told to come back after `retryAfter`, and stays for the
    /// answer to the command that is with storage.
    public mutating func leave(
        retryAfter: Duration, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        if webSocket == nil { http?.leave(now: now.instant) }
        guard case .session = application else {
            if webSocket != nil { close(.goingAway, now: now, output: &output, effects: &effects) }
            return
        }
        withSession(now: now, output: &output) { session, log, output in
            session.leave(retryAfter: retryAfter, now: now, output: &output, log: &log, effects: &effects)
        }
    }

    /// The socket is gone: the session ends without another byte.
    public mutating func abandon(effects: inout [Effect]) {
        endSession(.lost, effects: &effects)
        isAborted = true
    }

    private mutating func endSession(_ end: SessionEnd, effects: inout [Effect]) {
        with { session, _ in session.end(end, effects: &effects) }
    }

    private mutating func webSocketClose(_ reason: CloseReason, now: Moment, output: inout ByteBuffer) {
        log.trace.note(.closeSent, at: now.instant)
        webSocket?.close(code: reason.code, reason: reason.sentence.description, now: now, output: &output)
    }

    private mutating func withSession(
        now: Moment, output: inout ByteBuffer,
        _ body: (inout ServerSession, inout SessionLog, inout ByteBuffer) -> CloseReason?
    ) {
        guard case .session(var session) = application else { return }
        application = nil
        let reason = body(&session, &log, &output)
        application = .session(session)
        if let reason { webSocketClose(reason, now: now, output: &output) }
    }
}
