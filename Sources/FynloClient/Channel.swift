// One connected socket of a client: bytes in to its owner, bytes out once per turn. It knows no protocol.

import FynloCore
import FynloIO

/// A connected stream. The loop keeps it until `close`.
final class Channel: EventSource {
    /// What is to be sent; call `scheduleFlush` after appending.
    var output = ByteBuffer()

    private let loop: EventLoop
    /// Takes what it can use from the front; what is left is given again with more behind it.
    private var received: (inout ByteBuffer, Moment) -> Void
    /// The stream has ended, or failed for a reason. Called once, never after `close`.
    private var ended: (SystemError?, Moment) -> Void
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    private var input = ByteBuffer()
    private var isFlushScheduled = false
    /// The kernel takes no more for now.
    private var isBlocked = false

    /// Bytes read in one turn: the loop's other clients want to be served too.
    private static let readBytesPerTurn = 16_384

    init(
        loop: EventLoop, descriptor: consuming FileDescriptor,
        received: @escaping (inout ByteBuffer, Moment) -> Void, ended: @escaping (SystemError?, Moment) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.received = received
        self.ended = ended
        let number = descriptor.rawValue
        self.descriptor = consume descriptor
        token = try loop.add(self, descriptor: number, interest: .read)
    }

    func ready(_ readiness: Readiness, now: Moment) {
        if readiness.contains(.write) { flush(now) }
        if readiness.contains(.read) || readiness.contains(.hangup) { receive(now) }
    }

    private func receive(_ now: Moment) {
        guard let number = descriptor?.rawValue else { return }
        // Taken out while the owner is called, which may close us.
        var buffer = ByteBuffer()
        swap(&buffer, &input)
        do {
            switch try Socket.receive(number, into: &buffer, limit: Channel.readBytesPerTurn) {
            case .bytes: received(&buffer, now)
            case .endOfStream: end(nil, now)
            case .wouldBlock: break
            }
        } catch {
            end(error, now)
        }
        // An empty buffer gives its memory back: most clients are idle.
        if descriptor != nil, !buffer.isEmpty { input = buffer }
    }

    /// Writes what is queued at the end of this turn.
    func scheduleFlush() {
        guard !isFlushScheduled, !isBlocked, !output.isEmpty else { return }
        isFlushScheduled = true
        loop.atEndOfTurn { [weak self] in
            guard let self else { return }
            isFlushScheduled = false
            flush(loop.now)
        }
    }

    private func flush(_ now: Moment) {
        guard let token, let failure = write() else { return }
        if let error = failure.error {
            // The server may have said why before it went.
            receive(now)
            if self.token == token { end(error, now) }
            return
        }
        isBlocked = failure.isBlocked
        loop.setInterest(isBlocked ? [.read, .write] : .read, for: token)
    }

    /// Gives the kernel what it takes; `nil` if there was nothing to write.
    private func write() -> (isBlocked: Bool, error: SystemError?)? {
        guard let number = descriptor?.rawValue, isBlocked || !output.isEmpty else { return nil }
        do {
            _ = try Socket.send(number, from: &output)
        } catch {
            return (false, error)
        }
        if output.isEmpty { output.removeAll() }
        return (!output.isEmpty, nil)
    }

    private func end(_ error: SystemError?, _ now: Moment) {
        let ended = ended
        close()
        ended(error, now)
    }

    /// Gives the kernel what it takes of the output, and closes. A second call does nothing.
    func close() {
        _ = write()
        if let token { loop.remove(token) }
        token = nil
        descriptor = nil
        received = { _, _ in }
        ended = { _, _ in }
        input.removeAll()
        output.removeAll()
    }
}
