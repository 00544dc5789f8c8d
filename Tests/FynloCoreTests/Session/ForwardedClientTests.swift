import FynloCore
import Testing

@Suite("Clients of a trusted proxy")
struct ForwardedClientTests {
    /// A connection, and what its shell would count.
    private struct Connection {
        var stack: ProtocolStack
        var input = ByteBuffer()
        var output = ByteBuffer()
        var effects: [Effect] = []
        var asked: [String] = []
        let clock = VirtualClock()

        init(peer: String, trusted: [String] = ["10.0.0.0/8"], refusal: APIError? = nil) {
            let settings = SessionSettings(trustedProxies: TrustedProxies(trusted.compactMap { IPNetwork($0) }))
            stack = ProtocolStack(
                id: Sample.connection, settings: settings, peer: IPAddress(peer), refusal: refusal,
                now: clock.now)
        }

        mutating func send(_ text: String, refusal: APIError? = nil) {
            input.append(text)
            var clients: [String] = []
            stack.receive(&input, now: clock.now, output: &output, effects: &effects) { client in
                clients.append(client.description)
                return refusal
            }
            asked += clients
        }

        mutating func deliver() {
            stack.deliver(response: HTTPResponse(status: 200), now: clock.now, output: &output)
        }

        mutating func status() -> Int? {
            defer { output.removeAll() }
            return Int(String(decoding: output.bytes().dropFirst(9).prefix(3), as: UTF8.self))
        }
    }

    private static let tooMany = APIError(.connectionLimit, "Too many.", status: 429)

    private static func request(for client: String?) -> String {
        let field = client.map { "X-Forwarded-For: \($0)\r\n" } ?? ""
        return "GET /api/v1/menu HTTP/1.1\r\nHost: h\r\n\(field)\r\n"
    }

    @Test("a request counts for its client until it is answered, and the next one for its own")
    func requests() {
        var connection = Connection(peer: "10.0.0.1")
        for client in ["203.0.113.9", "203.0.113.10"] {
            connection.send(Self.request(for: client))
            #expect(connection.stack.forwardedFor?.description == client)
            connection.deliver()
            #expect(connection.status() == 200)
            #expect(connection.stack.forwardedFor == nil)
        }
        connection.send(Self.request(for: nil))
        #expect(connection.stack.forwardedFor == nil)
        #expect(connection.asked == ["203.0.113.9", "203.0.113.10"])
    }

    @Test("a client over its limit is answered 429; the proxy's connection stays up for the others")
    func refused() {
        var connection = Connection(peer: "10.0.0.1")
        connection.send(Self.request(for: "203.0.113.9"), refusal: Self.tooMany)
        #expect(connection.status() == 429)
        #expect(connection.stack.transport == .open && connection.stack.forwardedFor == nil)
        #expect(connection.effects.map(\.name) == ["refused"])
        connection.send(Tablet.handshake(fields: "X-Forwarded-For: 203.0.113.9\r\n"), refusal: Self.tooMany)
        #expect(connection.status() == 429 && !connection.stack.isWebSocket)
        connection.send(Self.request(for: "203.0.113.10"))
        #expect(connection.effects.map(\.name) == ["refused", "refused", "respond"])
    }

    @Test("a WebSocket counts for its client as long as it is there")
    func webSocket() {
        var connection = Connection(peer: "10.0.0.1")
        connection.send(Tablet.handshake(fields: "Forwarded: for=203.0.113.9\r\n"))
        #expect(connection.status() == 101)
        #expect(connection.stack.forwardedFor?.description == "203.0.113.9")
        connection.stack.abandon(effects: &connection.effects)
        #expect(connection.stack.forwardedFor?.description == "203.0.113.9")
    }

    @Test("nobody is asked about a peer that is not trusted, whatever it says")
    func direct() {
        var connection = Connection(peer: "203.0.113.77")
        connection.send(Self.request(for: "203.0.113.9"), refusal: Self.tooMany)
        #expect(connection.asked.isEmpty && connection.stack.forwardedFor == nil)
        #expect(connection.effects.map(\.name) == ["respond"])
    }

    @Test("a connection over the limit of all is refused first")
    func full() {
        let full = APIError(.unavailable, "Full.")
        var connection = Connection(peer: "10.0.0.1", refusal: full)
        connection.send(Self.request(for: "203.0.113.9"))
        #expect(connection.status() == 503 && connection.asked.isEmpty)
    }

    @Test("a stranger is one who has made no request yet, has none under way, or has not asked to be authenticated")
    func strangers() {
        var connection = Connection(peer: "203.0.113.77")
        #expect(connection.stack.isStranger)
        connection.send("GET /api/v1/menu HTT")
        #expect(connection.stack.isStranger)
        connection.send("P/1.1\r\nHost: h\r\n\r\n")
        #expect(!connection.stack.isStranger)
        connection.deliver()
        #expect(connection.stack.isStranger)
        connection.send("GET /api/v1/menu HTT")
        #expect(!connection.stack.isStranger)
        connection.send("P/1.1\r\nHost: h\r\n\r\n")
        connection.deliver()
        connection.send(Tablet.handshake())
        #expect(connection.stack.isWebSocket && connection.stack.isStranger)

        var tablet = Tablet.upgraded()
        #expect(tablet.stack.isStranger)
        tablet.send(Tablet.authenticate())
        #expect(!tablet.stack.isStranger)
        tablet.deliver(.accepted(tablet.identity()))
        #expect(!tablet.stack.isStranger)
        tablet.close(.goingAway)
        #expect(!tablet.stack.isStranger)
    }
}
