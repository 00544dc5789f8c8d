import FynloCore
import Testing

private let decoder = MessageDecoder(Limits())

private func decode(_ text: String) -> Result<ClientMessage, APIError> {
    let bytes = Array(text.utf8)
    do {
        return try decoder.decode(bytes.span).message
    } catch {
        return .failure(error)
    }
}

/// The identifier a message is answered under, or why it has none that can be used.
private func commandID(_ text: String) -> Result<String?, APIError> {
    let bytes = Array(text.utf8)
    return Result { () throws(APIError) in
        try decoder.commandID(of: try decoder.decode(bytes.span), in: bytes.span)
    }
}

private func authentication(_ text: String) -> AuthenticationRequest? {
    if case .success(.authenticate(let request)) = decode(text) { request } else { nil }
}

/// True for an `authenticate` that lacks something.
private func lacksSomething(_ text: String) -> Bool {
    decode(text) == .success(.authenticate(nil))
}

private func failure(_ text: String) -> APIError.Code? {
    if case .failure(let error) = decode(text) { error.code } else { nil }
}

private func part(_ text: String, _ range: Range<Int>?) -> String? {
    range.map { String(decoding: Array(text.utf8)[$0], as: UTF8.self) }
}

@Suite("MessageDecoder: authenticate")
struct AuthenticateDecoderTests {
    @Test(
        "understands three generations of tablets",
        arguments: [
            """
            {"type":"authenticate","token":"ey.J.x","data":{"user_id":"u-1","restaurant_id":"r-1","client_type":"mobile_pos",\
            "client_version":"1.0.0"},"id":"m1","restaurant_id":"other","timestamp":"2026-01-31T18:04:05.123Z"}
            """,
            """
            {"type":"authenticate","data":{"token":"ey.J.x","user_id":"u-1","restaurant_id":"r-1"}}
            """,
            """
            {"type":"authenticate","token":"ey.J.x","user_id":"u-1","restaurant_id":"r-1","timestamp":"2026-01-31T18:04:05.123Z"}
            """,
        ])
    func generations(text: String) throws {
        let request = try #require(authentication(text))
        #expect(request.token == "ey.J.x" && request.user == "u-1" && request.restaurant == "r-1")
        let isFirst = text.contains("mobile_pos")
        #expect(request.clientType == (isFirst ? "mobile_pos" : nil))
        #expect(request.clientVersion == (isFirst ? "1.0.0" : nil))
        #expect(request.deviceID == nil && request.lastSequence == nil)
    }

    @Test("every field is taken from data first, and from the top level where data has none")
    func precedence() throws {
        let fields = ["token", "user_id", "restaurant_id", "client_type", "client_version", "device_id"]
        let top = fields.map { "\"\($0)\":\"top-\($0)\"" }.joined(separator: ",")
        for mask in 0..<64 {
            let inner = fields.enumerated().filter { mask >> $0.offset & 1 == 1 }.map {
                "\"\($0.element)\":\"data-\($0.element)\""
            }
            for text in [
                "{\"type\":\"authenticate\",\(top),\"data\":{\(inner.joined(separator: ","))}}",
                "{\"data\":{\(inner.joined(separator: ","))},\(top),\"type\":\"authenticate\"}",
            ] {
                let request = try #require(authentication(text))
                let read = [
                    request.token, request.user, request.restaurant, request.clientType, request.clientVersion,
                    request.deviceID,
                ]
                for (offset, field) in fields.enumerated() {
                    #expect(read[offset] == (mask >> offset & 1 == 1 ? "data-" : "top-") + field)
                }
            }
        }
    }

