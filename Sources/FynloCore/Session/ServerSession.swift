// One tablet's conversation with the server, from the upgrade on: authenticate first, then talk.
//
//     awaitingAuthentication ──authenticate──► authenticating ──accepted──► active ──┐
//              │ timeout, anything else               │ failed                        │ a CloseReason
//              └──────────────────────────────────────┴──────────────► closed ◄───────┘

/// The session of one WebSocket, on the server's side. Its methods append whole text frames to the output; one that returns
/// a reason asks for the connection to be closed with it, and the session is over.
public struct ServerSession: Sendable {
    enum State {
        case awaitingAuthentication(deadline: Instant)
        /// `lastSequence`: how far the tablet says that it has come.
        case authenticating(lastSequence: EventSequence?)
        case active(Active)
        case closed
    }

    /// Small values only: a state's payload is copied when it is written back.
    struct Active {
        // In the order that packs best.
        let user: UserID
        /// The end of use of the token, on the loop's clock.
        var tokenEnd: Instant
        var cursor: ResumeCursor
        let role: Role
        var isReauthenticating = false
        var warning = TokenWarning.due

        /// When to warn of the token's expiry, so many nanoseconds before it; `.never`: that is done.
        func warningTime(_ before: Int64) -> Instant {
            switch warning {
            case .due: Instant(nanoseconds: max(tokenEnd.nanoseconds, 0) - before)
            case .overdue: Instant(nanoseconds: 0)
            case .done: .never
            }
        }
    }

    /// The warning that a token expires.
    enum TokenWarning {
        /// Some time before it does, which is the end of its use.
        case due
        /// It had expired, and is good for the leeway.
        case overdue
        case done
    }

    /// What a tablet has while a command is under way, or that was too fast.
    struct Extras {
        /// Commands that are under way, or wait.
        var commands = CommandFlow()
        /// When messages were refused for their rate, within the window; never more than close it.
        var refusals: [Instant] = []
    }

    // In the order that packs best, and what most do without elsewhere: there is one of these for every tablet.
    public let connection: ConnectionID
    public let restaurant: RestaurantID
    let settings: SessionSettings
    var bucket: TokenBucket
    var extras = OutOfLine<Extras>()
    var heartbeat: Heartbeat
    public let client: ClientType
    /// True for a tablet that had been here before: it said how far it had come.
    public private(set) var isReturning = false
    /// The server is going away, and the tablet knows: it is there for the answer to its last command only.
    var isLeaving = false
    /// How many messages have been sent, in 40 bits: a thousand a second for thirty years.
    var sentLow: UInt32 = 0
    var state: State
    var sentHigh: UInt8 = 0

    public init(
        connection: ConnectionID, restaurant: RestaurantID, client: ClientType, settings: SessionSettings, now: Moment
    ) {
        self.connection = connection
        self.restaurant = restaurant
        self.client = client
        self.settings = settings
        state = .awaitingAuthentication(deadline: now.instant + settings.limits.authenticationTimeout)
        heartbeat = Heartbeat(now: now.instant)
        bucket = TokenBucket(
            now: now.instant, ratePerSecond: settings.limits.messagesPerSecond, burst: settings.limits.messageBurst)
    }

    /// True while the answer to `authenticate` is awaited: what the tablet sends meanwhile is left unread.
    public var isAuthenticating: Bool {
        if case .authenticating = state { true } else { false }
    }

    /// True while nothing has been said but the upgrade.
    public var isAwaitingAuthentication: Bool {
        if case .awaitingAuthentication = state { true } else { false }
    }

    /// Where a session is in its life.
    public enum Phase: String, CaseIterable, Sendable {
        case authenticating, connected, replaying, closing
    }

    /// Where this one is.
    public var phase: Phase {
        switch state {
        case .awaitingAuthentication, .authenticating: .authenticating
        case .active(let active): active.cursor.isReplaying ? .replaying : .connected
        case .closed: .closing
        }
    }

    /// True once it has ended.
    public var isOver: Bool {
        if case .closed = state { true } else { false }
    }

    /// The user, once authenticated.
    public var user: UserID? {
        if case .active(let active) = state { active.user } else { nil }
    }

    /// The bytes that a message may have from now on; `nil` until it is authenticated.
    var messageBytes: Int? { user == nil ? nil : settings.limits.messageBytes }

    /// The last sign of life.
    public var lastHeard: Instant { heartbeat.lastHeard }

    /// The last event that it was sent, or need not be sent; `nil` until it is authenticated.
    public var sentSequence: EventSequence? {
        if case .active(let active) = state { active.cursor.sequence } else { nil }
    }

    // MARK: From the tablet

