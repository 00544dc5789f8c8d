import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Limits")
struct LimitsTests {
    // MARK: Rate

    @Test("refuses messages over the rate by id, and takes them again after the wait it names")
    func rate() throws {
        let server = try TestServer(["FYNLO_RATE_LIMIT": "5", "FYNLO_RATE_BURST": "10"])
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        for number in 0..<12 { tablet.say(type: "ping", id: "p\(number)") }
        tablet.say("no message at all")
        try server.wait(for: "13 answers") { tablet.messages.count == 14 }
        #expect(tablet.messages("pong").count == 10)
        let refusals = tablet.messages("error").map { $0["data"] }
        #expect(refusals.map { $0["code"].string } == ["rate_limited", "rate_limited", "rate_limited"])
        #expect(refusals.map { $0["id"].string } == ["p10", "p11", nil])
        for refusal in refusals {
            #expect((1...200).contains(refusal["retry_after_ms"].integer ?? 0))
            #expect(refusal["error"].string?.hasSuffix(".") == true)
        }
        try server.settle(.milliseconds(refusals[2]["retry_after_ms"].integer ?? 0))
        tablet.say(type: "ping")
        try server.wait(for: "a pong") { tablet.messages("pong").count == 11 }
    }

    @Test("closes a tablet that was refused 100 times within 10 s with 4008")
    func rateClose() throws {
        let server = try TestServer(["FYNLO_RATE_LIMIT": "1", "FYNLO_RATE_BURST": "1"])
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        let other = try server.staffTablet(at: restaurant)
        // A few more, as the bucket fills meanwhile.
        for _ in 0..<110 { tablet.say(type: "ping") }
        try server.wait(for: "the end") { tablet.isClosed }
        #expect(tablet.messages("error").count == 100)
        #expect(tablet.closeCode == 4008)
        #expect(tablet.closeReason == "Rate limit exceeded")
        #expect(!other.isClosed)
        #expect(server.server.hub.tabletCount == 1)
    }

    @Test("allows 20 messages a second and 100 at once by default")
    func defaultRate() throws {
        let server = try TestServer()
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        let start = server.loop.now.instant
        for _ in 0..<150 { tablet.say(type: "ping") }
        try server.wait(for: "150 answers") { tablet.messages.count == 151 }
        let earned = Int((server.loop.now.instant - start).inMilliseconds / 50) + 1
        #expect((100...100 + earned).contains(tablet.messages("pong").count))
    }

    // MARK: Size

    /// A ping of exactly so many bytes.
    private func ping(ofBytes count: Int) -> String {
        let empty = #"{"type":"ping","data":""}"#
        return #"{"type":"ping","data":""# + String(repeating: "x", count: count - empty.utf8.count) + #""}"#
    }

    /// The same in several frames, with a control frame in between.
    private func fragments(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        let third = bytes.count / 3
        return ClientFrame(opcode: 1, payload: Array(bytes[..<third]), isFinal: false).bytes
            + ClientFrame(opcode: 0, payload: Array(bytes[third..<2 * third]), isFinal: false).bytes
            + ClientFrame(opcode: 9, payload: [1, 2, 3]).bytes
            + ClientFrame(opcode: 0, payload: Array(bytes[(2 * third)...])).bytes
    }

    @Test("takes a message of the largest size and closes with 1009 above", arguments: [65_536, 2_000], [true, false])
    func size(limit: Int, isFragmented: Bool) throws {
        let server = try TestServer(limit == 65_536 ? [:] : ["FYNLO_MAX_MESSAGE": String(limit)])
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        func send(_ text: String) {
            if isFragmented { tablet.send(fragments(text)) } else { tablet.say(text) }
        }
        send(ping(ofBytes: limit))
        try server.wait(for: "a pong") { tablet.messages("pong").count == 1 || tablet.isClosed }
        #expect(tablet.messages("pong").first?["data"]["echo"].string?.utf8.count == limit - 25)
        send(ping(ofBytes: limit + 1))
        try server.wait(for: "the end") { tablet.isClosed }
        #expect(tablet.closeCode == 1009)
        #expect(tablet.closeReason == "A message is at most \(limit) bytes.")
        #expect(tablet.messages("pong").count == 1)
        #expect(server.server.hub.tabletCount == 0)
    }

