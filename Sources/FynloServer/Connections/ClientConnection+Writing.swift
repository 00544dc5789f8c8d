// From the stack to the socket: what is written when, what the kernel does not take, and whoever does not read.

import FynloCore
import FynloIO

extension ClientConnection {
    /// As `settle(by:)`, when nobody knows the deadline.
    func settle() { settle(by: stack.nextDeadline) }

    /// Brings socket, timers and interest in line with what the stack decided.
    func settle(by deadline: Instant?) {
        guard isOpen, !token.isNone, !isLingering else { return }
        if transport == .aborted { return abort() }
        if queuedBytes > hub.settings.limits.sendQueueBytes, isWebSocket, !isSlow, !stack.isEcho {
            return becomeSlow()
        }
        if wantsFlush {
            scheduleFlush()
        } else if queuedBytes == 0, outbound.capacity > 0 {
            returnOutbound()
        }
        updateInterest()
        if let next = self.deadline(deadline) { hub.loop.wake(token, by: next) }
        if let extras, extras.isEmpty { self.extras = nil }
    }

    func scheduleFlush() {
        guard isFlushDue else { return }
        isFlushScheduled = true
        hub.scheduleFlush(self)
    }

    /// It is to be written, and will not be without being scheduled.
    var isFlushDue: Bool { !isFlushScheduled && !isReading && wantsFlush }

    /// There is something to write that the kernel may take, or the end.
    var wantsFlush: Bool {
        if transport == .closing { return !isLingering }
        return queuedBytes > 0 && outlet == .open
    }

    func updateInterest() {
        var wanted: Interest = []
        if canRead || isLingering {
            wanted.insert(.read)
        } else if transport == .paused {
            // As it was: the answer comes within the turn as a rule, and nothing more before it. To end the watch and to begin
            // it again would be two calls of the kernel, a microsecond, for every request.
            wanted.formUnion(interest.intersection(.read))
        }
        if outlet == .stalled { wanted.insert(.write) }
        guard wanted != interest else { return }
        interest = wanted
        hub.loop.setInterest(wanted, for: token)
    }

    /// Writes what is queued, in one call where the kernel takes it.
    func flush() {
        isFlushScheduled = false
        guard isOpen, !token.isNone, !isLingering else { return }
        do {
            if let extras, let tls = extras.tls {
                while queuedBytes > 0, try write(tls, extras) {}
            } else if !outbound.isEmpty {
                try write()
            }
        } catch {
            return abort()
        }
        guard queuedBytes == 0 else {
            updateInterest()
            if let next = deadline(stack.nextDeadline) { hub.loop.wake(token, by: next) }
            return
        }
        partialFrameBytes = 0
        if outlet != .open { setOutlet(.open, at: hub.loop.now.instant) }
        returnOutbound()
        if transport == .closing { return linger() }
        updateInterest()
        readOn()
        if resumesReplay, let restaurant {
            resumesReplay = false
            hub.carryOut(.replay(restaurant: restaurant), self)
        }
    }

    /// One write of what is queued.
    private func write() throws(SystemError) {
        var queue = ByteBuffer()
        swap(&queue, &outbound)
        defer { swap(&queue, &outbound) }
        let sent = try Socket.send(socket, from: &queue)
        note(sent, isAll: queue.isEmpty)
        if case .sent(let count) = sent, !queue.isEmpty {
            // What is taken stays readable until something is appended.
            notePartial(queue.before(consuming: count), sent: count)
        }
    }

    /// One write of what is encrypted, and before it of what is queued, if there is nothing encrypted; true when the kernel
    /// took all of it.
    private func write(_ tls: TLSEngine, _ extras: Extras) throws -> Bool {
        var queue = ByteBuffer()
        swap(&queue, &outbound)
        defer { swap(&queue, &outbound) }
        if extras.ciphertext.isEmpty {
            // What is queued before the handshake is done, a refusal say, waits for it.
            guard tls.isEstablished else { return false }
            let whole = queue
            try tls.send(&queue, limit: ClientConnection.encryptedBytesAhead, output: &extras.ciphertext)
            notePartial(whole, sent: whole.count - queue.count)
        }
        let sent = try Socket.send(socket, from: &extras.ciphertext)
        if extras.ciphertext.isEmpty { extras.ciphertext = ByteBuffer() }
        note(sent, isAll: extras.ciphertext.isEmpty)
        return extras.ciphertext.isEmpty
    }

    /// What the kernel took, and whether it was all that was offered.
    private func note(_ sent: Socket.Sent, isAll: Bool) {
        switch sent {
        case .sent(let count):
            hub.metrics.bytesSent &+= UInt64(count)
            if !isAll {
                setOutlet(.stalled, at: hub.loop.now.instant)
            } else if outlet != .open {
                setOutlet(.open, at: hub.loop.now.instant)
            }
        case .wouldBlock:
            if outlet != .stalled { setOutlet(.stalled, at: hub.loop.now.instant) }
        }
    }

    func returnOutbound() {
        var buffer = ByteBuffer()
        swap(&buffer, &outbound)
        if !sharesOutbound { hub.buffers.returnFromOutput(buffer) }
        sharesOutbound = false
    }

    /// Finds where the frame ends in the middle of which the kernel stopped.
    func notePartial(_ queue: ByteBuffer, sent: Int) {
        guard isWebSocket else { return }
        let boundary = WebSocketFrameEncoder.frameBoundary(
            in: queue, startingAt: Int(partialFrameBytes), atOrAfter: sent)
        partialFrameBytes = UInt32(boundary - sent)
    }

    /// The peer does not read: its queue is dropped, down to the frame that is half written, so that the close frame can
    /// be told from it. The close handshake's own time-out then resets the socket.
    func becomeSlow() {
        isSlow = true
        hub.metrics.slowConsumers += 1
        hub.log.info(
            "slow_consumer",
            ["connection": id.uuid.description, "client": clientAddress, "queued_bytes": String(queuedBytes)])
        var queue = ByteBuffer()
        swap(&queue, &outbound)
        queue.truncate(to: min(Int(partialFrameBytes), queue.count))
        swap(&queue, &outbound)
        close(.slowConsumer)
    }
}
