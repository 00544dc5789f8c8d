import FynloCore
import Testing

/// One connection with the buffers and the clock around it.
private struct Peer {
    var connection: HTTPConnection
    var input = ByteBuffer()
    var output = ByteBuffer()
    var now = Moment.after(.zero)

    init(limits: HTTPLimits = HTTPLimits()) {
        connection = HTTPConnection(limits: limits, now: now.instant)
    }

    mutating func advance(_ duration: Duration) {
        now.instant = now.instant + duration
        now.unixTime.milliseconds += duration.inMilliseconds
    }

    /// The client sends; what comes of it.
    mutating func send(_ text: String) -> [HTTPEvent] {
        input.append(latin1(text))
        return events()
    }

    mutating func events() -> [HTTPEvent] {
        var events: [HTTPEvent] = []
        while let event = connection.next(&input, now: now, output: &output) { events.append(event) }
        return events
    }

    /// The server answers; what it had sent since the last time.
    mutating func respond(_ status: Int = 200, headers: HTTPHeaders = HTTPHeaders(), body: String = "") -> String {
        connection.respond(
            HTTPResponse(status: status, headers: headers, body: Array(body.utf8)), now: now, output: &output)
        return sent()
    }

    mutating func sent() -> String {
        defer { output.removeAll() }
        return String(decoding: output.bytes(), as: UTF8.self)
    }

    mutating func tick() -> HTTPEvent? { connection.tick(now: now) }

    /// How long until the deadline.
    var remaining: Duration? { connection.nextDeadline.map { $0 - now.instant } }
}

private func get(_ path: String, _ fields: String = "", version: String = "1.1") -> String {
    "GET \(path) HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n"
}

extension HTTPEvent {
    fileprivate var path: String? {
        if case .request(let request) = self { request.path } else { nil }
    }
}

@Suite("HTTPConnection")
struct HTTPConnectionTests {
    @Test("takes one request at a time, in order, however they arrive")
    func pipelining() {
        let all = get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + get("/3")
        for size in [1, 7, all.utf8.count] {
            var peer = Peer()
            var paths: [String?] = []
            var start = all.utf8.startIndex
            while start < all.utf8.endIndex {
                let end = all.utf8.index(start, offsetBy: size, limitedBy: all.utf8.endIndex) ?? all.utf8.endIndex
                paths += peer.send(String(all[start..<end])).map(\.path)
                start = end
            }
            #expect(paths == ["/1"])
            while peer.connection.isAwaitingResponse {
                let path = (paths.last ?? nil) ?? ""
                #expect(peer.respond(body: path).hasSuffix("Content-Length: 2\r\n\r\n\(path)"))
                let next = peer.events()
                #expect(next.count <= 1)
                paths += next.map(\.path)
            }
            #expect(paths == ["/1", "/2", "/3"])
            #expect(peer.connection.isIdle && !peer.connection.isClosing)
        }
    }

    @Test(
        "keeps or closes the connection as version, request, response and drain say",
        arguments: [
            ("1.1", "", "", false, "", false),
            ("1.1", "Connection: keep-alive\r\n", "", false, "", false),
            ("1.1", "Connection: close\r\n", "", false, "Connection: close\r\n", true),
            ("1.1", "Connection: Upgrade, Close\r\n", "", false, "Connection: close\r\n", true),
            ("1.1", "", "close", false, "Connection: close\r\n", true),
            ("1.1", "", "", true, "Connection: close\r\n", true),
            ("1.0", "", "", false, "Connection: close\r\n", true),
            ("1.0", "Connection: keep-alive\r\n", "", false, "Connection: keep-alive\r\n", false),
            ("1.0", "Connection: keep-alive, close\r\n", "", false, "Connection: close\r\n", true),
            ("1.0", "Connection: keep-alive\r\n", "", true, "Connection: close\r\n", true),
            ("1.0", "Connection: keep-alive\r\n", "CLOSE", false, "Connection: close\r\n", true),
        ])
    func keepAlive(
        version: String, field: String, responseOption: String, drains: Bool, sent: String, closes: Bool
    ) {
        var peer = Peer()
        #expect(peer.send(get("/", field, version: version)).count == 1)
        if drains { peer.connection.close() }
        #expect(!peer.connection.isClosing)
        let headers: HTTPHeaders = responseOption.isEmpty ? [:] : ["Connection": responseOption]
        #expect(peer.respond(headers: headers).hasSuffix("Content-Length: 0\r\n\(sent)\r\n"))
        #expect(peer.connection.isClosing == closes)
        #expect(!peer.connection.isAwaitingResponse)
        // A closing connection reads nothing more, and keeps nothing of it.
        #expect(peer.send(get("/2")).count == (closes ? 0 : 1))
        #expect(peer.input.isEmpty)
    }

