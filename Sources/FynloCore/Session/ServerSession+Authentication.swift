// Who the tablet is, for how long that is believed, and where it joins its restaurant's stream.

extension ServerSession {
    /// The outcome of `authenticate`.
    mutating func deliver(
        authentication outcome: AuthenticationOutcome, _ context: inout SessionContext
    ) -> CloseReason? {
        guard case .authenticating(let lastSequence) = state else { return nil }
        switch outcome {
        case .failed(let failure, let retryAfter):
            return fail(failure, retryAfter: retryAfter, &context)
        case .accepted(let identity):
            heartbeat.heard(now: context.now.instant)
            let cursor = startingCursor(identity, lastSequence)
            var active = Active(
                user: identity.user, tokenEnd: context.now.instant, cursor: cursor, role: identity.role)
            renewToken(
                of: &active, expiresAt: identity.tokenExpiresAt, endsAt: identity.tokenEndsAt, now: context.now)
            state = .active(active)
            context.note(.authenticated)
            let isResumed = lastSequence == cursor.sequence
            sendAuthenticated(
                active, sequence: identity.sequence, tokenExpiresAt: identity.tokenExpiresAt, isResumed: isResumed,
                &context)
            if lastSequence != nil, !isResumed {
                context.note(.resync)
                send(.resyncRequired(head: identity.sequence), &context)
            }
            if cursor.isReplaying { context.effects.append(.replay(restaurant: restaurant)) }
            return tickToken(&context)
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
        _ token: String?, _ active: Active, _ context: inout SessionContext
    ) {
        guard let token, !active.isReauthenticating else {
            context.note(.authError)
            send(.authenticationError(.invalidToken, retryAfter: nil), &context)
            return
        }
        var active = active
        active.isReauthenticating = true
        state = .active(active)
        context.effects.append(.reauthenticate(token: token, user: active.user))
    }

    /// The outcome of `reauth`; after a failure the connection stays up on its old token.
    mutating func deliver(
        reauthentication outcome: ReauthenticationOutcome, _ context: inout SessionContext
    ) -> CloseReason? {
        guard case .active(var active) = state else { return nil }
        active.isReauthenticating = false
        switch outcome {
        case .failed(let failure):
            state = .active(active)
            context.note(.authError)
            send(.authenticationError(failure, retryAfter: nil), &context)
            return nil
        case .accepted(let token):
            let end = token.endOfUse(acceptedAt: context.now.unixTime, leeway: settings.limits.tokenLeeway)
            renewToken(of: &active, expiresAt: token.expiresAt, endsAt: end, now: context.now)
            state = .active(active)
            context.note(.authenticated)
            sendAuthenticated(
                active, sequence: active.cursor.sequence, tokenExpiresAt: token.expiresAt, isResumed: false, &context)
            return tickToken(&context)
        }
    }

    func renewToken(of active: inout Active, expiresAt: UnixTime, endsAt: UnixTime, now: Moment) {
        let left = Duration.milliseconds(endsAt.milliseconds - now.unixTime.milliseconds)
        active.tokenEnd = now.instant + left
        active.warning = expiresAt > now.unixTime ? .due : .overdue
    }

    mutating func sendAuthenticated(
        _ active: Active, sequence: EventSequence, tokenExpiresAt: UnixTime, isResumed: Bool,
        _ context: inout SessionContext
    ) {
        let message = Authenticated(
            user: active.user, restaurant: restaurant, connection: connection.uuid, role: active.role,
            sequence: sequence, heartbeatInterval: settings.limits.heartbeatInterval,
            tokenExpiresAt: tokenExpiresAt, isResumed: isResumed)
        send(.authenticated(message), &context)
    }
}
