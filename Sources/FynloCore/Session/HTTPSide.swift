// A connection while it speaks HTTP: its requests become effects or answers, until one of them upgrades it to a WebSocket.

/// The HTTP half of one connection.
struct HTTPSide: Sendable {
    /// What an upgrade made of the connection.
    enum Upgrade {
        case session(ServerSession)
        /// RFC 6455 echo, for conformance suites.
        case echo
    }

    private let id: ConnectionID
    let settings: SessionSettings
    private let place: ProtocolStack.Origin
    /// The other end of the socket, if it is a trusted proxy.
    private let proxy: IPAddress?
    /// Set for a connection over a limit: the only answer it gets.
    private let refusal: APIError?
    private var connection: HTTPConnection
    /// False while too many WebSockets wait for their authentication: an upgrade is then answered 503.
    var admitsUpgrades = true

    // One request at a time is being answered.
    private var requestID = RequestID.none
    private var requestCount: UInt64 = 0
    /// The page's origin, if it may read the answer.
    private var origin: String?
    /// For whom a trusted proxy sent the request under way, or opened the WebSocket; `nil` between requests.
    private(set) var forwardedFor: IPAddress?

    init(
        id: ConnectionID, settings: SessionSettings, peer: IPAddress?, from place: ProtocolStack.Origin,
        refusal: APIError?, now: Moment
    ) {
        self.id = id
        self.settings = settings
        self.place = place
        proxy = peer.flatMap { settings.trustedProxies.trusts($0) ? $0 : nil }
        self.refusal = refusal
        connection = HTTPConnection(limits: settings.http, now: now.instant)
    }

    // MARK: State

    /// What becomes of the socket.
    var transport: ProtocolStack.Transport {
        if connection.isClosing { return .closing }
        return connection.isAwaitingResponse ? .paused : .open
    }

    /// True while no whole request has come, or none is under way.
    var isStranger: Bool { requestCount == 0 ? !connection.isAwaitingResponse : connection.isIdle }

    /// When `tick` is next due.
    var nextDeadline: Instant? { connection.nextDeadline }

    // MARK: From the peer

    /// Takes requests from the front of `input` until one of them is answered by an upgrade, which is returned.
    mutating func receive(
        _ input: inout ByteBuffer, _ context: inout SessionContext, outputLimit: Int, admits: (IPAddress) -> APIError?
    ) -> Upgrade? {
        while true {
            // An answer may be much longer than its request, and many requests fit in what is read at once.
            guard context.output.count < outputLimit else { return nil }
            guard let event = connection.next(&input, now: context.now, output: &context.output) else { return nil }
            switch event {
            case .failed(let error): respond(with: APIError(error), &context)
            case .request(let request):
                let upgrade = handle(
                    request, &context, admits: admits)
                if let upgrade { return upgrade }
            }
        }
    }

    /// The peer will send nothing more.
    mutating func endOfInput() {
        connection.endOfInput()
    }

    /// Does what is due.
    mutating func tick(_ context: inout SessionContext) {
        if case .failed(let error) = connection.tick(now: context.now) {
            respond(with: APIError(error), &context)
        }
    }

    /// Ends the connection: at once, or after the answer to the request under way.
    mutating func close() {
        connection.close()
    }

    /// Ends the connection as `close` does, but first answers a request that has begun to arrive.
    mutating func leave(now: Instant) {
        connection.leave(now: now)
    }

    private mutating func handle(
        _ request: HTTPRequest, _ context: inout SessionContext, admits: (IPAddress) -> APIError?
    ) -> Upgrade? {
        requestCount += 1
        requestID = RequestID(request.headers, connection: id, count: requestCount)
        origin = settings.crossOrigin.listedOrigin(of: request)
        do throws(APIError) {
            if let refusal { throw refusal }
            if let proxy, let client = settings.trustedProxies.client(of: request.headers, from: proxy) {
                forwardedFor = client
                if let refusal = admits(client) { throw refusal }
            }
            if request.method == .options {
                respond(try options(request), &context)
                return nil
            }
            let route = try router.route(request.method, request.path)
            switch route.endpoint.responder {
            case .session:
                return try upgrade(
                    request, route.client, route.restaurant, &context)
            case .echo where request.method == .get:
                respond(try acceptUpgrade(request).response, &context)
                return .echo
            case .echo:
                var response = HTTPResponse(status: 200, body: request.body)
                response.headers.append("Content-Type", "application/octet-stream")
                respond(response, &context)
            case .handlerForThisMachine where place == .remote || place == .local && request.isForwarded:
                throw APIError(
                    .permissionDenied,
                    "Metrics are for programs on this machine that ask directly; for others set FYNLO_ADMIN_LISTEN.")
            case .handler, .handlerForThisMachine:
                var request = request
                request.id = requestID
                context.effects.append(.respond(request, route))
            }
        } catch {
            respond(with: error, &context)
        }
        return nil
    }

    // MARK: Answers

    /// The answer to the request under way.
    mutating func deliver(response: HTTPResponse, _ context: inout SessionContext) {
        guard connection.isAwaitingResponse else { return }
        respond(response, &context)
    }

    private mutating func respond(
        with error: APIError, _ context: inout SessionContext
    ) {
        context.effects.append(.refused(error.code))
        if requestID == .none {
            // The request was never readable.
            requestCount += 1
            requestID = .counted(id, requestCount)
        }
        if refusal != nil { connection.close() }
        respond(error.response, &context)
    }

    private mutating func respond(_ response: HTTPResponse, _ context: inout SessionContext) {
        var response = response
        if response.status != 101 {
            settings.crossOrigin.permit(origin, to: &response)
            forwardedFor = nil
        }
        connection.respond(response, id: requestID, now: context.now, output: &context.output)
        requestID = .none
        origin = nil
    }

    private var router: Router { place == .operations ? settings.operationsRouter : settings.router }

    /// The methods of a path. The router refuses OPTIONS with an error that names them.
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
        _ request: HTTPRequest, _ client: ClientType, _ restaurant: RestaurantID, _ context: inout SessionContext
    ) throws(APIError) -> Upgrade {
        let upgrade = try acceptUpgrade(request)
        let host = request.headers.first("host")
        guard request.headers.values("origin").allSatisfy({ settings.allows(origin: $0, host: host) }) else {
            throw APIError(
                .originRefused, "Pages of this origin may not connect; the operator lists those that may.")
        }
        guard admitsUpgrades else { throw AdmissionControl.full }
        var session = ServerSession(
            connection: id, restaurant: restaurant, client: client, settings: settings, now: context.now)
        let token = settings.allowsQueryToken ? try QueryParameters(request).text("token") : nil
        // Nothing may be refused from here on: the session is counted until its sessionEnded.
        context.effects.append(.upgraded)
        context.note(.upgrade)
        if let token, !token.isEmpty { session.authenticate(queryToken: token, &context) }
        respond(upgrade.response, &context)
        return .session(session)
    }

    private func acceptUpgrade(_ request: HTTPRequest) throws(APIError) -> WebSocketUpgrade {
        guard request.headers.hasToken("websocket", in: "upgrade") else {
            throw APIError(.upgradeRequired, "This path is a WebSocket; connect with an RFC 6455 upgrade.")
        }
        do throws(WebSocketError) {
            return try WebSocketHandshake.accept(request, protocols: ["fynlo.v1"])
        } catch {
            throw APIError(
                error.status == 426 ? .upgradeRequired : .invalidRequest, error.sentence, status: error.status)
        }
    }
}
