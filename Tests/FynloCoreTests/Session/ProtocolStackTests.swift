import FynloCore
import Testing

private typealias F = FrameBytes

/// A response as it stands on the wire.
private struct Response: Equatable {
    var status = 0
    var fields: [String: String] = [:]
    var body = ""

    subscript(_ name: String) -> String? { fields[name] }

    /// Reads responses framed by Content-Length; `nil` if there is anything else.
    static func parse(_ text: String) -> [Response]? {
        var responses: [Response] = []
        var rest = text[...]
        while !rest.isEmpty {
            guard let end = rest.range(of: "\r\n\r\n") else { return nil }
            let lines = rest[..<end.lowerBound].split(separator: "\r\n")
            var response = Response()
            guard let first = lines.first, first.hasPrefix("HTTP/1.1 "), let status = Int(first.dropFirst(9).prefix(3))
            else { return nil }
            response.status = status
            for line in lines.dropFirst() {
                guard let colon = line.firstIndex(of: ":") else { return nil }
                response.fields[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].dropFirst())
            }
            rest = rest[end.upperBound...]
            let length = response["content-length"].flatMap { Int($0) } ?? 0
            response.body = String(rest.prefix(length))
            rest = rest.dropFirst(length)
            responses.append(response)
        }
        return responses
    }
}

extension StringProtocol {
    fileprivate func range(of text: String) -> Range<Index>? { self.ranges(of: text).first }
}

extension Tablet {
    fileprivate mutating func responses(sourceLocation: SourceLocation = #_sourceLocation) -> [Response] {
        let text = takeText()
        guard let responses = Response.parse(text) else {
            Issue.record("not responses: \(text)", sourceLocation: sourceLocation)
            return []
        }
        return responses
    }
}

private func get(_ path: String, _ fields: String = "") -> String {
    "GET \(path) HTTP/1.1\r\nHost: pos.example.com\r\n\(fields)\r\n"
}

@Suite("ProtocolStack: HTTP")
struct ProtocolStackHTTPTests {
    @Test("pipelined requests are answered one after the other, in order", arguments: FrameArrival.allCases)
    func pipelined(arrival: FrameArrival) {
        var tablet = Tablet(arrival: arrival)
        tablet.sendHTTP(
            get("/health/live") + get("/health/ready", "X-Request-ID: b\r\n") + get("/nothing") + get("/health"))
        #expect(tablet.stack.transport == .paused)
        #expect(tablet.takeEffects().map(\.endpoint) == [.healthLive])
        tablet.deliver(HTTPResponse(status: 200, body: Array("one".utf8)))
        #expect(tablet.takeEffects().map(\.endpoint) == [.healthReady])
        tablet.deliver(HTTPResponse(status: 503, body: Array("two".utf8)))
        #expect(tablet.takeEffects().map(\.endpoint) == [.health])
        tablet.deliver(HTTPResponse(status: 200))
        let responses = tablet.responses()
        #expect(responses.map(\.status) == [200, 503, 404, 200])
        #expect(responses.map(\.body).prefix(2) == ["one", "two"])
        #expect(responses.allSatisfy { $0["x-request-id"]?.isEmpty == false })
        #expect(responses.dropFirst().first?["x-request-id"] == "b")
        #expect(Set(responses.map { $0["x-request-id"] }).count == 4)
        #expect(tablet.stack.transport == .open)
        // An answer that nobody waits for is dropped.
        tablet.deliver(HTTPResponse(status: 200))
        #expect(tablet.takeOutput().isEmpty)
    }

    @Test("requests that come when many answers are waiting are left until those are written")
    func outputLimit() throws {
        let clock = VirtualClock()
        var stack = ProtocolStack(id: ConnectionID(node: 1, number: 1), settings: SessionSettings(), now: clock.now)
        var input = ByteBuffer(String(repeating: get("/nothing"), count: 100))
        var effects: [Effect] = []
        var answers = 0
        while !input.isEmpty, answers < 1_000 {
            var output = ByteBuffer()
            stack.receive(&input, now: clock.now, output: &output, outputLimit: 2_000, effects: &effects)
            #expect((1..<3_000).contains(output.count))
            let text = try #require(output.withReadable { String(validating: $0) })
            let responses = try #require(Response.parse(text))
            #expect(responses.allSatisfy { $0.status == 404 })
            answers += responses.count
        }
        #expect(answers == 100)
        #expect(effects.count == 100 && effects.allSatisfy { $0.name == "refused" })
    }

