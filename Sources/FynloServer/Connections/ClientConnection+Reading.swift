// From the socket to the stack: how much is read when, what is kept until it can be used, and what comes encrypted.

import FynloCore
import FynloIO

extension ClientConnection {
    func ready(_ readiness: Readiness, now: Moment) {
        guard isOpen else { return }
        if transport == .paused, interest.contains(.read) { return unwatch(readiness) }
        // Told without being asked for: the connection has failed in both directions, and nobody waits for an answer. It
        // would be told in every turn.
        if readiness.contains(.hangup), !canRead, !isLingering { return abort() }
        if readiness.contains(.write) { flush() }
        if readiness.contains(.read) || readiness.contains(.hangup) {
            if readiness.contains(.hangup) { isHungUp = true }
            if isLingering {
                drain()
            } else if isWaitingToRead || isHeldBack || allowance.isSpent(now: now.instant) {
                hub.readLater(self)
            } else {
                read(now, limit: ClientConnection.promptBytes)
            }
        }
    }

    /// What came while an answer is awaited is read after it. That a connection has failed is told again.
    func unwatch(_ readiness: Readiness) {
        interest.remove(.read)
        hub.loop.setInterest(interest, for: token)
        if readiness.contains(.write) { flush() }
    }

    /// Its turn has come to be read from.
    func readInTurn() {
        if isHeldBack { readLeftover() } else { read(hub.loop.now, limit: ClientConnection.readBytesPerTurn) }
    }

    func read(_ now: Moment, limit: Int) {
        guard isOpen, canRead else { return }
        // Handshakes are dear: those beyond a turn's share wait for the next turn, which finds them ready again.
        if let tls = extras?.tls, !tls.isEstablished, !hub.takeHandshake() { return }
        var input = hub.buffers.borrowForReading()
        defer { hub.buffers.returnFromReading(input) }
        // Its answers are written at once, while they are in the processor's cache.
        isReading = true
        defer { finishReading() }
        if let extras, !extras.leftover.isEmpty {
            input.append(extras.leftover)
            extras.leftover = ByteBuffer()
        }
        do {
            switch try receive(into: &input, limit: limit) {
            case .bytes(let count):
                hub.metrics.bytesReceived &+= UInt64(count)
                allowance.spend(count, now: now.instant)
                process(&input, now: now)
                noteEndOfTLS()
            case .endOfStream:
                process(&input, now: now)
                // Requests that are held back are answered before the end is read again.
                if !isHeldBack { endOfInput() }
            case .wouldBlock:
                keep(input)
                if isHungUp { abort() }
            }
        } catch let error as TLSError {
            endTLS(error)
        } catch {
            abort()
        }
    }

    func finishReading() {
        isReading = false
        if !isFlushScheduled, wantsFlush { flush() }
    }

    /// Reads once; with TLS, what was read is decrypted.
    func receive(into input: inout ByteBuffer, limit: Int) throws -> Socket.Received {
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

    /// TLS cannot go on. What OpenSSL has to say to the peer is an alert of a few bytes: it is written if it can be at
    /// once. A peer that could not finish its handshake gets the time to read it.
    func endTLS(_ error: TLSError) {
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
    func servePlainRefusal() {
        extras?.tls = nil
        stack = ProtocolStack(
            id: id, settings: hub.settings,
            refusal: APIError(
                .invalidRequest, "This port speaks TLS only; connect with https:// or wss://.", status: 400),
            now: hub.loop.now)
    }

    func process(_ input: inout ByteBuffer, now: Moment) {
        let limit = ClientConnection.backPressureBytes
        withStack { stack, output, effects in
            let queued = output.count
            stack.receive(&input, now: now, output: &output, outputLimit: limit, effects: &effects) { client in
                releaseCount()
                counted = .client
                extra().client = client
                return hub.occupy(client)
            }
            isHeldBack = !input.isEmpty && output.count >= limit
            allowance.spend(output.count - queued, now: now.instant)
        }
        keep(input)
    }

    func keep(_ input: ByteBuffer) {
        guard isOpen, !input.isEmpty else { return }
        extra().leftover = ByteBuffer(input.bytes())
    }

    func endOfInput() {
        withStack { [now = hub.loop.now] stack, _, effects in stack.endOfInput(now: now, effects: &effects) }
    }

    /// The peer may have said, in TLS, that it will send nothing more.
    func noteEndOfTLS() {
        if !isHeldBack, extras?.tls?.isInputEnded == true { endOfInput() }
    }

    /// What was left unread while an answer was awaited, at once or when the others have been served.
    func readOn() {
        guard hasLeftover, canRead else { return }
        if isHeldBack || allowance.isSpent(now: hub.loop.now.instant) {
            isHeldBack = true
            hub.readLater(self)
        } else {
            readLeftover()
        }
    }

    func readLeftover() {
        guard hasLeftover, canRead else { return }
        var input = ByteBuffer()
        if let extras { swap(&input, &extras.leftover) }
        process(&input, now: hub.loop.now)
        noteEndOfTLS()
    }

    var canRead: Bool {
        !isLingering && transport == .open && queuedBytes < ClientConnection.backPressureBytes
    }

    /// What waits to be written.
    var queuedBytes: Int { outbound.count + (extras?.ciphertext.count ?? 0) }
}
