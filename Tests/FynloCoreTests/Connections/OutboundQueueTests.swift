import FynloCore
import Testing

@Suite("OutboundQueue")
struct OutboundQueueTests {
    /// A queue, the bytes that a kernel took from it, and the time.
    struct Sender {
        var queue = OutboundQueue()
        var wire: [UInt8] = []
        /// Taken from the queue and not yet by the kernel, as with TLS.
        var encrypted: [UInt8] = []
        var now = Instant(nanoseconds: 1_000)

        var unsent: Int { queue.count + encrypted.count }

        init(responses: [UInt8] = [], isFramed: Bool = true) {
            append(responses)
            if isFramed { queue.beginFrames() }
        }

        mutating func append(_ bytes: [UInt8]) {
            var lent = queue.lend()
            lent.append(bytes)
            queue.giveBack(lent)
        }

        /// The kernel takes up to `window` bytes.
        mutating func write(_ window: Int) {
            var lent = queue.lend()
            let taken = min(window, lent.count)
            wire += lent.bytes().prefix(taken)
            lent.consume(taken)
            let isAll = lent.isEmpty
            queue.giveBack(lent, taken: taken)
            queue.note(isAll ? .all : taken > 0 ? .part : .none, now: now)
        }

        /// Up to `window` bytes are encrypted if there is nothing encrypted, and the kernel takes up to `window` of those.
        mutating func writeEncrypted(_ window: Int) {
            if encrypted.isEmpty {
                var lent = queue.lend()
                let taken = min(window, lent.count)
                encrypted = Array(lent.bytes().prefix(taken))
                lent.consume(taken)
                queue.giveBack(lent, taken: taken)
            }
            let sent = min(window, encrypted.count)
            wire += encrypted.prefix(sent)
            encrypted.removeFirst(sent)
            queue.note(encrypted.isEmpty ? .all : sent > 0 ? .part : .none, now: now)
        }

        mutating func cutOff(closeTimeout: Duration = .seconds(5)) {
            queue.cutOff(now: now, closeTimeout: closeTimeout)
            append(OutboundQueueTests.close(4010))
        }
    }

