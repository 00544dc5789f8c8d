import FynloCore
import FynloIO

@testable import FynloServer

/// A server on the loop of the test that lets everybody in and then behaves as the test wants.
final class FakePostgres: EventSource {
    /// What to do when a client that was let in sends something.
    var onRequest: (FakePostgresClient) -> Void = { _ in }
    /// All that ever came.
    private(set) var clients: [FakePostgresClient] = []
    let address: SocketAddress

    private let loop: EventLoop
    private var listener: Listener?
    private var token: SourceToken?

    init(_ loop: EventLoop) throws {
        self.loop = loop
        let listener = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        self.listener = listener
        address = listener.localAddress
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    /// `host` may be several, and names.
    func url(host: String = "127.0.0.1") -> String {
        "postgresql://fynlo@\(host):\(address.port)/fynlo?sslmode=disable&gssencmode=disable"
    }

    func ready(_ readiness: Readiness, now: Moment) {
        while let accepted = try? listener?.accept() {
            guard let client = try? FakePostgresClient(loop, self, accepted.takeDescriptor()) else { continue }
            clients.append(client)
        }
    }

    /// Not from within a turn.
    func close() {
        if let token { loop.remove(token) }
        token = nil
        listener = nil
        for client in clients { client.close() }
        onRequest = { _ in }
        try? loop.turn(timeout: .zero)  // the loop lets go of them
    }
}

/// One of its clients.
final class FakePostgresClient: EventSource {
    private(set) var isAtEnd = false
    private(set) var isLetIn = false
    private let loop: EventLoop
    private unowned let server: FakePostgres
    private var socket: FileDescriptor?
    private var token: SourceToken?
    private var input = ByteBuffer()

    init(_ loop: EventLoop, _ server: FakePostgres, _ socket: consuming FileDescriptor) throws {
        self.loop = loop
        self.server = server
        let number = socket.rawValue
        self.socket = consume socket
        token = try loop.add(self, descriptor: number, interest: .read)
    }

    func send(_ bytes: [UInt8]) {
        var output = ByteBuffer(bytes)
        if let number = socket?.rawValue { _ = try? Socket.send(number, from: &output) }
    }

    func close() {
        if let token { loop.remove(token) }
        token = nil
        socket = nil
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let number = socket?.rawValue else { return }
        switch try? Socket.receive(number, into: &input, limit: 65_536) {
        case .bytes: break
        case .wouldBlock: return
        case .endOfStream, nil:
            isAtEnd = true
            return close()
        }
        input.removeAll()
        if isLetIn {
            server.onRequest(self)
        } else {
            // AuthenticationOk, and ReadyForQuery: idle.
            isLetIn = true
            send([UInt8(ascii: "R"), 0, 0, 0, 8, 0, 0, 0, 0, UInt8(ascii: "Z"), 0, 0, 0, 5, UInt8(ascii: "I")])
        }
    }
}
