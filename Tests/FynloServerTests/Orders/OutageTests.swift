import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Commands while the database is away")
struct OutageTests {
    /// How the database fails a command that is under way.
    enum Failure: CaseIterable { case lockedTooLong, connectionLost }

    @Test(
        "are unavailable together with those behind them, and take effect once when they are sent again",
        arguments: Failure.allCases)
    func unavailable(_ failure: Failure) throws {
        let server = try TestServer(failure == .lockedTooLong ? ["FYNLO_QUERY_TIMEOUT": "300ms"] : [:])
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let second = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let listener = try server.staffTablet(at: restaurant)
        let lock = try RowLock(on: order, in: server.database)
        func sendAll() {
            tablet.update(order, to: .confirmed, id: "c1")
            tablet.update(second, to: .ready, id: "c2")
            tablet.say(type: "kitchen.item_ready", id: "c3")
            tablet.update(order, to: .preparing, id: "c4")
        }
        sendAll()
        try server.wait(for: "the first to meet the lock") { lock.isInTheWay }
        if failure == .connectionLost { try lock.terminateWaiting() }
        try server.wait(for: "four answers") { tablet.answers.count == 4 }
        #expect(tablet.answers.map { $0["data"]["id"].string } == ["c1", "c2", "c3", "c4"])
        for answer in tablet.answers {
            #expect(answer["type"].string == "error")
            #expect(answer["data"]["code"].string == "unavailable")
            #expect((answer["data"]["retry_after_ms"].integer ?? 0) > 0)
        }
        tablet.say(type: "ping")
        try server.wait(for: "a pong") { tablet.messages("pong").count == 1 }
        lock.release()
        #expect(listener.messages.count == 1)
        #expect(try server.database.value("select count(*) from orders where status <> 'draft'") == "0")

        try server.sendUntilAcknowledged(try server.staffTablet(at: restaurant)) {
            $0.update(order, to: .draft, id: "probe")
        }
        for round in 1...2 {
            sendAll()
            try server.wait(for: "four more answers") { tablet.answers.count == 4 + 4 * round }
            #expect(tablet.answers.suffix(4).map { $0["data"]["id"].string } == ["c1", "c2", "c3", "c4"])
            #expect(tablet.answers.suffix(4).map { $0["data"]["seq"].integer } == [3, 4, nil, 5])
        }
        try server.wait(for: "the events") { listener.events.count == 3 }
        #expect(
            listener.events.map { $0["data"]["status"].string } == ["confirmed", "ready", "preparing"])
        #expect(listener.messages("kitchen.item_ready").count == 2)
        #expect(try server.database.value("select count(*) from restaurant_events where type like '%changed'") == "3")
    }

    @Test("keep the tablets connected when every connection to the database is lost, and go on after it")
    func everyConnectionLost() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let listener = try server.staffTablet(at: restaurant)
        try server.database.terminateServers()
        try server.sendUntilAcknowledged(tablet) { $0.update(order, to: .confirmed, id: "c1") }
        try server.wait(for: "the event") { listener.events.count == 1 && tablet.events.count == 1 }
        #expect(!tablet.isClosed && !listener.isClosed)
        // The pulse is back as well.
        try server.database.run("update orders set notes = 'changed elsewhere'")
        try server.wait(for: "the foreign change") { listener.messages("order.updated").count == 1 }
    }

    @Test("are done at once when connections were lost while nobody used them")
    func idleConnectionsLost() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.manager, at: restaurant)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        tablet.update(order, to: .pending, id: "c0")
        try server.wait(for: "an answer") { tablet.answers.count == 1 }
        for round in 1...3 {
            try server.database.terminateServers()
            try server.settle(.milliseconds(30))
            tablet.update(order, to: .confirmed, id: "c\(round)")
            try server.wait(for: "an answer") { tablet.answers.count == 1 + round }
            #expect(tablet.answers.last?["type"].string == "ack")
            let page = try server.request(.get, "/api/v1/menu?restaurant_id=\(restaurant)", token: user.token())
            #expect(page.status == 200)
        }
    }

    @Test("are answered although the connection of another command is lost")
    func otherConnections() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let second = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let other = try server.staffTablet(at: restaurant)
        let lock = try RowLock(on: order, in: server.database)
        tablet.update(order, to: .confirmed, id: "c1")
        try server.wait(for: "the first to meet the lock") { lock.isInTheWay }
        other.update(second, to: .confirmed, id: "d1")
        try lock.terminateWaiting()
        try server.wait(for: "both answers") { tablet.answers.count == 1 && other.answers.count == 1 }
        #expect(tablet.answers[0]["data"]["code"].string == "unavailable")
        #expect(other.answers[0]["type"].string == "ack")
    }
}
