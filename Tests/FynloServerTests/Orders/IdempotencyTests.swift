import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Commands that are sent again")
struct IdempotencyTests {
    /// Sends the command and waits for the answer to it that comes next.
    private func answer(
        _ server: TestServer, _ tablet: TestTablet, _ order: OrderID, to status: OrderStatus, id: String,
        expecting version: Int? = nil
    ) throws -> Document {
        let count = tablet.answers(to: id).count
        tablet.update(order, to: status, id: id, expecting: version)
        try server.wait(for: "an answer to \(id)") { tablet.answers(to: id).count > count }
        return tablet.answers(to: id)[count]
    }

    @Test("are answered alike on every connection of the user and on every node, and change nothing")
    func sameAnswer() throws {
        let server = try TestServer()
        let node = try TestServer(database: server.database, loop: server.loop)
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        let listener = try server.staffTablet(at: restaurant)
        let first = try answer(server, tablet, order, to: .confirmed, id: "c1")
        #expect(first["type"].string == "ack")
        // The order goes on, so that doing it again would be an error or an event.
        #expect(try answer(server, tablet, order, to: .preparing, id: "c2")["type"].string == "ack")
        let before = try server.database.value("select (o.*)::text || head from orders o, restaurant_streams")
        tablet.closeWebSocket()
        try server.wait(for: "the end") { tablet.isClosed }
        for again in [
            try server.authenticatedTablet(user, at: restaurant), try node.authenticatedTablet(user, at: restaurant),
        ] {
            for _ in 0..<2 {
                let second = try answer(server, again, order, to: .confirmed, id: "c1")
                #expect(second["type"].string == "ack")
                #expect(second["data"] == first["data"])
            }
            #expect(again.events.isEmpty)
        }
        #expect(try server.database.value("select (o.*)::text || head from orders o, restaurant_streams") == before)
        try server.wait(for: "both events") { listener.events.count == 2 }
        try server.settle()
        #expect(listener.events.count == 2)
    }

