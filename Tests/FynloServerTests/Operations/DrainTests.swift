import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("A server that is told to stop")
struct DrainTests {
    @Test("says 1001 to every tablet, to one with a command in flight after its answer, and frees its port")
    func drains() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.manager, at: restaurant)
        let order = try server.database.addOrder(at: restaurant)
        let first = try server.authenticatedTablet(user, at: restaurant)
        let second = try server.authenticatedTablet(user, at: restaurant)
        let stranger = try server.tablet(at: restaurant)
        let idle = try TestExchange(loop: server.loop, address: server.address)
        try server.wait(for: "all of them") { server.server.hub.connectionCount == 4 }

        let lock = try RowLock(on: order, in: server.database)
        first.update(order, to: .ready, id: "last")
        first.update(order, to: .served, id: "waiting")
        try server.wait(for: "the command to wait") { lock.isInTheWay }

        var isDone = false
        server.server.drain { isDone = true }
        try server.wait(for: "the tablets' goodbye") {
            !first.messages("reconnect").isEmpty && second.isClosed && stranger.isClosed && idle.isClosed
        }
        #expect(!isDone && !first.isClosed, "a command is in flight")
        first.update(order, to: .completed, id: "late")
        first.say(type: "ping")
        try server.wait(for: "the last to be read") { !first.messages("pong").isEmpty }
        #expect(first.answers.isEmpty)
        lock.release()
        try server.wait(for: "the end") { isDone && first.isClosed }
        for tablet in [first, second, stranger] {
            #expect(tablet.closeCode == 1001)
            #expect(!tablet.wasReset)
        }
        for tablet in [first, second] {
            let goodbye = tablet.messages("reconnect")
            #expect(goodbye.count == 1)
            #expect((250...502).contains(goodbye.first?["data"]["retry_after_ms"].integer ?? 0))
        }
        #expect(second.messages.last?["type"].string == "reconnect")
        #expect(first.answers.map { $0["type"].string } == ["ack"])
        #expect(first.answers(to: "last").count == 1, "those behind it were not begun")
        #expect(stranger.messages.isEmpty)
        #expect(try server.database.value("select status from orders where id = '\(order)'") == "ready")
        let logged = try server.database.run(
            "select seq from restaurant_events where restaurant_id = '\(restaurant)' and message_id = 'last'"
        ).rows
        #expect(logged.compactMap { $0.integer(0) }.map(Int.init) == [first.answers[0]["data"]["seq"].integer])

        let late = try TestSocket(loop: server.loop, address: server.address)
        try server.wait(for: "a refused connection") { late.isClosed }
        #expect(late.wasReset)
        let another = try Listener(server.address)
        #expect(another.localAddress.port == server.address.port)
    }

    @Test("gives every tablet a slot of its own to come back")
    func slots() throws {
        let server = try TestServer([
            "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "500", "FYNLO_MAX_CONNECTIONS_PER_USER": "500",
        ])
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablets = try (0..<300).map { _ in try server.tablet(at: restaurant) }
        for tablet in tablets { tablet.authenticate(user, at: restaurant) }
        try server.wait(for: "everybody") { server.server.hub.tabletCount == 300 }
        server.server.drain {}
        try server.wait(for: "the goodbye") { tablets.allSatisfy(\.isClosed) }
        let slots = tablets.compactMap { $0.messages.last?["data"]["retry_after_ms"].integer }.sorted()
        #expect(slots.count == 300)
        // One a millisecond, give or take the jitter.
        for (index, slot) in slots.enumerated() { #expect(slots[index...].prefix { $0 < slot + 100 }.count <= 150) }
        #expect((slots.last ?? 0) - (slots.first ?? 0) > 250)
    }

    @Test("does not wait longer than FYNLO_DRAIN_TIMEOUT for a tablet that does not answer")
    func timeout() throws {
        let server = try TestServer(["FYNLO_DRAIN_TIMEOUT": "200ms"])
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.authenticatedTablet(
            try server.database.addUser(.employee, at: restaurant), at: restaurant)
        tablet.isReading = false
        var isDone = false
        let start = server.loop.now.instant
        server.server.drain { isDone = true }
        try server.wait(for: "the end", atMost: .seconds(3)) { isDone }
        #expect(server.loop.now.instant - start >= .milliseconds(190))
        #expect(server.server.hub.connectionCount == 0)
    }

    @Test("answers the request under way before it closes the connection")
    func request() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.manager, at: restaurant)
        let lock = try server.database.anotherSession()
        _ = try lock.execute("begin; lock table products in access exclusive mode").get()
        let exchange = try TestExchange(loop: server.loop, address: server.address)
        exchange.send(
            .get, "/api/v1/menu?restaurant_id=\(restaurant)", headers: ["Authorization": "Bearer \(user.token())"])
        let waiting = "select 1 from pg_locks where not granted and relation = 'products'::regclass"
        try server.wait(for: "the statement to wait") { (try? server.database.run(waiting).count) == 1 }
        var isDone = false
        server.server.drain { isDone = true }
        _ = try lock.execute("rollback").get()
        try server.wait(for: "the end") { isDone }
        #expect(exchange.responses.first?.status == 200)
        #expect(exchange.responses.first?.headers.first("connection") == "close")
    }

    @Test("answers those who wait in its own socket")
    func waiting() throws {
        let server = try TestServer()
        // Connected, with a request sent, before the server had a turn to accept.
        let exchanges = try (0..<100).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        for exchange in exchanges {
            exchange.send(.get, "/health/live")
            exchange.ready(.write, now: server.loop.now)
        }
        #expect(server.server.hub.connectionCount == 0 && exchanges.allSatisfy(\.outbound.isEmpty))
        var isDone = false
        server.server.drain { isDone = true }
        try server.wait(for: "the end") { isDone && exchanges.allSatisfy(\.isClosed) }
        #expect(exchanges.allSatisfy { $0.responses.first?.status == 200 && !$0.wasReset })
        #expect(exchanges.allSatisfy { $0.responses.first?.headers.first("connection") == "close" })
    }

    @Test("opens no WebSocket any more for a request that had begun")
    func lateUpgrade() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let late = try TestExchange(loop: server.loop, address: server.address)
        late.send(Array("GET /api/v1/websocket/ws/pos/\(restaurant) HTTP/1.1\r\nHost: a\r\n".utf8))
        try server.wait(for: "half a request") { server.server.hub.connection(1) != nil && late.outbound.isEmpty }
        try server.settle(.milliseconds(20))
        var isDone = false
        server.server.drain { isDone = true }
        late.send(
            Array(
                """
                Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
                """.utf8))
        try server.wait(for: "the end", atMost: .seconds(5)) { isDone && late.isClosed }
        let answer = String(decoding: late.received.bytes(), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 503 "))
        #expect(answer.lowercased().contains("connection: close"))
    }
}
