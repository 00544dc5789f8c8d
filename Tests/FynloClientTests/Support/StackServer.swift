import FynloClient
import FynloCore
import FynloIO

/// A server made of a listener and the core's protocol stacks, with closures in the place of storage. It shares the test's
/// loop.
final class StackServer: EventSource {
    /// The result of an authentication.
    var authentication: (AuthenticationRequest) -> AuthenticationOutcome
    /// Storage's answer to the nth command (from 1); `nil` for no answer.
    var storage: (Int) -> CommandAnswer? = { .done(sequence: EventSequence($0)) }
    var response: (HTTPRequest) -> HTTPResponse? = { _ in HTTPResponse(status: 200, body: Array("ok".utf8)) }

    /// Connections encrypt.
    var tls: TLSContext?

    let loop: EventLoop
    private(set) var connections: [UInt64: StackConnection] = [:]
    /// Connections accepted so far.
    private(set) var accepted: UInt64 = 0
    private(set) var authenticated: [AuthenticationRequest] = []
    private(set) var commands = 0
    private var listener: Listener?
    private var token: SourceToken?
    let settings: SessionSettings

    static let restaurant = RestaurantID(UUID128(high: 1, low: 2))
    static let user = UserID(UUID128(high: 3, low: 4))

    /// Listens on `port` of the loopback; 0 for any port.
    init(loop: EventLoop, port: UInt16 = 0, limits: Limits = Limits(), head: EventSequence = 7) throws {
        self.loop = loop
        settings = SessionSettings(limits: limits)
        authentication = { request in
            let end = UnixTime(milliseconds: SystemClock.now.unixTime.milliseconds + 3_600_000)
            return .accepted(
                AcceptedIdentity(
                    user: StackServer.user, role: .manager, restaurant: StackServer.restaurant,
                    sequence: request.lastSequence ?? head, tokenExpiresAt: end, tokenEndsAt: end))
        }
        let listener = try Listener(SocketAddress(parsing: "127.0.0.1:\(port)"))
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
        self.listener = listener
    }

    var port: UInt16 { listener?.localAddress.port ?? 0 }

    /// The URL of the server, by name if requested.
    func url(host: String = "127.0.0.1") throws -> ServerURL {
        try ServerURL("\(tls == nil ? "ws" : "wss")://\(host):\(port)")
    }

    /// The authenticated connections.
    var active: [StackConnection] {
        connections.sorted { $0.key < $1.key }.map(\.value).filter { $0.stack.user != nil }
    }

    func ready(_ readiness: Readiness, now: Moment) {
        while let socket = try? listener?.accept() {
            accepted += 1
            let connection = StackConnection(socket.takeDescriptor(), number: accepted, server: self)
            connections[accepted] = connection
            connection.start()
        }
    }

    /// Sends an event to all connections.
    func publish(_ text: String, sequence: EventSequence?) {
        var frame = ByteBuffer()
        WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { $0.append(text) }
        for connection in connections.values { connection.deliver(frame, sequence: sequence) }
    }

    /// Durable events of a simple kind.
    func publish(events: ClosedRange<EventSequence>) {
        for sequence in events {
            publish(#"{"type":"order.updated","data":{"n":\#(sequence)},"seq":\#(sequence)}"#, sequence: sequence)
        }
    }

    func closeAll(_ reason: CloseReason) {
        for connection in connections.values { connection.close(reason) }
    }

    /// Cuts all connections.
    func dropAll() {
        for connection in connections.values { connection.leave() }
    }

    /// Stops listening and cuts all connections.
    func stop() {
        if let token { loop.remove(token) }
        token = nil
        listener = nil
        dropAll()
    }

    fileprivate func forget(_ number: UInt64) {
        connections[number] = nil
    }

    fileprivate func carryOut(_ effect: Effect, for connection: StackConnection) {
        switch effect {
        case .upgraded, .sessionEnded, .reauthenticate, .refused:
            break
        case .respond(let request, _):
            guard let answer = response(request) else { return }
            connection.with { stack, now, output, _ in stack.deliver(response: answer, now: now, output: &output) }
        case .authenticate(let request, _, _):
            authenticated.append(request)
            let outcome = authentication(request)
            connection.with { $0.deliver(authentication: outcome, now: $1, output: &$2, effects: &$3) }
        case .storage:
            commands += 1
            if let answer = storage(commands) {
                connection.with { $0.deliver(command: answer, now: $1, output: &$2, effects: &$3) }
            }
        case .replay:
            // These streams have no missed events.
            connection.with { stack, now, output, _ in stack.deliver(replay: .finished, now: now, output: &output) }
        case .broadcast(let frame, _, _):
            for other in connections.values { other.deliver(frame, sequence: nil) }
        }
    }
}

/// One connection of a StackServer.
final class StackConnection: EventSource {
    private(set) var stack: ProtocolStack
    private let number: UInt64
    private unowned let server: StackServer
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    private var input = ByteBuffer()
    private var output = ByteBuffer()
    private let tls: TLSEngine?
    private var ciphertext = ByteBuffer()