    @Test("answers HEAD without the body, also when the request failed")
    func head() {
        var peer = Peer()
        #expect(peer.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").count == 1)
        #expect(peer.respond(body: "hello").hasSuffix("Content-Length: 5\r\n\r\n"))
        #expect(peer.send("HEAD / HTTP/1.1\r\n\r\n") == [.failed(.hostMissing)])
        #expect(peer.respond(400, body: "hello").hasSuffix("Content-Length: 5\r\nConnection: close\r\n\r\n"))
        #expect(peer.connection.isClosing)
    }

    @Test("fails once, drops what follows, and closes after the answer")
    func failure() {
        var peer = Peer()
        #expect(peer.send(get("/1")).count == 1)
        #expect(peer.send("rubbish\r\n" + get("/2")).isEmpty)
        _ = peer.respond()
        #expect(peer.events() == [.failed(.malformedRequestLine)])
        #expect(peer.connection.isAwaitingResponse && !peer.connection.isClosing)
        #expect(peer.connection.nextDeadline == nil)
        #expect(peer.send(get("/3")).isEmpty)
        #expect(peer.input.isEmpty)
        #expect(peer.respond(400).contains("Connection: close\r\n"))
        #expect(peer.connection.isClosing && peer.connection.nextDeadline == nil)
        #expect(peer.respond().isEmpty)
    }

    @Test("tells a waiting client to continue, once, and only when its body has not begun")
    func continuing() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        var peer = Peer()
        for byte in head.utf8 { #expect(peer.send(String(UnicodeScalar(byte))).isEmpty) }
        #expect(peer.sent() == "HTTP/1.1 100 Continue\r\n\r\n")
        #expect(peer.send("").isEmpty)
        #expect(peer.send("a").isEmpty)
        #expect(peer.sent().isEmpty)
        #expect(peer.send("b").count == 1)
        #expect(peer.respond(204).hasPrefix("HTTP/1.1 204"))
        // Another request on the same connection is told anew; one whose body comes along is not told.
        #expect(peer.send(head).isEmpty)
        #expect(peer.sent() == "HTTP/1.1 100 Continue\r\n\r\n")
        #expect(peer.send("ab").count == 1)
        _ = peer.respond()
        #expect(peer.send(head + "a").isEmpty)
        #expect(peer.sent().isEmpty)
        #expect(peer.send("b").count == 1)
        _ = peer.respond()
        // A part of the first chunk size is a beginning too.
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(peer.send(chunked + "1").isEmpty)
        #expect(peer.sent().isEmpty)
    }

    @Test("refuses a body too large before the client sends it")
    func refusedExpectation() {
        var limits = HTTPLimits()
        limits.bodyBytes = 1
        var peer = Peer(limits: limits)
        let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        #expect(peer.send(head) == [.failed(.bodyTooLarge(limitBytes: 1))])
        #expect(peer.respond(413).hasPrefix("HTTP/1.1 413 Content Too Large\r\n"))
    }

    @Test("closes after a response that came before the whole request")
    func earlyResponse() {
        var peer = Peer()
        #expect(peer.send("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").isEmpty)
        #expect(peer.respond(503, body: "busy").hasSuffix("Content-Length: 4\r\nConnection: close\r\n\r\n"))
        #expect(peer.connection.isClosing)
        #expect(peer.send("defghij").isEmpty)
    }

