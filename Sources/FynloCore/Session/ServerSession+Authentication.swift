// Who the tablet is, for how long that is believed, and where it joins its restaurant's stream.

extension ServerSession {
    /// The outcome of `authenticate`.
    public mutating func deliver(
        authentication outcome: AuthenticationOutcome, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) -> CloseReason? {
        guard case .authenticating(let lastSequence) = state else { return nil }
        switch outcome {
        case .failed(let failure, let retryAfter):
            return fail(failure, retryAfter: retryAfter, now: now, output: &output, log: &log, effects: &effects)
        case .accepted(let identity):
            heartbeat.heard(now: now.instant)
            let cursor = startingCursor(identity, lastSequence)
            var active = Active(
                user: identity.user, tokenEnd: now.instant, cursor: cursor, role: identity.role)
            renewToken(
                of: &active, expiresAt: identity.tokenExpiresAt, endsAt: identity.tokenEndsAt, now: now)
            state = .active(active)
            log.trace.note(.authenticated, at: now.instant)
            let isResumed = lastSequence == cursor.sequence
            sendAuthenticated(
                active, sequence: identity.sequence, tokenExpiresAt: identity.tokenExpiresAt, isResumed: isResumed,
                now: now, output: &output)
            if lastSequence != nil, !isResumed {
                log.trace.note(.resync, at: now.instant)
                send(.resyncRequired(head: identity.sequence), now: now, output: &output)
            }
            if cursor.isReplaying { effects.append(.replay(restaurant: restaurant)) }
            return tickToken(now: now, output: &output, log: &log, effects: &effects)
        }
    }

    /// Where a tablet joins the stream: after what it has seen, if that can be continued exactly, else at the newest event.
    func startingCursor(_ identity: AcceptedIdentity, _ lastSequence: EventSequence?) -> ResumeCursor {
        guard let seen = lastSequence, seen >= identity.oldestResumable, seen < identity.sequence,
            identity.sequence - seen <= EventSequence(settings.limits.replayedEvents)
        else { return ResumeCursor(after: identity.sequence) }
        return ResumeCursor(after: seen, isReplaying: true)
    }

    mutating func reauthenticate(
        _ token: String?, _ active: Active, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) {
        guard let token, !active.isReauthenticating else {
            log.trace.note(.authError, at: now.instant)
            send(.authenticationError(.invalidToken, retryAfter: nil), now: now, output: &output)
            return
        }
        var active = active
        active.isReauthenticating = true
        state = .active(active)
        effects.append(.reauthenticate(token: token, user: active.user))
    }

    /// The outcome of `reauth`; after a failure the connection stays up on its old token.
    public mutating func deliver(
        reauthentication outcome: ReauthenticationOutcome, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) -> CloseReason? {
        guard case .active(var active) = state else { return nil }
        active.isReauthenticating = false
        switch outcome {
        case .failed(let failure):
            state = .active(active)
            log.trace.note(.authError, at: now.instant)
            send(.authenticationError(failure, retryAfter: nil), now: now, output: &output)
            return nil
        case .accepted(let token):
            let end = token.endOfUse(acceptedAt: now.unixTime, leeway: settings.limits.tokenLeeway)
            renewToken(of: &active, expiresAt: token.expiresAt, endsAt: end, now: now)
            state = .active(active)
            log.trace.note(.authenticated, at: now.instant)
            sendAuthenticated(
                active, sequence: active.cursor.sequence, tokenExpiresAt: token.expiresAt, isResumed: false, now: now,
                output: &output)
            return tickToken(now: now, output: &output, log: &log, effects: &effects)
        }
    }

    func renewToken(of active: inout Active, expiresAt: UnixTime, endsAt: UnixTime, now: Moment) {
        let left = Duration.milliseconds(endsAt.milliseconds - now.unixTime.milliseconds)
        active.tokenEnd = now.instant + left
        active.warning = expiresAt > now.unixTime ? .due : .overdue
    }

    mutating func sendAuthenticated(
        _ active: Active, sequence: EventSequence, tokenExpiresAt: UnixTime, isResumed: Bool, now: Moment,
        output: inout ByteBuffer
    ) {
        let message = Authenticated(
            user: active.user, restaurant: restaurant, connection: connection.uuid, role: active.role,
            sequence: sequence, heartbeatInterval: settings.limits.heartbeatInterval,
            tokenExpiresAt: tokenExpiresAt, isResumed: isResumed)
        send(.authenticated(message), now: now, output: &output)
    }
}
