import FynloCore
import Testing

@Suite("NodeMessage")
struct NodeMessageTests {
    private static let node: UInt64 = 0x0123_4567_89ab_8def
    private static let connection = ConnectionID(node: node, number: 42)

    private static func read(_ text: String) -> NodeMessage.Reading {
        read(Array(text.utf8))
    }

    private static func read(_ bytes: [UInt8]) -> NodeMessage.Reading {
        NodeMessage.read(bytes.span)
    }

    private static func written(_ content: NodeMessage.Content) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.append(NodeMessage(node: node, content))
        return buffer.bytes()
    }

    static let contents: [NodeMessage.Content] = [
        .head(Sample.restaurant, 0), .head(Sample.restaurant, .max),
        .transient(Sample.restaurant, payload: Array("{\"type\":\"kitchen.item_ready\",\n\"data\":{\"é\":[1]}}".utf8)),
        .menu(Sample.restaurant, version: 7), .locate(connection, request: 0),
        .located(Sample.restaurant, request: .max), .located(nil, request: 1),
        .close(connection, .replaced, request: 2), .close(connection, .revoked, request: 3),
        .closed(wasThere: true, request: 5),
        .closed(wasThere: false, request: 6), .gather(nil, .text, request: 7),
        .gather(Sample.restaurant, .json, request: 8), .gather(nil, .jsonWithHistory, request: 11),
        .report(body: Array("a\nb".utf8), request: 9),
        .report(body: [], request: 10),
    ]

    @Test("reads what it writes, and no part of it for something else", arguments: contents)
    func roundTrip(content: NodeMessage.Content) {
        let bytes = Self.written(content)
        let message = NodeMessage(node: Self.node, content)
        #expect(NodeMessage.read(bytes.span) == .message(message))
        for end in bytes.indices {
            let part = Array(bytes[..<end])
            switch NodeMessage.read(part.span) {
            case .unreadable: break
            case .otherVersion: Issue.record("\(end) bytes are another version")
            case .message(let message):
                guard case .report(let body, let request) = content,
                    case .report(let cut, request) = message.content, body.starts(with: cut)
                else {
                    Issue.record("\(end) bytes are \(message)")
                    continue
                }
            }
        }
    }

    @Test("begins with its version, its node and what it is")
    func form() {
        let text = String(decoding: Self.written(.head(Sample.restaurant, 12)), as: UTF8.self)
        #expect(
            text
                == "{\"v\":1,\"node\":\"0123456789ab8def\",\"kind\":\"head\",\"restaurant\":\"\(Sample.restaurant)\",\"head\":12}"
        )
    }

    @Test("leaves alone what another version says, whatever that is")
    func otherVersion() {
        for text in [
            "{\"v\":2}", "{\"v\":0,\"kind\":\"head\"}", "{\"v\":2,\"node\":\"x\",\"kind\":\"new\"}\nanything",
            "{\"kind\":\"head\",\"v\":9223372036854775807}",
        ] {
            #expect(Self.read(text) == .otherVersion, "\(text)")
        }
    }

    @Test("takes members that it does not know, in any order")
    func unknownMembers() {
        let text = """
            {"head":3,"more":{"a":[1]},"restaurant":"\(Sample.restaurant)","kind":"head",\
            "node":"0123456789AB8DEF","v":1}
            """
        #expect(Self.read(text) == .message(NodeMessage(node: Self.node, .head(Sample.restaurant, 3))))
    }

    @Test("asks for the history in a way that programs without one answer all the same")
    func history() {
        let text = String(decoding: Self.written(.gather(nil, .jsonWithHistory, request: 1)), as: UTF8.self)
        #expect(text.contains("\"form\":\"json\",\"history\":true"))
        for (value, form) in [
            ("true", NodeMessage.ReportForm.jsonWithHistory), ("false", .json), ("1", .json), ("null", .json),
            ("{}", .json),
        ] {
            let other = text.replacing("\"history\":true", with: "\"history\":\(value)")
            #expect(
                Self.read(other) == .message(NodeMessage(node: Self.node, .gather(nil, form, request: 1))), "\(value)")
        }
    }

    @Test("passes over what is no message")
    func nonsense() {
        let node = "\"v\":1,\"node\":\"0123456789ab8def\""
        let restaurant = "\"restaurant\":\"\(Sample.restaurant)\""
        let request = "\"request\":\"0000000000000001\""
        for text in [
            "", "\n", "x", "[]", "{}", "1", "{\"v\":\"1\"}", "{\"v\":1.5}", "{\"v\":null}", "{\(node)}",
            "{\(node),\"kind\":\"nonsense\"}", "{\(node),\"kind\":\"head\"}",
            "{\(node),\"kind\":\"head\",\(restaurant)}",
            "{\(node),\"kind\":\"head\",\"head\":1}", "{\(node),\"kind\":\"head\",\(restaurant),\"head\":-1}",
            "{\(node),\"kind\":\"head\",\(restaurant),\"head\":\"1\"}",
            "{\(node),\"kind\":\"head\",\(restaurant),\"head\":99999999999999999999}",
            "{\(node),\"kind\":\"head\",\"restaurant\":\"x\",\"head\":1}",
            "{\"v\":1,\"node\":\"12\",\"kind\":\"head\",\(restaurant),\"head\":1}",
            "{\"v\":1,\"node\":\"0123456789ab8dex\",\"kind\":\"head\",\(restaurant),\"head\":1}",
            "{\"v\":1,\"kind\":\"head\",\(restaurant),\"head\":1}",
            "{\(node),\"kind\":\"transient\",\(restaurant)}", "{\(node),\"kind\":\"transient\",\(restaurant)}\n",
            "{\(node),\"kind\":\"transient\",\(restaurant)}\n[]", "{\(node),\"kind\":\"transient\",\(restaurant)}\n{",
            "{\(node),\"kind\":\"transient\"}\n{}", "{\(node),\"kind\":\"menu\",\(restaurant)}",
            "{\(node),\"kind\":\"locate\",\(request)}",
            // A UUID, but of no connection.
            "{\(node),\"kind\":\"locate\",\"connection\":\"\(Sample.restaurant)\",\(request)}",
            "{\(node),\"kind\":\"locate\",\"connection\":\"\(Self.connection.uuid)\"}",
            "{\(node),\"kind\":\"close\",\"connection\":\"\(Self.connection.uuid)\",\(request)}",
            "{\(node),\"kind\":\"close\",\"connection\":\"\(Self.connection.uuid)\",\"cause\":\"x\",\(request)}",
            "{\(node),\"kind\":\"located\",\(request)}", "{\(node),\"kind\":\"closed\",\(request)}",
            "{\(node),\"kind\":\"closed\",\"found\":1,\(request)}", "{\(node),\"kind\":\"gather\",\(request)}",
            "{\(node),\"kind\":\"gather\",\"restaurant\":null,\(request)}", "{\(node),\"kind\":\"report\"}\nx",
            "{\(node),\"kind\":\"report\",\(request)}",
            "{" + String(repeating: " ", count: 1_100) + "\(node),\"kind\":\"head\",\(restaurant),\"head\":1}",
        ] {
            #expect(Self.read(text) == .unreadable, "\(text)")
        }
        #expect(Self.read([0xff, 0xfe]) == .unreadable)
        var bytes = Self.written(.transient(Sample.restaurant, payload: Array("{\"a\":\"b\"}".utf8)))
        bytes[bytes.count - 3] = 0xff
        #expect(NodeMessage.read(bytes.span) == .unreadable, "tablets are sent nothing but UTF-8")
        let long = Self.written(.report(body: [UInt8](repeating: 0x20, count: NodeMessage.maximumBytes), request: 1))
        #expect(NodeMessage.read(long.span) == .unreadable)
    }

    @Test("carries the payload of a frame of any length", arguments: [2, 125, 126, 127, 65_535, 65_536])
    func frames(length: Int) {
        let payload = Array("{".utf8) + [UInt8](repeating: 0x20, count: length - 2) + Array("}".utf8)
        var frame = ByteBuffer()
        WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { $0.append(payload) }
        var relayed = ByteBuffer(NodeMessage.relayBeginning(of: Self.node))
        relayed.append(Sample.restaurant.uuid)
        relayed.append(NodeMessage.relayEnd)
        frame.withReadable { relayed.append($0.extracting(NodeMessage.relayPayload(of: $0))) }
        #expect(relayed.bytes() == Self.written(.transient(Sample.restaurant, payload: payload)))
    }

    @Test("names a connection whole, if its node's number was made for it")
    func connections() {
        for random in [0, 1, .max, 0x0123_4567_89ab_cdef] as [UInt64] {
            let id = ConnectionID(node: ConnectionID.node(random: random), number: 77)
            #expect(ConnectionID(uuid: id.uuid) == id)
        }
        #expect(ConnectionID(uuid: UUID128(high: 0, low: 1 << 63)) == nil)
        #expect(ConnectionID(uuid: UUID128(high: 0x8000, low: 0)) == nil)
    }
}