    @Test("hands the input over after an upgrade, untouched")
    func upgrade() {
        var peer = Peer()
        #expect(peer.send(get("/ws", "Upgrade: websocket\r\nConnection: Upgrade\r\n") + "\u{81}\u{80}frame").count == 1)
        let sent = peer.respond(101, headers: ["Upgrade": "websocket", "Connection": "Upgrade"])
        #expect(sent.hasSuffix("Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))
        #expect(peer.connection.isUpgraded && !peer.connection.isClosing && peer.connection.nextDeadline == nil)
        #expect(peer.events().isEmpty)
        #expect(peer.input.bytes() == latin1("\u{81}\u{80}frame"))
        // Refusing it leaves an ordinary connection.
        var refused = Peer()
        #expect(refused.send(get("/ws", "Upgrade: websocket\r\nConnection: Upgrade\r\n")).count == 1)
        _ = refused.respond(404)
        #expect(refused.send(get("/2")).count == 1)
    }

    @Test("answers what was whole when the peer stopped sending, then closes")
    func halfClose() {
        var idle = Peer()
        idle.connection.endOfInput()
        #expect(idle.connection.isClosing)

        var partial = Peer()
        #expect(partial.send("GET / HT").isEmpty)
        partial.connection.endOfInput()
        #expect(partial.connection.isClosing && partial.sent().isEmpty)

        var pipelined = Peer()
        #expect(pipelined.send(get("/1") + get("/2")).map(\.path) == ["/1"])
        pipelined.connection.endOfInput()
        #expect(!pipelined.respond().contains("Connection: close"))
        #expect(pipelined.events().map(\.path) == ["/2"])
        #expect(pipelined.respond().contains("Connection: close"))
        #expect(pipelined.connection.isClosing)

        var rest = Peer()
        #expect(rest.send(get("/1") + "GET /2").map(\.path) == ["/1"])
        rest.connection.endOfInput()
        _ = rest.respond()
        #expect(rest.events().isEmpty)
        #expect(rest.connection.isClosing)
    }

    @Test("drains: an idle connection closes at once, a request that has begun is answered")
    func drain() {
        var idle = Peer()
        idle.connection.close()
        #expect(idle.connection.isClosing)

        var reading = Peer()
        #expect(reading.send("GET / HTTP/1.1\r\n").isEmpty)
        reading.connection.close()
        #expect(!reading.connection.isClosing && reading.remaining == .seconds(10))
        #expect(reading.send("Host: a\r\n\r\n" + get("/2")).map(\.path) == ["/"])
        #expect(reading.respond().contains("Connection: close"))
        #expect(reading.connection.isClosing)
        #expect(reading.events().isEmpty)
    }

    @Test("leaves: who has just connected has a second for its one request, who has been served none")
    func leave() {
        var fresh = Peer()
        fresh.connection.leave(now: fresh.now.instant)
        #expect(!fresh.connection.isClosing && fresh.remaining == .seconds(1))
        #expect(fresh.send(get("/1") + get("/2")).map(\.path) == ["/1"])
        #expect(fresh.respond().contains("Connection: close"))
        #expect(fresh.connection.isClosing)

        var silent = Peer()
        silent.advance(.milliseconds(9_500))
        silent.connection.leave(now: silent.now.instant)
        #expect(silent.remaining == .milliseconds(500), "no more than it had")
        silent.advance(.milliseconds(500))
        #expect(silent.tick() == nil && silent.connection.isClosing && silent.sent().isEmpty)

        var kept = Peer()
        #expect(kept.send(get("/")).count == 1)
        _ = kept.respond()
        kept.connection.leave(now: kept.now.instant)
        #expect(kept.connection.isClosing)

        var reading = Peer()
        #expect(reading.send("GET / HTTP/1.1\r\n").isEmpty)
        reading.connection.leave(now: reading.now.instant)
        #expect(!reading.connection.isClosing)
        #expect(reading.send("Host: a\r\n\r\n").map(\.path) == ["/"])
        #expect(reading.respond().contains("Connection: close"))
    }

