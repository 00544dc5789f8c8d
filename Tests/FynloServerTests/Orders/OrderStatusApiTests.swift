import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("One order over HTTP")
struct OrderStatusApiTests {
    @Test("is there for its restaurant's staff alone; for all others there is no such order")
    func tenants() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let order = try orders.created()
        let database = server.database
        let elsewhere = try database.addRestaurant()
        let member = try database.addUser(.employee, at: elsewhere)
        try database.run("insert into user_restaurants values ('\(member.id)', '\(orders.restaurant)')")
        let closed = try TestOrders(on: server)
        let unreachable = try closed.created()
        try database.run("update restaurants set is_active = false where id = '\(closed.restaurant)'")
        let platform = try database.addUser(.platformOwner, at: nil)
        let rows: [(TestUser, OrderID, Bool)] = [
            (orders.user, order, true), (member, order, true), (platform, order, true),
            (try database.addUser(.restaurantOwner, at: elsewhere), order, false),
            (try database.addUser(.manager, at: nil), order, false),
            (orders.user, OrderID(TestDatabase.randomUUID()), false),
            (platform, OrderID(TestDatabase.randomUUID()), false),
            (platform, unreachable, false), (closed.user, unreachable, false),
        ]
        var refusals: Set<String> = []
        for (user, order, isTheirs) in rows {
            let answers = [
                try orders.get(order, token: user.token()),
                try orders.patch(order, "{\"status\":\"draft\"}", token: user.token()),
            ]
            for answer in answers {
                if isTheirs {
                    #expect(answer.status == 200)
                    #expect(try Document(answer.body)["id"].string == order.description)
                    #expect(answer.headers.first("cache-control") == "no-store")
                } else {
                    refusals.insert(try expectProblem(answer, 404, code: "order_not_found")["detail"].string ?? "")
                }
            }
        }
        #expect(refusals == ["There is no such order."])
        let upper = try server.request(
            .get, "/api/v1/orders/\(order.description.uppercased())", token: orders.token)
        #expect(upper.status == 200)
    }

    @Test("changes its status; the answer is the order as it then is, and the tablets learn of it at once")
    func change() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let order = try orders.created()
        let tablet = try orders.tablet()
        let answer = try orders.patch(order, "{\"status\":\"confirmed\",\"expected_version\":1}", key: "k1")
        #expect(answer.status == 200)
        let document = try Document(answer.body)
        #expect(document["status"].string == "confirmed" && document["version"].integer == 2)
        #expect(document["items"].elements.count == 1)
        try server.wait(for: "the event") { tablet.events.count == 1 }
        #expect(tablet.events[0]["type"].string == "order.status_changed")
        #expect(tablet.events[0]["seq"].integer == answer.eventSequence)
        #expect(tablet.events[0]["data"]["old_status"].string == "draft")
        #expect(tablet.events[0]["data"]["updated_by"].string == orders.user.id.description)
        #expect(try Document(orders.get(order).body) == document)
        // The same status again is no change.
        let again = try orders.patch(order, "{\"status\":\"confirmed\"}")
        #expect(again.status == 200 && again.body == answer.body && again.eventSequence == answer.eventSequence)
        try server.settle()
        #expect(tablet.events.count == 1)
    }

    @Test("is 409 with the order for a step that is none, and for another version than the expected one")
    func conflicts() throws {
        let orders = try TestOrders(on: try TestServer())
        let order = try orders.created()
        #expect(try orders.patch(order, "{\"status\":\"ready\"}").status == 200)
        let now = try Document(orders.get(order).body)
        for (body, code) in [
            ("{\"status\":\"confirmed\"}", "invalid_transition"),
            ("{\"status\":\"served\",\"expected_version\":1}", "version_conflict"),
            ("{\"status\":\"ready\",\"expected_version\":7}", "version_conflict"),
        ] {
            let problem = try expectProblem(try orders.patch(order, body, key: "k"), 409, code: code)
            #expect(problem["order"] == now)
        }
        #expect(try orders.server.database.value("select count(*) from processed_commands") == "0")
        #expect(try orders.patch(order, "{\"status\":\"served\",\"expected_version\":2}", key: "k").status == 200)
    }

    @Test("is changed once for one key, by HTTP or by a tablet")
    func sharedKeys() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let order = try orders.created()
        let tablet = try orders.tablet()
        #expect(try orders.patch(order, "{\"status\":\"confirmed\"}", key: "k1").status == 200)
        tablet.update(order, to: .preparing, id: "k2")
        try server.wait(for: "an answer") { tablet.answers.count == 1 }
        let head = try orders.head()
        // Sent again by the other way: nothing changes, and the order is shown as it now is.
        for key in ["k1", "k2"] {
            let answer = try orders.patch(order, "{\"status\":\"served\"}", key: key)
            #expect(answer.status == 200)
            #expect(try Document(answer.body)["status"].string == "preparing")
            #expect(answer.eventSequence == head)
        }
        tablet.update(order, to: .served, id: "k1")
        try server.wait(for: "an answer") { tablet.answers.count == 2 }
        #expect(tablet.answers[1]["type"].string == "ack")
        #expect(tablet.answers[1]["data"]["seq"].integer == head - 1)
        #expect(try orders.head() == head)
    }

    @Test("is refused by name for what is wrong in the request, before anyone asks whose order it is")
    func refusals() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let stranger = try TestOrders(on: server)
        let order = try orders.created()
        for (body, status, prefix) in [
            ("{}", 422, "status "), ("{\"status\":\"eaten\"}", 422, "status "), ("{\"status\":3}", 422, "status "),
            ("{\"status\":\"ready\",\"status\":\"ready\"}", 422, "status "),
            ("{\"status\":\"ready\",\"expected_version\":\"1\"}", 422, "expected_version "), ("[]", 422, "The body "),
            ("", 400, "The body "), ("status=ready", 400, "The body "),
        ] {
            for someone in [orders, stranger] {
                let problem = try expectProblem(try someone.patch(order, body), status, "\(body)")
                #expect(problem["detail"].string?.hasPrefix(prefix) == true, "\(body)")
            }
            try expectProblem(try orders.patch(order, body, token: "nonsense"), 401)
        }
        for path in ["/api/v1/orders/7", "/api/v1/orders/\(order)x"] {
            try expectProblem(try server.request(.get, path, token: orders.token), 400, code: "invalid_request")
        }
        #expect(try server.request(.head, "/api/v1/orders/\(order)", token: orders.token).status == 200)
    }
}
