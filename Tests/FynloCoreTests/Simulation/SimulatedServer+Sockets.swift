// What ClientConnection does with a socket: it reads, calls the stack, and writes what OutboundQueue says.

import FynloCore

extension SimulatedServer {
    /// Accepts a socket; returns its number.
    mutating func adopt(link: Int, restaurant: RestaurantID) -> UInt64 {
        let refusal = admission.accepted(from: nil)
        lastNumber += 1
        let id = ConnectionID(node: node, number: lastNumber)
        connections[lastNumber] = Connection(
            link: link, stack: ProtocolStack(id: id, settings: settings, refusal: refusal, now: now),
            wire: Wire(restaurant: restaurant))
        settle(lastNumber)
        return lastNumber
    }

    /// Bytes have arrived, in which the commands with these numbers end.
    mutating func receive(_ bytes: [UInt8], commands: [Int], from number: UInt64) {
        // What comes while the end is awaited is dropped.
        guard var connection = connections[number], !connection.queue.isLingering else { return }
        connection.wire.arrived(commands)
        var input = connection.leftover
        connection.leftover = ByteBuffer()
        input.append(bytes)
        connections[number] = connection
        process(&input, from: number)
    }

    private mutating func process(_ input: inout ByteBuffer, from number: UInt64) {
        withStack(number) { [now] stack, output, effects in
            stack.receive(&input, now: now, output: &output, effects: &effects)
        }
        connections[number]?.leftover = input
        if input.count > SimulatedServer.inputBytes { violations.append("\(input.count) bytes of input are kept") }
    }

    /// The tablet will send nothing more.
    mutating func endOfInput(from number: UInt64) {
        if connections[number]?.queue.isLingering == true {
            seen.append("ends that were awaited")
            return leave(number, isReset: false)
        }
        withStack(number) { [now] stack, _, effects in stack.endOfInput(now: now, effects: &effects) }
    }

    private mutating func readLeftover(_ number: UInt64) {
        guard let connection = connections[number], !connection.leftover.isEmpty, connection.canRead else { return }
        var input = connection.leftover
        connections[number]?.leftover = ByteBuffer()
        process(&input, from: number)
    }

    mutating func tick(_ number: UInt64) {
        connections[number]?.wakeUp = nil
        switch connections[number]?.queue.ending(at: now.instant) {
        case .reset: return leave(number, isReset: true)
        case .close:
            seen.append("ends that never came")
            return leave(number, isReset: false)
        case nil:
            if connections[number]?.queue.isLingering == true { return }
        }
        withStack(number) { [now] stack, output, effects in
            stack.tick(now: now, output: &output, effects: &effects)
        }
    }

    // MARK: Writing

    /// Up to `window` bytes for the kernel.
    mutating func write(_ number: UInt64, window: Int) -> [UInt8] {
        guard var connection = connections[number], !connection.queue.isLingering else { return [] }
        connection.isFlushScheduled = false
        var queue = connection.queue.lend()
        let taken = min(max(0, window), queue.count)
        let bytes = Array(queue.bytes().prefix(taken))
        queue.consume(taken)
        let isAll = queue.isEmpty
        connection.queue.giveBack(queue, taken: taken)
        connection.queue.note(isAll ? .all : taken > 0 ? .part : .none, now: now.instant)
        if isAll { _ = connection.queue.releaseMemory() }
        connections[number] = connection
        guard isAll else { return bytes }
        if connection.stack.transport == .closing {
            linger(number)
        } else {
            readLeftover(number)
            if connections[number]?.resumesReplay == true, let restaurant = connection.stack.restaurant {
                connections[number]?.resumesReplay = false
                replay(to: number, of: restaurant)
            }
        }
        return bytes
    }

    /// The tablet has read some.
    mutating func becameWritable(_ number: UInt64) {
        guard connections[number]?.queue.isStalled == true else { return }
        scheduleFlush(number)
    }

    private mutating func scheduleFlush(_ number: UInt64) {
        guard connections[number]?.isFlushScheduled == false else { return }
        connections[number]?.isFlushScheduled = true
        outbox.unflushed.append(number)
    }

    /// Brings the socket in line with what the stack and the queue say.
    mutating func settle(_ number: UInt64) {
        guard var connection = connections[number], !connection.queue.isLingering else { return }
        if connection.stack.transport == .aborted { return leave(number, isReset: true) }
        if connection.queue.exceeds(settings.limits.sendQueueBytes) {
            connection.queue.cutOff(now: now.instant, closeTimeout: settings.limits.closeTimeout)
            if !connection.queue.isEmpty { seen.append("cuts within a frame") }
            connections[number] = connection
            return close(number, .slowConsumer)
        }
        let isClosing = connection.stack.transport == .closing
        if connection.queue.isEmpty ? isClosing : !connection.queue.isStalled { scheduleFlush(number) }
        for deadline in [connection.stack.nextDeadline, connection.queue.nextDeadline] {
            if let deadline { wake(number, by: deadline) }
        }
    }

    private mutating func wake(_ number: UInt64, by deadline: Instant) {
        guard connections[number]?.wakeUp.map({ deadline < $0 }) ?? true else { return }
        connections[number]?.wakeUp = deadline
        outbox.wakeUps.append((number, deadline))
    }

    // MARK: The end

    /// All is written: the tablet's end is awaited.
    private mutating func linger(_ number: UInt64) {
        guard var connection = connections[number] else { return }
        connection.queue.linger(now: now.instant)
        connection.leftover = ByteBuffer()
        connections[number] = connection
        outbox.halfClosed.append(connection.link)
        if let deadline = connection.queue.nextDeadline { outbox.wakeUps.append((number, deadline)) }
    }

    /// The socket is gone.
    mutating func leave(_ number: UInt64, isReset: Bool) {
        guard var connection = connections.removeValue(forKey: number) else { return }
        var effects: [Effect] = []
        connection.stack.abandon(effects: &effects)
        admission.closed(from: nil)
        outbox.closed.append((connection.link, isReset))
        for effect in effects { carryOut(effect, for: number) }
    }
}
