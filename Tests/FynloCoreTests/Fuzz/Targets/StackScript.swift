// What happens to a connection, as a script: the input of the stack target is a small language of op-codes, so that the
// fuzzer plays with bytes, time and answers alike.
//
//     flags, size of the pieces, then per step one op-code (modulo the number of them) and its arguments

import FynloCore

/// One thing that happens to a connection.
enum StackStep {
    case receive([UInt8])
    case pass(milliseconds: Int64)
    case tick
    /// Time passes up to the next deadline, and the connection is told.
    case tickWhenDue
    // Answers to effects; nothing happens where none is awaited.
    case answerAuthentication(UInt8)
    case answerReauthentication(UInt8)
    case answerCommand(UInt8)
    case answerRequest(UInt8)
    /// The tablet is sent some of what it missed, the end of it, or that it is lost.
    case answerReplay(UInt8)
    /// An event for the restaurant, or a transient one.
    case broadcast(EventSequence?)
    case close(CloseReason)
    /// The server is told to stop.
    case leave
    case endOfInput
}

/// A whole script.
struct StackScript {
    /// Where the connection is when the script begins.
    enum Start {
        case accepted, upgraded, authenticated
    }

    let settings: SessionSettings
    /// A proxy that is trusted, or nobody in particular.
    let peer: IPAddress?
    let refusal: APIError?
    let admitsUpgrades: Bool
    let start: Start
    let pieceBytes: Int
    /// What leads to the start.
    var prelude: [StackStep] = []
    var steps: [StackStep] = []

    init(_ input: [UInt8]) {
        var input = FuzzInput(input)
        let flags = input.byte()
        settings = Self.settings[Int(flags & 7)]
        peer = flags & 128 == 0 ? nil : IPAddress("10.0.0.1")
        refusal = flags & 8 == 0 ? nil : APIError(.connectionLimit, "Too many.", retryAfter: .seconds(1))
        admitsUpgrades = flags & 16 == 0
        start =
            switch flags >> 5 & 3 {
            case 0: .accepted
            case 1: .upgraded
            default: .authenticated
            }
        pieceBytes = max(1, Int(input.byte()))
        if start != .accepted { prelude.append(.receive(Self.requests[0])) }
        if start == .authenticated {
            prelude.append(.receive(Self.frame(Self.messages[0])))
            prelude.append(.answerAuthentication(0x07))
        }
        while !input.isEmpty { steps.append(Self.step(&input)) }
    }

    private static func step(_ input: inout FuzzInput) -> StackStep {
        switch input.byte() % 21 {
        case 0: return .receive(input.take(Int(input.byte())))
        case 1: return .receive(input.take(Int(input.byte()) << 8 | Int(input.byte())))
        case 2: return .receive(frame(input.take(Int(input.byte()))))
        case 3:
            // Any opcode and flags, correctly framed.
            let first = input.byte()
            return .receive(frame(input.take(Int(input.byte())), first: first))
        case 4: return .receive(frame(messages[Int(input.byte()) % messages.count]))
        case 5: return .receive(requests[Int(input.byte()) % requests.count])
        case 6:
            let message = frame(messages[Int(input.byte()) % messages.count])
            return .receive((0...(input.byte() & 31)).flatMap { _ in message })
        case 7: return .pass(milliseconds: Int64(input.byte()))
        case 8: return .pass(milliseconds: Int64(input.byte()) * 1_000)
        case 9: return .pass(milliseconds: Int64(input.byte()) * 60_000)
        case 10: return .tick
        case 11: return .tickWhenDue
        case 12: return .answerAuthentication(input.byte())
        case 13: return .answerReauthentication(input.byte())
        case 14: return .answerCommand(input.byte())
        case 15: return .answerRequest(input.byte())
        case 16: return .broadcast(EventSequence(input.byte()))
        case 17: return .broadcast(nil)
        case 18:
            let choice = input.byte()
            return choice < 192 ? .close(CloseReason.allCases[Int(choice) % CloseReason.allCases.count]) : .leave
        case 19: return .endOfInput
        default: return .answerReplay(input.byte())
        }
    }

