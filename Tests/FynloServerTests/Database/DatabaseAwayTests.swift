import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("When the database is away")
struct DatabaseAwayTests {
    @Test("a server starts without it, says so, and serves as soon as it is there")
    func late() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        proxy.isSilent = true
        let server = try TestServer(["DATABASE_URL": proxy.url], database: database, loop: loop)
        #expect(try server.request(.get, "/health/live").status == 200)
        proxy.hangUp()
        let away = try server.request(.get, "/health/ready")
        #expect(away.status == 503)
        #expect(away.headers.first("retry-after") != nil)
        proxy.isSilent = false
        try server.wait(for: "readiness", atMost: .seconds(30)) {
            (try? server.request(.get, "/health/ready").status) == 200
        }
        proxy.close()
    }

    @Test("a database that falls silent costs a bounded time, and is used again when it speaks")
    func silence() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        let server = try TestServer(
            ["DATABASE_URL": proxy.url, "FYNLO_QUERY_TIMEOUT": "1s"], database: database, loop: loop)
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.manager, at: restaurant)
        let order = try database.addOrder(at: restaurant)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        let path = "/api/v1/menu?restaurant_id=\(restaurant)"
        #expect(try server.request(.get, path, token: user.token()).status == 200)

        proxy.isSilent = true
        let start = loop.now.instant
        tablet.say(#"{"type":"order.status_update","id":"s","data":{"order_id":"\#(order)","status":"ready"}}"#)
        let answer = try server.request(.get, path + "&page=2", token: user.token())
        #expect(answer.status == 503)
        #expect(answer.headers.first("retry-after") != nil)
        #expect(loop.now.instant - start < .seconds(4))
        try server.wait(for: "the command's end") { !tablet.messages("error").isEmpty }
        #expect(tablet.messages("error")[0]["data"]["code"].string == "unavailable")
        #expect(tablet.messages("error")[0]["data"]["id"].string == "s")
        tablet.say(#"{"type":"ping"}"#)
        try server.wait(for: "a pong all the same") { !tablet.messages("pong").isEmpty }

        proxy.isSilent = false
        proxy.hangUp()
        try server.wait(for: "the menu", atMost: .seconds(30)) {
            (try? server.request(.get, path, token: user.token()).status) == 200
        }
        // The outcome was unknown; the same id is safe to send again, and takes effect once.
        try server.sendUntilAcknowledged(tablet) { $0.update(order, to: .ready, id: "s") }
        #expect(
            try database.value(
                "select count(*) from restaurant_events where restaurant_id = '\(restaurant)' and type = 'order.status_changed'"
            ) == "1")
        #expect(!tablet.isClosed)
        proxy.close()
    }

    @Test("tablets stay, and get what others committed meanwhile, in order and once")
    func committedMeanwhile() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        let server = try TestServer(["DATABASE_URL": proxy.url], database: database, loop: loop)
        let restaurant = try database.addRestaurant()
        let order = try database.addOrder(at: restaurant)
        let tablets = [try server.staffTablet(at: restaurant), try server.staffTablet(at: restaurant)]
        let head = try #require(tablets[0].messages[0]["data"]["seq"].integer)
        proxy.isSilent = true
        proxy.hangUp()
        for status in ["pending", "confirmed", "preparing"] {
            try database.run("update orders set status = '\(status)' where id = '\(order)'")
        }
        _ = try database.addOrder(at: restaurant)
        for tablet in tablets { tablet.say(type: "ping") }
        try server.wait(for: "pongs") { tablets.allSatisfy { $0.messages("pong").count == 1 } }
        #expect(tablets.allSatisfy { $0.events.isEmpty })
        proxy.isSilent = false
        proxy.hangUp()
        try server.wait(for: "the events", atMost: .seconds(30)) { tablets.allSatisfy { $0.events.count >= 4 } }
        // And one that comes as it always did.
        try database.run("update orders set status = 'ready' where id = '\(order)'")
        try server.wait(for: "the last one") { tablets.allSatisfy { $0.events.count >= 5 } }
        for tablet in tablets {
            #expect(tablet.events.map { $0["seq"].integer } == (1...5).map { head + $0 })
            #expect(
                tablet.messages("order.status_changed").map { $0["data"]["status"].string }
                    == ["pending", "confirmed", "preparing", "ready"])
            #expect(!tablet.isClosed)
        }
        proxy.close()
    }

    @Test("a command whose answer was lost after its commit is acknowledged when sent again, and took effect once")
    func answerLost() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        let server = try TestServer(["DATABASE_URL": proxy.url], database: database, loop: loop)
        let restaurant = try database.addRestaurant()
        let order = try database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let other = try server.staffTablet(at: restaurant)
        // Its connection knows the statement, so that one answer is all it waits for.
        tablet.update(order, to: .pending, id: "first")
        try server.wait(for: "the first") { tablet.answers.count == 1 }
        proxy.holdsAnswers = true
        tablet.update(order, to: .confirmed, id: "lost")
        try server.wait(for: "the commit") {
            (try? database.value("select status from orders where id = '\(order)'")) == "confirmed"
        }
        #expect(tablet.answers.count == 1)
        proxy.holdsAnswers = false
        proxy.hangUp()
        try server.wait(for: "the error") { tablet.answers.count == 2 }
        #expect(tablet.answers[1]["data"]["code"].string == "unavailable")
        try server.sendUntilAcknowledged(tablet) { $0.update(order, to: .confirmed, id: "lost") }
        try server.wait(for: "the event") { tablet.events.count == 2 && other.events.count == 2 }
        #expect(tablet.answers.last?["data"]["seq"].integer == tablet.events[1]["seq"].integer)
        // Another command, and everybody has each event once.
        tablet.update(order, to: .ready, id: "last")
        try server.wait(for: "the last event") { tablet.events.count >= 3 && other.events.count >= 3 }
        for one in [tablet, other] {
            #expect(one.events.map { $0["data"]["status"].string } == ["pending", "confirmed", "ready"])
        }
        proxy.close()
    }
}
