import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Notifications")
struct NotificationTests {
    private func body(_ orders: TestOrders, _ more: String = "") -> String {
        "{\"restaurant_id\":\"\(orders.restaurant)\",\"title\":\"Fire <drill>\",\"message\":\"At \\\"5\\\"\"\(more)}"
    }

    private let path = "/api/v1/notifications"

    @Test("reach every tablet of the restaurant at once, and nobody else, as a durable event")
    func delivery() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server, .manager)
        let tablets = [try orders.tablet(), try server.staffTablet(at: orders.restaurant)]
        let elsewhere = try TestOrders(on: server).tablet()
        _ = try orders.created()
        let answer = try orders.post(path, body(orders, ",\"data\":{\"room\":5,\"tags\":[\"a\"]}"), key: "n1")
        #expect(answer.status == 202)
        #expect(answer.body == Array("{\"seq\":2}".utf8))
        #expect(answer.headers.first("cache-control") == "no-store")
        try server.wait(for: "the events") { tablets.allSatisfy { $0.events.count == 2 } }
        for tablet in tablets {
            let event = tablet.events[1]
            #expect(event["type"].string == "system.notification" && event["seq"].integer == 2)
            #expect(event["restaurant_id"].string == orders.restaurant.description)
            #expect(
                event["data"]
                    == (try Document(
                        json:
                            "{\"title\":\"Fire <drill>\",\"message\":\"At \\\"5\\\"\",\"data\":{\"room\":5,\"tags\":[\"a\"]}}"
                    )))
            #expect(tablet.texts.last?.contains("<") == false)
        }
        #expect(
            try server.database.value("select actor || ' ' || message_id from restaurant_events where seq = 2")
                == "\(orders.user.id) n1")
        // The stream goes on behind it.
        _ = try orders.created()
        try server.wait(for: "the next event") { tablets.allSatisfy { $0.events.count == 3 } }
        #expect(tablets[0].events.map { $0["seq"].integer } == [1, 2, 3])
        #expect(elsewhere.events.isEmpty)
    }

    @Test("are posted once for one key, also when it arrives twice at once")
    func idempotency() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server, .restaurantOwner)
        let tablet = try orders.tablet()
        let lock = try RowLock("select from restaurant_streams for update", in: server.database)
        let exchanges = try (0..<2).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        for exchange in exchanges {
            exchange.send(
                .post, path, headers: ["Authorization": "Bearer \(orders.token)", "Idempotency-Key": "once"],
                body: Array(body(orders).utf8))
        }
        try server.wait(for: "one to meet the lock") { lock.isInTheWay }
        lock.release()
        try server.wait(for: "both answers") { exchanges.allSatisfy { $0.responses.count == 1 } }
        #expect(exchanges.allSatisfy { $0.responses[0].status == 202 })
        #expect(exchanges.allSatisfy { $0.responses[0].body == Array("{\"seq\":1}".utf8) })
        #expect(try orders.post(path, body(orders), key: "once").body == Array("{\"seq\":1}".utf8))
        try server.settle()
        #expect(tablet.events.count == 1)
        #expect(tablet.events[0]["data"]["data"] == .object([:]))
        #expect(try orders.post(path, body(orders)).body == Array("{\"seq\":2}".utf8))
    }

    @Test("are for managers, owners and platform owners")
    func roles() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server, .manager)
        let database = server.database
        let elsewhere = try database.addRestaurant()
        let member = try database.addUser(.manager, at: elsewhere)
        try database.run("insert into user_restaurants values ('\(member.id)', '\(orders.restaurant)')")
        let rows: [(TestUser, Bool)] = [
            (orders.user, true), (member, true), (try database.addUser(.restaurantOwner, at: orders.restaurant), true),
            (try database.addUser(.platformOwner, at: nil), true),
            (try database.addUser(.employee, at: orders.restaurant), false),
            (try database.addUser(.restaurantOwner, at: elsewhere), false),
            (try database.addUser(.manager, at: nil), false),
        ]
        for (user, isAllowed) in rows {
            let answer = try orders.post(path, body(orders), token: user.token())
            if isAllowed {
                #expect(answer.status == 202)
            } else {
                let problem = try expectProblem(answer, 403, code: "permission_denied")
                #expect(problem["detail"].string == "Permission denied")
            }
        }
        #expect(try orders.head() == 4)
        // 401 before 422 before 403.
        let employee = try database.addUser(.employee, at: orders.restaurant).token()
        try expectProblem(try orders.post(path, "{}", token: "nonsense"), 401)
        try expectProblem(try orders.post(path, "nonsense", token: "nonsense"), 401)
        let unknown = TestUser(id: UserID(TestDatabase.randomUUID())).token()
        try expectProblem(try orders.post(path, "{}", token: unknown), 401)
        let unnamed = try expectProblem(
            try orders.post(path, "{\"restaurant_id\":\"\(orders.restaurant)\"}", token: employee), 422)
        #expect(unnamed["detail"].string == "title is missing.")
        try expectProblem(try orders.post(path, body(orders, ",\"data\":7"), token: employee), 422)
        try expectProblem(try orders.post(path, body(orders), token: employee), 403)
    }
}
