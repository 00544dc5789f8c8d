import FynloCore
import FynloIO
import Glibc
import TestSupport

/// A client's socket on the test's loop: it sends what it is given and keeps what arrives.
class TestSocket: EventSource {
    let loop: EventLoop
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    var outbound = ByteBuffer()
    /// Bytes that arrived and have not been read yet.
    var received = ByteBuffer()
    /// The server closed, or reset, the connection.
    private(set) var isClosed = false
    /// The connection was reset rather than closed.
    private(set) var wasReset = false
    /// False leaves arriving bytes with the kernel, as a tablet that hangs does.
    var isReading = true { didSet { updateInterest() } }
    /// The most bytes sent in one turn, and so in one segment.
    var segmentBytes = Int.max
    /// Encrypts, if the connection does.
    let tls: TLSEngine?
    private var ciphertext = ByteBuffer()
    /// Why the connection broke, if TLS did.
    private(set) var tlsError: TLSError?

    /// `receiveBufferBytes` limits what the kernel holds for a socket that does not read.
    init(loop: EventLoop, address: SocketAddress, receiveBufferBytes: Int32? = nil, tls: TLSContext? = nil) throws {
        self.loop = loop
        self.tls = try tls.map { try TLSEngine(client: $0, host: "fynlo.test") }
        try self.tls?.start(output: &ciphertext)
        let descriptor = try Socket.nonBlockingConnect(to: address)
        let number = descriptor.rawValue
        if var bytes = receiveBufferBytes {
            setsockopt(number, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        self.descriptor = consume descriptor
        Socket.setNoDelay(number)
        token = try loop.add(self, descriptor: number, interest: [.read, .write])
    }

    deinit {
        close()
    }

    func send(_ bytes: [UInt8]) {
        outbound.append(bytes)
        updateInterest()
    }

    /// Hands bytes to the kernel without waiting for the loop's next turn.
    func sendAtOnce(_ bytes: inout ByteBuffer) throws {
        guard let number = descriptor?.rawValue else { return }
        _ = try Socket.send(number, from: &bytes)
    }

    /// Closes without a close frame, as a tablet that is switched off.
    func close() {
        if let token { loop.remove(token) }
        token = nil
        if let descriptor = descriptor.take() { descriptor.close() }
    }

    /// Resets the connection.
    func reset() {
        if let token { loop.remove(token) }
        token = nil
        if let descriptor = descriptor.take() { Socket.abortiveClose(descriptor) }
    }

    /// Sends nothing more, reads on.
    func shutdownWrite() {
        if let number = descriptor?.rawValue { Socket.shutdownWrite(number) }
    }

    /// Sends bytes past the encryption.
    func sendRaw(_ bytes: [UInt8]) {
        ciphertext.append(bytes)
        updateInterest()
    }

    /// Sends nothing more behind what is queued and says so, in TLS alone; reads on.
    func closeNotify() {
        if let tls, tls.isEstablished { try? tls.send(&outbound, limit: .max, output: &ciphertext) }
        tls?.close(output: &ciphertext)
        updateInterest()
    }

    /// Called when bytes have arrived.
    func process() {}

    /// The server closed the connection.
    func ended() {}

    private func updateInterest() {
        guard let token else { return }
        var interest: Interest = isReading ? [.read] : []
        if !ciphertext.isEmpty || !outbound.isEmpty && tls?.isEstablished != false { interest.insert(.write) }
        loop.setInterest(interest, for: token)
    }

    private func write(_ number: Int32) throws {
        guard let tls else { return try write(number, &outbound) }
        if tls.isEstablished { try tls.send(&outbound, limit: .max, output: &ciphertext) }
        try write(number, &ciphertext)
    }

    private func write(_ number: Int32, _ buffer: inout ByteBuffer) throws {
        guard buffer.count > segmentBytes else {
            if !buffer.isEmpty { _ = try Socket.send(number, from: &buffer) }
            return
        }
        var segment = ByteBuffer(Array(buffer.bytes().prefix(segmentBytes)))
        if case .sent(let count) = try Socket.send(number, from: &segment) { buffer.consume(count) }
    }

    private func receive(_ number: Int32) throws -> Socket.Received {
        guard let tls else { return try Socket.receive(number, into: &received, limit: 65_536) }
        var encrypted = ByteBuffer()
        let result = try Socket.receive(number, into: &encrypted, limit: 65_536)
        do {
            try tls.receive(&encrypted, plaintext: &received, output: &ciphertext)
        } catch {
            tlsError = error
            throw error
        }
        return result
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let number = descriptor?.rawValue else { return }
        do {
            try write(number)
            if isReading {
                switch try receive(number) {
                case .bytes: process()
                case .endOfStream:
                    isClosed = true
                    ended()
                    close()
                case .wouldBlock: break
                }
            }
        } catch {
            isClosed = true
            wasReset = true
            ended()
            close()
        }
        updateInterest()
    }
}

/// HTTP requests and their responses on one connection.
final class TestExchange: TestSocket {
    private(set) var responses: [HTTPResponse] = []
    private var methods: [HTTPMethod] = []
    private var parser = HTTPResponseParser(limits: HTTPLimits())
    private let parses: Bool

    /// `parses: false` keeps the bytes as they come.
    init(
        loop: EventLoop, address: SocketAddress, parses: Bool = true, receiveBufferBytes: Int32? = nil,
        tls: TLSContext? = nil
    ) throws {
        self.parses = parses
        try super.init(loop: loop, address: address, receiveBufferBytes: receiveBufferBytes, tls: tls)
    }

    func send(_ method: HTTPMethod, _ target: String, headers: HTTPHeaders = [:], body: [UInt8] = []) {
        var headers = headers
        if headers.first("host") == nil { headers.append("Host", "fynlo.test") }
        var request = ByteBuffer()
        HTTPEncoder.encodeRequest(method: method, target: target, headers: headers, body: body, into: &request)
        methods.append(method)
        send(request.bytes())
    }

    /// Sends a GET request as it is written.
    func send(raw text: String) {
        methods.append(.get)
        send(Array(text.utf8))
    }

    override func process() {
        while parses, let method = methods.first {
            guard let response = try? parser.next(&received, requestMethod: method) else { return }
            methods.removeFirst()
            responses.append(response)
        }
    }
}

/// A tablet of the tests: upgrades, and keeps every message it is sent.
final class TestTablet: TestSocket {
    private enum Phase { case upgrading, open }

    private var phase = Phase.upgrading
    private var parser = HTTPResponseParser(limits: HTTPLimits())
    private var webSocket = WebSocketConnection(
        role: .client(maskSeed: 7), maximumMessageBytes: 16 << 20, closeTimeout: .seconds(5))
    private var queued: [String] = []
    /// True for a tablet's path; what a conformance echo answers is no message of the protocol.
    private let speaksProtocol: Bool

    /// The answer to the upgrade.
    private(set) var upgrade: HTTPResponse?
    /// Messages in the order they came.
    private(set) var messages: [Document] = []
    /// The same, as text.
    private(set) var texts: [String] = []
    /// The server's close frame.
    private(set) var closeCode: UInt16?
    private(set) var closeReason = ""
    private(set) var pongs = 0

    init(
        loop: EventLoop, address: SocketAddress, target: String, headers: HTTPHeaders = [:],
        receiveBufferBytes: Int32? = nil, tls: TLSContext? = nil
    ) throws {
        speaksProtocol = target.hasPrefix("/api/v1/websocket/ws/")
        try super.init(loop: loop, address: address, receiveBufferBytes: receiveBufferBytes, tls: tls)
        var all = headers
        all.append("Host", "fynlo.test")
        let key = WebSocketHandshake.makeKey(random: ProcessSetup.randomBytes(16))
        for field in WebSocketHandshake.requestHeaders(key: key, protocols: ["fynlo.v1"]) {
            all.append(field.name, field.value)
        }
        var request = ByteBuffer()
        HTTPEncoder.encodeRequest(method: .get, target: target, headers: all, body: [], into: &request)
        send(request.bytes())
    }

    /// Sends a text message, after the upgrade if that is not done yet.
    func say(_ text: String) {
        guard phase == .open else { return queued.append(text) }
        webSocket.sendText(to: &outbound) { $0.append(text) }
        send([])
    }

    /// Says something at once, and not in the loop's next turn.
    func sayAtOnce(_ text: String) throws {
        var frame = ByteBuffer()
        webSocket.sendText(to: &frame) { $0.append(text) }
        try sendAtOnce(&frame)
    }

    /// Sends one frame as it is given.
    func sendFrame(_ opcode: WebSocketOpcode, _ payload: [UInt8]) {
        webSocket.sendFrame(opcode, payload: payload.span, to: &outbound)
        send([])
    }

    /// Begins the close handshake.
    func closeWebSocket(_ code: UInt16 = 1000) {
        webSocket.close(code: code, reason: "", now: loop.now, output: &outbound)
        send([])
    }

    func authenticate(
        _ user: TestUser, at restaurant: RestaurantID, token: String? = nil, device: String? = nil,
        lastSequence: Int? = nil
    ) {
        let deviceMember = device.map { ",\"device_id\":\"\($0)\"" } ?? ""
        let lastMember = lastSequence.map { ",\"last_seq\":\($0)" } ?? ""
        say(
            """
            {"type":"authenticate","data":{"token":"\(token ?? user.token())","user_id":"\(user.id)",\
            "restaurant_id":"\(restaurant)"\(deviceMember)\(lastMember)}}
            """)
    }

    /// The messages of one type.
    func messages(_ type: String) -> [Document] {
        messages.filter { $0["type"].string == type }
    }

    override func process() {
        if phase == .upgrading {
            guard let response = try? parser.next(&received, requestMethod: .get) else { return }
            upgrade = response
            guard response.status == 101 else { return }
            phase = .open
            let waiting = queued
            queued = []
            for text in waiting { say(text) }
        }
        while let event = webSocket.next(&received, now: loop.now, output: &outbound) {
            switch event {
            case .message(let message):
                let bytes = message.withPayload(in: received) { [UInt8](copying: $0) }
                if speaksProtocol { FrameRecord.note(bytes) }
                texts.append(String(decoding: bytes, as: UTF8.self))
                messages.append((try? Document(bytes)) ?? .null)
            case .closing(let code, let reason):
                closeCode = code
                closeReason = reason
            case .failed(let code, let reason):
                closeCode = code
                closeReason = "the server broke the protocol: " + reason
            case .ping: break
            case .pong: pongs += 1
            }
        }
        send([])
    }
}
