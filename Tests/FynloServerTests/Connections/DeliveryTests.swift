import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Delivery of events")
struct DeliveryTests {
    /// The numbers of the events a tablet was sent.
    private func numbers(_ tablet: TestTablet) -> [Int] {
        tablet.events.compactMap { $0["seq"].integer }
    }

    @Test("brings changes by other programs to the tablets, in order, within a second")
    func foreignChanges() throws {
        let server = try TestServer()
        let database = server.database
        let restaurant = try database.addRestaurant()
        let elsewhere = try database.addRestaurant()
        let tablets = [try server.staffTablet(at: restaurant), try server.staffTablet(at: restaurant)]
        let stranger = try server.staffTablet(at: elsewhere)
        let order = try database.addOrder(at: restaurant)
        try database.run("update orders set status = 'pending' where id = '\(order)'")
        try database.run("update orders set notes = 'no onions' where id = '\(order)'")
        try database.run("update orders set status = 'ready', notes = 'hot' where id = '\(order)'")
        try database.run("update orders set notes = notes where id = '\(order)'")
        try database.run("delete from orders where id = '\(order)'")
        let start = server.loop.now.instant
        try server.wait(for: "all five") { tablets.allSatisfy { $0.events.count == 5 } }
        // A second by contract, and some patience with a busy machine.
        #expect(server.loop.now.instant - start < .milliseconds(1_500))
        for tablet in tablets {
            #expect(numbers(tablet) == [1, 2, 3, 4, 5])
            #expect(
                tablet.events.map { $0["type"].string } == [
                    "order.created", "order.status_changed", "order.updated", "order.status_changed", "order.deleted",
                ])
            #expect(
                tablet.events.map { $0["data"]["status"].string } == ["draft", "pending", "pending", "ready", "ready"])
            #expect(tablet.events.allSatisfy { $0["data"].members["updated_by"] == .null })
            #expect(tablet.events.allSatisfy { $0["data"]["order_id"].string == order.description })
            #expect(tablet.events.allSatisfy { $0["restaurant_id"].string == restaurant.description })
        }
        #expect(stranger.messages.count == 1)
    }

    @Test("brings each event to the tablets of every node, each once, in order")
    func twoNodes() throws {
        let server = try TestServer()
        let node = try TestServer(database: server.database, loop: server.loop)
        let restaurant = try server.database.addRestaurant()
        let orders = try (0..<3).map { _ in try server.database.addOrder(at: restaurant) }
        let here = try server.staffTablet(at: restaurant)
        let there = try node.staffTablet(at: restaurant)
        for status in [OrderStatus.pending, .confirmed, .preparing, .ready] {
            here.update(orders[0], to: status, id: "c\(status)")
            there.update(orders[1], to: status, id: "d\(status)")
        }
        try server.database.run("update orders set status = 'served' where id = '\(orders[2])'")
        let start = server.loop.now.instant
        try server.wait(for: "nine events on both") { here.events.count == 9 && there.events.count == 9 }
        #expect(server.loop.now.instant - start < .milliseconds(2_500))
        #expect(numbers(here) == Array(4...12))
        #expect(here.events == there.events)
        try server.settle()
        #expect(here.events.count == 9 && there.events.count == 9)
        #expect(here.answers.count == 4 && there.answers.count == 4)
    }

    @Test("begins where `authenticated` said, with nothing missing and nothing twice, while changes go on")
    func joining() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let writer = try server.staffTablet(at: restaurant)
        var tablets: [TestTablet] = []
        for number in 0..<30 {
            if number % 3 == 0, tablets.count < 5 {
                let tablet = try server.tablet(at: restaurant)
                tablet.authenticate(user, at: restaurant)
                tablets.append(tablet)
            }
            // By this program and by another one in turn.
            if number % 2 == 0 {
                try server.database.run("update orders set notes = '\(number)'")
                try server.loop.turn(timeout: .milliseconds(1))
            } else {
                let fresh = try server.database.addOrder(at: restaurant)
                writer.update(fresh, to: .ready, id: "c\(number)")
                try server.wait(for: "an answer") { writer.answers(to: "c\(number)").count == 1 }
            }
        }
        let head = try #require(try server.database.value("select head from restaurant_streams").flatMap { Int($0) })
        try server.wait(for: "everybody to have the last one") {
            (tablets + [writer]).allSatisfy { $0.events.last?["seq"].integer == head }
        }
        for tablet in tablets {
            let first = try #require(tablet.messages.first)
            #expect(first["type"].string == "authenticated")
            #expect(numbers(tablet) == Array(((first["data"]["seq"].integer ?? 0) + 1)...head))
        }
        _ = order
    }

    @Test("numbers each restaurant by itself")
    func restaurants() throws {
        let server = try TestServer()
        let restaurants = try (0..<3).map { _ in try server.database.addRestaurant() }
        let owner = try server.database.addUser(.platformOwner, at: nil)
        let tablets = try restaurants.map { try server.authenticatedTablet(owner, at: $0) }
        let orders = try restaurants.map { try server.database.addOrder(at: $0) }
        for status in [OrderStatus.pending, .ready] {
            for (tablet, order) in zip(tablets, orders) { tablet.update(order, to: status, id: status.rawValue) }
        }
        try server.wait(for: "three events each") { tablets.allSatisfy { $0.events.count == 3 } }
        for (tablet, order) in zip(tablets, orders) {
            #expect(numbers(tablet) == [1, 2, 3])
            #expect(tablet.events.allSatisfy { $0["data"]["order_id"].string == order.description })
        }
    }

    @Test("reads thousands of events that another program made at once")
    func bulk() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        try server.database.run(
            "insert into orders (restaurant_id) select '\(restaurant)' from generate_series(1, 1500)")
        try server.wait(for: "all") { tablet.events.count == 1_500 }
        #expect(numbers(tablet) == Array(1...1_500))
    }
}