    /// A server's text frame that holds its number and so many more bytes.
    static func frame(_ number: UInt32, _ more: Int = 0) -> [UInt8] {
        var payload = (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - $0 * 8)) }
        payload += Array(repeating: 0x88, count: more)
        var output = ByteBuffer()
        WebSocketFrameEncoder.appendFrame(.text, payload: payload.span, mask: nil, to: &output)
        return output.bytes()
    }

    static func close(_ code: UInt16) -> [UInt8] {
        var output = ByteBuffer()
        WebSocketFrameEncoder.appendClose(code: code, reason: "", mask: nil, to: &output)
        return output.bytes()
    }

    /// What lies on the wire: the numbers of text frames, a close frame's code, and how many bytes of a cut frame are left.
    static func read(_ wire: [UInt8]) -> (numbers: [UInt32], code: UInt16?, isCloseLast: Bool, rest: Int) {
        var (numbers, code, isCloseLast, position) = ([UInt32](), UInt16?.none, true, 0)
        while position + 2 <= wire.count {
            var (length, start) = (Int(wire[position + 1]), position + 2)
            let extended = length == 126 ? 2 : length == 127 ? 8 : 0
            guard start + extended <= wire.count else { break }
            if extended > 0 { length = wire[start..<start + extended].reduce(0) { $0 << 8 | Int($1) } }
            start += extended
            guard start + length <= wire.count else { break }
            if code != nil { isCloseLast = false }
            switch wire[position] {
            case 0x81: numbers.append(wire[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) })
            case 0x88: code = UInt16(wire[start]) << 8 | UInt16(wire[start + 1])
            default: isCloseLast = false
            }
            position = start + length
        }
        return (numbers, code, isCloseLast, wire.count - position)
    }

    // MARK: Frames

    @Test("is small where nothing is queued")
    func size() {
        #expect(MemoryLayout<OutboundQueue>.size <= 25)
        let queue = OutboundQueue()
        #expect(queue.isEmpty && !queue.isFramed && !queue.isStalled && !queue.isCutOff && !queue.isLingering)
        #expect(queue.nextDeadline == nil && queue.ending(at: .never) == nil)
    }

    @Test("never follows half a frame with another one, wherever the kernel stopped", arguments: [false, true])
    func splits(isEncrypted: Bool) {
        // Lengths of 7 bits, of 16 and, with the last one, of 64.
        for sizes in [[0, 3, 0], [121, 122, 7], [300, 0, 300], [2, 66_000, 1]] {
            let frames = sizes.enumerated().map { Self.frame(UInt32($0), $1) }
            let all = Array(frames.joined())
            let step = all.count > 1_000 ? 997 : 1
            for split in Set(Array(stride(from: 0, to: all.count, by: step)) + [1, 2, 3, all.count - 1]) {
                var sender = Sender()
                sender.append(all)
                if isEncrypted { sender.writeEncrypted(split) } else { sender.write(split) }
                sender.cutOff()
                // At the end of a frame nothing is kept; within one, the rest of it.
                var end = 0
                var whole: [UInt32] = []
                for (number, frame) in frames.enumerated() where end < split {
                    end += frame.count
                    whole.append(UInt32(number))
                }
                #expect(sender.queue.count == end - split + Self.close(4010).count, "\(sizes) \(split)")
                while sender.unsent > 0 { if isEncrypted { sender.writeEncrypted(1_000) } else { sender.write(1_000) } }
                let read = Self.read(sender.wire)
                #expect(read.numbers == whole && read.code == 4010 && read.isCloseLast && read.rest == 0, "\(split)")
            }
        }
    }

    @Test("goes on where it stopped, byte by byte")
    func byteByByte() {
        var sender = Sender()
        for number in 0..<5 as Range<UInt32> { sender.append(Self.frame(number, Int(number) * 40)) }
        let queued = sender.queue.count
        for left in (0..<queued).reversed() {
            sender.write(1)
            #expect(sender.queue.isStalled == (left > 0))
        }
        #expect(Self.read(sender.wire).numbers == [0, 1, 2, 3, 4])
        #expect(sender.queue.nextDeadline == nil)
    }

    @Test("never cuts the response of the upgrade", arguments: 0..<20)
    func upgrade(split: Int) {
        let response = Array("HTTP/1.1 101 \r\n\r\n".utf8)
        var sender = Sender(responses: response)
        sender.append(Self.frame(1))
        sender.write(split)
        sender.cutOff()
        sender.write(.max)
        #expect(sender.wire.starts(with: response))
        let read = Self.read(Array(sender.wire.dropFirst(response.count)))
        #expect(read.numbers == (split > response.count ? [1] : []) && read.code == 4010 && read.rest == 0)
    }

    // MARK: The slow

    @Test(
        "a peer is too slow above the limit",
        arguments: [(99, 0, false), (100, 0, false), (101, 0, true), (50, 50, false), (50, 51, true)])
    func limit(queued: Int, encrypted: Int, isOver: Bool) {
        var sender = Sender()
        sender.append(Self.frame(0, queued - 6))
        #expect(sender.queue.count == queued)
        #expect(sender.queue.exceeds(100, encrypted: encrypted) == isOver)
        sender.cutOff()
        #expect(!sender.queue.exceeds(0), "once")
        var responses = Sender(isFramed: false)
        responses.append(Array(repeating: 1, count: queued))
        #expect(!responses.queue.exceeds(100, encrypted: encrypted), "a response is never dropped")
    }

    @Test("a close frame that is queued already outlives the cut", arguments: [0, 3])
    func closedBefore(written: Int) {
        var sender = Sender()
        for number in 0..<10 as Range<UInt32> { sender.append(Self.frame(number, 200)) }
        sender.append(Self.close(4006))
        sender.write(written)
        sender.queue.cutOff(now: sender.now, closeTimeout: .seconds(5))
        sender.write(.max)
        let read = Self.read(sender.wire)
        #expect(read.numbers == (written > 0 ? [0] : []) && read.code == 4006 && read.isCloseLast && read.rest == 0)
    }

    @Test("what only looks like a close frame does not outlive the cut")
    func payloadLikeClose() {
        var sender = Sender()
        // Its payload is full of bytes that a close frame begins with.
        sender.append(Self.frame(0, 500))
        sender.queue.cutOff(now: sender.now, closeTimeout: .seconds(5))
        #expect(sender.queue.isEmpty)
    }

    @Test("a peer that was cut off is reset after the close time-out, whatever it reads until then")
    func cutOffDeadline() {
        var sender = Sender()
        sender.append(Self.frame(0, 500))
        sender.write(10)
        sender.cutOff(closeTimeout: .seconds(5))
        #expect(sender.queue.isCutOff && sender.queue.isStalled)
        let deadline = sender.now + .seconds(5)
        for window in [0, 1, 600] {
            sender.now = sender.now + .seconds(1)
            sender.write(window)
            #expect(sender.queue.nextDeadline == deadline && sender.queue.isCutOff)
        }
        #expect(!sender.queue.isStalled && sender.queue.isEmpty)
        #expect(sender.queue.ending(at: deadline + .nanoseconds(-1)) == nil)
        #expect(sender.queue.ending(at: deadline) == .reset)
        #expect(sender.queue.ending(at: deadline + .nanoseconds(1)) == .reset)
    }

    @Test("a peer can be cut off before the kernel has refused anything")
    func cutOffOpen() {
        var sender = Sender()
        sender.append(Self.frame(0, 500))
        sender.cutOff()
        #expect(sender.queue.isCutOff && !sender.queue.isStalled)
        sender.write(.max)
        #expect(sender.wire == Self.close(4010))
    }

    // MARK: The stall

    @Test("a response that the peer does not read is given up 30 s after it last took some")
    func stall() {
        var sender = Sender(isFramed: false)
        sender.append(Array(repeating: 1, count: 100))
        sender.write(10)
        let start = sender.now
        #expect(sender.queue.isStalled && sender.queue.nextDeadline == start + .seconds(30))
        // To be refused again is no progress.
        sender.now = start + .seconds(10)
        sender.write(0)
        #expect(sender.queue.nextDeadline == start + .seconds(30))
        #expect(sender.queue.ending(at: start + .seconds(30) + .nanoseconds(-1)) == nil)
        #expect(sender.queue.ending(at: start + .seconds(30)) == .reset)
        #expect(sender.queue.ending(at: start + .seconds(31)) == .reset)
        sender.write(1)
        #expect(sender.queue.nextDeadline == start + .seconds(40))
        sender.write(.max)
        #expect(!sender.queue.isStalled && sender.queue.nextDeadline == nil)
        #expect(sender.wire.count == 100)
    }

    @Test("a stalled WebSocket has no deadline, and the upgrade ends one", arguments: [false, true])
    func stalledFrames(isUpgraded: Bool) {
        var sender = Sender(isFramed: !isUpgraded)
        sender.append(isUpgraded ? Array("HTTP/1.1 101 \r\n\r\n".utf8) : Self.frame(0))
        sender.write(2)
        if isUpgraded { sender.queue.beginFrames() }
        #expect(sender.queue.isStalled && sender.queue.nextDeadline == nil)
    }

    // MARK: The end

    @Test("lingers for 2 s after the last byte", arguments: [false, true])
    func linger(isFramed: Bool) {
        var sender = Sender(isFramed: isFramed)
        sender.append(Self.close(1000))
        sender.write(1)
        sender.write(.max)
        sender.queue.linger(now: sender.now)
        #expect(sender.queue.isLingering && sender.queue.isEmpty && !sender.queue.isStalled)
        let deadline = sender.now + .seconds(2)
        #expect(sender.queue.nextDeadline == deadline)
        #expect(sender.queue.ending(at: deadline + .nanoseconds(-1)) == nil)
        #expect(sender.queue.ending(at: deadline) == .close)
        #expect(sender.queue.ending(at: deadline + .nanoseconds(1)) == .close)
    }

    @Test("lingers also after a cut, and then no longer than others")
    func lingerAfterCut() {
        var sender = Sender()
        sender.append(Self.frame(0, 500))
        sender.cutOff(closeTimeout: .seconds(5))
        sender.write(.max)
        sender.queue.linger(now: sender.now)
        #expect(!sender.queue.isCutOff && sender.queue.nextDeadline == sender.now + .seconds(2))
    }

    // MARK: Memory

    @Test("gives its memory back for others to use, but not that of a frame which others share")
    func memory() {
        var sender = Sender()
        #expect(sender.queue.releaseMemory() == nil)
        sender.append(Self.frame(0))
        sender.write(.max)
        #expect(sender.queue.releaseMemory()?.capacity ?? 0 > 0)
        let frame = ByteBuffer(Self.frame(1))
        var lent = sender.queue.lend()
        #expect(lent.isEmpty && lent.capacity == 0)
        lent = frame
        sender.queue.giveBack(lent, isShared: true)
        #expect(sender.queue.isFramed)
        sender.write(.max)
        #expect(sender.queue.releaseMemory() == nil)
        #expect(frame.bytes() == Self.frame(1))
        sender.append(Self.frame(2))
        sender.write(.max)
        #expect(sender.queue.releaseMemory()?.capacity ?? 0 > 0)
    }

    // MARK: All together

    @Test("whatever happens, the peer reads whole frames in order, at most the last one cut, and a close frame last")
    func walks() {
        var seen: Set<String> = []
        for seed in 0..<400 as Range<UInt64> { walk(seed, &seen) }
        #expect(seen == ["cut", "closed", "reset", "resumed", "drained"])
    }

    private func walk(_ seed: UInt64, _ seen: inout Set<String>) {
        var generator = SeededBytes(seed &+ 77)
        for _ in 0..<8 { _ = generator.next() }
        func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        let (limit, largest, isEncrypted) = (2_000, 300, pick(0...1) == 1)
        var sender = Sender()
        var (number, isClosed) = (UInt32(0), false)
        for step in 0..<pick(20...200) {
            sender.now = sender.now + .milliseconds(pick(0...200))
            if sender.queue.ending(at: sender.now) != nil {
                seen.insert("reset")
                break
            }
            let wasStalled = sender.queue.isStalled
            switch pick(0...9) {
            case 0...5 where !isClosed:
                sender.append(Self.frame(number, pick(0...largest)))
                number += 1
            case 6 where !isClosed && pick(0...20) == 0:
                sender.append(Self.close(4006))
                isClosed = true
                seen.insert("closed")
            default:
                let window = pick(0...400)
                if isEncrypted { sender.writeEncrypted(window) } else { sender.write(window) }
                if wasStalled, !sender.queue.isStalled { seen.insert("resumed") }
            }
            #expect(sender.unsent <= limit + largest + 8, "seed \(seed), step \(step)")
            if sender.queue.exceeds(limit, encrypted: sender.encrypted.count) {
                seen.insert("cut")
                sender.queue.cutOff(now: sender.now, closeTimeout: .seconds(5))
                if !isClosed { sender.append(Self.close(4010)) }
                isClosed = true
                #expect(sender.queue.count <= largest + 8 + 8, "seed \(seed), step \(step)")
            }
            #expect((sender.queue.nextDeadline != nil) == sender.queue.isCutOff, "seed \(seed), step \(step)")
            let read = Self.read(sender.wire)
            #expect(read.isCloseLast && (read.code == nil || read.rest == 0), "seed \(seed), step \(step)")
            #expect(read.numbers == Array(0..<UInt32(read.numbers.count)), "seed \(seed), step \(step)")
            #expect(read.rest <= largest + 8)
        }
        // Some peers read all of it at last.
        guard pick(0...1) == 1 else { return }
        while sender.unsent > 0 { if isEncrypted { sender.writeEncrypted(400) } else { sender.write(400) } }
        seen.insert("drained")
        let read = Self.read(sender.wire)
        #expect(read.rest == 0 && read.isCloseLast && (read.code != nil) == isClosed, "seed \(seed)")
        if !sender.queue.isCutOff { #expect(read.numbers.count == Int(number), "seed \(seed)") }
    }
}
