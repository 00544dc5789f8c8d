// The delivery of a tablet's commands: each is stored, sent over the present connection, one at a time, and sent again until
// the server has answered.

/// An outbox and its command that is in flight.
struct CommandSender: Sendable {
    private(set) var outbox: Outbox
    /// Commands that were sent more than once.
    private(set) var resent = 0
    private let limits: ClientLimits
    /// When the next command may be sent again; `nil` for now.
    private var resendAt: Instant?
    private var policy = ReconnectPolicy()

    init(_ outbox: Outbox, limits: ClientLimits) {
        self.outbox = outbox
        self.limits = limits
    }

    /// When `sendNext` next has something to do.
    var nextDeadline: Instant? { resendAt }

    // MARK: In

    /// Takes a command; see `ClientSession.submit`.
    mutating func submit(
        _ type: String, data: String, id: String?, now: UnixTime, using generator: inout some RandomNumberGenerator,
        effects: inout [ClientSession.Effect]
    ) throws(CommandRefusal) -> String {
        if let id, !(1...128).contains(id.utf8.count) || id.utf8.contains(0) { throw .idInvalid }
        guard (try? JSON.scanObject(data.utf8Span.span) { _, _ in }) != nil else { throw .dataNotAnObject }
        let id = id ?? UUID128(random: &generator).description
        guard ClientStack.fits(type: type, data: data, id: id, limits: limits) else {
            throw .tooLarge(limitBytes: limits.sentMessageBytes)
        }
        let record = try outbox.add(OutboxEntry(id: id, type: type, data: data, createdAt: now))
        effects.append(.keep(record))
        return id
    }

    /// The next `count` commands were stored, or could not be, for the reason given.
    mutating func kept(_ count: Int, failure: String?, effects: inout [ClientSession.Effect]) {
        guard let failure else {
            for id in outbox.kept(count) { effects.append(.tell(.command(id: id, .queued))) }
            return
        }
        let error = ServerError(code: "not_stored", sentence: failure, isRetryable: true, retryAfter: nil)
        for entry in outbox.notKept(count, error) {
            effects.append(.tell(.command(id: entry.id, entry.state)))
        }
    }

    // MARK: Out

    /// Sends the next command over an authenticated connection, unless one is in flight.
    mutating func sendNext(
        over stack: inout ClientStack?, now: Moment, output: inout ByteBuffer, effects: inout [ClientSession.Effect]
    ) {
        if let resendAt {
            guard now.instant >= resendAt else { return }
            self.resendAt = nil
        }
        while let next = outbox.next {
            guard !outbox.isTooOld(next, now: now.unixTime) else {
                refuse(next.id, "too_old", "The command waited too long; it was not sent again.", effects: &effects)
                continue
            }
            do throws(CommandRefusal) {
                try stack?.send(next.type, data: next.data, id: next.id, now: now, output: &output)
            } catch {
                refuse(next.id, "not_sent", error.sentence, effects: &effects)
                continue
            }
            outbox.sent()
            effects.append(.tell(.command(id: next.id, .sent)))
            return
        }
    }

    /// The server has answered the command in flight, or taken too long.
    mutating func answered(
        _ id: String, _ outcome: CommandOutcome, now: Instant, using generator: inout some RandomNumberGenerator,
        effects: inout [ClientSession.Effect]
    ) {
        switch outcome {
        case .acknowledged(let sequence, _):
            finish(id, .acknowledged(sequence: sequence), effects: &effects)
        case .refused(let error, _) where error.code == "unavailable" || error.code == "rate_limited":
            // The command may or may not have been carried out: it is sent again before any other.
            requeue(effects: &effects)
            resendAt = now + (error.retryAfter ?? policy.nextDelay(using: &generator))
        case .refused(let error, _):
            finish(id, .refused(error), effects: &effects)
        case .timedOut:
            requeue(effects: &effects)
            resendAt = now + policy.nextDelay(using: &generator)
        }
    }

    /// The connection has ended: the command in flight waits again, unless it was too large for the server.
    mutating func disconnected(_ closure: ClientClosure?, effects: inout [ClientSession.Effect]) {
        resendAt = nil
        if let current = outbox.current, let closure, closure.code == WebSocketCloseCode.messageTooBig {
            refuse(current.id, "message_too_large", closure.reason, effects: &effects)
        } else {
            requeue(effects: &effects)
        }
    }

    private mutating func requeue(effects: inout [ClientSession.Effect]) {
        guard let entry = outbox.requeue() else { return }
        resent += 1
        effects.append(.tell(.command(id: entry.id, .queued)))
    }

    private mutating func refuse(
        _ id: String, _ code: String, _ sentence: String, effects: inout [ClientSession.Effect]
    ) {
        let error = ServerError(code: code, sentence: sentence, isRetryable: false, retryAfter: nil)
        finish(id, .refused(error), effects: &effects)
    }

    private mutating func finish(_ id: String, _ state: CommandState, effects: inout [ClientSession.Effect]) {
        guard outbox.finish(id, state) != nil else { return }
        policy.reset()
        effects.append(.keep(.finished(id: id)))
        effects.append(.tell(.command(id: id, state)))
    }
}
