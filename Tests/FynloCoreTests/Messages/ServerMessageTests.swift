import FynloCore
import Testing

private func written(_ message: ServerMessage, number: UInt64 = 7) -> String {
    var buffer = ByteBuffer()
    MessageEncoder.append(
        message, id: .direct(Sample.connection, number: number), restaurant: Sample.restaurant, at: Sample.time,
        to: &buffer)
    return buffer.text
}

/// The envelope around `data`, to the byte.
private func envelope(_ type: String, _ data: String, id: String = "0123456789abcdef-42-7", more: String = "") -> String
{
    """
    {"id":"\(id)","type":"\(type)","data":\(data),"restaurant_id":"11111111-1111-4111-8111-111111111111",\
    "timestamp":"2026-01-31T18:04:05.123Z"\(more)}
    """
}

private let authenticated = Authenticated(
    user: Sample.user, restaurant: Sample.restaurant, connection: Sample.connection.uuid, role: .restaurantOwner,
    sequence: 99, heartbeatInterval: .seconds(15), tokenExpiresAt: UnixTime(milliseconds: 1_769_886_245_000),
    isResumed: true)

@Suite("ServerMessage")
struct ServerMessageTests {
    private static let messages: [(ServerMessage, String)] =
        [
            (.authenticated(authenticated), "authenticated"), (.ping, "ping"),
            (.tokenExpiring(seconds: 299), "token_expired"), (.acknowledgement(id: "a", sequence: nil), "ack"),
            (.acknowledgement(id: "\"\\\n<é🍽\u{2028}", sequence: .max), "ack"),
            (.error(APIError(.invalidMessage, "Say \"x\"\n."), id: nil), "error"),
            (.error(APIError(.versionConflict, "x", order: Array("{\"id\":1}".utf8)), id: "\u{1}"), "error"),
            (.error(APIError(.rateLimited, "x", retryAfter: .milliseconds(50)), id: "b"), "error"),
            (.resyncRequired(head: 0), "resync_required"), (.reconnect(retryAfter: .milliseconds(1_234)), "reconnect"),
        ] + AuthenticationFailure.allCases.map { (.authenticationError($0, retryAfter: nil), "auth_error") }
        + APIError.Code.allCases.map { (.error(APIError($0, "x"), id: "c"), "error") }

    @Test("every message is JSON with all five members of the envelope", arguments: messages)
    func envelopes(message: ServerMessage, type: String) throws {
        let tree = try #require(JSONTree(written(message)))
        #expect(tree.names == ["data", "id", "restaurant_id", "timestamp", "type"])
        #expect(tree["type"]?.text == type)
        #expect(tree["id"]?.text == "0123456789abcdef-42-7")
        #expect(tree["restaurant_id"]?.text == Sample.restaurant.description)
        #expect(tree["timestamp"]?.text == "2026-01-31T18:04:05.123Z")
        #expect(tree["data"]?.names != nil)
    }

    @Test("ack, to the byte")
    func acknowledgement() {
        #expect(written(.acknowledgement(id: "m-1", sequence: 12)) == envelope("ack", "{\"id\":\"m-1\",\"seq\":12}"))
        #expect(written(.acknowledgement(id: "a\"<", sequence: nil)) == envelope("ack", "{\"id\":\"a\\u0022\\u003c\"}"))
    }

