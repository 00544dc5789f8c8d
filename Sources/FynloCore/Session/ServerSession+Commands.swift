// What asks for an effect: one at a time with storage, in order, each answered under its id.

extension ServerSession {
    /// Returns the refusal of a command that cannot be taken.
    mutating func submit(
        _ command: Command, _ active: Active, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) -> APIError? {
        let limit = settings.limits.waitingCommands
        switch enqueue(command, limit: limit) {
        case .starts:
            begin(command, active, now: now, output: &output, log: &log, effects: &effects)
            return nil
        case .waits:
            return nil
        case .refused:
            return APIError(
                .rateLimited, "\(limit) commands of this connection are waiting; send this one again later.",
                retryAfter: .seconds(1))
        }
    }

    mutating func enqueue(_ command: Command, limit: Int) -> CommandFlow.Submission {
        // With nobody before it, it is over at once.
        if extras.isEmpty, case .relay = command.work { return .starts }
        return extras.change(orFrom: Extras()) { $0.commands.submit(command, limit: limit) }
    }

    mutating func begin(
        _ command: Command, _ active: Active, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) {
        switch command.work {
        case .updateStatus(let update):
            effects.append(
                .storage(
                    .updateOrderStatus(update, restaurant: restaurant, user: active.user, messageID: command.id),
                    receivedAt: command.receivedAt))
        case .relay(let frame):
            effects.append(.broadcast(frame, restaurant: restaurant, receivedAt: command.receivedAt))
            acknowledge(command, sequence: nil, now: now, output: &output, log: &log)
        }
    }

    mutating func acknowledge(
        _ command: Command, sequence: EventSequence?, now: Moment, output: inout ByteBuffer, log: inout SessionLog
    ) {
        guard let id = command.id else { return }
        log.trace.note(.acknowledgement, at: now.instant)
        send(.acknowledgement(id: id, sequence: sequence), now: now, output: &output)
    }

    /// The answer of storage to the current command.
    public mutating func deliver(
        command answer: CommandAnswer, now: Moment, output: inout ByteBuffer, log: inout SessionLog,
        effects: inout [Effect]
    ) -> CloseReason? {
        guard case .active(let active) = state, let current = extras.read({ $0.commands.current }) ?? nil
        else { return nil }
        take(answer, to: current, active, now: now, output: &output, log: &log, effects: &effects)
        return isLeaving ? end(.goingAway, effects: &effects) : nil
    }

    mutating func take(
        _ answer: CommandAnswer, to current: Command, _ active: Active, now: Moment, output: inout ByteBuffer,
        log: inout SessionLog,
        effects: inout [Effect]
    ) {
        switch answer {
        case .done(let sequence):
            acknowledge(current, sequence: sequence, now: now, output: &output, log: &log)
        case .refused(let error) where error.code == .unavailable || error.code == .queryTimeout:
            for command in extras.change({ $0.commands.abandon() }) ?? [] {
                sendError(.unavailable, id: command.id, now: now, output: &output, log: &log, effects: &effects)
            }
            return
        case .refused(let error):
            sendError(error, id: current.id, now: now, output: &output, log: &log, effects: &effects)
        }
        for command in extras.change({ $0.commands.finish() }) ?? [] {
            begin(command, active, now: now, output: &output, log: &log, effects: &effects)
        }
        if extras.read({ $0.commands.current == nil && $0.refusals.isEmpty }) == true { extras.clear() }
    }

    mutating func transientFrame(
        _ event: TransientEventType, _ data: Span<UInt8>, _ active: Active, now: Moment
    ) -> ByteBuffer {
        MessageEncoder.transientFrame(
            event, data: data, user: active.user, id: nextMessageID(), restaurant: restaurant, at: now.unixTime)
    }
}
