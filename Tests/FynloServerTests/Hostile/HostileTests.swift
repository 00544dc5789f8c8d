import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A tablet that goes about its work while others misbehave: each of its pings has to be answered.
private final class Bystander {
    let server: TestServer
    let tablet: TestTablet
    let restaurant: RestaurantID
    private var pings = 0

    init(on server: TestServer) throws {
        self.server = server
        restaurant = try server.database.addRestaurant()
        tablet = try server.staffTablet(at: restaurant)
    }

    /// Pings, one after the other, until `condition` holds, and at least twice.
    func talk(
        until what: String, atMost limit: Duration = .seconds(30), sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () -> Bool
    ) throws {
        let deadline = SystemClock.instant + limit.patient
        var count = 0
        while count < 2 || !condition() {
            try #require(SystemClock.instant < deadline, "waited \(limit) for \(what)", sourceLocation: sourceLocation)
            tablet.sendFrame(.ping, [])
            pings += 1
            count += 1
            try server.wait(for: "the bystander's pong", atMost: .seconds(5), sourceLocation: sourceLocation) {
                tablet.pongs == pings || tablet.isClosed
            }
            try #require(!tablet.isClosed, sourceLocation: sourceLocation)
        }
    }

    /// The server has nobody but the bystander, and the bystander is well.
    func isAlone(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let hub = server.server.hub
        try talk(until: "the others to be gone", sourceLocation: sourceLocation) { hub.connectionCount == 1 }
        #expect(hub.tabletCount == 1, sourceLocation: sourceLocation)
        #expect(hub.unauthenticatedCount == 0, sourceLocation: sourceLocation)
        tablet.say(type: "kitchen.item_ready", id: "still here")
        try server.wait(for: "the bystander's command", sourceLocation: sourceLocation) {
            tablet.answers(to: "still here").count == 1
        }
    }
}

/// The limits of the tests: short times, and no limit for the bystander's own pings.
private func hostileServer() throws -> TestServer {
    let time = Duration.milliseconds(1_500).patient
    return try TestServer([
        "FYNLO_ECHO": "1", "FYNLO_AUTH_TIMEOUT": "\(time.inMilliseconds)ms", "FYNLO_RATE_LIMIT": "1000000",
        "FYNLO_RATE_BURST": "1000000",
    ]) { config in
        config.http.headTimeout = time
        config.http.bodyTimeout = time
        config.limits.closeTimeout = .milliseconds(500)
    }
}

@Suite("Hostile clients")
struct HostileTests {
    // MARK: Strangers

    /// What a stranger sends, how, and what the first line of the answer begins with; "": closed without a word.
    private struct Attack: CustomTestStringConvertible, Sendable {
        let name: String
        var bytes: [UInt8]
        var segmentBytes = Int.max
        var reads = true
        var answer = ""
        var testDescription: String { name }

        init(
            _ name: String, _ text: String, segmentBytes: Int = .max, reads: Bool = true, answer: String = ""
        ) {
            self.init(name, bytes: Array(text.utf8), segmentBytes: segmentBytes, reads: reads, answer: answer)
        }

        init(_ name: String, bytes: [UInt8], segmentBytes: Int = .max, reads: Bool = true, answer: String = "") {
            self.name = name
            self.bytes = bytes
            self.segmentBytes = segmentBytes
            self.reads = reads
            self.answer = answer
        }
    }

    private static func head(_ fields: String) -> String { "POST /debug/echo HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n" }

