import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The descriptors of the program")
struct DescriptorTests {
    private static func wait(
        _ loop: EventLoop, for what: String, atMost limit: Duration = .seconds(15),
        sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool
    ) throws {
        let deadline = SystemClock.instant + limit.patient
        // Looks often: what happens in the other process wakes no loop.
        while !condition(), SystemClock.instant < deadline { try loop.turn(timeout: .milliseconds(10)) }
        try #require(condition(), "waited \(limit) for \(what)", sourceLocation: sourceLocation)
    }

    private static func tablet(
        _ loop: EventLoop, _ server: ServerProcess, _ user: TestUser, _ restaurant: RestaurantID
    ) throws -> TestTablet {
        let tablet = try TestTablet(
            loop: loop, address: server.address, target: "/api/v1/websocket/ws/pos/\(restaurant)")
        tablet.authenticate(user, at: restaurant)
        try wait(loop, for: "authenticated") { !tablet.messages("authenticated").isEmpty || tablet.isClosed }
        try #require(!tablet.isClosed)
        return tablet
    }

    @Test("when there are no more, those who are in are served, the others wait, and all goes on when there are again")
    func exhaustion() throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.manager, at: restaurant)
        let order = try database.addOrder(at: restaurant)
        let limit = 64
        let server = try ServerProcess(database, ["FYNLO_MAX_CONNECTIONS": "1000"], descriptors: limit)
        let loop = try EventLoop()
        defer { loop.close() }
        let tablet = try Self.tablet(loop, server, user, restaurant)
        tablet.update(order, to: .pending, id: "before")
        try Self.wait(loop, for: "a command") { tablet.answers(to: "before").count == 1 }

        let crowd = try (0..<150).map { _ in
            let client = try TestSocket(loop: loop, address: server.address)
            client.send(Array("GET /health/live HTTP/1.1\r\nHost: a\r\n".utf8))
            return client
        }
        try Self.wait(loop, for: "no descriptor to be left") { server.descriptorCount >= limit }
        for number in 0..<5 {
            tablet.say(type: "ping")
            tablet.update(order, to: .confirmed, id: "c\(number)")
            try Self.wait(loop, for: "a pong and an answer") {
                tablet.messages("pong").count == number + 1 && tablet.answers(to: "c\(number)").count == 1
            }
        }
        // It waits for better times, and does not ask again and again.
        let used = server.processorTime
        _ = try loop.run(until: { false }, for: .seconds(1))
        #expect(server.processorTime - used < .milliseconds(500))

        for client in crowd { client.close() }
        try Self.wait(loop, for: "the descriptors to be given back") { server.descriptorCount < limit - 20 }
        let late = try Self.tablet(loop, server, user, restaurant)
        late.say(type: "ping")
        try Self.wait(loop, for: "a pong") { late.messages("pong").count == 1 }
        #expect(!tablet.isClosed)
        tablet.close()
        late.close()
        #expect(server.stop().contains("accept_failed"))
    }

    @Test("are given back by connections that end in every state and in every way")
    func givenBack() throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let users = try (0..<25).map { _ in try database.addUser(.manager, at: restaurant) }
        let server = try ServerProcess(database)
        let loop = try EventLoop()
        defer { loop.close() }
        // Connections to the database are opened on demand, and stay.
        for _ in 0..<2 { try Self.wave(loop, server, users, restaurant) }
        try Self.wait(loop, for: "the first to be gone") { server.descriptorCount <= 32 }
        let before = server.descriptorCount
        for _ in 0..<4 { try Self.wave(loop, server, users, restaurant) }
        try Self.wait(loop, for: "the last to be gone") { server.descriptorCount <= before + 2 }
    }

    /// A hundred connections that come to different states and leave in different ways.
    private static func wave(
        _ loop: EventLoop, _ server: ServerProcess, _ users: [TestUser], _ restaurant: RestaurantID
    ) throws {
        var sockets: [TestSocket] = []
        var tablets: [TestTablet] = []
        for (index, user) in users.enumerated() {
            let socket = try TestSocket(loop: loop, address: server.address)
            if index % 2 == 0 { socket.send(Array("GET /health HTTP/1.1\r\nHo".utf8)) }
            let exchange = try TestExchange(loop: loop, address: server.address)
            exchange.send(
                .get, "/api/v1/menu?restaurant_id=\(restaurant)", headers: ["Authorization": "Bearer \(user.token())"])
            let target = "/api/v1/websocket/ws/pos/\(restaurant)"
            let stranger = try TestTablet(loop: loop, address: server.address, target: target)
            let tablet = try TestTablet(loop: loop, address: server.address, target: target)
            tablet.authenticate(user, at: restaurant)
            sockets += [socket, exchange, stranger, tablet]
            tablets.append(tablet)
        }
        // Half of them leave whatever they are at, the others when the tablets are in.
        for (index, socket) in sockets.enumerated() where index % 8 < 4 { leave(socket, index) }
        try wait(loop, for: "the tablets") {
            tablets.enumerated().allSatisfy { $0 % 2 == 0 || !$1.messages("authenticated").isEmpty }
        }
        for (index, socket) in sockets.enumerated() where index % 8 >= 4 { leave(socket, index) }
        try wait(loop, for: "those who were polite") { true }
        for socket in sockets { socket.close() }
    }

    private static func leave(_ socket: TestSocket, _ index: Int) {
        switch index / 8 % 4 {
        case 0: socket.close()
        case 1: socket.reset()
        case 2: socket.shutdownWrite()
        default: if let tablet = socket as? TestTablet { tablet.closeWebSocket() } else { socket.reset() }
        }
    }
}