    @Test("refuses an oversized message by its header, before it has arrived")
    func announcedSize() throws {
        let server = try TestServer()
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        tablet.send([0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4])  // 1 GiB
        try server.wait(for: "the end") { tablet.isClosed }
        #expect(tablet.closeCode == 1009)
    }

    @Test("takes less from strangers: 16 KiB for the first message")
    func strangersSize() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.tablet(at: restaurant)
        tablet.say(ping(ofBytes: 16_385))
        try server.wait(for: "the end") { tablet.isClosed }
        #expect(tablet.closeCode == 1009)
        #expect(tablet.messages.isEmpty)
    }

    // MARK: Frames

    /// A sequence of frames, and what it is closed with.
    struct Violation {
        let name: String
        let frames: [ClientFrame]
        let code: UInt16

        init(_ name: String, _ frames: [ClientFrame], _ code: UInt16) {
            self.name = name
            self.frames = frames
            self.code = code
        }
    }

    static let violations = [
        Violation("a binary message", [ClientFrame(opcode: 2, payload: [1, 2, 3])], 1003),
        Violation("an empty binary message", [ClientFrame(opcode: 2)], 1003),
        Violation("a frame without a mask", [ClientFrame(opcode: 1, payload: [0x7b, 0x7d], isMasked: false)], 1002),
        Violation("a reserved bit", [ClientFrame(opcode: 1, payload: [0x7b, 0x7d], reservedBits: 4)], 1002),
        Violation("a reserved opcode", [ClientFrame(opcode: 3)], 1002),
        Violation("a continuation of nothing", [.continuation("{}")], 1002),
        Violation("a message within a message", [.text("{", isFinal: false), .text("}")], 1002),
        Violation("a control frame in parts", [ClientFrame(opcode: 9, isFinal: false)], 1002),
        Violation("a long control frame", [ClientFrame(opcode: 9, payload: Array(repeating: 1, count: 126))], 1002),
        Violation("a close frame with half a code", [ClientFrame(opcode: 8, payload: [3])], 1002),
        Violation("bytes that are no UTF-8", [ClientFrame(opcode: 1, payload: [0x22, 0xff, 0x22])], 1007),
        Violation("a surrogate in UTF-8", [ClientFrame(opcode: 1, payload: [0x22, 0xed, 0xa0, 0x80, 0x22])], 1007),
        Violation(
            "a character cut off",
            [ClientFrame(opcode: 1, payload: [0x22, 0xe2], isFinal: false), .continuation("\"")], 1007),
    ]

    @Test("closes on frames that the protocol forbids, of staff and strangers, and disturbs nobody else")
    func violations() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let other = try server.staffTablet(at: restaurant)
        for row in LimitsTests.violations {
            let tablet = try server.staffTablet(at: restaurant)
            let stranger = try server.tablet(at: restaurant)
            try server.wait(for: "the upgrade") { stranger.isUpgraded }
            for frame in row.frames {
                tablet.send(frame.bytes)
                stranger.send(frame.bytes)
            }
            try server.wait(for: "the end of \(row.name)") { tablet.isClosed && stranger.isClosed }
            #expect(tablet.closeCode == row.code, "\(row.name)")
            #expect(stranger.closeCode == row.code, "\(row.name)")
            #expect(!tablet.closeReason.isEmpty, "\(row.name)")
            #expect(tablet.messages.count == 1, "\(row.name)")
            #expect(stranger.messages.isEmpty, "\(row.name)")
        }
        #expect(!other.isClosed)
        #expect(other.messages.count == 1)
        #expect(server.server.hub.tabletCount == 1)
    }

    // MARK: Content

    static let unreadable: [(String, String)] = [
        ("not JSON", "hello"),
        ("nothing", ""),
        ("half of an object", #"{"type":"ping""#),
        ("something behind the object", #"{"type":"ping"} x"#),
        ("an array", #"[{"type":"ping"}]"#),
        ("a string", #""ping""#),
        ("nested over 32 levels", #"{"type":"ping","data":"# + deep(32) + "}"),
        ("nested very deep", #"{"type":"ping","data":"# + String(repeating: "[", count: 60_000)),
        ("two types", #"{"type":"ping","type":"pong"}"#),
        ("two types, one of them escaped", #"{"type":"ping","typ\u0065":"ping"}"#),
        ("no type", #"{"data":{}}"#),
        ("a type that is no string", #"{"type":1}"#),
        ("a lone surrogate", #"{"type":"ping","data":"\ud800"}"#),
        ("a number that is none", #"{"type":"ping","data":01}"#),
    ]

    /// Arrays within each other.
    private static func deep(_ levels: Int) -> String {
        String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
    }

    @Test("answers what it cannot read with an error, and goes on")
    func unreadableMessages() throws {
        let server = try TestServer()
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        for (name, text) in LimitsTests.unreadable {
            let count = tablet.messages.count
            tablet.say(text)
            try server.wait(for: "an answer to \(name)") { tablet.messages.count > count || tablet.isClosed }
            let answer = try #require(tablet.messages.last)
            #expect(answer["type"].string == "error", "\(name)")
            #expect(answer["data"]["code"].string == "invalid_message", "\(name)")
            #expect(answer["data"]["error"].string?.hasSuffix(".") == true, "\(name)")
        }
        tablet.say(#"{"type":"ping","data":"# + LimitsTests.deep(31) + "}")
        try server.wait(for: "a pong") { !tablet.messages("pong").isEmpty }
        #expect(!tablet.isClosed)
    }

    // MARK: A tablet that does not read

    @Test("closes a tablet that does not read with 4010, and nobody else notices")
    func slowConsumer() throws {
        let server = try TestServer(["FYNLO_SEND_QUEUE": "131072", "FYNLO_RATE_BURST": "100000"])
        let restaurant = try server.database.addRestaurant()
        let slow = try server.staffTablet(at: restaurant, receiveBufferBytes: 65_536)
        let busy = try server.staffTablet(at: restaurant)
        let other = try server.staffTablet(at: restaurant)
        slow.isReading = false
        let data = "{\"note\":\"\(String(repeating: "x", count: 16_000))\"}"
        var sent = 0
        while server.server.hub.tabletCount == 3, sent < 2_000 {
            busy.say(type: "kitchen.item_ready", id: "k\(sent)", data: data)
            sent += 1
            try server.wait(for: "the others to have it") {
                other.messages("kitchen.item_ready").count == sent && busy.answers.count == sent
            }
        }
        // It is out as soon as its queue is full, and the others go on.
        #expect(server.server.hub.tabletCount == 2)
        busy.say(type: "kitchen.order_ready", id: "last")
        try server.wait(for: "the others to go on") { other.messages("kitchen.order_ready").count == 1 }
        #expect(busy.messages("kitchen.item_ready").count == sent)
        // What it reads at last are whole frames, then the close frame.
        slow.isReading = true
        try server.wait(for: "its end") { slow.isClosed }
        #expect(slow.closeCode == 4010)
        #expect(slow.closeReason == "Slow consumer")
        let received = slow.messages("kitchen.item_ready")
        #expect(received.count == slow.messages.count - 1)
        #expect(received.count < sent)
        #expect(received.allSatisfy { $0["data"]["note"].string?.utf8.count == 16_000 })
        #expect(!slow.wasReset)
    }

    @Test("resets a slow tablet that does not read its close frame either")
    func deadConsumer() throws {
        let server = try TestServer(["FYNLO_SEND_QUEUE": "16384", "FYNLO_RATE_BURST": "100000"]) { config in
            config.limits.closeTimeout = .milliseconds(200)
        }
        let restaurant = try server.database.addRestaurant()
        let dead = try server.staffTablet(at: restaurant, receiveBufferBytes: 65_536)
        let busy = try server.staffTablet(at: restaurant)
        dead.isReading = false
        let data = "{\"note\":\"\(String(repeating: "x", count: 16_000))\"}"
        var sent = 0
        while server.server.hub.tabletCount == 2, sent < 2_000 {
            busy.say(type: "kitchen.item_ready", data: data)
            sent += 1
            try server.wait(for: "the sender to have it") { busy.messages("kitchen.item_ready").count == sent }
        }
        #expect(server.server.hub.connectionCount == 2)
        let start = server.loop.now.instant
        try server.wait(for: "the reset") { server.server.hub.connectionCount == 1 }
        #expect((.milliseconds(150)...(.seconds(3))).contains(server.loop.now.instant - start))
        dead.isReading = true
        try server.wait(for: "the tablet to find out") { dead.isClosed }
        #expect(dead.wasReset)
    }

    @Test("does not read from a tablet that does not read, and so holds no pongs for it")
    func backPressure() throws {
        let server = try TestServer(["FYNLO_RATE_BURST": "100000"])
        let restaurant = try server.database.addRestaurant()
        let flooding = try server.staffTablet(at: restaurant, receiveBufferBytes: 65_536)
        flooding.isReading = false
        let ping = ClientFrame(opcode: 9, payload: Array(repeating: 7, count: 125)).bytes
        for _ in 0..<80_000 { flooding.outbound.append(ping) }
        flooding.send([])
        try server.settle(.milliseconds(300))
        // Its pings stay with the kernel and with itself.
        #expect(!flooding.outbound.isEmpty)
        #expect(!flooding.isClosed)
        #expect(server.server.hub.tabletCount == 1)
        flooding.isReading = true
        try server.wait(for: "all pongs") { flooding.pongs == 80_000 }
    }

    @Test("answers no further requests of a client that does not read the answers, and all of them when it does")
    func pipelinedBackPressure() throws {
        let server = try TestServer()
        let menu = try TestMenu(on: server)
        for number in 0..<50 {
            try menu.addProduct("product \(number) \(String(repeating: "x", count: 3_000))")
        }
        let client = try TestExchange(loop: server.loop, address: server.address, receiveBufferBytes: 65_536)
        client.isReading = false
        let target = "/api/v1/menu?restaurant_id=\(menu.restaurant)"
        let headers: HTTPHeaders = ["Authorization": "Bearer \(menu.token)"]
        // All of them together fit into what is read at once.
        let count = 80
        for _ in 0..<count { client.send(.get, target, headers: headers) }
        func queued() -> Int { server.server.hub.connection(1)?.queuedBytes ?? 0 }
        try server.wait(for: "a queue that the kernel does not take", atMost: .seconds(20)) { queued() > 0 }
        try server.settle(.seconds(1))
        // What made it too long, and nothing after that.
        let bytes = queued()
        #expect(bytes < 131_072 + 200_000)
        client.isReading = true
        try server.wait(for: "all answers", atMost: .seconds(20)) { client.responses.count == count }
        #expect(client.responses.allSatisfy { $0.status == 200 && $0.body.count > 150_000 })
    }

    @Test("does not answer requests without end for a client that does not read")
    func requestsUnread() throws {
        let server = try TestServer(["FYNLO_ECHO": "1"])
        let client = try TestExchange(loop: server.loop, address: server.address, receiveBufferBytes: 65_536)
        client.isReading = false
        let body = Array(repeating: UInt8(ascii: "x"), count: 100_000)
        for _ in 0..<150 { client.send(.post, "/debug/echo", body: body) }
        try server.settle(.milliseconds(300))
        #expect(client.outbound.count > 1_000_000)
        #expect(try server.request(.get, "/health/live").status == 200)
        client.isReading = true
        try server.wait(for: "all answers") { client.responses.count == 150 }
        #expect(client.responses.allSatisfy { $0.body == body })
    }

    // MARK: Connections

    @Test("answers 503 before the upgrade above FYNLO_MAX_CONNECTIONS")
    func connections() throws {
        let server = try TestServer(["FYNLO_MAX_CONNECTIONS": "2", "FYNLO_MAX_UNAUTHENTICATED": "2"])
        let restaurant = try server.database.addRestaurant()
        let first = try server.staffTablet(at: restaurant)
        let second = try server.staffTablet(at: restaurant)
        let third = try server.tablet(at: restaurant)
        try server.wait(for: "the refusal") { third.isClosed }
        let refusal = try #require(third.upgrade)
        #expect(refusal.status == 503)
        #expect(Int(refusal.headers.first("retry-after") ?? "") ?? 0 > 0)
        #expect(refusal.headers.first("content-type") == "application/problem+json")
        #expect(try Document(refusal.body)["code"].string == "unavailable")
        #expect(try server.request(.get, "/health/live").status == 503)
        first.close()
        try server.wait(for: "the place") { server.server.hub.connectionCount == 1 }
        #expect(try server.request(.get, "/health/live").status == 200)
        try server.wait(for: "the place again") { server.server.hub.connectionCount == 1 }
        _ = try server.staffTablet(at: restaurant)
        #expect(!second.isClosed)
    }

    @Test("drops sockets without a word when even the refusals are too many, and recovers")
    func exhausted() throws {
        let server = try TestServer(["FYNLO_MAX_CONNECTIONS": "2", "FYNLO_MAX_UNAUTHENTICATED": "2"])
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        let idle = try (0..<135).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        try server.wait(for: "the last of them to be dropped") { idle.count(where: \.isClosed) == 6 }
        #expect(server.server.hub.connectionCount == 130)
        #expect(idle.allSatisfy { $0.received.isEmpty })
        tablet.say(type: "ping")
        try server.wait(for: "a pong") { tablet.messages("pong").count == 1 }
        for client in idle { client.close() }
        try server.wait(for: "room") { server.server.hub.connectionCount == 1 }
        #expect(try server.request(.get, "/health/live").status == 200)
    }

    @Test("answers upgrades with 503 while FYNLO_MAX_UNAUTHENTICATED wait for authentication")
    func unauthenticated() throws {
        let server = try TestServer(["FYNLO_MAX_UNAUTHENTICATED": "2"])
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let first = try server.tablet(at: restaurant)
        let second = try server.tablet(at: restaurant)
        try server.wait(for: "two upgrades") { first.isUpgraded && second.isUpgraded }
        let third = try server.tablet(at: restaurant)
        try server.wait(for: "the refusal") { third.upgrade != nil }
        #expect(third.upgrade?.status == 503)
        #expect(third.upgrade?.headers.first("retry-after") != nil)
        // Requests are no WebSockets.
        #expect(try server.request(.get, "/health/live").status == 200)
        // One is authenticated, then another one goes: each time there is room again.
        first.authenticate(user, at: restaurant)
        try server.wait(for: "authenticated") { first.messages.count == 1 }
        let fourth = try server.tablet(at: restaurant)
        try server.wait(for: "the upgrade") { fourth.isUpgraded }
        second.close()
        try server.wait(for: "it to be gone") { server.server.hub.admitsUpgrades }
        fourth.authenticate(user, at: restaurant, token: "not a token")
        try server.wait(for: "its end") { fourth.isClosed }
        let fifth = try server.authenticatedTablet(user, at: restaurant)
        let sixth = try server.authenticatedTablet(user, at: restaurant)
        #expect(!fifth.isClosed && !sixth.isClosed && !first.isClosed)
    }

    @Test("answers 429 above FYNLO_MAX_CONNECTIONS_PER_IP")
    func perAddress() throws {
        let server = try TestServer(["FYNLO_MAX_CONNECTIONS_PER_IP": "1"])
        let restaurant = try server.database.addRestaurant()
        let first = try server.staffTablet(at: restaurant)
        let second = try server.tablet(at: restaurant)
        try server.wait(for: "the refusal") { second.isClosed }
        #expect(second.upgrade?.status == 429)
        #expect(second.upgrade?.headers.first("retry-after") != nil)
        let answer = try server.request(.get, "/health/live")
        #expect(answer.status == 429)
        #expect(try Document(answer.body)["code"].string == "connection_limit")
        first.close()
        try server.wait(for: "the place") { server.server.hub.connectionCount == 0 }
        #expect(try server.request(.get, "/health/live").status == 200)
    }
}
