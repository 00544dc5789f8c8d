// One connected socket of a client: it passes bytes in to its owner, and writes bytes out once per turn. It encrypts if it is
// given an engine, and knows no other protocol.

import FynloCore
import FynloIO

/// How a stream ended.
enum ChannelEnd: Equatable {
    /// The server has ended its stream.
    case finished
    /// With TLS: the stream ended without close_notify, so something may be missing (RFC 8446 §6.1).
    case cut
    case failed(SystemError)
    case insecure(TLSError)

    /// One sentence; `nil` if the server simply ended the connection.
    var reason: String? {
        switch self {
        case .finished, .cut: nil
        case .failed(let error): error.description
        case .insecure(let error): error.description
        }
    }
}

/// A connected stream. The loop keeps it until `close`.
final class Channel: EventSource {
    /// The bytes to send; call `scheduleFlush` after appending. With TLS they wait here until the handshake is done.
    var output = ByteBuffer()

    private let loop: EventLoop
    /// Called with the received bytes. It consumes what it can from the front; the rest is passed again together with more.
    private var received: (inout ByteBuffer, Moment) -> Void
    /// Called once when the stream has ended; never after `close`.
    private var ended: (ChannelEnd, Moment) -> Void
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    private var input = ByteBuffer()
    private let tls: TLSEngine?
    /// Encrypted bytes that are not written yet.
    private var ciphertext = ByteBuffer()
    private var isFlushScheduled = false
    /// True while the kernel accepts no more bytes.
    private var isBlocked = false

    /// Bytes read in one turn, so that the loop's other sources are served too.
    private static let readBytesPerTurn = 16_384
    /// Bytes encrypted at a time.
    private static let encryptedBytesAhead = 65_536

    /// - Parameter tls: the engine that encrypts, if any; its handshake begins here.
    init(
        loop: EventLoop, descriptor: consuming FileDescriptor, tls: TLSEngine? = nil,
        received: @escaping (inout ByteBuffer, Moment) -> Void, ended: @escaping (ChannelEnd, Moment) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.tls = tls
        self.received = received
        self.ended = ended
        let number = descriptor.rawValue
        self.descriptor = consume descriptor
        token = try loop.add(self, descriptor: number, interest: .read)
        guard let tls else { return }
        do throws(TLSError) {
            try tls.start(output: &ciphertext)
            scheduleFlush()
        } catch {
            loop.atEndOfTurn { [weak self] in self?.end(.insecure(error), loop.now) }
        }
    }

    func ready(_ readiness: Readiness, now: Moment) {
        if readiness.contains(.write) { flush(now) }
        if readiness.contains(.read) || readiness.contains(.hangup) { receive(now) }
    }

    // MARK: Reading

    private func receive(_ now: Moment) {
        guard let number = descriptor?.rawValue else { return }
        // Taken out while the owner is called, since it may close this channel.
        var buffer = ByteBuffer()
        swap(&buffer, &input)
        do throws(SystemError) {
            if let tls {
                try receive(number, &buffer, tls, now)
            } else {
                switch try Socket.receive(number, into: &buffer, limit: Channel.readBytesPerTurn) {
                case .bytes: received(&buffer, now)
                case .endOfStream: end(.finished, now)
                case .wouldBlock: break
                }
            }
        } catch {
            end(.failed(error), now)
        }
        // An empty buffer releases its memory: most clients are idle.
        if descriptor != nil, !buffer.isEmpty { input = buffer }
    }

    private func receive(
        _ number: Int32, _ buffer: inout ByteBuffer, _ tls: TLSEngine, _ now: Moment
    ) throws(SystemError) {
        var encrypted = ByteBuffer()
        switch try Socket.receive(number, into: &encrypted, limit: Channel.readBytesPerTurn) {
        case .wouldBlock: return
        case .endOfStream: return end(tls.isEstablished ? .cut : .insecure(.endedInHandshake), now)
        case .bytes: break
        }
        let known = buffer.count
        do throws(TLSError) {
            try tls.receive(&encrypted, plaintext: &buffer, output: &ciphertext)
        } catch {
            // What came before the error is intact. `close` sends the alert, if there is one.
            if buffer.count > known { received(&buffer, now) }
            return end(.insecure(error), now)
        }
        if buffer.count > known { received(&buffer, now) }
        guard descriptor != nil else { return }
        if tls.isInputEnded { end(.finished, now) } else { scheduleFlush() }
    }

    // MARK: Writing

    private var hasOutput: Bool {
        !ciphertext.isEmpty || !output.isEmpty && tls?.isEstablished != false
    }

    /// Writes the queued bytes at the end of this turn.
    func scheduleFlush() {
        guard !isFlushScheduled, !isBlocked, hasOutput else { return }
        isFlushScheduled = true
        loop.atEndOfTurn { [weak self] in
            guard let self else { return }
            isFlushScheduled = false
            flush(loop.now)
        }
    }

    private func flush(_ now: Moment) {
        guard let token, let failure = write() else { return }
        if let end = failure.end {
            // The server may have sent a reason before it closed.
            receive(now)
            if self.token == token { self.end(end, now) }
            return
        }
        isBlocked = failure.isBlocked
        loop.setInterest(isBlocked ? [.read, .write] : .read, for: token)
    }

    /// Writes as much as the kernel accepts; `nil` if there was nothing to write.
    private func write() -> (isBlocked: Bool, end: ChannelEnd?)? {
        guard let number = descriptor?.rawValue, isBlocked || hasOutput else { return nil }
        if let tls, tls.isEstablished, ciphertext.isEmpty {
            do throws(TLSError) {
                try tls.send(&output, limit: Channel.encryptedBytesAhead, output: &ciphertext)
            } catch {
                return (false, .insecure(error))
            }
        }
        do throws(SystemError) {
            if tls == nil { try Channel.write(number, &output) } else { try Channel.write(number, &ciphertext) }
        } catch {
            return (false, .failed(error))
        }
        return (hasOutput, nil)
    }

    private static func write(_ number: Int32, _ buffer: inout ByteBuffer) throws(SystemError) {
        _ = try Socket.send(number, from: &buffer)
        if buffer.isEmpty { buffer.removeAll() }
    }

    // MARK: The end

    private func end(_ end: ChannelEnd, _ now: Moment) {
        let ended = ended
        close()
        ended(end, now)
    }

    /// Writes as much of the output as the kernel accepts, and closes. A second call does nothing.
    func close() {
        if descriptor != nil {
            _ = write()
            if let tls {
                tls.close(output: &ciphertext)
                _ = write()
            }
        }
        if let token { loop.remove(token) }
        token = nil
        descriptor = nil
        received = { _, _ in }
        ended = { _, _ in }
        input.removeAll()
        output.removeAll()
        ciphertext.removeAll()
    }
}
