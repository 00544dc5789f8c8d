// The restaurant's events on their way to the tablet: each once, in order, live or replayed.

extension ServerSession {
    /// What to do with a frame for every tablet of the restaurant: a live event with its number, which is sent once, or a
    /// transient message without.
    mutating func admit(sequence: EventSequence?) -> ResumeCursor.Verdict {
        guard case .active(var active) = state else { return .pass }
        guard let sequence else { return .next }
        let verdict = active.cursor.take(live: sequence)
        if verdict != .pass { state = .active(active) }
        return verdict
    }

    /// The number after which the tablet is still to be sent what it missed; `nil` once it has caught up.
    public var replayPosition: EventSequence? {
        guard case .active(let active) = state, active.cursor.isReplaying else { return nil }
        return active.cursor.sequence
    }

    /// What the tablet missed, a part at a time; asked for by Effect.replay.
    mutating func deliver(replay: Replay, _ context: inout SessionContext) {
        guard case .active(var active) = state, active.cursor.isReplaying else { return }
        switch replay {
        case .events(let events):
            for event in events where active.cursor.take(replayed: event.sequence) {
                context.output.append(event.frame)
            }
        case .finished:
            active.cursor.finishReplay()
        case .lost(let head):
            active.cursor = ResumeCursor(after: max(head, active.cursor.sequence))
        }
        state = .active(active)
        if case .lost = replay {
            context.note(.resync)
        } else {
            context.note(.replay)
        }
        if case .lost(let head) = replay { send(.resyncRequired(head: head), &context) }
    }
}
