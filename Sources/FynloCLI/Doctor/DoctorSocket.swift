// One connection of the doctor. It keeps what arrives, and how the connection ended.

import FynloCore
import FynloIO

/// A socket, encrypted if there is an engine. The loop keeps it until `close`.
final class DoctorSocket: EventSource {
    /// How it ended.
    enum End {
        case closed
        case failed(SystemError)
        case insecure(TLSError)

        /// One sentence.
        var sentence: String {
            switch self {
            case .closed: "The server closed the connection."
            case .failed(let error): error.description
            case .insecure(let error): error.description
            }
        }
    }

    /// Received bytes that nobody has taken yet.
    var input = ByteBuffer()
    private(set) var isConnected = false
    private(set) var end: End?
    /// When the last byte was received or sent.
    private(set) var lastActivity: Instant
    let tls: TLSEngine?

    private let loop: EventLoop
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    private var output = ByteBuffer()
    private var ciphertext = ByteBuffer()

    init(loop: EventLoop, address: SocketAddress, tls: TLSEngine? = nil) throws(SystemError) {
        self.loop = loop
        self.tls = tls
        lastActivity = SystemClock.instant
        let socket = try Socket.nonBlockingConnect(to: address)
        Socket.setNoDelay(socket.rawValue)
        token = try loop.add(self, descriptor: socket.rawValue, interest: [.read, .write])
        descriptor = consume socket
        do throws(TLSError) {
            try tls?.start(output: &ciphertext)
        } catch {
            end = .insecure(error)
        }
    }

    /// True once bytes can be sent, with TLS if it is used.
    var isOpen: Bool { end == nil && isConnected && tls?.isEstablished != false }

    func send(_ bytes: ByteBuffer) {
        output.append(bytes)
        write()
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let number = descriptor?.rawValue else { return }
        if !isConnected {
            if let error = Socket.pendingError(of: number) { return finish(.failed(error)) }
            guard readiness.contains(.write) else { return }
            isConnected = true
        }
        do throws(SystemError) {
            if readiness.contains(.read) || readiness.contains(.hangup) { try receive(number) }
        } catch {
            finish(.failed(error))
        }
        write()
    }

    private func receive(_ number: Int32) throws(SystemError) {
        var bytes = ByteBuffer()
        switch try Socket.receive(number, into: &bytes, limit: 65_536) {
        case .wouldBlock: return
        case .endOfStream:
            return finish(tls?.isEstablished == false ? .insecure(.endedInHandshake) : .closed)
        case .bytes: break
        }
        lastActivity = loop.now.instant
        guard let tls else { return input.append(bytes) }
        do throws(TLSError) {
            try tls.receive(&bytes, plaintext: &input, output: &ciphertext)
        } catch {
            write()
            return finish(.insecure(error))
        }
        if tls.isInputEnded { finish(.closed) }
    }

    private func write() {
        guard let number = descriptor?.rawValue, let token, isConnected else { return }
        do {
            if let tls {
                if tls.isEstablished { try tls.send(&output, limit: .max, output: &ciphertext) }
                if !ciphertext.isEmpty { lastActivity = SystemClock.instant }
                _ = try Socket.send(number, from: &ciphertext)
            } else {
                if !output.isEmpty { lastActivity = SystemClock.instant }
                _ = try Socket.send(number, from: &output)
            }
            let isWaiting = !ciphertext.isEmpty || !output.isEmpty && tls?.isEstablished != false
            loop.setInterest(isWaiting ? [.read, .write] : .read, for: token)
        } catch let error as TLSError {
            finish(.insecure(error))
        } catch let error as SystemError {
            finish(.failed(error))
        } catch {
            finish(.closed)
        }
    }

    private func finish(_ end: End) {
        if self.end == nil { self.end = end }
        close()
    }

    /// Leaves the loop and keeps the received bytes. A second call does nothing.
    func close() {
        if let token { loop.remove(token) }
        token = nil
        descriptor = nil
    }
}