    /// A sign of life: anything that arrives, also a part of a message.
    mutating func heard(now: Instant) {
        heartbeat.heard(now: now)
    }

    /// RFC 6455's own ping, which is as good as a message's.
    mutating func heardPing(_ context: inout SessionContext) {
        heartbeat.heard(now: context.now.instant)
        context.note(.ping)
    }

    /// RFC 6455's own pong.
    mutating func heardPong(_ context: inout SessionContext) {
        heartbeat.heard(now: context.now.instant)
        context.note(.pong)
    }

    /// A whole text message.
    mutating func receive(
        _ text: Span<UInt8>, _ context: inout SessionContext
    ) -> CloseReason? {
        heartbeat.heard(now: context.now.instant)
        switch state {
        case .awaitingAuthentication:
            return receiveFirst(text, &context)
        case .active(let active):
            return receive(text, from: active, &context)
        case .authenticating, .closed:
            return nil
        }
    }

    /// Authenticates by a token that came with the upgrade.
    mutating func authenticate(queryToken: String, _ context: inout SessionContext) {
        let request = AuthenticationRequest(token: queryToken, user: nil, restaurant: restaurant.description)
        state = .authenticating(lastSequence: nil)
        context.log.counts.count(.authenticate)
        context.effects.append(.authenticate(request, restaurant: restaurant, client: client))
    }

    mutating func receiveFirst(
        _ text: Span<UInt8>, _ context: inout SessionContext
    ) -> CloseReason? {
        guard let envelope = try? settings.decoder.decode(text),
            case .success(.authenticate(let request)) = envelope.message
        else {
            context.log.counts.count(.unreadable)
            return fail(.notAuthentication, retryAfter: nil, &context)
        }
        context.note(.authenticate)
        guard let request else {
            return fail(.missingData, retryAfter: nil, &context)
        }
        state = .authenticating(lastSequence: request.lastSequence)
        isReturning = request.lastSequence != nil
        context.effects.append(.authenticate(request, restaurant: restaurant, client: client))
        return nil
    }

    mutating func receive(
        _ text: Span<UInt8>, from active: Active, _ context: inout SessionContext
    ) -> CloseReason? {
        let limits = settings.limits
        if let wait = bucket.take(
            now: context.now.instant, ratePerSecond: limits.messagesPerSecond, burst: limits.messageBurst)
        {
            // A server that is going away answers no command it has not begun, not even with a refusal: the tablet sends it
            // again, to another server.
            return isLeaving ? nil : refuse(text, retryAfter: wait, &context)
        }
        let envelope: ClientEnvelope
        do {
            envelope = try settings.decoder.decode(text)
        } catch {
            context.note(.unreadable)
            sendError(error, id: nil, &context)
            return nil
        }
        switch envelope.message {
        case .success(.ping(let data, let lastSequence, let roundTrip)):
            context.note(.ping)
            if let lastSequence { context.log.counts.toldSequence = lastSequence }
            if let roundTrip { context.log.counts.roundTripMilliseconds = roundTrip }
            if let data {
                pong(echo: text.extracting(data), &context)
            } else {
                pong(echo: nil, &context)
            }
        case .success(.pong):
            context.note(.pong)
        case .success(.reauthenticate(let token)):
            context.note(.reauth)
            reauthenticate(token, active, &context)
        case .success(.authenticate), .success(.orderStatusUpdate), .success(.transient), .failure:
            command(envelope, text, active, &context)
        }
        return nil
    }

    /// A message that is answered under its id.
    mutating func command(
        _ envelope: ClientEnvelope, _ text: Span<UInt8>, _ active: Active, _ context: inout SessionContext
    ) {
        // Sent again, to another server: what is unanswered when the connection ends always is.
        guard !isLeaving else { return }
        let id: String?
        do {
            id = try settings.decoder.commandID(of: envelope, in: text)
        } catch {
            context.note(.unreadable)
            sendError(error, id: nil, &context)
            return
        }
        let refusal: APIError?
        switch envelope.message {
        case .success(.orderStatusUpdate(let update)):
            context.note(.command)
            refusal = submit(
                Command(id: id, work: .updateStatus(update), receivedAt: context.now.instant), active, &context)
        case .success(.transient(let event, let data)):
            context.note(.transient)
            let frame = transientFrame(event, text.extracting(data), active, now: context.now)
            refusal = submit(
                Command(id: id, work: .relay(frame), receivedAt: context.now.instant), active, &context)
        case .success(.authenticate):
            context.note(.authenticate)
            refusal = APIError(
                .invalidMessage, "This connection is authenticated already; send reauth to change its token.")
        case .failure(let error):
            context.note(.unreadable)
            refusal = error
        case .success(.ping), .success(.pong), .success(.reauthenticate):
            preconditionFailure("these have no id to be answered under")
        }
        if let refusal { sendError(refusal, id: id, &context) }
    }

