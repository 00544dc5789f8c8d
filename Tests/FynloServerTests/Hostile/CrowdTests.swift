import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

/// A tablet at work: it pings at its pace, and now and then reports an item or changes its order.
private final class WorkingTablet: EventSource {
    let tablet: TestTablet
    let restaurant: RestaurantID
    private let number: Int
    private let order: OrderID
    private var statuses: ArraySlice<OrderStatus> = [.pending, .confirmed, .preparing, .ready, .served, .completed]
    private var token: SourceToken?
    private(set) var pings = 0
    /// The items it reported, and how often it changed its order.
    private(set) var items: [String] = []
    private(set) var changes = 0

    private static let pace = Duration.milliseconds(120)

    init(
        _ loop: EventLoop, _ server: ServerProcess, _ database: TestDatabase, _ restaurant: RestaurantID, _ number: Int
    ) throws {
        self.restaurant = restaurant
        self.number = number
        order = try database.addOrder(at: restaurant)
        tablet = try TestTablet(
            loop: loop, address: server.address, target: "/api/v1/websocket/ws/pos/\(restaurant)")
        tablet.authenticate(try database.addUser(.employee, at: restaurant), at: restaurant)
    }

    func start() {
        let token = tablet.loop.add(timer: self)
        self.token = token
        tablet.loop.wake(token, by: tablet.loop.now.instant)
    }

    func stop() {
        if let token { tablet.loop.remove(token) }
        token = nil
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        pings += 1
        tablet.say(type: "ping")
        if pings % 4 == 0 {
            let item = "\(number)-\(pings)"
            items.append(item)
            tablet.say(type: "kitchen.item_ready", id: item, data: "{\"item\":\"\(item)\"}")
        }
        if pings % 6 == 0, let status = statuses.popFirst() {
            changes += 1
            tablet.update(order, to: status, id: "change \(number)-\(pings)")
        }
        return now.instant + WorkingTablet.pace
    }

    /// Nothing that it sent waits for an answer.
    var isAnswered: Bool {
        tablet.messages("pong").count == pings && tablet.messages("ack").count == items.count + changes
    }
}

/// What one of the crowd sends once all are there.
private struct Hostility: Sendable {
    var bytes: [UInt8]
    var segmentBytes = Int.max
    var reads = true
    /// Ends with a reset, whatever state that is in.
    var resets = false

    init(_ text: String, segmentBytes: Int = .max, reads: Bool = true, resets: Bool = false) {
        self.init(bytes: Array(text.utf8), segmentBytes: segmentBytes, reads: reads, resets: resets)
    }

    init(bytes: [UInt8], segmentBytes: Int = .max, reads: Bool = true, resets: Bool = false) {
        self.bytes = bytes
        self.segmentBytes = segmentBytes
        self.reads = reads
        self.resets = resets
    }
}

@Suite("A crowd of hostile clients")
struct CrowdTests {
    private static let crowdCount = 1_000

    private static func post(_ fields: String) -> String {
        "POST /api/v1/menu/cache/invalidate HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n"
    }

    private static func upgrade(_ restaurant: RestaurantID) -> [UInt8] {
        Array(
            """
            GET /api/v1/websocket/ws/pos/\(restaurant) HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
            """.utf8)
    }

    private static func repeated(_ frame: ClientFrame, _ count: Int) -> [UInt8] {
        Array(repeatElement(frame.bytes, count: count).joined())
    }