    @Test("closes a connection without a word on which nothing was asked")
    func idleDeadlines() {
        var fresh = Peer()
        #expect(fresh.remaining == .seconds(10))
        #expect(fresh.send("\r\n\r").isEmpty)
        #expect(fresh.remaining == .seconds(10))
        fresh.advance(.seconds(10) - .nanoseconds(1))
        #expect(fresh.tick() == nil && !fresh.connection.isClosing)
        fresh.advance(.nanoseconds(1))
        #expect(fresh.tick() == nil && fresh.connection.isClosing && fresh.sent().isEmpty)

        var kept = Peer()
        #expect(kept.send(get("/")).count == 1)
        #expect(kept.connection.nextDeadline == nil)
        kept.advance(.seconds(1_000))
        #expect(kept.tick() == nil && kept.connection.isAwaitingResponse)
        _ = kept.respond()
        #expect(kept.remaining == .seconds(75))
        kept.advance(.seconds(75) - .nanoseconds(1))
        #expect(kept.tick() == nil && !kept.connection.isClosing)
        kept.advance(.nanoseconds(1))
        #expect(kept.tick() == nil && kept.connection.isClosing && kept.sent().isEmpty)
    }

    @Test("gives a head its time from its first byte, however many follow")
    func headDeadline() {
        var peer = Peer()
        #expect(peer.send(get("/")).count == 1)
        _ = peer.respond()
        peer.advance(.seconds(74))
        #expect(peer.send("G").isEmpty)
        #expect(peer.remaining == .seconds(10))
        for _ in 0..<9 {
            peer.advance(.seconds(1))
            #expect(peer.send("E").isEmpty)
            #expect(peer.tick() == nil)
        }
        peer.advance(.seconds(1) - .nanoseconds(1))
        #expect(peer.tick() == nil)
        peer.advance(.nanoseconds(1))
        #expect(peer.tick() == .failed(.headTimedOut(after: .seconds(10))))
        #expect(peer.tick() == nil)
        #expect(peer.connection.nextDeadline == nil && peer.connection.isAwaitingResponse)
        #expect(peer.respond(408).hasPrefix("HTTP/1.1 408 Request Timeout\r\n"))
        #expect(peer.connection.isClosing)
    }

    @Test("gives a body its time as long as it makes progress, but not for a trickle")
    func bodyDeadline() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
        var silent = Peer()
        #expect(silent.send(head).isEmpty)
        #expect(silent.remaining == .seconds(30))
        silent.advance(.seconds(30))
        #expect(silent.tick() == .failed(.bodyTimedOut(after: .seconds(30))))

        var steady = Peer()
        #expect(steady.send(head).isEmpty)
        for _ in 0..<9 {
            steady.advance(.seconds(20))
            #expect(steady.tick() == nil)
            #expect(steady.send(repeated("x", 10_000)).isEmpty)
            #expect(steady.remaining == .seconds(30))
        }
        #expect(steady.send(repeated("x", 10_000)).count == 1)

        var trickling = Peer()
        #expect(trickling.send(head).isEmpty)
        for second in 1...30 {
            trickling.advance(.seconds(1))
            guard trickling.tick() == nil else {
                Issue.record("closed after \(second) s already")
                return
            }
            #expect(trickling.send("x").isEmpty)
        }
        trickling.advance(.seconds(1))
        #expect(trickling.tick() == .failed(.bodyTimedOut(after: .seconds(30))))
    }

    @Test("dates its responses with the wall clock")
    func date() {
        var peer = Peer()
        #expect(peer.send(get("/")).count == 1)
        peer.advance(.seconds(3))
        #expect(peer.respond().contains("\r\nDate: Sun, 06 Nov 1994 08:49:40 GMT\r\n"))
    }
}