    /// Over the rate: refused by name, and closed when it goes on.
    mutating func refuse(
        _ text: Span<UInt8>, retryAfter: Duration, _ context: inout SessionContext
    ) -> CloseReason? {
        let limits = settings.limits
        context.note(.rateRefusal)
        let now = context.now.instant
        let refusals = extras.change(orFrom: Extras()) { extras in
            extras.refusals.removeAll { now - $0 > limits.rateRefusalWindow }
            extras.refusals.append(now)
            return extras.refusals.count
        }
        let id = try? settings.decoder.commandID(of: settings.decoder.decode(text), in: text)
        let error = APIError(
            .rateLimited,
            "More than \(limits.messagesPerSecond) messages per second; wait before you send the next.",
            retryAfter: retryAfter)
        sendError(error, id: id ?? nil, &context)
        return refusals >= limits.rateRefusals ? end(.rateLimited, effects: &context.effects) : nil
    }

    // MARK: Time

    /// The next instant at which `tick` has something to do.
    public var nextDeadline: Instant? {
        switch state {
        case .awaitingAuthentication(let deadline): deadline
        case .active(let active):
            min(heartbeat.nextDeadline(settings.heartbeat), active.tokenEnd, active.warningTime(settings.tokenWarning))
        case .authenticating, .closed: nil
        }
    }

    /// Does what is due.
    mutating func tick(_ context: inout SessionContext)
        -> CloseReason?
    {
        switch state {
        case .awaitingAuthentication(let deadline) where context.now.instant >= deadline:
            return fail(.timeout, retryAfter: nil, &context)
        case .active:
            switch heartbeat.tick(now: context.now.instant, settings.heartbeat) {
            case .stale: return end(.heartbeatTimeout, effects: &context.effects)
            case .ping:
                context.note(.serverPing)
                send(.ping, &context)
            case nil: break
            }
            return tickToken(&context)
        case .awaitingAuthentication, .authenticating, .closed:
            return nil
        }
    }

    mutating func tickToken(
        _ context: inout SessionContext
    ) -> CloseReason? {
        guard case .active(var active) = state else { return nil }
        if context.now.instant >= active.tokenEnd { return end(.tokenExpired, effects: &context.effects) }
        if context.now.instant >= active.warningTime(settings.tokenWarning) {
            let left = active.warning == .due ? (active.tokenEnd - context.now.instant).inMilliseconds : 0
            active.warning = .done
            state = .active(active)
            context.note(.tokenWarning)
            send(.tokenExpiring(seconds: max(0, left / 1000)), &context)
        }
        return nil
    }

    // MARK: The end

    /// The server is going away: the tablet is told when its turn has come to come back. Returns the reason to close with at
    /// once; `nil` while a command is with storage, whose answer is the last thing it is told. Those that wait behind it
    /// are not begun: it sends them again.
    mutating func leave(
        retryAfter: Duration, _ context: inout SessionContext
    ) -> CloseReason? {
        guard case .active = state else { return end(.goingAway, effects: &context.effects) }
        guard !isLeaving else { return nil }
        isLeaving = true
        context.note(.reconnect)
        send(.reconnect(retryAfter: retryAfter), &context)
        let isWaitedFor = extras.change { extras in
            extras.commands.dropWaiting()
            return extras.commands.current != nil
        }
        return isWaitedFor != true ? end(.goingAway, effects: &context.effects) : nil
    }

    /// The server ends the session for a reason, which is returned unless it was over.
    mutating func end(_ reason: CloseReason, effects: inout [Effect]) -> CloseReason? {
        end(.closed(reason), effects: &effects) ? reason : nil
    }

    /// The session is over; true, and the one effect, the first time.
    @discardableResult
    mutating func end(_ end: SessionEnd, effects: inout [Effect]) -> Bool {
        if case .closed = state { return false }
        var wasAuthenticated = false
        if case .active = state { wasAuthenticated = true }
        state = .closed
        extras.clear()
        effects.append(.sessionEnded(restaurant: restaurant, end, wasAuthenticated: wasAuthenticated))
        return true
    }

    mutating func fail(
        _ failure: AuthenticationFailure, retryAfter: Duration?, _ context: inout SessionContext
    ) -> CloseReason? {
        context.note(.authError)
        send(.authenticationError(failure, retryAfter: retryAfter), &context)
        return end(.refused(failure), effects: &context.effects) ? failure.closeReason : nil
    }
}
