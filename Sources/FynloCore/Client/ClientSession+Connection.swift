// How a client's connections begin and end: what a stack tells, what is made of it, and when the next attempt follows.

extension ClientSession {
    mutating func askForToken(isForced: Bool, retries: Bool, effects: inout [Effect]) {
        phase = .awaitingToken(retries: retries)
        if retries { health.reconnecting() }
        effects.append(.token(isForced: isForced))
        tellState(&effects)
    }

    mutating func open(now: Moment, effects: inout [Effect]) {
        stack = ClientStack(
            identity: identity, limits: settings.limits, lastSequence: lastSequence, using: &generator, now: now)
        phase = .up
        isTokenAsked = false
        tokenInUse = identity.token
        effects.append(.open)
        tellState(&effects)
    }

    /// Takes what the stack has told.
    mutating func handle(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        for event in events {
            switch event {
            case .connected(let welcome):
                connected(welcome, now: now, output: &output, effects: &effects)
            case .message(let message):
                received(message, now: now, effects: &effects)
            case .unreadable:
                health.error("unreadable")
            case .pong(let roundTrip, let serverTime):
                health.pong(roundTrip: roundTrip, serverTime: serverTime, now: now)
            case .pongMissed:
                health.pongMissed()
            case .error(let error):
                health.error(error.code)
                effects.append(.tell(.error(error)))
            case .reauthenticated:
                break
            case .reauthenticationRefused(let error):
                health.tokenRefused()
                effects.append(.tell(.error(error)))
            case .answered(let id, let outcome):
                switch outcome {
                case .refused(let error, _): health.error(error.code)
                case .timedOut: health.error("timed_out")
                case .acknowledged: break
                }
                commands.answered(id, outcome, now: now.instant, using: &generator, effects: &effects)
                sendNext(now: now, output: &output, effects: &effects)
            case .closed(let closure):
                lose(closure, now: now, effects: &effects)
            }
        }
        lastSequence = stack?.lastSequence ?? lastSequence
        tellState(&effects)
    }

    mutating func connected(
        _ welcome: Welcome, now: Moment, output: inout ByteBuffer, effects: inout [Effect]
    ) {
        policy.reset()
        refusal = nil
        health.connected(welcome, lastSequence: lastSequence, now: now.instant)
        lastSequence = stack?.lastSequence ?? lastSequence
        tellState(&effects)
        effects.append(.tell(.connect(welcome)))
        // A newer token may have come while this connection was being made.
        _ = reauthenticate(now: now, output: &output)
        sendNext(now: now, output: &output, effects: &effects)
    }

    mutating func received(_ message: ReceivedMessage, now: Moment, effects: inout [Effect]) {
        health.message()
        effects.append(.tell(.message(message)))
        if message.type == "token_expired", !isTokenAsked {
            isTokenAsked = true
            effects.append(.token(isForced: true))
        }
    }

    /// Sends the next command, if there is a connection and no other command is waiting for its answer.
    mutating func sendNext(now: Moment, output: inout ByteBuffer, effects: inout [Effect]) {
        if stack?.state == .connected { commands.sendNext(over: &stack, now: now, output: &output, effects: &effects) }
    }

    // MARK: The end of a connection

    mutating func lose(_ closure: ClientClosure, now: Moment, effects: inout [Effect]) {
        leaveStack(closure: closure, now: now, effects: &effects)
        guard settings.isReconnecting else { return rest(closure, effects: &effects) }
        switch closure.reconnection {
        case .never:
            rest(closure, effects: &effects)
        case .afterDelay(let least):
            retry(closure, atLeast: least, now: now, effects: &effects)
        case .withNewToken:
            health.tokenRefused()
            let error =
                closure.refusal
                ?? ServerError(
                    code: closure.code == CloseReason.tokenExpired.code ? "token_expired" : "authentication_failed",
                    sentence: closure.reason, isRetryable: false, retryAfter: nil)
            if refusal != nil {
                effects.append(.tell(.disconnect(closure, retryIn: nil)))
                effects.append(.tell(.authError(error)))
                return rest(nil, effects: &effects)
            }
            refusal = error
            effects.append(.tell(.disconnect(closure, retryIn: .zero)))
            askForToken(isForced: true, retries: true, effects: &effects)
        }
    }

    /// Lets go of the connection. Commands that were under way wait again, except one that the server could not take.
    mutating func leaveStack(closure: ClientClosure?, now: Moment, effects: inout [Effect]) {
        guard stack != nil else { return }
        lastSequence = stack?.lastSequence ?? lastSequence
        stack = nil
        effects.append(.close)
        health.disconnected(closure, now: now.instant)
        commands.disconnected(closure, effects: &effects)
    }

    mutating func retry(
        _ closure: ClientClosure, atLeast least: Duration? = nil, now: Moment, effects: inout [Effect]
    ) {
        guard settings.isReconnecting else { return rest(closure, effects: &effects) }
        if isNetworkLost {
            phase = .offline
            effects.append(.tell(.disconnect(closure, retryIn: nil)))
            return tellState(&effects)
        }
        if policy.failures == settings.maximumReconnectAttempts {
            effects.append(.tell(.maxReconnectAttempts(policy.failures)))
            if settings.afterMaximum == .stops { return rest(closure, effects: &effects) }
        }
        let delay = max(policy.nextDelay(using: &generator), least ?? .zero)
        phase = .waiting(until: now.instant + delay)
        effects.append(.tell(.disconnect(closure, retryIn: delay)))
        tellState(&effects)
    }

    /// Stops trying. `closure` is told if it has not been told yet.
    mutating func rest(_ closure: ClientClosure?, effects: inout [Effect]) {
        phase = .disconnected
        if let closure { effects.append(.tell(.disconnect(closure, retryIn: nil))) }
        tellState(&effects)
    }

    mutating func tellState(_ effects: inout [Effect]) {
        guard state != toldState else { return }
        toldState = state
        effects.append(.tell(.state(state)))
    }
}