    /// Frames as nobody should send them; each kind is tried by strangers and by staff.
    private static let frames: [Hostility] = {
        let emptyFragments =
            ClientFrame.text("", isFinal: false).bytes + repeated(.continuation("", isFinal: false), 2_000)
        let bigPing = ClientFrame(opcode: 9, payload: Array(repeating: 1, count: 125))
        let message = ClientFrame.text(#"{"type":"ping","data":{"slow":true}}"#).bytes
        return [
            Hostility(bytes: []),
            Hostility(bytes: [0x81, 0xff, 0x7f] + Array(repeating: 0xff, count: 7) + [1, 2, 3, 4]),
            Hostility(bytes: [0x81, 0xff] + Array(repeating: 0xff, count: 8) + [1, 2, 3, 4]),
            Hostility(bytes: [0x89, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
            Hostility(bytes: emptyFragments),
            Hostility(bytes: repeated(ClientFrame(opcode: 9), 2_000)),
            Hostility(bytes: repeated(bigPing, 500), reads: false),
            Hostility(bytes: repeated(.text(#"{"type":"ping"}"#), 80), reads: false),
            Hostility(bytes: ClientFrame.text(String(repeating: "[", count: 15_000)).bytes),
            Hostility(bytes: ClientFrame(opcode: 1, payload: [0x61, 0xc0, 0x80]).bytes),
            Hostility(bytes: ClientFrame(opcode: 1, payload: Array("hello".utf8), isMasked: false).bytes),
            Hostility(bytes: Array(repeating: 0, count: 1_000)),
            Hostility(bytes: message, segmentBytes: 1),
            Hostility(bytes: Array(message.dropLast(5)), resets: true),
            Hostility(bytes: ClientFrame(opcode: 8, payload: [3, 232]).bytes, resets: true),
        ]
    }()

    /// Every kind of hostile client: of HTTP, with a WebSocket, and with a WebSocket and a valid token.
    private static func hostilities(_ users: [(TestUser, RestaurantID)]) -> [Hostility] {
        let restaurant = users[0].1
        let chunked = post("Transfer-Encoding: chunked")
        var all: [Hostility] = [
            Hostility(""),
            Hostility("GE"),
            Hostility("GET / HTTP/1.1\r\nHost: a\r\nX: y", segmentBytes: 1),
            Hostility(post("Content-Length: 1000000") + "half of it"),
            Hostility(chunked + "5\r\nhel", segmentBytes: 1),
            Hostility(post("Content-Length: 9223372036854775807")),
            Hostility(post("Content-Length: 18446744073709551616")),
            Hostility(chunked + "7fffffffffffffff\r\n"),
            Hostility("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: 40_000)),
            Hostility("GET /" + String(repeating: "x", count: 40_000)),
            Hostility(
                String(repeating: "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", count: 1_000), reads: false),
            Hostility(
                "POST /debug/json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 40000\r\n\r\n"
                    + String(repeating: "[", count: 40_000)),
            Hostility("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", segmentBytes: 1),
            Hostility(bytes: Array(repeating: 0xff, count: 10_000)),
            Hostility("GET /api/v1/webs", resets: true),
            Hostility(post("Content-Length: 10") + "half", resets: true),
        ]
        let opening = upgrade(restaurant)
        for frames in frames {
            var stranger = frames
            stranger.bytes = opening + frames.bytes
            all.append(stranger)
        }
        for (index, frames) in frames.enumerated() {
            let (user, restaurant) = users[index % users.count]
            let authenticate = ClientFrame.text(
                """
                {"type":"authenticate","data":{"token":"\(user.token())","user_id":"\(user.id)",\
                "restaurant_id":"\(restaurant)"}}
                """)
            var member = frames
            member.bytes = upgrade(restaurant) + authenticate.bytes + frames.bytes
            all.append(member)
        }
        return all
    }

    /// Turns the loop until `condition` holds, looking every 10 ms: what happens in the other process wakes no loop.
    private static func wait(
        _ loop: EventLoop, for what: String, atMost limit: Duration = .seconds(60),
        sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool
    ) throws {
        let deadline = SystemClock.instant + limit
        while !condition(), SystemClock.instant < deadline {
            let next = SystemClock.instant + .milliseconds(10)
            while SystemClock.instant < next { try loop.turn(timeout: .milliseconds(10)) }
        }
        try #require(condition(), "waited \(limit) for \(what)", sourceLocation: sourceLocation)
    }

    /// Lets a crowd in, loose, and out again, while the tablets work. `descriptors`: those that the server has without it.
    private static func attack(
        _ loop: EventLoop, _ server: ServerProcess, _ tablets: [WorkingTablet], _ hostilities: [Hostility],
        descriptors: Int
    ) throws {
        let crowd = try (0..<crowdCount).map { index in
            let socket = try TestSocket(
                loop: loop, address: server.address,
                receiveBufferBytes: hostilities[index % hostilities.count].reads ? nil : 4_096)
            socket.isReading = hostilities[index % hostilities.count].reads
            return socket
        }
        try wait(loop, for: "all of them to be there") {
            // Or, on a very slow machine, the first one's time to be over before the last one has come.
            server.descriptorCount >= descriptors + crowdCount || crowd.contains { $0.isClosed }
        }
        for (index, socket) in crowd.enumerated() {
            let hostility = hostilities[index % hostilities.count]
            socket.segmentBytes = hostility.segmentBytes
            socket.send(hostility.bytes)
        }
        // Those who do not read are not read from in the end.
        let pings = tablets.map(\.pings)
        try wait(loop, for: "all to be sent and twelve rounds of pings") {
            zip(tablets, pings).allSatisfy { $0.pings >= $1 + 12 }
                && crowd.allSatisfy { $0.isClosed || !$0.isReading || $0.outbound.isEmpty }
        }
        for (index, socket) in crowd.enumerated() {
            if hostilities[index % hostilities.count].resets || index % 3 == 0 {
                socket.reset()
            } else if index % 3 == 1 {
                socket.shutdownWrite()
            }
        }
        for socket in crowd { socket.close() }
        try wait(loop, for: "all of them to be gone") { server.descriptorCount <= descriptors + newDatabaseConnections }
    }

    /// Connections to PostgreSQL are opened on demand, and stay.
    private static let newDatabaseConnections = 16

    @Test("a thousand at once, of every kind, disturb no tablet, and leave nothing behind")
    func crowd() throws {
        let descriptors = ProcessSetup.raiseDescriptorLimit()
        try #require(descriptors >= 4_096, "a thousand sockets and those of the other tests take more descriptors")
        let database = try TestDatabase()
        let server = try ServerProcess(
            database,
            [
                "FYNLO_ECHO": "1", "FYNLO_MAX_CONNECTIONS": "3000", "FYNLO_MAX_CONNECTIONS_PER_USER": "1000",
                "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "1000",
            ])
        let loop = try EventLoop()
        defer { loop.close() }
        let restaurants = try (0..<2).map { _ in try database.addRestaurant() }
        let tablets = try (0..<20).map { number in
            try WorkingTablet(loop, server, database, restaurants[number % 2], number)
        }
        try Self.wait(loop, for: "the tablets") {
            tablets.allSatisfy { !$0.tablet.messages("authenticated").isEmpty }
        }
        let hostilities = try Self.hostilities(restaurants.map { (try database.addUser(.manager, at: $0), $0) })
        for tablet in tablets { tablet.start() }

        // The first crowd makes the allocator keep some memory for the next.
        let ownDescriptors = server.descriptorCount
        try Self.attack(loop, server, tablets, hostilities, descriptors: ownDescriptors)
        let memory = server.memory
        for _ in 0..<2 { try Self.attack(loop, server, tablets, hostilities, descriptors: ownDescriptors) }
        // Each of the two thousand might have 64 KiB of input and 128 KiB of answers in memory while it was there. What the
        // allocator keeps differs a little from crowd to crowd; 4 KiB for each would be buffers that have stayed.
        let growth = server.memory - memory
        #expect(growth <= 2_000 * 4_096 || server.isSanitized)

        for tablet in tablets { tablet.stop() }
        try Self.wait(loop, for: "every answer") { tablets.allSatisfy { $0.isAnswered || $0.tablet.isClosed } }
        for restaurant in restaurants {
            let staff = tablets.filter { $0.restaurant == restaurant }
            let items = staff.flatMap(\.items).sorted()
            let changes = staff.reduce(0) { $0 + $1.changes }
            try Self.wait(loop, for: "every event") {
                staff.allSatisfy { member in
                    member.tablet.isClosed
                        || member.tablet.messages("order.status_changed").count >= changes
                            && member.tablet.messages("kitchen.item_ready").count >= items.count
                }
            }
            for member in staff {
                #expect(!member.tablet.isClosed)
                #expect(member.tablet.messages("pong").count == member.pings)
                #expect(member.tablet.messages("error").isEmpty)
                let told = member.tablet.messages("kitchen.item_ready").compactMap { $0["data"]["item"].string }
                #expect(told.sorted() == items)
                #expect(member.tablet.messages("order.status_changed").count == changes)
                let sequence = member.tablet.events.compactMap { $0["seq"].integer }
                #expect(zip(sequence, sequence.dropFirst()).allSatisfy { $0 + 1 == $1 })
            }
        }
        for tablet in tablets { tablet.tablet.close() }
        server.stop()
    }
}