    @Test("error, to the byte")
    func error() {
        #expect(
            written(.error(APIError(.unknownType, "No such type."), id: "m-1"))
                == envelope("error", "{\"code\":\"unknown_type\",\"error\":\"No such type.\",\"id\":\"m-1\"}"))
        #expect(
            written(.error(APIError(.invalidMessage, "x"), id: nil))
                == envelope("error", "{\"code\":\"invalid_message\",\"error\":\"x\"}"))
        let conflict = APIError(.versionConflict, "x", order: Array("{\"version\":3}".utf8))
        #expect(
            written(.error(conflict, id: "m"))
                == envelope(
                    "error", "{\"code\":\"version_conflict\",\"error\":\"x\",\"id\":\"m\",\"order\":{\"version\":3}}"))
    }

    @Test(
        "a wait is told in milliseconds, never too short",
        arguments: [
            (Duration.milliseconds(50), 50), (.seconds(5), 5_000), (.nanoseconds(1), 1), (.zero, 1),
            (.nanoseconds(1_000_001), 2),
            (.microseconds(49_500), 50),
        ])
    func retryAfter(wait: Duration, milliseconds: Int) {
        #expect(
            written(.error(APIError(.rateLimited, "x", retryAfter: wait), id: nil))
                == envelope("error", "{\"code\":\"rate_limited\",\"error\":\"x\",\"retry_after_ms\":\(milliseconds)}"))
        #expect(
            written(.authenticationError(.connectionLimit, retryAfter: wait)).contains(
                "\"retry_after_ms\":\(milliseconds)}"))
    }

    @Test("authenticated, to the byte")
    func authentication() {
        let connection = Sample.connection.uuid
        let data = """
            {"user_id":"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa","restaurant_id":"11111111-1111-4111-8111-111111111111",\
            "connection_id":"\(connection)","role":"restaurant_owner","seq":99,"heartbeat_interval_ms":15000,\
            "token_expires_at":"2026-01-31T19:04:05.000Z","resumed":true}
            """
        #expect(written(.authenticated(authenticated)) == envelope("authenticated", data))
    }

    @Test(
        "auth_error, to the byte: text, code and whether to try again",
        arguments: [
            (.timeout, "Authentication timeout", "authentication_timeout", true),
            (.notAuthentication, "First message must be authentication", "authentication_required", false),
            (.missingData, "Missing authentication data", "missing_authentication_data", false),
            (.invalidToken, "Invalid authentication token", "invalid_token", false),
            (.accessDenied, "Access denied to this restaurant", "access_denied", false),
            (.connectionLimit, "Connection limit exceeded", "connection_limit", true),
            (.unavailable, "Authentication failed", "unavailable", true),
        ] as [(AuthenticationFailure, String, String, Bool)])
    func authenticationError(failure: AuthenticationFailure, error: String, code: String, isRetryable: Bool) {
        let data = "{\"error\":\"\(error)\",\"code\":\"\(code)\",\"retryable\":\(isRetryable)}"
        #expect(written(.authenticationError(failure, retryAfter: nil)) == envelope("auth_error", data))
    }

    @Test("pong, to the byte, with the ping's data as it stood")
    func pong() {
        func pong(_ echo: String?) -> String {
            var buffer = ByteBuffer()
            let bytes = Array((echo ?? "").utf8)
            let id = MessageID.direct(Sample.connection, number: 7)
            buffer.write(atMost: MessageEncoder.pongBytes + bytes.count) { output in
                MessageEncoder.appendPong(
                    echo: echo == nil ? nil : bytes.span, id: id, restaurant: Sample.restaurant, at: Sample.time,
                    to: &output)
            }
            return buffer.text
        }
        #expect(pong(nil) == envelope("pong", "{\"timestamp\":\"2026-01-31T18:04:05.123Z\"}"))
        #expect(
            pong("{ \"a\" : [1.50, \"\\u00e9\"]}")
                == envelope(
                    "pong", "{\"timestamp\":\"2026-01-31T18:04:05.123Z\",\"echo\":{ \"a\" : [1.50, \"\\u00e9\"]}}"))
    }

    @Test(
        "a transient event is relayed with its sender, and its data made safe", arguments: TransientEventType.allCases)
    func transient(type: TransientEventType) {
        let data = Array("{\"note\":\"<\u{2028}&\\\"\", \"n\":1.50}".utf8)
        var buffer = transientFrame(type, data)
        #expect(buffer[0] == 0x81 && buffer[1] == 126 && Int(buffer[2]) << 8 | Int(buffer[3]) == buffer.count - 4)
        buffer.consume(4)
        #expect(
            buffer.text
                == envelope(
                    type.name.description, "{\"note\":\"\\u003c\\u2028\\u0026\\\"\", \"n\":1.50}",
                    more: ",\"user_id\":\"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa\""))
        #expect(JSONTree(buffer.bytes())?["data"] == JSONTree(data))
        #expect(JSONTree(buffer.bytes())?.names == ["data", "id", "restaurant_id", "timestamp", "type", "user_id"])
    }

    private func transientFrame(_ type: TransientEventType, _ data: [UInt8]) -> ByteBuffer {
        MessageEncoder.transientFrame(
            type, data: data.span, user: Sample.user, id: .direct(Sample.connection, number: 7),
            restaurant: Sample.restaurant, at: Sample.time)
    }

    @Test("a transient event of any size is one frame", arguments: [2, 100, 65_200, 65_400, 70_000])
    func transientOfSize(bytes: Int) {
        let data = Array("{".utf8) + [UInt8](repeating: 0x20, count: bytes - 2) + Array("}".utf8)
        let frame = transientFrame(.tableOccupied, data).bytes()
        let isLong = frame[1] == 127
        let length = frame[2..<(isLong ? 10 : 4)].reduce(0) { $0 << 8 | Int($1) }
        let payload = frame[(isLong ? 10 : 4)...]
        #expect(length == payload.count && isLong == (length > 65_535))
        #expect(JSONTree(Array(payload))?["type"]?.text == "table.occupied")
    }

    @Test("a durable event has its number, and the same id wherever it is sent from")
    func durable() {
        var buffer = ByteBuffer()
        MessageEncoder.append(Sample.event(12), to: &buffer)
        let id = "11111111-1111-4111-8111-111111111111-12"
        #expect(buffer.text == envelope("order.updated", "{\"n\":12}", id: id, more: ",\"seq\":12"))
    }

    @Test("no two messages have the same id")
    func unique() {
        var seen: Set<String?> = []
        func note(_ id: MessageID) {
            var buffer = ByteBuffer()
            MessageEncoder.append(.ping, id: id, restaurant: Sample.restaurant, at: Sample.time, to: &buffer)
            seen.insert(JSONTree(buffer.bytes())?["id"]?.text)
        }
        for connection in [1, 11, 111] as [UInt64] {
            for number in 1...112 as ClosedRange<UInt64> {
                note(.direct(ConnectionID(node: 1, number: connection), number: number))
                note(.direct(ConnectionID(node: 0x11, number: connection), number: number))
            }
        }
        for sequence in 0...112 as ClosedRange<EventSequence> {
            note(.event(Sample.restaurant, sequence))
            note(.event(Sample.otherRestaurant, sequence))
        }
        #expect(seen.count == 3 * 112 * 2 + 113 * 2 && !seen.contains(nil))
    }
}