    // MARK: What is often sent

    /// A client's frame; its key is zero, so that the payload stands in it as it is.
    static func frame(_ payload: [UInt8], first: UInt8 = 0x81) -> [UInt8] {
        let length =
            payload.count < 126
            ? [0x80 | UInt8(payload.count)]
            : [0xFE, UInt8(payload.count >> 8 & 0xFF), UInt8(payload.count & 0xFF)]
        return [first] + length + [0, 0, 0, 0] + payload
    }

    static let messages: [[UInt8]] = [
        #"{"type":"authenticate","token":"t","user_id":"u","restaurant_id":"r","last_seq":3}"#,
        #"{"type":"authenticate","data":{"token":"t","user_id":"u","restaurant_id":"r"}}"#,
        #"{"type":"authenticate"}"#,
        #"{"type":"ping"}"#,
        #"{"type":"ping","data":{"last_seq":7,"a":[1,"<"]}}"#,
        #"{"type":"pong"}"#,
        #"{"type":"reauth","data":{"token":"t"}}"#,
        #"{"type":"reauth"}"#,
        #"{"type":"order.status_update","id":"a","data":{"order_id":"11111111-1111-4111-8111-111111111111","status":"ready"}}"#,
        #"{"type":"order.status_update","id":"b","data":{"order_id":"11111111-1111-4111-8111-111111111111","status":"served","expected_version":2}}"#,
        #"{"type":"kitchen.item_ready","id":"c","data":{"n":"&"}}"#,
        #"{"type":"table.occupied","data":{}}"#,
        #"{"type":"table.occupied","id":"","data":{}}"#,
        #"{"type":"nothing","id":"d"}"#,
        #"{"id":"e"}"#,
        "[",
    ].map { Array($0.utf8) }

    static let requests: [[UInt8]] = [
        upgrade("/api/v1/websocket/ws/pos/11111111-1111-4111-8111-111111111111"),
        upgrade("/api/v1/websocket/ws/kitchen/11111111-1111-4111-8111-111111111111?token=t"),
        upgrade("/debug/echo"),
        Array("GET /api/v1/menu HTTP/1.1\r\nHost: a\r\n\r\n".utf8),
        Array("HEAD /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc\r\n\r\n".utf8),
        Array("POST /debug/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".utf8),
        Array("POST /debug/json HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n".utf8),
        Array("GET / HTTP/1.0\r\n\r\n".utf8),
        Array("OPTIONS /api/v1/menu HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n\r\n".utf8),
        Array("GET /api/v1/menu HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 10.0.0.2\r\n\r\n".utf8),
    ]

    private static func upgrade(_ target: String) -> [UInt8] {
        Array(
            """
            GET \(target) HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
            """.utf8)
    }

    // MARK: Settings

    /// By the lowest three flags: the conformance echo, tokens in the query, and limits that a short script reaches,
    /// with a page elsewhere that may use the API.
    private static let settings: [SessionSettings] = (0..<8).map { flags in
        var limits = Limits()
        if flags & 4 != 0 {
            limits.messagesPerSecond = 2
            limits.messageBurst = 5
            limits.rateRefusals = 3
            limits.waitingCommands = 2
            limits.messageBytes = 512
            limits.unauthenticatedMessageBytes = 256
        }
        var http = HTTPLimits()
        if flags & 4 != 0 {
            http.requestLineBytes = 128
            http.headerBytes = 256
            http.bodyBytes = 64
        }
        return SessionSettings(
            limits: limits, http: http, hasEcho: flags & 1 != 0,
            allowedOrigins: flags & 4 == 0 ? [] : ["https://a.example"], allowsQueryToken: flags & 2 != 0,
            trustedProxies: TrustedProxies([IPNetwork("10.0.0.0/8")].compactMap(\.self)))
    }
}