    @Test(
        "the client's X-Request-ID comes back if it is sane",
        arguments: [
            ("a", true), ("Az09-_.", true), (String(repeating: "x", count: 64), true),
            (String(repeating: "x", count: 65), false),
            ("", false), ("a b", false), ("a/b", false), ("<a>", false), ("a\"b", false), ("a,b", false), ("é", false),
        ])
    func requestID(given: String, isSane: Bool) {
        var tablet = Tablet()
        tablet.sendHTTP(get("/nothing", "X-Request-ID: \(given)\r\n"))
        let response = tablet.responses().first
        if isSane {
            #expect(response?["x-request-id"] == given)
        } else {
            #expect(response?["x-request-id"] == "0123456789abcdef-42-1")
        }
    }

    @Test(
        "unreadable requests are problems too, with an X-Request-ID, and the end of the connection",
        arguments: [
            ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505), ("\u{16}\u{3}\u{1}", 400),
            ("GET /\(String(repeating: "a", count: 9_000)) HTTP/1.1\r\n", 414),
            ("POST /api/v1/menu HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 17_000))\r\n\r\n", 431),
        ])
    func unreadable(text: String, status: Int) {
        var tablet = Tablet()
        tablet.sendHTTP(text)
        let responses = tablet.responses()
        #expect(responses.map(\.status) == [status])
        #expect(responses.first?["content-type"] == "application/problem+json")
        #expect(responses.first?["x-request-id"]?.isEmpty == false && responses.first?["connection"] == "close")
        #expect(JSONTree(responses.first?.body ?? "")?["status"] == .number(Double(status)))
        #expect(tablet.stack.transport == .closing && tablet.takeEffects().isEmpty)
    }

    @Test(
        "a connection over a limit gets that answer to whatever it asks, and is closed",
        arguments: [
            APIError(.unavailable, "Full.", retryAfter: .seconds(5)),
            APIError(.connectionLimit, "Your address has 5 connections already.", retryAfter: .seconds(5)),
        ])
    func refusal(error: APIError) {
        for request in [get("/health/live"), Tablet.handshake(), get("/nothing"), "nonsense\r\n\r\n"] {
            var tablet = Tablet(refusal: error)
            #expect(tablet.stack.transport == .open)
            tablet.sendHTTP(request + get("/health"))
            let responses = tablet.responses()
            #expect(responses.map(\.status) == [request.hasPrefix("non") ? 400 : error.status])
            if !request.hasPrefix("non") { #expect(responses.first?["retry-after"] == "5") }
            #expect(responses.first?["connection"] == "close")
            #expect(tablet.takeEffects().isEmpty && tablet.stack.transport == .closing)
        }
    }

    @Test("a wrong method is told which are right")
    func methods() {
        var tablet = Tablet()
        tablet.sendHTTP("DELETE /api/v1/menu HTTP/1.1\r\nHost: a\r\n\r\n")
        tablet.sendHTTP("POST \(Tablet.path) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        let responses = tablet.responses()
        #expect(responses.map(\.status) == [405, 405])
        #expect(responses.map { $0["allow"] } == ["GET, HEAD", "GET"])
        #expect(tablet.stack.transport == .open)
    }

    @Test("who is slow with a request gets 408, who sends none is left without a word")
    func slow() {
        var silent = Tablet()
        silent.advance(.seconds(10))
        #expect(silent.takeOutput().isEmpty && silent.stack.transport == .closing)
        var slow = Tablet()
        slow.sendHTTP("GET / HTTP/1.1\r\nHost:")
        slow.advance(.seconds(10))
        #expect(slow.responses().map(\.status) == [408] && slow.stack.transport == .closing)
        var idle = Tablet()
        idle.sendHTTP(get("/nothing"))
        _ = idle.takeOutput()
        idle.advance(.seconds(74))
        #expect(idle.stack.transport == .open)
        idle.advance(.seconds(1))
        #expect(idle.takeOutput().isEmpty && idle.stack.transport == .closing)
    }

    @Test("a request whose client has stopped sending is answered all the same")
    func halfClosed() {
        var tablet = Tablet()
        tablet.sendHTTP(get("/health"))
        tablet.endOfInput()
        #expect(tablet.stack.transport == .paused)
        tablet.deliver(HTTPResponse(status: 200))
        #expect(tablet.responses().map(\.status) == [200] && tablet.stack.transport == .closing)
        var other = Tablet()
        other.endOfInput()
        #expect(other.stack.transport == .closing)
    }

    @Test("a server that closes lets a request have its answer")
    func drained() {
        var tablet = Tablet()
        tablet.sendHTTP(get("/health"))
        tablet.close(.goingAway)
        #expect(tablet.stack.transport == .paused)
        tablet.deliver(HTTPResponse(status: 200))
        #expect(tablet.responses().first?["connection"] == "close" && tablet.stack.transport == .closing)
        var idle = Tablet()
        idle.close(.goingAway)
        #expect(idle.stack.transport == .closing && idle.takeOutput().isEmpty)
    }
}

@Suite("ProtocolStack: upgrade")
struct ProtocolStackUpgradeTests {
    @Test("the upgrade is that of RFC 6455, and asks for nothing else", arguments: FrameArrival.allCases)
    func upgrade(arrival: FrameArrival) {
        var tablet = Tablet(arrival: arrival)
        tablet.sendHTTP(Tablet.handshake(fields: "X-Request-ID: q\r\n"))
        let response = tablet.responses().first
        #expect(response?.status == 101 && response?["upgrade"] == "websocket" && response?["connection"] == "Upgrade")
        #expect(response?["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(response?["sec-websocket-protocol"] == nil && response?["x-request-id"] == "q")
        #expect(tablet.takeEffects().map(\.name) == ["upgraded"])
        #expect(tablet.stack.isWebSocket && !tablet.stack.isAuthenticating && tablet.stack.transport == .open)
        #expect(tablet.stack.nextDeadline == tablet.clock.now.instant + .seconds(10))
    }

    @Test("frames that come with the request are read")
    func early() {
        var tablet = Tablet()
        tablet.send(Array(Tablet.handshake().utf8) + F.frame(F.text, Tablet.authenticate()))
        #expect(tablet.takeEffects().map(\.name) == ["upgraded", "authenticate"])
    }

    @Test("an upgrade may follow other requests on its connection")
    func later() {
        var tablet = Tablet()
        tablet.sendHTTP(get("/nothing") + Tablet.handshake())
        #expect(tablet.responses().map(\.status) == [404, 101])
    }

    @Test(
        "the subprotocol is selected when it is offered",
        arguments: [
            ("fynlo.v1", "fynlo.v1"), ("chat, fynlo.v1", "fynlo.v1"), ("fynlo.v2", nil), ("Fynlo.v1", nil), ("", nil),
        ] as [(String, String?)])
    func subprotocol(offer: String, selected: String?) {
        var tablet = Tablet()
        tablet.sendHTTP(Tablet.handshake(fields: "Sec-WebSocket-Protocol: \(offer)\r\n"))
        let response = tablet.responses().first
        #expect(response?.status == 101 && response?["sec-websocket-protocol"] == selected)
    }

    @Test(
        "a bad path is 404, a malformed UUID 400",
        arguments: [
            ("/api/v1/websocket/ws/waiter/\(Sample.restaurant)", 404), ("/api/v1/websocket/ws/pos", 404),
            ("/api/v1/websocket/ws/pos/1234", 400), ("/api/v1/websocket/ws/pos/\(Sample.restaurant)/", 404),
            ("/ws/pos/\(Sample.restaurant)", 404),
        ])
    func paths(path: String, status: Int) {
        var tablet = Tablet()
        tablet.sendHTTP(Tablet.handshake(path))
        #expect(tablet.responses().map(\.status) == [status])
        #expect(tablet.takeEffects().isEmpty && !tablet.stack.isWebSocket && tablet.stack.transport == .open)
    }

    @Test(
        "what is no handshake is refused",
        arguments: [
            ("Upgrade: websocket\r\n", "", 426), ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 426),
            ("Connection: Upgrade\r\n", "", 426), ("Connection: Upgrade\r\n", "Connection: keep-alive\r\n", 426),
            ("Sec-WebSocket-Version: 13\r\n", "", 426),
            ("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 8\r\n", 426),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Key: c2hvcnQ=\r\n", 400),
            (" HTTP/1.1", " HTTP/1.0", 400),
        ])
    func handshakes(field: String, replacement: String, status: Int) {
        var tablet = Tablet()
        tablet.sendHTTP(Tablet.handshake().replacing(field, with: replacement))
        let response = tablet.responses().first
        #expect(response?.status == status && response?["content-type"] == "application/problem+json")
        if status == 426 {
            #expect(response?["upgrade"] == "websocket" && response?["sec-websocket-version"] == "13")
            #expect(response?["connection"] == "Upgrade")
        }
        #expect(tablet.takeEffects().isEmpty && !tablet.stack.isWebSocket)
    }

    @Test("names are compared without case")
    func caseless() {
        var tablet = Tablet()
        tablet.sendHTTP(
            Tablet.handshake().replacing("Upgrade: websocket", with: "UPGRADE: WebSocket")
                .replacing("Connection: Upgrade", with: "connection: keep-alive, UPGRADE"))
        #expect(tablet.responses().map(\.status) == [101])
    }

    @Test(
        "a browser's origin has to be the own one, or on the list if there is one; native apps send none",
        arguments: [
            ([], nil, true), ([], "https://pos.example.com", true), ([], "http://pos.example.com", true),
            ([], "HTTPS://POS.example.com", true), ([], "https://evil.example.com", false), ([], "null", false),
            ([], "", false),
            ([], "https://pos.example.com.evil.com", false), ([], "https://pos.example.com:8443", false),
            ([], "https://evil.com/pos.example.com", false), ([], "pos.example.com", false), ([], "file://", false),
            (["https://app.example.com"], nil, true), (["https://app.example.com"], "https://app.example.com", true),
            (["https://App.example.com"], "https://aPP.example.com", true),
            (["https://app.example.com"], "http://app.example.com", false),
            (["https://app.example.com"], "https://pos.example.com", false),
            (["https://a.com", "https://b.com:8443"], "https://b.com:8443", true),
            (["https://a.com", "https://b.com:8443"], "https://b.com", false), (["https://a.com"], "null", false),
        ] as [([String], String?, Bool)])
    func origins(allowed: [String], origin: String?, isAllowed: Bool) {
        var tablet = Tablet(SessionSettings(allowedOrigins: allowed))
        tablet.sendHTTP(Tablet.handshake(fields: origin.map { "Origin: \($0)\r\n" } ?? ""))
        let response = tablet.responses().first
        #expect(response?.status == (isAllowed ? 101 : 403))
        #expect(tablet.takeEffects().map(\.name) == (isAllowed ? ["upgraded"] : []))
        if !isAllowed { #expect(JSONTree(response?.body ?? "")?["code"] == "origin_refused") }
    }

    @Test("two origins are as good as the worse one")
    func twoOrigins() {
        var tablet = Tablet()
        tablet.sendHTTP(Tablet.handshake(fields: "Origin: https://pos.example.com\r\nOrigin: https://evil.com\r\n"))
        #expect(tablet.responses().map(\.status) == [403])
    }

    @Test("while too many wait for their authentication, an upgrade is 503, and nothing began")
    func full() {
        var tablet = Tablet(SessionSettings(hasEcho: true))
        tablet.stack.admitsUpgrades = false
        tablet.sendHTTP(Tablet.handshake() + get("/health/live"))
        let response = tablet.responses().first
        #expect(response?.status == 503 && response?["retry-after"] == "5")
        #expect(tablet.takeEffects().map(\.endpoint) == [.healthLive], "requests are served")
        tablet.deliver(HTTPResponse(status: 200))
        tablet.stack.admitsUpgrades = true
        tablet.sendHTTP(Tablet.handshake())
        #expect(tablet.responses().map(\.status) == [200, 101] && tablet.takeEffects().map(\.name) == ["upgraded"])
    }

    @Test("other requests need no origin")
    func otherRequests() {
        var tablet = Tablet()
        tablet.sendHTTP(get("/health/live", "Origin: https://evil.com\r\n"))
        #expect(tablet.takeEffects().map(\.endpoint) == [.healthLive])
    }
}

@Suite("ProtocolStack: echo and transport")
struct ProtocolStackTests {
    private static let echoing = SessionSettings(hasEcho: true)

    @Test("text and binary come back as they were sent, through the same frames", arguments: FrameArrival.allCases)
    func echo(arrival: FrameArrival) {
        var tablet = Tablet(Self.echoing, arrival: arrival)
        tablet.sendHTTP(Tablet.handshake("/debug/echo", fields: "Origin: https://anywhere.com\r\n"))
        #expect(tablet.responses().map(\.status) == [101] && tablet.takeEffects().isEmpty)
        tablet.send(
            F.frame(F.text, "grüße") + F.frame(F.binary, [0, 0xff])
                + F.fragments(F.text, Array("{\"type\":1}".utf8), of: 3)
                + F.frame(F.text, "") + F.frame(F.ping, "p"))
        #expect(
            tablet.received() == [
                .other(F.text, Array("grüße".utf8)), .other(F.binary, [0, 0xff]), .message(["type": 1]),
                .other(F.text, []),
                .pong(Array("p".utf8)),
            ])
        #expect(tablet.stack.nextDeadline == nil, "nobody has to say who they are")
        tablet.send(F.frame(F.text, [0xff]))
        guard case .close(1007, _) = tablet.heard().first else {
            Issue.record("not closed")
            return
        }
        #expect(tablet.takeEffects().isEmpty)
    }

    @Test("messages of 16 MiB are echoed, larger ones refused", arguments: [(16 << 20, true), ((16 << 20) + 1, false)])
    func echoSize(bytes: Int, isEchoed: Bool) {
        var tablet = Tablet(Self.echoing)
        tablet.sendHTTP(Tablet.handshake("/debug/echo"))
        _ = tablet.takeOutput()
        tablet.send(F.header(F.binary, claiming: UInt64(bytes), mask: 0))
        if isEchoed {
            tablet.send([UInt8](repeating: 7, count: bytes))
            #expect(tablet.takeOutput().count == bytes + 10)
        } else if case .close(1009, _) = tablet.heard().first {
        } else {
            Issue.record("not refused")
        }
    }

    @Test("a POST gets its body back")
    func echoPost() {
        var tablet = Tablet(Self.echoing)
        tablet.sendHTTP(
            "POST /debug/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        #expect(tablet.responses().map(\.body) == ["abc"])
        tablet.sendHTTP("POST /debug/json HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        #expect(tablet.takeEffects().map(\.endpoint) == [.echoJSON])
    }

    @Test("an echo without an upgrade says that there has to be one")
    func echoPlain() {
        var tablet = Tablet(Self.echoing)
        tablet.sendHTTP(get("/debug/echo"))
        #expect(tablet.responses().map(\.status) == [426])
    }

    @Test("an echo ends as a session does")
    func echoEnds() {
        var tablet = Tablet(Self.echoing)
        tablet.sendHTTP(Tablet.handshake("/debug/echo"))
        _ = tablet.takeOutput()
        tablet.close(.goingAway)
        #expect(tablet.heard() == [.close(1001, "Server going away")])
        tablet.advance(.seconds(5))
        #expect(tablet.stack.transport == .aborted && tablet.takeEffects().isEmpty)
    }

    @Test("the socket is read, left alone, closed or reset, as the protocol has got")
    func transport() {
        var tablet = Tablet()
        #expect(tablet.stack.transport == .open)
        tablet.sendHTTP("GET")
        #expect(tablet.stack.transport == .open)
        tablet.sendHTTP(" /health HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(tablet.stack.transport == .paused && !tablet.stack.isWebSocket)
        tablet.deliver(HTTPResponse(status: 200))
        #expect(tablet.stack.transport == .open)
        tablet.sendHTTP(Tablet.handshake())
        #expect(tablet.stack.transport == .open && tablet.stack.isWebSocket)
        tablet.send(Tablet.authenticate())
        #expect(tablet.stack.transport == .paused)
        tablet.deliver(.accepted(tablet.identity()))
        #expect(tablet.stack.transport == .open)
        var other = tablet
        // The peer closes: our answer is written, then the socket closed; if that takes too long, it is reset.
        tablet.send(F.closeFrame(1000))
        #expect(tablet.stack.transport == .closing)
        tablet.endOfInput()
        #expect(tablet.stack.transport == .closing)
        tablet.advance(.seconds(5))
        #expect(tablet.stack.transport == .aborted)
        // We close: the peer's close frame is waited for.
        other.close(.goingAway)
        #expect(other.stack.transport == .open)
        var third = other
        other.send(F.closeFrame(1001))
        #expect(other.stack.transport == .closing)
        third.endOfInput()
        #expect(third.stack.transport == .aborted)
        var fourth = Tablet.active()
        fourth.endOfInput()
        #expect(fourth.stack.transport == .aborted, "no tablet talks on with half a connection")
    }

    @Test("a peer that answers no close frame is reset 5 s later, also when it talks on")
    func closeTimeout() {
        var tablet = Tablet.active()
        tablet.close(.slowConsumer)
        for _ in 0..<4 {
            tablet.advance(.seconds(1))
            tablet.send("{\"type\":\"ping\"}")
            #expect(tablet.stack.transport == .open)
        }
        tablet.advance(.seconds(1))
        #expect(tablet.stack.transport == .aborted)
    }
}