    @Test(
        "null, empty or mistyped counts as missing, in one place or in both",
        arguments: ["null", "\"\"", "1", "true", "[]", "[\"x\"]", "{}", "{\"token\":\"x\"}"])
    func unusable(value: String) throws {
        for field in ["token", "user_id", "restaurant_id"] {
            let others = ["token", "user_id", "restaurant_id"].filter { $0 != field }.map { "\"\($0)\":\"x\"" }
                .joined(separator: ",")
            #expect(lacksSomething("{\"type\":\"authenticate\",\(others)}"))
            #expect(lacksSomething("{\"type\":\"authenticate\",\(others),\"\(field)\":\(value)}"))
            #expect(lacksSomething("{\"type\":\"authenticate\",\"data\":{\(others),\"\(field)\":\(value)}}"))
            #expect(
                lacksSomething(
                    "{\"type\":\"authenticate\",\"data\":{\"\(field)\":\(value)},\(others),\"\(field)\":\(value)}"))
            // The other place has its chance.
            for text in [
                "{\"type\":\"authenticate\",\(others),\"\(field)\":\"y\",\"data\":{\"\(field)\":\(value)}}",
                "{\"type\":\"authenticate\",\"\(field)\":\(value),\"data\":{\(others),\"\(field)\":\"y\"}}",
            ] {
                let request = try #require(authentication(text), "\(text)")
                let read = ["token": request.token, "user_id": request.user, "restaurant_id": request.restaurant]
                #expect(read[field] == "y")
            }
        }
    }

    @Test(
        "data that is no object does not hide the top level",
        arguments: ["null", "1", "\"x\"", "[]", "[{\"token\":\"no\"}]"])
    func dataNoObject(value: String) throws {
        let text =
            "{\"type\":\"authenticate\",\"data\":\(value),\"token\":\"t\",\"user_id\":\"u\",\"restaurant_id\":\"r\"}"
        #expect(try #require(authentication(text)).token == "t")
    }

    @Test("nothing but the fields' own places is read")
    func elsewhere() {
        #expect(
            lacksSomething(
                "{\"type\":\"authenticate\",\"data\":{\"data\":{\"token\":\"t\",\"user_id\":\"u\",\"restaurant_id\":\"r\"}}}"
            ))
        #expect(lacksSomething("{\"type\":\"authenticate\",\"Token\":\"t\",\"userId\":\"u\",\"restaurantId\":\"r\"}"))
        #expect(lacksSomething("{\"type\":\"authenticate\"}"))
    }

    @Test("UUIDs come through in the case they were sent in, to be compared as UUIDs")
    func uuids() throws {
        let upper = Sample.user.description.uppercased()
        let request = try #require(
            authentication(
                "{\"type\":\"authenticate\",\"data\":{\"token\":\"t\",\"user_id\":\"\(upper)\",\"restaurant_id\":\"\(upper)\"}}"
            ))
        #expect(request.user.flatMap { UserID($0) } == Sample.user)
        #expect(RestaurantID(request.restaurant)?.uuid == Sample.user.uuid)
    }

    @Test(
        "last_seq is a whole number, or absent",
        arguments: [
            ("0", 0), ("17", 17), ("9223372036854775807", .max), ("-1", -1), ("9223372036854775808", nil), ("1.5", nil),
            ("\"17\"", nil), ("null", nil), ("true", nil), ("[]", nil),
        ] as [(String, Int64?)])
    func lastSequence(value: String, expected: Int64?) throws {
        let required = "\"token\":\"t\",\"user_id\":\"u\",\"restaurant_id\":\"r\""
        for text in [
            "{\"type\":\"authenticate\",\"data\":{\(required),\"last_seq\":\(value)}}",
            "{\"type\":\"authenticate\",\(required),\"last_seq\":\(value)}",
            "{\"type\":\"authenticate\",\(required),\"last_seq\":\(value),\"data\":{\"last_seq\":null}}",
            "{\"type\":\"authenticate\",\(required),\"last_seq\":99,\"data\":{\"last_seq\":\(expected.map(String.init) ?? "1.5")}}",
        ] {
            #expect(try #require(authentication(text)).lastSequence == expected, "\(text)")
        }
    }

    @Test(
        "free text is at most 64 bytes; longer, empty or mistyped is absent, and no reason to refuse",
        arguments: ["client_type", "client_version", "device_id"])
    func freeText(field: String) throws {
        for (value, expected) in [
            ("\"\(String(repeating: "d", count: 64))\"", String(repeating: "d", count: 64)),
            ("\"\(String(repeating: "d", count: 65))\"", nil),
            ("\"\(String(repeating: "é", count: 32))\"", String(repeating: "é", count: 32)),
            ("\"\(String(repeating: "é", count: 33))\"", nil), ("\"\"", nil), ("null", nil), ("7", nil), ("[]", nil),
            ("\"\\u0041\\n\"", "A\n"),
        ] as [(String, String?)] {
            let request = try #require(
                authentication(
                    "{\"type\":\"authenticate\",\"token\":\"t\",\"user_id\":\"u\",\"restaurant_id\":\"r\",\"\(field)\":\(value)}"
                ))
            let read = [
                "client_type": request.clientType, "client_version": request.clientVersion,
                "device_id": request.deviceID,
            ]
            #expect(read[field] == .some(expected), "\(value)")
        }
    }

    @Test("escapes are read, in names and in values")
    func escapes() throws {
        let request = try #require(
            authentication(
                "{\"t\\u0079pe\":\"authenti\\u0063ate\",\"d\\u0061ta\":{\"to\\u006ben\":\"a\\u002eb\"},\"user_id\":\"u\",\"restaurant_id\":\"r\"}"
            ))
        #expect(request.token == "a.b")
    }

    @Test("reauth finds its token in either place, or none")
    func reauth() {
        #expect(decode("{\"type\":\"reauth\",\"data\":{\"token\":\"t\"}}") == .success(.reauthenticate(token: "t")))
        #expect(decode("{\"type\":\"reauth\",\"token\":\"t\"}") == .success(.reauthenticate(token: "t")))
        #expect(
            decode("{\"type\":\"reauth\",\"token\":\"u\",\"data\":{\"token\":\"t\"}}")
                == .success(.reauthenticate(token: "t")))
        for value in ["null", "\"\"", "1", "{}"] {
            #expect(
                decode("{\"type\":\"reauth\",\"data\":{\"token\":\(value)}}") == .success(.reauthenticate(token: nil)))
        }
        #expect(decode("{\"type\":\"reauth\"}") == .success(.reauthenticate(token: nil)))
    }
}