    init(_ descriptor: consuming FileDescriptor, number: UInt64, server: StackServer) {
        tls = server.tls.flatMap { try? TLSEngine(server: $0) }
        self.number = number
        self.server = server
        self.descriptor = consume descriptor
        stack = ProtocolStack(
            id: ConnectionID(node: 1, number: number), settings: server.settings, now: server.loop.now)
    }

    func start() {
        guard let descriptor = descriptor?.rawValue else { return }
        token = try? server.loop.add(self, descriptor: descriptor, interest: .read)
        with { _, _, _, _ in }
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let descriptor = descriptor?.rawValue else { return }
        guard let tls else {
            switch try? Socket.receive(descriptor, into: &input, limit: 65_536) {
            case .bytes: receive()
            case .wouldBlock: break
            case .endOfStream, nil: leave()
            }
            return
        }
        var encrypted = ByteBuffer()
        switch try? Socket.receive(descriptor, into: &encrypted, limit: 65_536) {
        case .bytes:
            guard (try? tls.receive(&encrypted, plaintext: &input, output: &ciphertext)) != nil else { return leave() }
            receive()
        case .wouldBlock: break
        case .endOfStream, nil: leave()
        }
    }

    private func receive() {
        var taken = ByteBuffer()
        swap(&taken, &input)
        with { $0.receive(&taken, now: $1, output: &$2, effects: &$3) }
        if !taken.isEmpty { input = taken }
    }

    func tick(now: Moment) -> Instant? {
        with { $0.tick(now: $1, output: &$2, effects: &$3) }
        return stack.nextDeadline
    }

    func deliver(_ frame: ByteBuffer, sequence: EventSequence?) {
        with { stack, now, output, _ in stack.deliver(frame: frame, sequence: sequence, now: now, output: &output) }
    }

    func close(_ reason: CloseReason) {
        with { $0.close(reason, now: $1, output: &$2, effects: &$3) }
    }

    /// Calls the stack, carries out its effects, writes its output (tests write little) and follows its decisions.
    func with(_ body: (inout ProtocolStack, Moment, inout ByteBuffer, inout [Effect]) -> Void) {
        guard let number = descriptor?.rawValue, let token else { return }
        var effects: [Effect] = []
        body(&stack, server.loop.now, &output, &effects)
        for effect in effects { server.carryOut(effect, for: self) }
        write(number)
        if let deadline = stack.nextDeadline { server.loop.wake(token, by: deadline) }
        if stack.transport == .aborted || stack.transport == .closing && stack.isWebSocket { return leave() }
        guard stack.transport == .closing else { return }
        tls?.close(output: &ciphertext)
        write(number)
        Socket.shutdownWrite(number)
    }

    /// Sends bytes that are not the stack's.
    func say(_ text: String) {
        with { _, _, output, _ in output.append(text) }
    }

    private func write(_ number: Int32) {
        guard let tls else {
            _ = try? Socket.send(number, from: &output)
            return
        }
        if tls.isEstablished { try? tls.send(&output, limit: .max, output: &ciphertext) }
        _ = try? Socket.send(number, from: &ciphertext)
    }

    /// Closes the socket.
    func leave() {
        if let token { server.loop.remove(token) }
        token = nil
        descriptor = nil
        server.forget(number)
    }
}
