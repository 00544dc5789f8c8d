// The calls to the protocol stack: what arrived, the answers to its effects, and the end that somebody else decided on.

import FynloCore
import FynloIO

extension ClientConnection {
    /// Calls the stack with the queue's bytes, carries out its effects, and does what it decided about the socket.
    ///
    /// The decision is asked for while the stack is being changed, and kept. To read a computed property of a value that
    /// belongs to a class, the value is copied first, with a count for each thing that it refers to, and each access to a
    /// property that is also changed in place is checked at run time. Both together were half of a message's cost.
    func withStack(_ body: (inout ProtocolStack, inout ByteBuffer, inout [Effect]) -> Void) {
        guard isOpen else { return }
        var effects: [Effect] = []
        var output = queue.lend()
        if output.capacity == 0 { output = hub.buffers.borrowForOutput() }
        let wasWebSocket = queue.isFramed
        let mayUpgrade = wasWebSocket || hub.admitsUpgrades
        var isWebSocket = wasWebSocket
        let deadline = change(&stack) { stack in
            if !wasWebSocket { stack.admitsUpgrades = mayUpgrade }
            body(&stack, &output, &effects)
            transport = stack.transport
            isWebSocket = stack.isWebSocket
            return stack.nextDeadline
        }
        queue.giveBack(output)
        if isWebSocket, !wasWebSocket {
            queue.beginFrames()
            since = hub.loop.now.instant
        }
        if counted == .client, stack.forwardedFor == nil { releaseCount() }
        wake(by: deadline)
        if !effects.isEmpty { carryOut(effects) }
        advance()
    }

    /// What is answered at once changes the connection again; what follows from that is done when all of them are carried out.
    private func carryOut(_ effects: [Effect]) {
        let wasBusy = marks[.isBusy]
        set(.isBusy, to: true)
        for effect in effects { hub.carryOut(effect, self) }
        set(.isBusy, to: wasBusy)
    }

    @inline(__always)
    private func change<Answer>(
        _ stack: inout ProtocolStack, _ body: (inout ProtocolStack) -> Answer
    ) -> Answer {
        body(&stack)
    }

    // MARK: Answers

    /// The answer to a request.
    func deliver(response: HTTPResponse) {
        let now = hub.loop.now
        withStack { stack, output, _ in
            let queued = output.count
            stack.deliver(response: response, now: now, output: &output)
            allowance.spend(output.count - queued, now: now.instant)
        }
    }

    /// The outcome of an authentication.
    func deliver(authentication outcome: AuthenticationOutcome) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            if case .accepted = outcome { since = now.instant }
            stack.deliver(authentication: outcome, now: now, output: &output, effects: &effects)
        }
    }

    /// The outcome of a `reauth`.
    func deliver(reauthentication outcome: ReauthenticationOutcome) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            stack.deliver(reauthentication: outcome, now: now, output: &output, effects: &effects)
        }
    }

    /// The answer to a command.
    func deliver(command answer: CommandAnswer) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            stack.deliver(command: answer, now: now, output: &output, effects: &effects)
        }
    }

    // MARK: Events

    /// What is to be done after a frame was handed over.
    enum Delivery {
        case nothing
        /// `flush` at the end of the turn.
        case flush
        /// `advance`: there is more queued than a tablet should leave unread.
        case advance
    }

    /// Takes a frame that every tablet of the restaurant is sent. By far the most frequent call: it changes neither what
    /// becomes of the socket nor a deadline, and leaves the rest to the hub.
    func take(frame: ByteBuffer, sequence: EventSequence?, now: Moment) -> Delivery {
        guard isOpen else { return .nothing }
        var output = queue.lend()
        let wasEmpty = output.isEmpty
        change(&stack) { $0.deliver(frame: frame, sequence: sequence, now: now, output: &output) }
        queue.giveBack(output, isShared: wasEmpty && !output.isEmpty)
        let queued = queuedBytes
        if queued >= ClientConnection.backPressureBytes || queued > hub.settings.limits.sendQueueBytes {
            return .advance
        }
        guard !marks[.isFlushScheduled], !marks[.isBusy], wantsFlush else { return .nothing }
        set(.isFlushScheduled, to: true)
        return .flush
    }

    /// A part of what the tablet missed.
    func deliver(replay: Replay) {
        let now = hub.loop.now
        withStack { stack, output, _ in stack.deliver(replay: replay, now: now, output: &output) }
    }

    /// The number after which the tablet is still to be sent what it missed; `nil` when it has caught up.
    var replayPosition: EventSequence? { stack.replayPosition }

    /// True when there is room for more of what the tablet missed.
    var takesMore: Bool { queuedBytes < ClientConnection.replayBytesAhead }

    // MARK: The end

    /// Ends the connection with a reason.
    func close(_ reason: CloseReason) {
        let now = hub.loop.now
        withStack { stack, output, effects in
            stack.close(reason, now: now, output: &output, effects: &effects)
        }
    }

    /// Ends the connection because the server is leaving; a tablet is told to come back after `retryAfter`. A request that
    /// has arrived is answered.
    func leave(retryAfter: Duration) {
        let now = hub.loop.now
        if !isWebSocket { read(now, limit: ClientConnection.promptBytes) }
        withStack { stack, output, effects in
            stack.leave(retryAfter: retryAfter, now: now, output: &output, effects: &effects)
        }
    }

    /// The peer will send nothing more.
    func endOfInput() {
        withStack { [now = hub.loop.now] stack, _, effects in stack.endOfInput(now: now, effects: &effects) }
    }
}
