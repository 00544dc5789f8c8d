import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The end of a WebSocket")
struct ClosingTests {
    /// What a client does, one after the other.
    enum Step: Sendable {
        /// The server begins its close handshake, with 4006.
        case serverCloses
        /// The client has read the server's close frame.
        case frameRead
        case send([UInt8])
        case closeFrame
        /// It sends nothing more, and says so.
        case halfClose
    }

    /// An order of events; what the client reads at last: the code of the server's close frame, if any, and whether the
    /// connection ends properly or is reset.
    struct Row: CustomTestStringConvertible, Sendable {
        let name: String
        let steps: [Step]
        var code: UInt16?
        var isReset = false
        /// It takes the close time-out.
        var isLate = false
        var testDescription: String { name }

        init(_ name: String, _ steps: [Step], code: UInt16?, isReset: Bool = false, isLate: Bool = false) {
            (self.name, self.steps, self.code, self.isReset, self.isLate) = (name, steps, code, isReset, isLate)
        }
    }

    private static let ping = ClientFrame(opcode: 9, payload: [1]).bytes
    private static let half = ClientFrame.text("half", isFinal: false).bytes
    private static let close = ClientFrame(opcode: 8, payload: [3, 232]).bytes

    static let rows: [Row] = [
        Row("the client closes", [.closeFrame], code: 1000),
        Row("the client closes and stops sending", [.closeFrame, .halfClose], code: 1000),
        Row("the client closes in the middle of a message", [.send(half), .closeFrame], code: 1000),
        Row("the client closes twice, and talks on", [.closeFrame, .closeFrame, .send(ping)], code: 1000),
        Row("the client stops sending without a close frame", [.halfClose], code: nil, isReset: true),
        Row("the client stops in the middle of a message", [.send(half), .halfClose], code: nil, isReset: true),
        Row("the server closes, the client answers", [.serverCloses, .frameRead, .closeFrame], code: 4006),
        Row(
            "the server closes, the client answers and stops sending",
            [.serverCloses, .frameRead, .closeFrame, .halfClose], code: 4006),
        Row("both close at once", [.closeFrame, .serverCloses], code: nil),
        Row(
            "the server closes, the client finishes its message first",
            [
                .send(half), .serverCloses, .frameRead, .send(ClientFrame.continuation("", isFinal: true).bytes),
                .send(ping), .closeFrame,
            ], code: 4006),
        Row(
            "the server closes, the client stops sending without a close frame",
            [.serverCloses, .frameRead, .halfClose], code: 4006, isReset: true),
        Row(
            "the server closes, the client never answers", [.serverCloses, .frameRead], code: 4006, isReset: true,
            isLate: true),
        Row(
            "the server closes, the client talks on and never answers",
            [.serverCloses, .frameRead, .send(ping), .send(half)], code: 4006, isReset: true, isLate: true),
    ]

    @Test("comes in every order, properly where both have said so, else by a reset", arguments: rows)
    func orders(row: Row) throws {
        let timeout = Duration.milliseconds(row.isLate ? 300 : 10_000)
        let server = try TestServer(["FYNLO_ECHO": "1"]) { $0.limits.closeTimeout = timeout }
        let client = try TestExchange(loop: server.loop, address: server.address, parses: false)
        client.send(
            Array(
                """
                GET /debug/echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
                """.utf8))
        try server.wait(for: "the upgrade") { client.received.bytes().suffix(4) == Array("\r\n\r\n".utf8)[...] }
        client.received.removeAll()
        let start = server.loop.now.instant
        for step in row.steps {
            switch step {
            case .serverCloses: server.server.hub.connection(1)?.close(.accessRevoked)
            case .frameRead: try server.wait(for: "the close frame") { !client.received.isEmpty }
            case .send(let bytes): client.send(bytes)
            case .closeFrame: client.send(Self.close)
            case .halfClose:
                try server.wait(for: "all to be sent") { client.outbound.isEmpty }
                client.shutdownWrite()
            }
        }
        try server.wait(for: "the end") { client.isClosed }
        #expect(client.wasReset == row.isReset)
        if row.isLate { #expect(server.loop.now.instant - start >= .milliseconds(280)) }
        // One close frame and nothing behind it.
        let bytes = client.received.bytes()
        if let code = row.code {
            try #require(bytes.count >= 4)
            #expect(bytes[0] == 0x88 && UInt16(bytes[2]) << 8 | UInt16(bytes[3]) == code)
            #expect(bytes.count == 2 + Int(bytes[1]))
        } else if row.isReset {
            #expect(bytes.isEmpty)
        } else {
            #expect(bytes.first == 0x88 && bytes.count == 2 + Int(bytes[1]))
        }
        try server.wait(for: "the socket to be let go") { server.server.hub.connectionCount == 0 }
    }
}
