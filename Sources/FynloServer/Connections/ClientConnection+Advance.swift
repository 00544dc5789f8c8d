// What is done about the socket after the stack or the queue has changed: one step after the other, until there is only
// waiting left. Every way into a connection ends here, and nothing here calls itself.

import FynloCore
import FynloIO

extension ClientConnection {
    /// When the queue is written.
    enum Writing {
        /// Once for all that the turn brings.
        case atEndOfTurn
        /// At once, while it is in the processor's cache.
        case now
        /// At once: the kernel has said that it takes more.
        case again
        /// Not before the kernel, or the TLS handshake, is ready.
        case later
    }

    /// One thing to be done.
    private enum Step {
        /// The stack has given up the connection.
        case abort
        /// The peer does not read.
        case cutOff
        case write
        /// All is written, and nothing more will be.
        case linger
        /// What was left unread while an answer was awaited can be used.
        case readOn
        /// The tablet has read what it was sent of what it missed, and is sent more.
        case replay
    }

    /// Does what is due. While somebody works on the connection, that waits until the work is done.
    func advance(_ writing: Writing = .atEndOfTurn) {
        guard isOpen, !token.isNone, !marks[.isBusy] else { return }
        set(.isBusy, to: true)
        var writing = writing
        while let step = nextStep(writing) {
            switch step {
            case .abort: abort()
            case .cutOff: cutOff()
            case .write: writing = write() ? .atEndOfTurn : .later
            case .linger: linger()
            case .readOn: readLeftover()
            case .replay: replayOn()
            }
        }
        set(.isBusy, to: false)
        if isOpen { rest() }
    }

    private func nextStep(_ writing: Writing) -> Step? {
        guard isOpen else { return nil }
        let status = queue.status
        if status.isLingering { return nil }
        let transport = transport
        if transport == .aborted { return .abort }
        let queued = status.count + encryptedBytes
        if queued > hub.settings.limits.sendQueueBytes, isTooSlow { return .cutOff }
        if queued > 0 {
            if isWritten(writing, status) { return .write }
        } else if transport == .closing {
            return .linger
        }
        if mayReadOn { return .readOn }
        if queued == 0, resumesReplay { return .replay }
        return nil
    }

    /// True when what is queued is written at once.
    private func isWritten(_ writing: Writing, _ status: OutboundQueue.Status) -> Bool {
        switch writing {
        case .again: true
        case .now: !status.isStalled
        // A page is worth a write of its own: one buffer serves all of the turn's, and the kernel copies it while it is in the
        // processor's cache.
        case .atEndOfTurn: !status.isFramed && status.count >= ClientConnection.pageBytes && !status.isStalled
        case .later: false
        }
    }

    /// What is left when nothing is to be done at once: later writes and reads, and what the loop is to tell.
    private func rest() {
        let status = queue.status
        if status.isLingering { return }
        if status.count + encryptedBytes > 0, !status.isStalled {
            scheduleFlush()
        } else if status.count == 0 {
            returnMemory()
        }
        if extras != nil { takeTurn() }
        updateInterest(status)
        if let extras, extras.isEmpty { self.extras = nil }
    }

    func updateInterest() { updateInterest(queue.status) }

    private func updateInterest(_ status: OutboundQueue.Status) {
        var wanted: Interest = []
        let transport = transport
        if status.isLingering
            || transport == .open && status.count + encryptedBytes < ClientConnection.backPressureBytes
        {
            wanted.insert(.read)
        } else if transport == .paused {
            // As it was: the answer usually comes within the turn, and nothing more before it. To end the watch and begin it
            // again would be two calls of the kernel, a microsecond, for every request.
            wanted.formUnion(interest.intersection(.read))
        }
        if status.isStalled { wanted.insert(.write) }
        guard wanted != interest else { return }
        interest = wanted
        hub.loop.setInterest(wanted, for: token)
    }

    // MARK: Writing

    /// True when there is something queued that the kernel may take.
    var wantsFlush: Bool {
        let status = queue.status
        return !status.isStalled && status.count + encryptedBytes > 0
    }

    private func scheduleFlush() {
        guard !marks[.isFlushScheduled] else { return }
        set(.isFlushScheduled, to: true)
        hub.scheduleFlush(self)
    }

    /// The end of the turn: writes what is queued.
    func flush() {
        set(.isFlushScheduled, to: false)
        advance(.now)
    }

    /// Writes what is queued, in one call where the kernel takes it. True when all of it was taken.
    private func write() -> Bool {
        do {
            if let extras, let tls = extras.tls {
                while queuedBytes > 0, try write(tls, extras) {}
            } else {
                try writePlaintext()
            }
        } catch {
            abort()
            return false
        }
        guard queuedBytes > 0 else { return true }
        wake(by: queue.nextDeadline)
        return false
    }

    private func writePlaintext() throws(SystemError) {
        var bytes = queue.lend()
        let queued = bytes.count
        let sent = try Socket.send(socket, from: &bytes)
        let isAll = bytes.isEmpty
        queue.giveBack(bytes, taken: queued - bytes.count)
        note(sent, isAll: isAll)
    }

    /// One write of what is encrypted, and before it of what is queued, if there is nothing encrypted. True when the kernel
    /// took all of it.
    private func write(_ tls: TLSEngine, _ extras: Extras) throws -> Bool {
        if extras.ciphertext.isEmpty {
            // What is queued before the handshake is done, a refusal say, waits for it.
            guard tls.isEstablished else { return false }
            var bytes = queue.lend()
            let queued = bytes.count
            try tls.send(&bytes, limit: ClientConnection.encryptedBytesAhead, output: &extras.ciphertext)
            queue.giveBack(bytes, taken: queued - bytes.count)
        }
        let sent = try Socket.send(socket, from: &extras.ciphertext)
        let isAll = extras.ciphertext.isEmpty
        if isAll { extras.ciphertext = ByteBuffer() }
        note(sent, isAll: isAll)
        return isAll
    }

    /// What the kernel took, and whether it was all that was offered.
    private func note(_ sent: Socket.Sent, isAll: Bool) {
        switch sent {
        case .sent(let count):
            hub.metrics.bytesSent &+= UInt64(count)
            queue.note(isAll ? .all : .part, now: hub.loop.now.instant)
        case .wouldBlock:
            queue.note(.none, now: hub.loop.now.instant)
        }
    }

    func returnMemory() {
        if let memory = queue.releaseMemory() { hub.buffers.returnFromOutput(memory) }
    }

    // MARK: The slow

    /// The limit is that of tablets. An echo may send one message of 16 MiB.
    private var isTooSlow: Bool {
        let encrypted = extras?.ciphertext.count ?? 0
        return queue.exceeds(hub.settings.limits.sendQueueBytes, encrypted: encrypted) && !stack.isEcho
    }

    /// The peer does not read: its queue is dropped, and the close frame goes next.
    private func cutOff() {
        hub.metrics.slowConsumers += 1
        hub.log.info(
            "slow_consumer",
            ["connection": id.uuid.description, "client": clientAddress, "queued_bytes": String(queuedBytes)])
        queue.cutOff(now: hub.loop.now.instant, closeTimeout: hub.settings.limits.closeTimeout)
        wake(by: queue.nextDeadline)
        close(.slowConsumer)
    }

    private func replayOn() {
        resumesReplay = false
        if let restaurant { hub.carryOut(.replay(restaurant: restaurant), self) }
    }
}
