// From the socket to the stack: how much is read when, what is kept until it can be used, and what arrives encrypted.

import FynloCore
import FynloIO

extension ClientConnection {
    func ready(_ readiness: Readiness, now: Moment) {
        guard isOpen else { return }
        if transport == .paused, interest.contains(.read) { return unwatch(readiness) }
        // This is told even to those who did not ask: the connection has failed in both directions, and nobody waits for an
        // answer. It would be told in every turn.
        if readiness.contains(.hangup), !canRead, !queue.isLingering { return abort() }
        if readiness.contains(.write) { advance(.again) }
        guard isOpen, readiness.contains(.read) || readiness.contains(.hangup) else { return }
        if readiness.contains(.hangup) { set(.isHungUp, to: true) }
        if queue.isLingering {
            drain()
        } else if isWaitingToRead || isHeldBack || allowance.isSpent(now: now.instant) {
            hub.readLater(self)
        } else {
            read(now, limit: ClientConnection.promptBytes)
        }
    }

    /// What comes while an answer is awaited is read after it. That a connection has failed is told again.
    private func unwatch(_ readiness: Readiness) {
        interest.remove(.read)
        hub.loop.setInterest(interest, for: token)
        if readiness.contains(.write) { advance(.again) }
    }

    /// Its turn has come to be read from.
    func readInTurn() {
        if isHeldBack {
            set(.isBusy, to: true)
            readLeftover()
            set(.isBusy, to: false)
            advance()
        } else {
            read(hub.loop.now, limit: ClientConnection.readBytesPerTurn)
        }
    }

    /// True while there is room for what the peer says, and for the answers to it.
    var canRead: Bool {
        guard transport == .open else { return false }
        let status = queue.status
        return !status.isLingering && status.count + encryptedBytes < ClientConnection.backPressureBytes
    }

    // MARK: The socket

    /// Reads once. The answers are written at once, while they are in the processor's cache.
    func read(_ now: Moment, limit: Int) {
        guard isOpen, canRead else { return }
        // Handshakes are expensive: those beyond a turn's share wait for the next turn, which finds them ready again.
        if let tls = extras?.tls, !tls.isEstablished, !hub.takeHandshake() { return }
        var input = hub.buffers.borrowForReading()
        set(.isBusy, to: true)
        do {
            try read(into: &input, now, limit: limit)
        } catch let error as TLSError {
            endTLS(error)
        } catch {
            abort()
        }
        set(.isBusy, to: false)
        hub.buffers.returnFromReading(input)
        advance(marks[.isFlushScheduled] ? .atEndOfTurn : .now)
    }

    private func read(into input: inout ByteBuffer, _ now: Moment, limit: Int) throws {
        let leftoverIs = takeLeftover(&input)
        switch try receive(into: &input, limit: limit) {
        case .bytes(let count):
            hub.metrics.bytesReceived &+= UInt64(count)
            allowance.spend(count, now: now.instant)
            process(&input, now: now)
            noteEndOfTLS()
        case .endOfStream:
            process(&input, now: now)
            // Requests that are left are answered before the end is read again.
            if !hasUnread { endOfInput() }
        case .wouldBlock:
            keep(input, leftoverIs)
            if marks[.isHungUp] { abort() }
        }
    }

    /// Reads once; with TLS, what was read is decrypted.
    private func receive(into input: inout ByteBuffer, limit: Int) throws -> Socket.Received {
        guard let extras, let tls = extras.tls else {
            return try Socket.receive(socket, into: &input, limit: limit)
        }
        var encrypted = hub.buffers.borrowForCiphertext()
        defer { hub.buffers.returnFromCiphertext(encrypted) }
        let received = try Socket.receive(socket, into: &encrypted, limit: limit)
        guard case .bytes = received else { return received }
        if extras.isUntouched {
            extras.isUntouched = false
            if UInt8(ascii: "A")...UInt8(ascii: "Z") ~= encrypted[0] {
                servePlainRefusal()
                input.append(encrypted)
                return received
            }
        }
        try tls.receive(&encrypted, plaintext: &input, output: &extras.ciphertext)
        return received
    }

