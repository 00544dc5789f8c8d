import Foundation
import FynloClient
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("A tablet's life")
struct TabletLifeTests {
    /// A quick heart, so that a dead connection is found in the test's time.
    private static let quick = ["FYNLO_HEARTBEAT_INTERVAL": "400ms"]

    @Test(
        "through a restart, a network that swallows everything, and a drain: the log and the tablet's record are equal")
    func life() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let loop = try EventLoop()
        defer { loop.close() }
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.employee, at: restaurant)
        let orders = try (0..<6).map { _ in try database.addOrder(at: restaurant) }
        let others = try (0..<6).map { _ in try database.addOrder(at: restaurant) }
        var server: TestServer? = try TestServer(TabletLifeTests.quick, database: database, loop: loop)
        let proxy = try Proxy(loop: loop, to: try #require(server?.address))
        defer { proxy.close() }
        let url = try ServerURL("ws://\(proxy.address)")
        let till = try Till(loop, url, user, at: restaurant, outbox: folder.path + "/outbox")
        defer { till.close() }
        func wait(_ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool) throws {
            let came = try loop.run(until: condition, for: Duration.seconds(20).patient)
            try #require(
                came, "\(what): \(till.client.state), \(till.ends), \(till.surprises)", sourceLocation: sourceLocation)
        }
        /// Another program changes an order.
        func change(_ number: Int, to status: OrderStatus) throws {
            try database.run("update orders set status = '\(status.rawValue)' where id = '\(others[number])'")
        }

        till.client.connect()
        try wait("connected") { till.client.state == .connected }
        try till.update(orders[0], to: .pending, id: "a0")
        try till.update(orders[0], to: .confirmed, id: "a1")
        try change(0, to: .confirmed)
        try wait("answers") { till.acknowledged.count == 2 }

        // The server goes, without a word, and comes back elsewhere.
        server?.server.stop()
        server = nil
        try wait("the loss") { till.client.state != .connected }
        try till.update(orders[1], to: .ready, id: "b0")
        try till.update(orders[1], to: .served, id: "b1")
        try till.update(orders[1], to: .completed, id: "b2")
        try change(1, to: .ready)
        server = try TestServer(TabletLifeTests.quick, database: database, loop: loop)
        proxy.target = try #require(server?.address)
        try wait("the commands of the time away") { till.acknowledged.count == 5 }

        // The network swallows everything, and says nothing: half-open. Later it delivers what it has held back.
        proxy.isSilent = true
        try till.update(orders[2], to: .preparing, id: "c0")
        try till.update(orders[2], to: .ready, id: "c1")
        try change(2, to: .ready)
        try wait("the heartbeat") { till.ends.last?.code == 4004 }
        proxy.isSilent = false
        try change(2, to: .served)
        try wait("everything after the silence") { till.acknowledged.count == 7 }
        #expect(try database.value("select status from orders where id = '\(orders[2])'") == "ready")

        // The system says that there is another network; then that there is none.
        till.client.networkRestored()
        #expect(till.client.state == .connected)
        till.client.networkLost()
        #expect(till.client.state == .reconnecting)
        try till.update(orders[3], to: .cancelled, id: "d0")
        till.client.networkRestored()
        try wait("the way back") { till.acknowledged.count == 8 }

        // A drain, and a new server on the same address as far as the tablet knows.
        let old = try #require(server)
        var isDrained = false
        old.server.drain { isDrained = true }
        server = try TestServer(TabletLifeTests.quick, database: database, loop: loop)
        proxy.target = try #require(server?.address)
        try till.update(orders[4], to: .served, id: "e0")
        try change(3, to: .cancelled)
        try wait("the drain") { isDrained && till.ends.last?.code == 1001 }
        try wait("the way to the new server") { till.acknowledged.count == 9 && till.client.state == .connected }

        let head = try #require(
            try database.value("select head from restaurant_streams where restaurant_id = '\(restaurant)'"))
        try wait("the last event") { till.client.lastSequence.map(String.init) == head }
        #expect(till.surprises.isEmpty)
        #expect(till.client.outbox.waiting.isEmpty)

        try till.compare(with: database, others: [till])

        let report = till.client.report
        #expect(report.state == "CONNECTED")
        #expect(report.fixes.contains { $0.hasPrefix("Connected again 4 times") }, "\(report.fixes)")
    }

    @Test("a token that expires is renewed on the live connection; where nobody renews it in time, by a new one")
    func tokens() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // Tokens are warned about as soon as they are seen, and end at their `exp`.
        let server = try TestServer(["FYNLO_TOKEN_WARNING": "90s", "FYNLO_JWT_LEEWAY": "0s"])
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.manager, at: restaurant)
        let url = try ServerURL("ws://\(server.address)")

        // Good for more than a minute, so the till itself sees no need.
        let till = try Till(
            server.loop, url, user, at: restaurant, outbox: folder.path + "/outbox", firstToken: 75)
        till.client.connect()
        let first = till.tokens.token
        try server.wait(for: "another token") { till.tokens.token != first }
        let order = try server.database.addOrder(at: restaurant)
        try till.update(order, to: .ready, id: "after")
        try server.wait(for: "an answer") { till.acknowledged.count == 1 }
        #expect(till.connections == 1, "the connection stayed")
        #expect(till.ends.isEmpty)
        till.close()

        // The provider is away until the connection has been closed for it.
        var isAway = true
        let late = try Till(
            server.loop, url, user, at: restaurant, outbox: folder.path + "/late", firstToken: 2,
            refresh: { isAway ? nil : 3_600 })
        late.client.connect()
        try server.wait(for: "the end of the token") { late.ends.contains { $0.code == 4005 } }
        isAway = false
        try server.wait(for: "the way back", atMost: .seconds(20)) { late.client.state == .connected }
        #expect(late.connections == 2)
        late.close()
    }

    @Test("a tablet that is refused for the limit gets in by itself once there is a place")
    func limit() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let order = try server.database.addOrder(at: restaurant)
        let others = try (0..<5).map { _ in try server.authenticatedTablet(user, at: restaurant) }
        let till = try Till(
            server.loop, try ServerURL("ws://\(server.address)"), user, at: restaurant,
            outbox: folder.path + "/outbox")
        try till.update(order, to: .ready, id: "waiting")
        till.client.connect()
        try server.wait(for: "a refusal") { till.ends.first?.refusal?.code == "connection_limit" }
        #expect(till.client.state == .reconnecting)
        others[2].close()
        try server.wait(for: "a place", atMost: .seconds(40)) { till.acknowledged["waiting"] != nil }
        #expect(till.client.state == .connected)
        #expect(!others[0].isClosed)
        till.close()
    }
}
