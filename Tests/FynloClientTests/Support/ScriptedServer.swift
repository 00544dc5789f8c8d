import FynloClient
import FynloCore
import FynloIO

/// A server that sends what the test specifies, whatever it receives.
final class ScriptedServer: EventSource {
    /// The answer to the nth client (from 0) once it has sent something; then the connection is closed, unless it `holds`.
    var script: (Int) -> String
    var holds = false

    private let loop: EventLoop
    private let listener: Listener
    private var token: SourceToken?
    private var clients: [ScriptedConnection] = []
    private(set) var accepted = 0

    init(loop: EventLoop, script: @escaping (Int) -> String) throws {
        self.loop = loop
        self.script = script
        listener = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    var url: ServerURL {
        get throws { try ServerURL("http://127.0.0.1:\(listener.localAddress.port)") }
    }

    /// What the nth client has sent so far.
    func heard(from number: Int) -> String {
        number < clients.count ? String(decoding: clients[number].heard, as: UTF8.self) : ""
    }

    func ready(_ readiness: Readiness, now: Moment) {
        while let socket = try? listener.accept() {
            let text = script(accepted)
            accepted += 1
            let connection = ScriptedConnection(loop, socket.takeDescriptor(), answer: text, holds: holds)
            clients.append(connection)
        }
    }

    func stop() {
        if let token { loop.remove(token) }
        token = nil
        for client in clients { client.leave() }
    }
}

/// One connection of a ScriptedServer.
private final class ScriptedConnection: EventSource {
    private(set) var heard: [UInt8] = []
    private let loop: EventLoop
    private let answer: String
    private let holds: Bool
    private var descriptor: FileDescriptor?
    private var token: SourceToken?

    init(_ loop: EventLoop, _ descriptor: consuming FileDescriptor, answer: String, holds: Bool) {
        self.loop = loop
        self.answer = answer
        self.holds = holds
        let number = descriptor.rawValue
        self.descriptor = consume descriptor
        token = try? loop.add(self, descriptor: number, interest: .read)
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let number = descriptor?.rawValue else { return }
        var input = ByteBuffer()
        guard case .bytes = try? Socket.receive(number, into: &input, limit: 65_536) else { return leave() }
        heard += input.bytes()
        guard heard.count == input.count else { return }
        var output = ByteBuffer(answer)
        _ = try? Socket.send(number, from: &output)
        if !holds { leave() }
    }

    func leave() {
        if let token { loop.remove(token) }
        token = nil
        descriptor = nil
    }
}