    // MARK: TLS

    /// TLS cannot go on. What OpenSSL has to say to the peer is an alert of a few bytes: it is written if it can be at
    /// once. A peer that could not finish its handshake gets the time to read it.
    private func endTLS(_ error: TLSError) {
        let wasEstablished = extras?.tls?.isEstablished == true
        hub.log.info(
            "tls_failed",
            ["connection": id.uuid.description, "client": clientAddress, "error": error.description])
        if let extras {
            _ = try? Socket.send(socket, from: &extras.ciphertext)
            extras.ciphertext = ByteBuffer()
            extras.tls = nil
        }
        if wasEstablished { abort() } else { linger() }
    }

    /// A method's name where a TLS record should begin: the peer speaks plain HTTP, and is told so in plain HTTP.
    private func servePlainRefusal() {
        extras?.tls = nil
        stack = ProtocolStack(
            id: id, settings: hub.settings,
            refusal: APIError(
                .invalidRequest, "This port speaks TLS only; connect with https:// or wss://.", status: 400),
            now: hub.loop.now)
    }

    /// The peer may have said, in TLS, that it will send nothing more.
    private func noteEndOfTLS() {
        if extras?.tls?.isInputEnded == true, !hasUnread { endOfInput() }
    }

    // MARK: The stack

    /// Hands what arrived to the stack, and keeps what that leaves.
    private func process(_ input: inout ByteBuffer, now: Moment) {
        let limit = ClientConnection.backPressureBytes
        var leftoverIs = Leftover.incomplete
        withStack { stack, output, effects in
            let queued = output.count
            stack.receive(&input, now: now, output: &output, outputLimit: limit, effects: &effects) { client in
                releaseCount()
                counted = .client
                extra().client = client
                return hub.occupy(client)
            }
            allowance.spend(output.count - queued, now: now.instant)
            if output.count >= limit {
                leftoverIs = .heldBack
            } else if stack.transport == .paused {
                leftoverIs = .unread
            }
        }
        keep(input, leftoverIs)
    }

    // MARK: Leftovers

    private var hasLeftover: Bool { extras.map { !$0.leftover.isEmpty } ?? false }

    /// True while there are requests that wait until the answers to earlier ones are written.
    private var isHeldBack: Bool { extras?.leftoverIs == .heldBack }

    /// True while more is left than the beginning of a message.
    private var hasUnread: Bool { extras.map { $0.leftoverIs != .incomplete } ?? false }

    private func keep(_ input: ByteBuffer, _ leftoverIs: Leftover) {
        guard isOpen, !input.isEmpty else { return }
        let extras = extra()
        extras.leftover = ByteBuffer(input.bytes())
        extras.leftoverIs = leftoverIs
    }

    /// Moves what was left to the end of `input`, and says what it was.
    private func takeLeftover(_ input: inout ByteBuffer) -> Leftover {
        guard let extras, !extras.leftover.isEmpty else { return .incomplete }
        defer { extras.leftoverIs = .incomplete }
        if input.isEmpty, input.capacity == 0 { swap(&input, &extras.leftover) } else { input.append(extras.leftover) }
        extras.leftover = ByteBuffer()
        return extras.leftoverIs
    }

    /// True when what was left unread can be used at once. A connection that has used up its allowance is held back until
    /// what is queued is written.
    var mayReadOn: Bool {
        guard let extras, extras.leftoverIs == .unread, canRead else { return false }
        guard allowance.isSpent(now: hub.loop.now.instant) else { return true }
        extras.leftoverIs = .heldBack
        return false
    }

    /// Uses what was left.
    func readLeftover() {
        guard hasLeftover, canRead else { return }
        var input = ByteBuffer()
        _ = takeLeftover(&input)
        process(&input, now: hub.loop.now)
        noteEndOfTLS()
    }

    /// Has what is held back used when the others have been served.
    func takeTurn() {
        if isHeldBack, queuedBytes == 0, canRead { hub.readLater(self) }
    }
}