@Suite("MessageDecoder")
struct MessageDecoderTests {
    @Test(
        "a ping's data is handed on as it stands, and told how far the tablet is",
        arguments: [
            ("{\"type\":\"ping\"}", nil, nil), ("{\"type\":\"ping\",\"data\":null}", nil, nil),
            ("{\"type\":\"ping\",\"data\":{}}", "{}", nil),
            ("{\"type\":\"ping\",\"data\": { \"a\" : [1.0] } }", "{ \"a\" : [1.0] }", nil),
            ("{\"data\":{\"last_seq\":12,\"rtt_ms\":3},\"type\":\"ping\"}", "{\"last_seq\":12,\"rtt_ms\":3}", 12),
            ("{\"type\":\"ping\",\"data\":{\"last_seq\":\"12\"}}", "{\"last_seq\":\"12\"}", nil),
            ("{\"type\":\"ping\",\"data\":{\"last_seq\":1e2}}", "{\"last_seq\":1e2}", nil),
            ("{\"type\":\"ping\",\"data\":7}", "7", nil),
            ("{\"type\":\"ping\",\"data\":\"x\"}", "\"x\"", nil),
            ("{\"type\":\"ping\",\"data\":[{\"last_seq\":1}]}", "[{\"last_seq\":1}]", nil),
        ] as [(String, String?, Int64?)])
    func ping(text: String, data: String?, sequence: Int64?) {
        guard case .success(.ping(let range, let lastSequence, _)) = decode(text) else {
            Issue.record("not a ping")
            return
        }
        #expect(part(text, range) == data && lastSequence == sequence)
    }

    @Test(
        "a tablet's pong is a pong, whatever is in it",
        arguments: ["", ",\"data\":{\"timestamp\":\"x\"}", ",\"data\":7,\"id\":null"])
    func pong(more: String) {
        #expect(decode("{\"type\":\"pong\"\(more)}") == .success(.pong))
    }

    @Test(
        "an order's change is read, with the version where there is one",
        arguments: [
            ("", nil), (",\"expected_version\":null", nil), (",\"expected_version\":1", 1),
            (",\"expected_version\":2147483647", .max),
            (",\"unknown\":[{}]", nil),
        ] as [(String, Int32?)])
    func orderStatusUpdate(more: String, version: Int32?) {
        for status in OrderStatus.allCases {
            let text =
                "{\"type\":\"order.status_update\",\"id\":\"1\",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"\(status.rawValue)\"\(more)}}"
            let update = OrderStatusUpdate(order: Sample.order, status: status, expectedVersion: version)
            #expect(decode(text) == .success(.orderStatusUpdate(update)))
        }
    }

