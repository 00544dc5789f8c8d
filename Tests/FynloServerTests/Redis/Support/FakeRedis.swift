import FynloCore
import FynloIO

@testable import FynloServer

/// A server on the loop of the test that behaves as badly as the test wants. Greetings are answered as a good server would.
final class FakeRedis: EventSource {
    /// What to do with a command; greetings come here only if `greets` is false.
    var onCommand: (FakeRedisClient, [String]) -> Void = { _, _ in }
    var greets = true
    /// Called for each client when it arrives.
    var onClient: (FakeRedisClient) -> Void = { _ in }
    /// All that ever came, the last one last.
    private(set) var clients: [FakeRedisClient] = []
    let address: SocketAddress

    private let loop: EventLoop
    private var listener: Listener?
    private var token: SourceToken?

    init(_ loop: EventLoop, at address: SocketAddress? = nil) throws {
        self.loop = loop
        let listener = try Listener(address ?? SocketAddress(parsing: "127.0.0.1:0"))
        self.listener = listener
        self.address = listener.localAddress
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    var url: String { "redis://\(address)" }

    /// All commands of all clients, greetings too, by words.
    var commands: [[String]] { clients.flatMap(\.commands) }

    func ready(_ readiness: Readiness, now: Moment) {
        while let accepted = try? listener?.accept() {
            guard let client = try? FakeRedisClient(loop, self, accepted.takeDescriptor()) else { continue }
            clients.append(client)
            onClient(client)
        }
    }

    func handle(_ command: [String], of client: FakeRedisClient) {
        switch command.first {
        case "PING" where greets: client.send("+PONG\r\n")
        case "AUTH" where greets, "SELECT" where greets: client.send("+OK\r\n")
        default: onCommand(client, command)
        }
    }

    /// Not from within a turn.
    func close() {
        if let token { loop.remove(token) }
        token = nil
        listener = nil
        for client in clients { client.close() }
        onCommand = { _, _ in }
        onClient = { _ in }
        try? loop.turn(timeout: .zero)  // the loop lets go of them
    }
}

/// One of its clients.
final class FakeRedisClient: EventSource {
    private(set) var commands: [[String]] = []
    /// How many bytes came with each `receive`.
    private(set) var segments: [Int] = []
    private(set) var isAtEnd = false
    /// Whether it takes what comes.
    var reads = true {
        didSet { setInterest() }
    }

    private let loop: EventLoop
    private unowned let server: FakeRedis
    private let reader = RedisReplyReader()
    private var socket: FileDescriptor?
    private var token: SourceToken?
    private var slowly: [UInt8] = []
    private var input = ByteBuffer()

    init(_ loop: EventLoop, _ server: FakeRedis, _ socket: consuming FileDescriptor) throws {
        self.loop = loop
        self.server = server
        let number = socket.rawValue
        Socket.setNoDelay(number)
        self.socket = consume socket
        token = try loop.add(self, descriptor: number, interest: .read)
    }

    func send(_ bytes: [UInt8]) {
        var output = ByteBuffer(bytes)
        if let number = socket?.rawValue { _ = try? Socket.send(number, from: &output) }
    }

    func send(_ text: String) {
        send(Array(text.utf8))
    }

    /// One byte in each turn.
    func sendSlowly(_ text: String) {
        slowly += Array(text.utf8)
        setInterest()
    }

    func close() {
        if let token { loop.remove(token) }
        token = nil
        socket = nil
    }

    private func setInterest() {
        guard let token else { return }
        var interest: Interest = reads ? .read : []
        if !slowly.isEmpty { interest.insert(.write) }
        loop.setInterest(interest, for: token)
    }

    func ready(_ readiness: Readiness, now: Moment) {
        if readiness.contains(.write), !slowly.isEmpty {
            send([slowly.removeFirst()])
            setInterest()
        }
        guard reads, let number = socket?.rawValue else { return }
        switch try? Socket.receive(number, into: &input, limit: 65_536) {
        case .bytes(let count): segments.append(count)
        case .wouldBlock: return
        case .endOfStream, nil:
            isAtEnd = true
            close()
        }
        input.withReadable { reader.feed($0) }
        input.removeAll(keepingCapacity: true)
        while case .reply(.array(let words)) = reader.next() {
            let command = words.map { word in
                if case .string(let bytes) = word { String(decoding: bytes, as: UTF8.self) } else { "?" }
            }
            commands.append(command)
            server.handle(command, of: self)
        }
    }
}