    private static func repeated(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

    private static let attacks: [Attack] = [
        Attack("nothing at all", ""),
        Attack("half a method", "GE", answer: "HTTP/1.1 408"),
        Attack("a head that never ends", "GET / HTTP/1.1\r\nHost: a\r\nX: ", segmentBytes: 1, answer: "HTTP/1.1 408"),
        Attack("a body that never comes", head("Content-Length: 10"), answer: "HTTP/1.1 408"),
        Attack("a length beyond all memory", head("Content-Length: 9223372036854775807"), answer: "HTTP/1.1 413"),
        Attack("a length beyond all numbers", head("Content-Length: 18446744073709551616"), answer: "HTTP/1.1 4"),
        Attack("a negative length", head("Content-Length: -1"), answer: "HTTP/1.1 400"),
        Attack(
            "a chunk beyond all memory", head("Transfer-Encoding: chunked") + "7fffffffffffffff\r\n",
            answer: "HTTP/1.1 413"),
        Attack(
            "a chunk beyond all numbers", head("Transfer-Encoding: chunked") + repeated("f", 40) + "\r\n",
            answer: "HTTP/1.1 4"),
        Attack(
            "chunk extensions without end", head("Transfer-Encoding: chunked") + "1;" + repeated("x", 100_000),
            answer: "HTTP/1.1 4"),
        Attack(
            "one-byte chunks without end",
            head("Transfer-Encoding: chunked") + repeated("1\r\nx\r\n", 300_000), answer: "HTTP/1.1 408"),
        Attack("a target of a megabyte", "GET /" + repeated("a", 1_048_576), answer: "HTTP/1.1 414"),
        Attack(
            "a field of a megabyte", "GET / HTTP/1.1\r\nHost: a\r\nX: " + repeated("a", 1_048_576),
            answer: "HTTP/1.1 431"),
        Attack(
            "a hundred thousand fields", "GET / HTTP/1.1\r\nHost: a\r\n" + repeated("X: y\r\n", 100_000),
            answer: "HTTP/1.1 431"),
        Attack("empty lines without end", repeated("\r\n", 100_000), answer: "HTTP/1.1 400"),
        Attack("zeros", bytes: Array(repeating: 0, count: 100_000), answer: "HTTP/1.1 400"),
        Attack("high bytes", bytes: Array(repeating: 0xff, count: 100_000), answer: "HTTP/1.1 400"),
        Attack(
            "the hello of TLS", bytes: [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] + Array(repeating: 7, count: 506),
            answer: "HTTP/1.1 400"),
        Attack("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", answer: "HTTP/1.1 505"),
        Attack("another protocol", "SSH-2.0-OpenSSH_9.2\r\n", answer: "HTTP/1.1 400"),
        Attack(
            "requests without end, their answers unread",
            repeated("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 100_000), reads: false),
        Attack(
            "JSON of a megabyte, all of it brackets",
            "POST /debug/json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n"
                + "Connection: close\r\n\r\n" + repeated("[", 1_048_576), answer: "HTTP/1.1 400"),
        Attack(
            "JSON of a megabyte, all of it escapes",
            "POST /debug/json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1048574\r\n"
                + "Connection: close\r\n\r\n\"" + repeated("\\u0000", 174_762) + "\"", answer: "HTTP/1.1 200"),
    ]

    @Test("are answered or left, and hold up nobody else", arguments: attacks)
    private func strangers(attack: Attack) throws {
        let server = try hostileServer()
        let bystander = try Bystander(on: server)
        var hostile: [TestExchange] = []
        for _ in 0..<8 {
            let client = try TestExchange(loop: server.loop, address: server.address, parses: false)
            client.segmentBytes = attack.segmentBytes
            client.isReading = attack.reads
            client.send(attack.bytes)
            hostile.append(client)
        }
        if attack.reads {
            try bystander.talk(until: "the server to let them go") { hostile.allSatisfy(\.isClosed) }
            for client in hostile {
                let line = String(decoding: client.received.bytes().prefix(attack.answer.utf8.count), as: UTF8.self)
                #expect(line == attack.answer)
                if attack.answer.isEmpty { #expect(client.received.isEmpty) }
            }
        } else {
            try server.settle(.milliseconds(500))
            // What is not read is not queued without end, however many requests came at once.
            for number in 2...9 as ClosedRange<UInt64> {
                let bytes = server.server.hub.connection(number)?.queuedBytes ?? 0
                #expect(bytes < 131_072 + 1_024)
            }
        }
        for client in hostile { client.close() }
        try bystander.isAlone()
    }

    @Test("requests that wait for the answers to earlier ones to be read are all answered, in order, before the end")
    func heldBack() throws {
        let server = try hostileServer()
        let bystander = try Bystander(on: server)
        let client = try TestExchange(loop: server.loop, address: server.address, receiveBufferBytes: 65_536)
        client.isReading = false
        // Their answers are longer than what the kernel takes.
        let count = 20_000
        for number in 1...count {
            client.send(raw: "GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-ID: n\(number)\r\n\r\n")
        }
        try bystander.talk(until: "some of them to be held back") {
            (server.server.hub.connection(2)?.queuedBytes ?? 0) >= 131_072
        }
        client.isReading = true
        try bystander.talk(until: "all to be sent") { client.outbound.isEmpty }
        client.shutdownWrite()
        try bystander.talk(until: "the end") { client.isClosed }
        #expect(client.responses.map(\.status) == Array(repeating: 404, count: count))
        #expect(client.responses.compactMap { $0.headers.first("x-request-id") } == (1...count).map { "n\($0)" })
        try bystander.isAlone()
    }

    // MARK: Tablets

    /// What a tablet sends, and the code it is closed with; `nil`: it stays.
    private struct Flood: CustomTestStringConvertible, Sendable {
        let name: String
        let bytes: [UInt8]
        var segmentBytes = Int.max
        var closeCode: UInt16?
        var testDescription: String { name }

        init(_ name: String, _ bytes: [UInt8], segmentBytes: Int = .max, closeCode: UInt16? = nil) {
            self.name = name
            self.bytes = bytes
            self.segmentBytes = segmentBytes
            self.closeCode = closeCode
        }

        init(_ name: String, _ frames: [ClientFrame], times count: Int = 1, closeCode: UInt16? = nil) {
            let once = frames.flatMap(\.bytes)
            self.init(name, Array(repeatElement(once, count: count).joined()), closeCode: closeCode)
        }
    }

    /// A masked frame's header that claims a length.
    private static func claim(_ opcode: UInt8, _ length: UInt64) -> [UInt8] {
        [0x80 | opcode, 0xff] + (0..<8).map { UInt8(truncatingIfNeeded: length >> (56 - 8 * $0)) } + [1, 2, 3, 4]
    }

    private static let floods: [Flood] = [
        Flood("a frame of 2^63 - 1 bytes", claim(1, .max >> 1), closeCode: 1009),
        Flood("a frame of 2^64 - 1 bytes", claim(1, .max), closeCode: 1002),
        Flood("a ping of 2^40 bytes", claim(9, 1 << 40), closeCode: 1002),
        Flood("a length that is longer than it has to be", claim(1, 5), closeCode: 1002),
        Flood(
            "empty fragments without end",
            ClientFrame.text("", isFinal: false).bytes
                + Array(repeatElement(ClientFrame.continuation("", isFinal: false).bytes, count: 300_000).joined())),
        Flood("empty messages without end", [.text("")], times: 2_000),
        Flood("pings without end", [ClientFrame(opcode: 9, payload: Array(repeating: 1, count: 125))], times: 50_000),
        Flood("pongs without end", [ClientFrame(opcode: 10)], times: 300_000),
        Flood(
            "a message a byte at a time", ClientFrame.text(#"{"type":"ping","data":{"slow":true}}"#).bytes,
            segmentBytes: 1),
        Flood("brackets without end", [.text(String(repeating: "[", count: 60_000))], times: 20),
        Flood(
            "objects in objects without end", [.text(String(repeating: #"{"type":"#, count: 7_000))], times: 20),
        Flood("a string of escapes", [.text("\"" + String(repeating: "\\ud800", count: 10_000) + "\"")], times: 20),
        Flood("a number without end", [.text(#"{"type":"# + String(repeating: "9", count: 60_000) + "}")], times: 20),
        Flood(
            "the same member without end",
            [.text("{" + String(repeating: #""type":"ping","#, count: 4_000) + #""a":1}"#)], times: 20),
        Flood("bytes that are no text", [ClientFrame(opcode: 1, payload: [0xc0, 0x80])], closeCode: 1007),
        Flood("zeros", Array(repeating: 0, count: 10_000), closeCode: 1002),
        Flood(
            "close frames without end", [ClientFrame(opcode: 8, payload: [3, 232])], times: 10_000, closeCode: 1000),
    ]

    @Test("that are tablets are closed or borne, and hold up nobody else", arguments: floods, [true, false])
    private func tablets(flood: Flood, isAuthenticated: Bool) throws {
        let server = try hostileServer()
        let bystander = try Bystander(on: server)
        var hostile: [TestTablet] = []
        for _ in 0..<3 {
            let tablet =
                try isAuthenticated
                ? server.staffTablet(at: bystander.restaurant) : server.tablet(at: bystander.restaurant)
            try server.wait(for: "the upgrade") { tablet.isUpgraded }
            tablet.segmentBytes = flood.segmentBytes
            tablet.send(flood.bytes)
            hostile.append(tablet)
        }
        if isAuthenticated, flood.closeCode == nil {
            try bystander.talk(until: "the server to take it all") { hostile.allSatisfy { $0.outbound.isEmpty } }
            for tablet in hostile { tablet.sendFrame(.ping, []) }
            try bystander.talk(until: "it to be over") { hostile.allSatisfy { $0.pongs > 0 } }
            #expect(hostile.allSatisfy { !$0.isClosed })
        } else {
            // A stranger's first message is nothing but authentication, and has its time.
            try bystander.talk(until: "the server to close them") { hostile.allSatisfy(\.isClosed) }
            if isAuthenticated { #expect(hostile.allSatisfy { $0.closeCode == flood.closeCode }) }
        }
        for tablet in hostile { tablet.close() }
        try bystander.isAlone()
    }

    // MARK: Everything at random

    @Test(
        "that send what is nearly right come to an end, and hold up nobody else",
        arguments: 1...8 as ClosedRange<UInt64>)
    func mutations(seed: UInt64) throws {
        let server = try hostileServer()
        let bystander = try Bystander(on: server)
        let user = try server.database.addUser(.manager, at: bystander.restaurant)
        let order = try server.database.addOrder(at: bystander.restaurant)
        var random = SeededRandom(seed: seed)
        let originals = HostileTests.conversations(user, at: bystander.restaurant, order)
        for _ in 0..<12 {
            var clients: [TestExchange] = []
            for _ in 0..<25 {
                let client = try TestExchange(loop: server.loop, address: server.address, parses: false)
                client.segmentBytes = random.pick([1, 5, 100, 1_000, .max])
                client.send(HostileTests.mutation(of: originals, &random))
                clients.append(client)
            }
            try bystander.talk(until: "all to be sent") { clients.allSatisfy { $0.isClosed || $0.outbound.isEmpty } }
            for client in clients {
                switch random.below(4) {
                case 0: client.reset()
                case 1: client.shutdownWrite()
                case 2: client.isReading = false
                default: client.close()
                }
            }
            try bystander.talk(until: "a little later") { true }
            for client in clients { client.close() }
        }
        try bystander.isAlone()
    }

    /// Requests and conversations as they should be.
    private static func conversations(
        _ user: TestUser, at restaurant: RestaurantID, _ order: OrderID
    ) -> [[UInt8]] {
        let token = user.token()
        let authorization = "Host: a\r\nAuthorization: Bearer \(token)\r\n"
        let upgrade = """
            GET /api/v1/websocket/ws/pos/\(restaurant) HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: fynlo.v1\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
            """
        let authenticate = ClientFrame.text(
            """
            {"type":"authenticate","id":"1","data":{"token":"\(token)","user_id":"\(user.id)",\
            "restaurant_id":"\(restaurant)","device_id":"d","last_seq":1}}
            """)
        let talk: [ClientFrame] = [
            .text(#"{"type":"ping","data":{"n":[1,2.5e3,null,true,"\u00e9\n"],"last_seq":2,"rtt_ms":7}}"#),
            .text(#"{"type":"order.status_update","id":"c","data":{"order_id":"\#(order)","status":"ready"}}"#),
            .text(#"{"type":"kitchen.item_ready","id":"k","#, isFinal: false),
            ClientFrame(opcode: 9, payload: [1, 2, 3]), .continuation(#""data":{"item":"x"}}"#),
            .text(#"{"type":"reauth","id":"r","data":{"token":"\#(token)"}}"#),
        ]
        let close = ClientFrame(opcode: 8, payload: [3, 232] + Array("bye".utf8))
        return [
            Array("GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc\r\n\r\n".utf8),
            Array(
                """
                GET /api/v1/menu?restaurant_id=\(restaurant)&page=2&limit=10&include_inactive=true HTTP/1.1\r\n\
                \(authorization)If-None-Match: "abc", W/"def"\r\n\r\n
                """.utf8),
            Array(
                """
                POST /api/v1/menu/cache/invalidate?restaurant_id=\(restaurant) HTTP/1.1\r\n\(authorization)\
                Content-Length: 0\r\n\r\n
                """.utf8),
            Array(
                """
                POST /debug/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
                5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: z\r\n\r\n
                """.utf8),
            Array(
                """
                POST /debug/json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n\
                {"a":[1,-2.5E+3,"\\u0041"]}
                """.utf8),
            Array(upgrade.utf8) + authenticate.bytes + talk.flatMap(\.bytes) + close.bytes,
            Array(upgrade.utf8) + talk.flatMap(\.bytes),
            Array("GET /debug/echo HTTP/1.1\r\n".utf8) + Array(upgrade.utf8.drop { $0 != 10 }.dropFirst())
                + talk.flatMap(\.bytes) + ClientFrame(opcode: 2, payload: [0, 255]).bytes + close.bytes,
        ]
    }

    /// One of the originals with some of its bytes changed.
    private static func mutation(of originals: [[UInt8]], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = random.pick(originals)
        for _ in 0..<random.below(6) {
            let start = random.below(bytes.count)
            let range = start..<min(bytes.count, start + random.below(40))
            switch random.below(9) {
            case 0: if !bytes.isEmpty { bytes[start] ^= 1 << UInt8(random.below(8)) }
            case 1: if !bytes.isEmpty { bytes[start] = random.pick([0, 0xff, 0x7f, 13, 10, 32, 34, 44, 58, 123]) }
            case 2: bytes.insert(contentsOf: (0..<random.below(12)).map { _ in UInt8(random.below(256)) }, at: start)
            case 3: bytes.removeSubrange(range)
            case 4: bytes.insert(contentsOf: bytes[range], at: start)
            case 5: bytes.insert(contentsOf: Array(repeatElement(Array(bytes[range]), count: 50).joined()), at: start)
            case 6: bytes.removeSubrange(start...)
            case 7: bytes.append(contentsOf: random.pick(originals))
            default:
                let other = random.pick(originals)
                bytes.replaceSubrange(range, with: other[random.below(other.count)...].prefix(range.count + 4))
            }
        }
        return bytes
    }
}