    @Test(
        "a change that cannot be understood is an invalid message",
        arguments: [
            "", ",\"data\":null", ",\"data\":[]", ",\"data\":\"x\"", ",\"data\":{}", ",\"data\":{\"status\":\"ready\"}",
            ",\"data\":{\"order_id\":\"\(Sample.order)\"}", ",\"data\":{\"order_id\":\"1\",\"status\":\"ready\"}",
            ",\"data\":{\"order_id\":1,\"status\":\"ready\"}", ",\"data\":{\"order_id\":null,\"status\":\"ready\"}",
            ",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"Ready\"}",
            ",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"\"}",
            ",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":null}",
            ",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready \"}",
            ",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":4}",
            ",\"order_id\":\"\(Sample.order)\",\"status\":\"ready\"",
        ]
            + ["0", "-1", "1.0", "1e0", "\"1\"", "true", "[]", "2147483648", "99999999999999999999"].map {
                ",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready\",\"expected_version\":\($0)}"
            })
    func badUpdate(more: String) {
        let text = "{\"type\":\"order.status_update\",\"id\":\"7\"\(more)}"
        #expect(failure(text) == .invalidMessage)
        #expect(commandID(text) == .success("7"), "the refusal names the command")
    }

    @Test("transient events hand on any object", arguments: TransientEventType.allCases)
    func transient(type: TransientEventType) {
        for data in ["{}", "{\"table\":7,\"note\":\"<b>\"}", "{ \"a\" : { } }"] {
            let text = "{\"type\":\"\(type.name)\",\"data\":\(data)}"
            guard case .success(.transient(let event, let range)) = decode(text) else {
                Issue.record("not transient")
                continue
            }
            #expect(event == type && part(text, range) == data)
        }
        for data in ["null", "[]", "1", "\"x\""] {
            #expect(failure("{\"type\":\"\(type.name)\",\"data\":\(data)}") == .invalidMessage)
        }
        #expect(failure("{\"type\":\"\(type.name)\"}") == .invalidMessage)
    }

    @Test("the transient types are the contract's")
    func transientTypes() {
        #expect(
            TransientEventType.allCases.map(\.name.description) == [
                "kitchen.item_started", "kitchen.item_ready", "kitchen.order_ready", "table.occupied",
                "table.available",
                "table.reserved", "table.cleaned",
            ])
    }

    @Test("a transient event's data is at most 16 KiB", arguments: [(16_383, true), (16_384, true), (16_385, false)])
    func transientSize(bytes: Int, isTaken: Bool) {
        let data = "{\"x\":\"" + String(repeating: "y", count: bytes - 8) + "\"}"
        #expect(data.utf8.count == bytes)
        #expect(failure("{\"type\":\"table.cleaned\",\"data\":\(data)}") == (isTaken ? nil : .invalidMessage))
    }

    @Test(
        "other types are unknown",
        arguments: [
            "", "Ping", "PING", "ping ", "order.created", "order.status_changed", "kitchen.", "kitchen.item", "table",
            "ack", "error",
            "authenticated", "AUTHENTICATE", "p\\u0069ngs", "\\u0000",
        ])
    func unknown(type: String) {
        let text = "{\"type\":\"\(type)\",\"id\":\"7\",\"data\":{}}"
        #expect(failure(text) == .unknownType)
        #expect(commandID(text) == .success("7"))
    }

    @Test(
        "what has no readable envelope is an invalid message",
        arguments: [
            "", " ", "{", "ping", "null", "[]", "\"ping\"", "7", "[{\"type\":\"ping\"}]", "{}", "{\"id\":\"1\"}",
            "{\"type\":null}",
            "{\"type\":7}", "{\"type\":[\"ping\"]}", "{\"type\":\"ping\"}{}", "{\"type\":\"ping\",}",
            "{\"type\":\"ping\"} x",
            "{\"Type\":\"ping\"}", "{\"type\":\"ping\",\"type\":\"ping\"}",
            "{\"type\":\"ping\",\"t\\u0079pe\":\"pong\"}",
            "{\"type\":\"ping\",\"data\":{},\"data\":{}}", "{\"type\":\"ping\",\"id\":\"1\",\"id\":\"2\"}",
            "{\"type\":'ping'}",
            "\u{feff}{\"type\":\"ping\"}",
        ])
    func noEnvelope(text: String) {
        #expect(failure(text) == .invalidMessage)
    }

    @Test(
        "a message that cannot be understood is refused under its id, where that can be read",
        arguments: [
            ("{\"id\":\"7\"}", "7"), ("{\"id\":\"7\",\"type\":null}", "7"), ("{\"type\":7,\"id\":\"7\"}", "7"),
            ("{\"type\":\"ping\",\"type\":\"ping\",\"id\":\"7\"}", "7"),
            ("{\"id\":\"7\",\"type\":\"table.cleaned\",\"data\":{},\"data\":{}}", "7"),
        ])
    func refusedByName(text: String, id: String) {
        #expect(commandID(text) == .success(id))
        #expect(failure(text) == .invalidMessage)
    }

    @Test("members of other names may repeat, and nested ones too")
    func harmlessRepetition() {
        #expect(failure("{\"type\":\"ping\",\"x\":1,\"x\":2,\"data\":{\"type\":\"a\",\"type\":\"b\"}}") == nil)
    }

    @Test(
        "a message is nested at most 32 levels deep, the message itself being one",
        arguments: [(31, true), (32, false), (5_000, false)])
    func depth(levels: Int, isTaken: Bool) {
        let data = String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
        #expect(failure("{\"type\":\"ping\",\"data\":\(data)}") == (isTaken ? nil : .invalidMessage))
    }

    @Test("what a client writes about who it is and what it saw is not read")
    func untrusted() {
        let text = "{\"type\":\"ping\",\"seq\":-1,\"user_id\":[],\"restaurant_id\":{},\"timestamp\":0}"
        #expect(decode(text) == .success(.ping(data: nil, lastSequence: nil, roundTripMilliseconds: nil)))
    }

    @Test(
        "an id has 1 to 128 bytes and no NUL; none and null are no id",
        arguments: [
            ("", nil, true), (",\"id\":null", nil, true), (",\"id\":\"a\"", "a", true),
            (",\"id\":\"\\u0061\\n\"", "a\n", true),
            (",\"id\":\"\(String(repeating: "i", count: 128))\"", String(repeating: "i", count: 128), true),
            (",\"id\":\"\(String(repeating: "é", count: 64))\"", String(repeating: "é", count: 64), true),
            (",\"id\":\"\(String(repeating: "\\u0069", count: 128))\"", String(repeating: "i", count: 128), true),
            (",\"id\":\"\(String(repeating: "i", count: 129))\"", nil, false),
            (",\"id\":\"\(String(repeating: "é", count: 64))x\"", nil, false),
            (",\"id\":\"\"", nil, false), (",\"id\":\"a\\u0000b\"", nil, false), (",\"id\":\"\\u0000\"", nil, false),
            (",\"id\":7", nil, false),
            (",\"id\":true", nil, false), (",\"id\":[\"a\"]", nil, false), (",\"id\":{}", nil, false),
        ] as [(String, String?, Bool)])
    func identifiers(more: String, id: String?, isTaken: Bool) {
        let text = "{\"type\":\"table.cleaned\",\"data\":{}\(more)}"
        switch commandID(text) {
        case .success(let read): #expect(isTaken && read == id)
        case .failure(let error): #expect(!isTaken && error.code == .invalidMessage)
        }
    }

    @Test("spoilt messages never trap", arguments: 0..<8 as Range<UInt64>)
    func mutations(seed: UInt64) {
        let samples = [
            Tablet.authenticate(",\"last_seq\":7,\"device_id\":\"bar\""),
            "{\"type\":\"ping\",\"data\":{\"last_seq\":3}}",
            "{\"type\":\"order.status_update\",\"id\":\"x\",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready\",\"expected_version\":3}}",
            "{\"type\":\"table.cleaned\",\"id\":\"\\u00e9\",\"data\":{\"a\":[1,{\"b\":null}]}}",
            "{\"type\":\"reauth\",\"token\":\"x\"}",
        ]
        let pieces = [
            "\"", "\\", "{", "}", "[", "]", ",", ":", "null", "\\u0000", "\\ud800", "1e9", "-", "\"type\"", "\"data\"",
            "\"id\"",
        ]
        var generator = SeededBytes(seed)
        for _ in 0..<1_500 {
            var bytes = Array((samples.randomElement(using: &generator) ?? "").utf8)
            for _ in 0...Int.random(in: 0...3, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.removeSubrange(index..<min(bytes.count - 1, index + 3))
                default:
                    bytes.insert(contentsOf: Array((pieces.randomElement(using: &generator) ?? "").utf8), at: index)
                }
            }
            guard let envelope = try? decoder.decode(bytes.span) else { continue }
            _ = try? decoder.commandID(of: envelope, in: bytes.span)
            if case .success(.transient(_, let range)) = envelope.message { #expect(range.upperBound <= bytes.count) }
        }
    }
}
