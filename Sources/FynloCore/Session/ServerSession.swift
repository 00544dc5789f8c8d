// One tablet's conversation with the server, from the upgrade on: authenticate first, then talk.
//
//     awaitingAuthentication ──authenticate──► authenticating ──accepted──► active ──┐
//              │ timeout, anything else               │ failed                        │ a CloseReason
//              └──────────────────────────────────────┴──────────────► closed ◄───────┘

/// The session of one WebSocket, on the server's side. Its methods append whole text frames to `output`; one that returns
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
    private var sentLow: UInt32 = 0
    var state: State
    private var sentHigh: UInt8 = 0

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
    public mutating func heard(now: Instant) {
        heartbeat.heard(now: now)
    }

    /// RFC 6455's own ping, which is as good as a message's.
    public mutating func heardPing(now: Instant, log: inout SessionLog) {
        heartbeat.heard(now: now)
        log.counts.pings &+= 1
        log.trace.note(.ping, at: now)
    }

    /// RFC 6455's own pong.
    public mutating func heardPong(now: Instant, log: inout SessionLog) {
        heartbeat.heard(now: now)
        log.counts.others &+= 1
        log.trace.note(.pong, at: now)
    }

    /// A whole text message.
    public mutating func receive(
        _ text: Span<UInt8>, now: Moment, output: inout ByteBuffer, log: inout SessionLog, effects: inout [Effect]
    ) -> CloseReason? {
        heartbeat.heard(now: now.instant)
        switch state {
        case .awaitingAuthentication:
            return receiveFirst(text, now: now, output: &output, log: &log, effects: &effects)
        case .active(let active):
            return receive(text, from: active, now: now, output: &output, log: &log, effects: &effects)
        case .authenticating, .closed:
            return nil
        }
    }

    /// Authenticates by a token that came with the upgrade.
    public mutating func authenticate(queryToken: String, log: inout SessionLog, effects: inout [Effect]) {
        let request = AuthenticationRequest(token: queryToken, user: nil, restaurant: restaurant.description)
        state = .authenticating(lastSequence: nil)
        log.counts.others &+= 1
        effects.append(.authenticate(request, restaurant: restaurant, client: client))
    }

    mutating func receiveFirst(
        _ text: Span<UInt8>, now: Moment, output: inout ByteBuffer, log: inout SessionLog, effects: inout [Effect]
    ) -> CloseReason? {
        guard let envelope = try? settings.decoder.decode(text),
            case .success(.authenticate(let request)) = envelope.message
        else {
            log.counts.unreadable &+= 1
            return fail(.notAuthentication, retryAfter: nil, now: now, output: &output, log: &log, effects: &effects)
        }
        log.counts.others &+= 1
        log.trace.note(.authenticate, at: now.instant)
        guard let request else {
            return fail(.missingData, retryAfter: nil, now: now, output: &output, log: &log, effects: &effects)
        }
        state = .authenticating(lastSequence: request.lastSequence)
        isReturning = request.lastSequence != nil
        effects.append(.authenticate(request, restaurant: restaurant, client: client))
        return nil
    }

    mutating func receive(
        _ text: Span<UInt8>, from active: Active, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) -> CloseReason? {
        let limits = settings.limits
        if let wait = bucket.take(
            now: now.instant, ratePerSecond: limits.messagesPerSecond, burst: limits.messageBurst)
        {
            return refuse(text, retryAfter: wait, now: now, output: &output, log: &log, effects: &effects)
        }
        let envelope: ClientEnvelope
        do {
            envelope = try settings.decoder.decode(text)
        } catch {
            log.counts.unreadable &+= 1
            log.trace.note(.unreadable, at: now.instant)
            sendError(error, id: nil, now: now, output: &output, log: &log, effects: &effects)
            return nil
        }
        switch envelope.message {
        case .success(.ping(let data, let lastSequence, let roundTrip)):
            log.counts.pings &+= 1
            log.trace.note(.ping, at: now.instant)
            if let lastSequence { log.counts.toldSequence = lastSequence }
            if let roundTrip { log.counts.roundTripMilliseconds = roundTrip }
            if let data {
                pong(echo: text.extracting(data), now: now, output: &output)
            } else {
                pong(echo: nil, now: now, output: &output)
            }
        case .success(.pong):
            log.counts.others &+= 1
            log.trace.note(.pong, at: now.instant)
        case .success(.reauthenticate(let token)):
            log.counts.others &+= 1
            log.trace.note(.reauth, at: now.instant)
            reauthenticate(token, active, now: now, output: &output, log: &log, effects: &effects)
        case .success(.authenticate), .success(.orderStatusUpdate), .success(.transient), .failure:
            command(envelope, text, active, now: now, output: &output, log: &log, effects: &effects)
        }
        return nil
    }

    /// A message that is answered under its id.
    mutating func command(
        _ envelope: ClientEnvelope, _ text: Span<UInt8>, _ active: Active, now: Moment, output: inout ByteBuffer,
        log: inout SessionLog,
        effects: inout [Effect]
    ) {
        // Sent again, to another server: what is unanswered when the connection ends always is.
        guard !isLeaving else { return }
        let id: String?
        do {
            id = try settings.decoder.commandID(of: envelope, in: text)
        } catch {
            log.counts.unreadable &+= 1
            log.trace.note(.unreadable, at: now.instant)
            sendError(error, id: nil, now: now, output: &output, log: &log, effects: &effects)
            return
        }
        let refusal: APIError?
        switch envelope.message {
        case .success(.orderStatusUpdate(let update)):
            log.counts.commands &+= 1
            log.trace.note(.command, at: now.instant)
            refusal = submit(
                Command(id: id, work: .updateStatus(update), receivedAt: now.instant), active, now: now,
                output: &output, log: &log, effects: &effects)
        case .success(.transient(let event, let data)):
            log.counts.transients &+= 1
            log.trace.note(.transient, at: now.instant)
            let frame = transientFrame(event, text.extracting(data), active, now: now)
            refusal = submit(
                Command(id: id, work: .relay(frame), receivedAt: now.instant), active, now: now, output: &output,
                log: &log,
                effects: &effects)
        case .success(.authenticate):
            log.counts.others &+= 1
            log.trace.note(.authenticate, at: now.instant)
            refusal = APIError(
                .invalidMessage, "This connection is authenticated already; send reauth to change its token.")
        case .failure(let error):
            log.counts.unreadable &+= 1
            log.trace.note(.unreadable, at: now.instant)
            refusal = error
        case .success(.ping), .success(.pong), .success(.reauthenticate):
            preconditionFailure("these have no id to be answered under")
        }
        if let refusal { sendError(refusal, id: id, now: now, output: &output, log: &log, effects: &effects) }
    }

    /// Over the rate: refused by name, and closed when it goes on.
    mutating func refuse(
        _ text: Span<UInt8>, retryAfter: Duration, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) -> CloseReason? {
        let limits = settings.limits
        log.counts.rateRefusals &+= 1
        log.trace.note(.rateRefusal, at: now.instant)
        let refusals = extras.change(orFrom: Extras()) { extras in
            extras.refusals.removeAll { now.instant - $0 > limits.rateRefusalWindow }
            extras.refusals.append(now.instant)
            return extras.refusals.count
        }
        let id = try? settings.decoder.commandID(of: settings.decoder.decode(text), in: text)
        let error = APIError(
            .rateLimited,
            "More than \(limits.messagesPerSecond) messages per second; wait before you send the next.",
            retryAfter: retryAfter)
        sendError(error, id: id ?? nil, now: now, output: &output, log: &log, effects: &effects)
        return refusals >= limits.rateRefusals ? end(.rateLimited, effects: &effects) : nil
    }

    // MARK: From the restaurant

    /// A whole frame for every tablet of the restaurant: a live event with its number, once each, or a transient message
    /// without.
    public mutating func deliver(
        frame: ByteBuffer, sequence: EventSequence?, now: Moment, output: inout ByteBuffer, log: inout SessionLog
    ) {
        guard case .active(var active) = state else { return }
        if let sequence {
            let verdict = active.cursor.take(live: sequence)
            if verdict == .pass { return }
            state = .active(active)
            if verdict == .gap {
                log.trace.note(.resync, at: now.instant)
                send(.resyncRequired(head: sequence - 1), now: now, output: &output)
            }
        }
        log.trace.note(.event, at: now.instant)
        // To most tablets it is all that is to be sent now: they share its memory.
        if output.isEmpty { output = frame } else { output.append(frame) }
    }

    /// The number after which the tablet is still to be sent what it missed; `nil` once it has caught up.
    public var replayPosition: EventSequence? {
        guard case .active(let active) = state, active.cursor.isReplaying else { return nil }
        return active.cursor.sequence
    }

    /// What the tablet missed, a part at a time; asked for by Effect.replay.
    public mutating func deliver(replay: Replay, now: Moment, output: inout ByteBuffer, log: inout SessionLog) {
        guard case .active(var active) = state, active.cursor.isReplaying else { return }
        switch replay {
        case .events(let events):
            for event in events where active.cursor.take(replayed: event.sequence) { output.append(event.frame) }
        case .finished:
            active.cursor.finishReplay()
        case .lost(let head):
            active.cursor = ResumeCursor(after: max(head, active.cursor.sequence))
        }
        state = .active(active)
        if case .lost = replay {
            log.trace.note(.resync, at: now.instant)
        } else {
            log.trace.note(.replay, at: now.instant)
        }
        if case .lost(let head) = replay { send(.resyncRequired(head: head), now: now, output: &output) }
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
    public mutating func tick(now: Moment, output: inout ByteBuffer, log: inout SessionLog, effects: inout [Effect])
        -> CloseReason?
    {
        switch state {
        case .awaitingAuthentication(let deadline) where now.instant >= deadline:
            return fail(.timeout, retryAfter: nil, now: now, output: &output, log: &log, effects: &effects)
        case .active:
            switch heartbeat.tick(now: now.instant, settings.heartbeat) {
            case .stale: return end(.heartbeatTimeout, effects: &effects)
            case .ping:
                log.trace.note(.serverPing, at: now.instant)
                send(.ping, now: now, output: &output)
            case nil: break
            }
            return tickToken(now: now, output: &output, log: &log, effects: &effects)
        case .awaitingAuthentication, .authenticating, .closed:
            return nil
        }
    }

    mutating func tickToken(
        now: Moment, output: inout ByteBuffer, log: inout SessionLog, effects: inout [Effect]
    ) -> CloseReason? {
        guard case .active(var active) = state else { return nil }
        if now.instant >= active.tokenEnd { return end(.tokenExpired, effects: &effects) }
        if now.instant >= active.warningTime(settings.tokenWarning) {
            let left = active.warning == .due ? (active.tokenEnd - now.instant).inMilliseconds : 0
            active.warning = .done
            state = .active(active)
            log.trace.note(.tokenWarning, at: now.instant)
            send(.tokenExpiring(seconds: max(0, left / 1000)), now: now, output: &output)
        }
        return nil
    }

    // MARK: The end

    /// The server is going away: the tablet is told when its turn has come to come back. Returns the reason to close with at
    /// once; `nil` while a command is with storage, whose answer is the last thing it is told. Those that wait behind it
    /// are not begun: it sends them again.
    public mutating func leave(
        retryAfter: Duration, now: Moment, output: inout ByteBuffer, log: inout SessionLog, effects: inout [Effect]
    ) -> CloseReason? {
        guard case .active = state else { return end(.goingAway, effects: &effects) }
        guard !isLeaving else { return nil }
        isLeaving = true
        log.trace.note(.reconnect, at: now.instant)
        send(.reconnect(retryAfter: retryAfter), now: now, output: &output)
        let isWaitedFor = extras.change { extras in
            extras.commands.dropWaiting()
            return extras.commands.current != nil
        }
        return isWaitedFor != true ? end(.goingAway, effects: &effects) : nil
    }

    /// The server ends the session for a reason, which is returned unless it was over.
    public mutating func end(_ reason: CloseReason, effects: inout [Effect]) -> CloseReason? {
        end(.closed(reason), effects: &effects) ? reason : nil
    }

    /// The session is over; true, and the one effect, the first time.
    @discardableResult
    public mutating func end(_ end: SessionEnd, effects: inout [Effect]) -> Bool {
        if case .closed = state { return false }
        var wasAuthenticated = false
        if case .active = state { wasAuthenticated = true }
        state = .closed
        extras.clear()
        effects.append(.sessionEnded(restaurant: restaurant, end, wasAuthenticated: wasAuthenticated))
        return true
    }

    mutating func fail(
        _ failure: AuthenticationFailure, retryAfter: Duration?, now: Moment, output: inout ByteBuffer,
        log: inout SessionLog,
        effects: inout [Effect]
    ) -> CloseReason? {
        log.trace.note(.authError, at: now.instant)
        send(.authenticationError(failure, retryAfter: retryAfter), now: now, output: &output)
        return end(.refused(failure), effects: &effects) ? failure.closeReason : nil
    }

    // MARK: Writing

    mutating func nextMessageID() -> MessageID {
        sentLow &+= 1
        if sentLow == 0 { sentHigh &+= 1 }
        return .direct(connection, number: UInt64(sentHigh) << 32 | UInt64(sentLow))
    }

    mutating func send(_ message: ServerMessage, now: Moment, output: inout ByteBuffer) {
        let id = nextMessageID()
        WebSocketFrameEncoder.appendTextFrame(to: &output, mask: nil) { payload in
            MessageEncoder.append(message, id: id, restaurant: restaurant, at: now.unixTime, to: &payload)
        }
    }

    mutating func sendError(
        _ error: APIError, id: String?, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) {
        log.counts.errors &+= 1
        log.trace.note(.error, at: now.instant)
        send(.error(error, id: id), now: now, output: &output)
        effects.append(.refused(error.code))
    }

    mutating func pong(echo: Span<UInt8>?, now: Moment, output: inout ByteBuffer) {
        let id = nextMessageID()
        WebSocketFrameEncoder.appendTextFrame(
            to: &output, payloadAtMost: MessageEncoder.pongBytes + (echo?.count ?? 0)
        ) { payload in
            MessageEncoder.appendPong(echo: echo, id: id, restaurant: restaurant, at: now.unixTime, to: &payload)
        }
    }
}
