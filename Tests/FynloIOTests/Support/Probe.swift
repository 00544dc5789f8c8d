import FynloCore
import FynloIO
import Glibc

/// A source whose behaviour a test writes down in closures.
final class Probe: EventSource {
    var onReady: (Readiness) -> Void = { _ in }
    var onTick: (Moment) -> Instant? = { _ in nil }
    var onDeinit: () -> Void = {}
    var readiness: [Readiness] = []

    func ready(_ readiness: Readiness, now: Moment) {
        self.readiness.append(readiness)
        onReady(readiness)
    }

    func tick(now: Moment) -> Instant? {
        onTick(now)
    }

    deinit {
        onDeinit()
    }
}

/// Owns a descriptor that a closure may close early.
final class Owned {
    private var descriptor: FileDescriptor?
    let number: Int32

    init(_ descriptor: consuming FileDescriptor) {
        number = descriptor.rawValue
        self.descriptor = consume descriptor
    }

    func close() {
        descriptor = nil
    }

    func reset() {
        guard let descriptor = descriptor.take() else { return }
        Socket.abortiveClose(descriptor)
    }
}

/// Two connected, non-blocking local sockets.
func makePair() throws -> (Owned, Owned) {
    var numbers: [Int32] = [-1, -1]
    let status = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &numbers)
    guard status == 0 else { throw SystemError.call("socketpair", code: errno) }
    for number in numbers { _ = fcntl(number, F_SETFL, O_NONBLOCK) }
    return (Owned(FileDescriptor(owning: numbers[0])), Owned(FileDescriptor(owning: numbers[1])))
}

/// Two sockets connected over the loopback: the client's and the server's.
func makeConnection() throws -> (Owned, Owned) {
    let listener = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
    let client = try Owned(Socket.nonBlockingConnect(to: listener.localAddress))
    let loop = try EventLoop()
    defer { loop.close() }
    let probe = Probe()
    var server: Owned?
    probe.onReady = { _ in
        if let accepted = try? listener.accept() { server = Owned(accepted.takeDescriptor()) }
    }
    let token = try loop.add(probe, descriptor: listener.fileDescriptor, interest: .read)
    _ = try loop.run(until: { server != nil }, for: .seconds(5))
    loop.remove(token)
    guard let server else { throw SystemError.call("accept4", code: ETIMEDOUT) }
    return (client, server)
}

func write(_ text: String, to socket: Owned) throws {
    var buffer = ByteBuffer(text)
    _ = try Socket.send(socket.number, from: &buffer)
}

/// Takes a pending signal of a set from this thread, which blocks it; nil if there is none.
func takePending(_ signals: inout sigset_t) -> Int32? {
    var now = timespec()
    let number = sigtimedwait(&signals, nil, &now)
    return number > 0 ? number : nil
}