    @Test("keep the first answer when their content differs")
    func otherContent() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let other = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let first = try answer(server, tablet, order, to: .confirmed, id: "c1")
        for second in [
            try answer(server, tablet, other, to: .ready, id: "c1"),
            try answer(server, tablet, OrderID(TestDatabase.randomUUID()), to: .draft, id: "c1"),
            try answer(server, tablet, order, to: .confirmed, id: "c1", expecting: 77),
        ] {
            #expect(second["type"].string == "ack")
            #expect(second["data"] == first["data"])
        }
        #expect(try server.database.value("select status from orders where id = '\(other)'") == "draft")
    }

    @Test("keep an answer without a number, though the order has changed since")
    func sameStatus() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        #expect(try answer(server, tablet, order, to: .draft, id: "c1")["data"].members.count == 1)
        #expect(try answer(server, tablet, order, to: .ready, id: "c2")["data"].members.count == 2)
        let again = try answer(server, tablet, order, to: .draft, id: "c1")
        #expect(again["type"].string == "ack")
        #expect(again["data"].members.count == 1)
    }

    @Test("are another command when another user sends them, or when they are for another restaurant")
    func otherUser() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let elsewhere = try server.database.addRestaurant()
        let owner = try server.database.addUser(.platformOwner, at: nil)
        let order = try server.database.addOrder(at: restaurant)
        let foreign = try server.database.addOrder(at: elsewhere)
        let first = try server.authenticatedTablet(owner, at: restaurant)
        let second = try server.staffTablet(at: restaurant)
        let third = try server.authenticatedTablet(owner, at: elsewhere)
        #expect(try answer(server, first, order, to: .confirmed, id: "c1")["data"]["seq"].integer == 2)
        #expect(try answer(server, second, order, to: .preparing, id: "c1")["data"]["seq"].integer == 3)
        #expect(try answer(server, third, foreign, to: .ready, id: "c1")["data"]["seq"].integer == 2)
        #expect(try server.database.value("select status from orders where id = '\(order)'") == "preparing")
        #expect(try server.database.value("select status from orders where id = '\(foreign)'") == "ready")
    }

    @Test("are refused as id_reused when the id was used by another kind of command")
    func reused() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        try server.database.run(
            """
            insert into processed_commands (restaurant_id, user_id, message_id, kind, answer)
            values ('\(restaurant)', '\(user.id)', 'c1', 'order.create', '{"id": "c1"}')
            """)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        let refusal = try answer(server, tablet, order, to: .confirmed, id: "c1")
        #expect(refusal["type"].string == "error")
        #expect(refusal["data"]["code"].string == "id_reused")
        #expect(try server.database.value("select status from orders") == "draft")
    }

    @Test("are remembered as long as FYNLO_IDEMPOTENCY_WINDOW says", arguments: [true, false])
    func window(isWithin: Bool) throws {
        let server = try TestServer(["FYNLO_IDEMPOTENCY_WINDOW": "1h"])
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let first = try answer(server, tablet, order, to: .confirmed, id: "c1")
        let age = isWithin ? "59 minutes" : "61 minutes"
        try server.database.run("update processed_commands set created_at = now() - interval '\(age)'")
        let second = try answer(server, tablet, order, to: .preparing, id: "c1")
        #expect((second["data"] == first["data"]) == isWithin)
        #expect(try server.database.value("select status from orders") == (isWithin ? "confirmed" : "preparing"))
        #expect(try answer(server, tablet, order, to: .served, id: "c1")["data"] == second["data"])
    }

    @Test("find their answer when the tablet was gone before it came")
    func lostAnswer() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        let listener = try server.staffTablet(at: restaurant)
        let lock = try RowLock(on: order, in: server.database)
        tablet.update(order, to: .confirmed, id: "c1")
        tablet.update(order, to: .preparing, id: "c2")
        try server.wait(for: "the first to meet the lock") { lock.isInTheWay }
        tablet.close()
        try server.wait(for: "the server to notice") { server.server.hub.tabletCount == 1 }
        lock.release()
        try server.wait(for: "the event") { listener.events.count == 1 }
        let again = try server.authenticatedTablet(user, at: restaurant)
        let first = try answer(server, again, order, to: .confirmed, id: "c1")
        #expect(first["type"].string == "ack")
        #expect(first["data"]["seq"].integer == listener.events[0]["seq"].integer)
        // The second was not begun.
        #expect(try server.database.value("select status from orders") == "confirmed")
        #expect(try answer(server, again, order, to: .preparing, id: "c2")["type"].string == "ack")
        try server.wait(for: "its event") { listener.events.count == 2 }
        #expect(listener.events.map { $0["data"]["status"].string } == ["confirmed", "preparing"])
    }

    @Test("take effect once when they arrive twice at the same time")
    func simultaneous() throws {
        let server = try TestServer()
        let node = try TestServer(database: server.database, loop: server.loop)
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablets = [
            try server.authenticatedTablet(user, at: restaurant), try server.authenticatedTablet(user, at: restaurant),
            try node.authenticatedTablet(user, at: restaurant),
        ]
        let lock = try RowLock(on: order, in: server.database)
        for tablet in tablets { tablet.update(order, to: .confirmed, id: "c1") }
        try server.wait(for: "one to meet the lock") { lock.isInTheWay }
        lock.release()
        try server.wait(for: "all answers") { tablets.allSatisfy { $0.answers.count == 1 } }
        for tablet in tablets {
            #expect(tablet.answers[0]["type"].string == "ack")
            #expect(tablet.answers[0]["data"] == tablets[0].answers[0]["data"])
        }
        #expect(try server.database.value("select count(*) from restaurant_events where type like '%changed'") == "1")
        #expect(try server.database.value("select version from orders") == "2")
    }
}
