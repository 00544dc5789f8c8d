// What asks for an effect: one at a time with storage, in order, each answered under its id.

extension ServerSession {
    /// Returns the refusal of a command that cannot be taken.
    mutating func submit(
        _ command: Command, _ active: Active, _ context: inout SessionContext
    ) -> APIError? {
        let limit = settings.limits.waitingCommands
        switch enqueue(command, limit: limit) {
        case .starts:
            begin(command, active, &context)
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
        _ command: Command, _ active: Active, _ context: inout SessionContext
    ) {
        switch command.work {
        case .updateStatus(let update):
            context.effects.append(
                .storage(
                    .updateOrderStatus(update, restaurant: restaurant, user: active.user, messageID: command.id),
                    receivedAt: command.receivedAt))
        case .relay(let frame):
            context.effects.append(.broadcast(frame, restaurant: restaurant, receivedAt: command.receivedAt))
            acknowledge(command, sequence: nil, &context)
        }
    }

    mutating func acknowledge(
        _ command: Command, sequence: EventSequence?, _ context: inout SessionContext
    ) {
        guard let id = command.id else { return }
        context.note(.acknowledgement)
        send(.acknowledgement(id: id, sequence: sequence), &context)
    }

    /// The answer of storage to the current command.
    mutating func deliver(
        command answer: CommandAnswer, _ context: inout SessionContext
    ) -> CloseReason? {
        guard case .active(let active) = state, let current = extras.read({ $0.commands.current }) ?? nil
        else { return nil }
        take(answer, to: current, active, &context)
        return isLeaving ? end(.goingAway, effects: &context.effects) : nil
    }

    mutating func take(
        _ answer: CommandAnswer, to current: Command, _ active: Active, _ context: inout SessionContext
    ) {
        switch answer {
        case .done(let sequence):
            acknowledge(current, sequence: sequence, &context)
        case .refused(let error) where error.code == .unavailable || error.code == .queryTimeout:
            for command in extras.change({ $0.commands.abandon() }) ?? [] {
                sendError(.unavailable, id: command.id, &context)
            }
            return
        case .refused(let error):
            sendError(error, id: current.id, &context)
        }
        for command in extras.change({ $0.commands.finish() }) ?? [] {
            begin(command, active, &context)
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
