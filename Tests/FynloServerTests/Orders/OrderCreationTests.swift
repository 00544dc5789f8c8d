import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("New orders over HTTP")
struct OrderCreationTests {
    @Test("are answered by the order, with every field, and where it is")
    func fields() throws {
        let orders = try TestOrders(on: try TestServer())
        let product = try #require(
            try orders.server.database.run(
                "insert into products (restaurant_id, name) values ('\(orders.restaurant)', 'Taco') returning id"
            ).first?.uuid(0))
        let items = [
            TestOrders.item(
                "Taco <al> pastor & \\\"más\\\"", price: "19.99", quantity: 3,
                ",\"product_id\":\"\(product)\",\"modifiers\":[{\"name\":\"cheese\",\"price\":0.10},\"hot\"]"
                    + ",\"special_instructions\":\"sin\\nsal\""),
            TestOrders.item("Agua", price: "1"),
        ]
        let answer = try orders.create(
            orders.body(
                items,
                ",\"table_number\":\"T 12\",\"customer_name\":\"Zoë\",\"order_type\":\"takeaway\",\"notes\":\"window\""
                    + ",\"tax_amount\":5.05,\"service_charge\":0.5,\"discount_amount\":1.01,\"tip_amount\":2,\"total_amount\":1"
            ))
        #expect(answer.status == 201)
        #expect(answer.headers.first("content-type") == "application/json")
        #expect(answer.headers.first("cache-control") == "no-store")
        let order = try Document(answer.body)
        let id = try #require(order["id"].string)
        #expect(answer.headers.first("location") == "/api/v1/orders/\(id)")
        let rows = try orders.server.database.run(
            "select i.id, o.order_number from order_items i join orders o on o.id = order_id order by sort_order")
        #expect(rows.rows.count == 2)
        let expected = """
            {"id": "\(id)", "restaurant_id": "\(orders.restaurant)", "order_number": "\(rows[0].string(1) ?? "")",
            "table_number": "T 12", "customer_name": "Zoë", "order_type": "takeaway", "status": "draft",
            "payment_status": "pending", "subtotal": 60.97, "tax_amount": 5.05, "service_charge": 0.50,
            "discount_amount": 1.01, "tip_amount": 2.00, "total_amount": 67.51, "notes": "window",
            "created_by": "\(orders.user.id)", "version": 1, "created_at": "\(order["created_at"].string ?? "")",
            "updated_at": "\(order["created_at"].string ?? "")", "completed_at": null, "items": [
            {"id": "\(rows[0].string(0) ?? "")", "order_id": "\(id)", "product_id": "\(product)",
            "product_name": "Taco <al> pastor & \\"más\\"", "quantity": 3, "unit_price": 19.99, "total_price": 59.97,
            "modifiers": [{"name": "cheese", "price": 0.10}, "hot"], "special_instructions": "sin\\nsal",
            "status": "pending"},
            {"id": "\(rows[1].string(0) ?? "")", "order_id": "\(id)", "product_id": null, "product_name": "Agua",
            "quantity": 1, "unit_price": 1.00, "total_price": 1.00, "modifiers": [], "special_instructions": null,
            "status": "pending"}]}
            """
        #expect(order == (try Document(json: expected)))
        let text = String(decoding: answer.body, as: UTF8.self)
        #expect(text.contains("\"total_amount\": 67.51") && text.contains("\"tip_amount\": 2.00"))
        let number = try #require(order["order_number"].string)
        #expect(number.wholeMatch(of: /ORD-\d+/) != nil)
        // Reading it says the same.
        let read = try orders.get(try #require(OrderID(id)))
        #expect(read.status == 200)
        #expect(try Document(read.body) == order)
        #expect(read.eventSequence == answer.eventSequence)
    }

    @Test("make one event, of version 1, that tells who did it, and reaches the tablets at once")
    func event() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let tablet = try orders.tablet()
        let elsewhere = try TestOrders(on: server).tablet()
        let items = (1...5).map { TestOrders.item("dish \($0)") }
        let answer = try orders.create(orders.body(items), key: "k1")
        try server.wait(for: "the event") { tablet.events.count == 1 }
        let order = try Document(answer.body)
        #expect(order["version"].integer == 1)
        let event = tablet.events[0]
        #expect(event["type"].string == "order.created")
        #expect(event["seq"].integer == answer.eventSequence)
        for name in ["order_number", "status", "version"] { #expect(event["data"][name] == order[name], "\(name)") }
        #expect(event["data"]["order_id"] == order["id"])
        #expect(event["data"]["updated_by"].string == orders.user.id.description)
        #expect(
            try server.database.value("select actor || ' ' || message_id from restaurant_events")
                == "\(orders.user.id) k1")
        #expect(try server.database.value("select count(*) from pending_changes") == "0")
        try server.settle()
        #expect(tablet.events.count == 1 && elsewhere.events.isEmpty)
    }

    @Test("have totals that are exact, as the database counts them")
    func totals() throws {
        let orders = try TestOrders(on: try TestServer())
        var random = SeededRandom(seed: 11)
        func amount(_ most: Int) -> String {
            let cents = Int.random(in: 0...most, using: &random)
            let (whole, rest) = (cents / 100, cents % 100)
            return rest % 10 == 0 ? "\(whole).\(rest / 10)" : "\(whole).\(rest < 10 ? "0" : "")\(rest)"
        }
        for _ in 0..<30 {
            let items = (0..<Int.random(in: 1...9, using: &random)).map { _ in
                TestOrders.item(price: amount(9_999), quantity: Int.random(in: 1...99, using: &random))
            }
            let answer = try orders.create(
                orders.body(
                    items,
                    ",\"tax_amount\":\(amount(999)),\"service_charge\":\(amount(999)),\"tip_amount\":\(amount(999))"
                        + ",\"discount_amount\":\(amount(200_000))"))
            #expect(answer.status == 201)
        }
        #expect(try orders.server.database.value("select count(*) from orders") == "30")
        let wrong = try orders.server.database.value(
            """
            select count(*) from orders o where subtotal is distinct from (
                    select sum(quantity * unit_price) from order_items i where i.order_id = o.id)
                or total_amount <> greatest(0, subtotal + tax_amount + service_charge + tip_amount - discount_amount)
                or exists (select from order_items i where i.order_id = o.id and total_price <> quantity * unit_price)
            """)
        #expect(wrong == "0")
    }

    @Test("are refused, without a trace, when anything is wrong with them")
    func refusals() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let foreign = try TestMenu(on: server).addProduct("foreign")
        let own = try #require(
            try server.database.run(
                "insert into products (restaurant_id, name) values ('\(orders.restaurant)', 'own') returning id"
            ).first?.uuid(0))
        func product(_ id: UUID128) -> String { TestOrders.item("x", ",\"product_id\":\"\(id)\"") }
        let before = try orders.head()
        let rows: [(String, Int, String)] = [
            (orders.body([product(own), TestOrders.item(), product(foreign)]), 422, "items[2].product_id "),
            (orders.body([product(TestDatabase.randomUUID())]), 422, "items[0].product_id "),
            (orders.body([TestOrders.item(quantity: 0)]), 422, "items[0].quantity "),
            (orders.body([TestOrders.item(price: "1.001")]), 422, "items[0].unit_price "),
            (orders.body([TestOrders.item("\\u0000")]), 422, "items[0].product_name "),
            (orders.body([TestOrders.item("x", ",\"modifiers\":[\"\\u0000\"]")]), 422, "items[0].modifiers "),
            (orders.body([]), 422, "items "), ("{}", 422, "restaurant_id "), ("[]", 422, "The body "),
            ("{", 400, "The body "), ("", 400, "The body "),
        ]
        for (body, status, prefix) in rows {
            let problem = try expectProblem(try orders.create(body, key: "k"), status, "\(body)")
            #expect(problem["detail"].string?.hasPrefix(prefix) == true, "\(body)")
        }
        let form = try server.request(
            .post, "/api/v1/orders", token: orders.token, headers: ["Content-Type": "text/plain"],
            body: Array(orders.body().utf8))
        try expectProblem(form, 415)
        #expect(try server.database.value("select count(*) from orders") == "0")
        #expect(try server.database.value("select count(*) from processed_commands") == "0")
        #expect(try orders.head() == before)
        // Errors are not remembered.
        #expect(try orders.create(key: "k").status == 201)
    }

    @Test("are for those who may act for the restaurant: 401 before 422 before 403")
    func access() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let stranger = try server.database.addUser(.restaurantOwner, at: try server.database.addRestaurant()).token()
        let path = "/api/v1/orders"
        for token in ["nonsense", TestUser(id: UserID(TestDatabase.randomUUID())).token()] {
            for body in [orders.body(), "{}", "nonsense"] {
                try expectProblem(try orders.post(path, body, token: token), 401)
            }
        }
        try expectProblem(try orders.post(path, orders.body([]), token: stranger), 422)
        try expectProblem(try orders.post(path, orders.body(), key: "", token: stranger), 422)
        let denied = try expectProblem(
            try orders.post(path, orders.body(), token: stranger), 403, code: "access_denied")
        #expect(denied["detail"].string == "Access denied to this restaurant")
        #expect(try server.database.value("select count(*) from orders") == "0")
        let platform = try server.database.addUser(.platformOwner, at: nil).token()
        #expect(try orders.post(path, orders.body(), token: platform).status == 201)
    }

    @Test("are not refused for what is unusual")
    func unusual() throws {
        let orders = try TestOrders(on: try TestServer())
        let many = Array(repeating: TestOrders.item(price: "1e1"), count: 200)
        for body in [
            orders.body(many), orders.body([TestOrders.item("😀 \\ud83d\\ude00 \\t")], ",\"table_number\":null,\"x\":1"),
            orders.body([TestOrders.item("x", ",\"modifiers\":[1e20,-0.5,{\"a\":{\"b\":[null,true]}}]")]),
            orders.body([TestOrders.item(price: "99999999.99")], ",\"discount_amount\":99999999.99"),
        ] {
            #expect(try orders.create(body).status == 201, "\(body.prefix(200))")
        }
        #expect(
            try orders.server.database.value(
                "select max(items) from (select count(*) items from order_items group by order_id) i") == "200")
    }

    @Test("pass over a number that another program has given")
    func orderNumbers() throws {
        let orders = try TestOrders(on: try TestServer())
        try orders.server.database.run(
            """
            insert into orders (restaurant_id, order_number)
            select '\(orders.restaurant)', 'ORD-' || n from generate_series(1001, 1020) n
            """)
        let order = try Document(try orders.create().body)
        #expect(order["order_number"].string == "ORD-1021")
    }

    // MARK: Keys

    @Test("are made once for one key, and answered alike, on every node, whatever became of the order")
    func sameKey() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let node = TestOrders(orders, on: try TestServer(database: server.database, loop: server.loop))
        let first = try orders.create(key: "order 1")
        let id = try #require(try Document(first.body)["id"].string.flatMap(OrderID.init))
        #expect(try orders.patch(id, "{\"status\":\"confirmed\"}").status == 200)
        let head = try orders.head()
        for again in [orders, node] {
            for body in [orders.body(), orders.body([TestOrders.item("another", price: "9")])] {
                let answer = try again.create(body, key: "order 1")
                #expect(answer.status == 201)
                #expect(answer.body == first.body)
                #expect(answer.eventSequence == first.eventSequence)
                #expect(answer.headers.first("location") == first.headers.first("location"))
            }
        }
        try server.database.run("delete from orders")
        #expect(try node.create(key: "order 1").body == first.body)
        #expect(try server.database.value("select count(*) from orders") == "0")
        #expect(try orders.head() == head + 1)
        // Without a key each is another one, and so are another key, another user and another restaurant.
        let other = TestOrders(orders, on: server)
        #expect(try orders.create().body != orders.create().body)
        #expect(try orders.create(key: "order 2").body != first.body)
        let colleague = try server.database.addUser(.employee, at: orders.restaurant)
        let theirs = try other.post("/api/v1/orders", orders.body(), key: "order 1", token: colleague.token())
        #expect(theirs.status == 201 && theirs.body != first.body)
        #expect(try server.database.value("select count(*) from orders") == "4")
    }

    @Test("are made once when one key arrives several times at once, on two nodes")
    func simultaneous() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let node = try TestServer(database: server.database, loop: server.loop)
        let tablet = try orders.tablet()
        // The restaurant's counter stands still: the first waits with its order made, the others for its key.
        let lock = try RowLock("select from restaurant_streams for update", in: server.database)
        let exchanges = try [server, server, node].map { try TestExchange(loop: $0.loop, address: $0.address) }
        for exchange in exchanges {
            exchange.send(
                .post, "/api/v1/orders",
                headers: ["Authorization": "Bearer \(orders.token)", "Idempotency-Key": "once"],
                body: Array(orders.body().utf8))
        }
        try server.wait(for: "one to meet the lock") { lock.isInTheWay }
        lock.release()
        try server.wait(for: "all answers") { exchanges.allSatisfy { $0.responses.count == 1 } }
        #expect(exchanges.allSatisfy { $0.responses[0].status == 201 })
        #expect(Set(exchanges.map { $0.responses[0].body }).count == 1)
        #expect(try server.database.value("select count(*) from orders") == "1")
        try server.wait(for: "the event") { tablet.events.count == 1 }
        try server.settle()
        #expect(tablet.events.count == 1)
    }

    @Test("are 409 id_reused under a key of another kind of command, and the other way round")
    func reused() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server, .manager)
        let id = try orders.created()
        let notification = "{\"restaurant_id\":\"\(orders.restaurant)\",\"title\":\"x\",\"message\":\"y\"}"
        #expect(try orders.patch(id, "{\"status\":\"ready\"}", key: "a").status == 200)
        #expect(try orders.create(key: "b").status == 201)
        #expect(try orders.post("/api/v1/notifications", notification, key: "c").status == 202)
        for key in ["a", "b", "c"] {
            let answers = [
                ("a", try orders.patch(id, "{\"status\":\"ready\"}", key: key)), ("b", try orders.create(key: key)),
                ("c", try orders.post("/api/v1/notifications", notification, key: key)),
            ]
            for (owner, answer) in answers {
                if owner == key {
                    #expect(answer.status < 300)
                } else {
                    try expectProblem(answer, 409, code: "id_reused", "\(owner) under \(key)")
                }
            }
        }
        // A tablet's message ids are the same ids.
        let tablet = try orders.tablet()
        tablet.update(id, to: .served, id: "b")
        try server.wait(for: "an answer") { tablet.answers.count == 1 }
        #expect(tablet.answers[0]["data"]["code"].string == "id_reused")
        #expect(try server.database.value("select count(*) from orders") == "2")
    }

    @Test("are refused for a key that is none")
    func badKeys() throws {
        let orders = try TestOrders(on: try TestServer())
        for (key, isGood) in [
            ("", false), (String(repeating: "k", count: 129), false), (String(repeating: "k", count: 128), true),
            ("é", false), ("a\tb", false), ("~ !", true),
        ] {
            let answer = try orders.create(key: key)
            if isGood {
                #expect(answer.status == 201, "\(key)")
            } else {
                let problem = try expectProblem(answer, 422, code: "invalid_parameter", "\(key)")
                #expect(problem["detail"].string?.hasPrefix("Idempotency-Key ") == true)
            }
        }
        let twice = try orders.server.request(
            .post, "/api/v1/orders", token: orders.token,
            headers: ["Idempotency-Key": "a", "idempotency-key": "a"], body: Array(orders.body().utf8))
        try expectProblem(twice, 422)
    }

    @Test("say what is known of them when the connection to the database is lost", arguments: ["k", nil])
    func outcomeUnknown(key: String?) throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let lock = try RowLock("select from restaurant_streams for update", in: server.database)
        let exchange = try TestExchange(loop: server.loop, address: server.address)
        var headers: HTTPHeaders = ["Authorization": "Bearer \(orders.token)"]
        if let key { headers.append("Idempotency-Key", key) }
        exchange.send(.post, "/api/v1/orders", headers: headers, body: Array(orders.body().utf8))
        try server.wait(for: "the lock to be met") { lock.isInTheWay }
        try lock.terminateWaiting()
        try server.wait(for: "an answer") { exchange.responses.count == 1 }
        let problem = try expectProblem(exchange.responses[0], 503, code: "unavailable")
        #expect(exchange.responses[0].headers.first("retry-after") != nil)
        let detail = try #require(problem["detail"].string)
        #expect(detail.contains("can safely be sent again") == (key != nil), "\(detail)")
        lock.release()
        #expect(try orders.create(key: key).status == 201)
        #expect(try server.database.value("select count(*) from orders") == "1")
    }

    @Test("are found again by their key when the answer was lost after the commit")
    func lostAnswer() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        let server = try TestServer(["DATABASE_URL": proxy.url], database: database, loop: loop)
        let orders = try TestOrders(on: server)
        let tablet = try orders.tablet()
        // Its connection knows the statement, so that one answer is all it waits for.
        #expect(try orders.create(key: "first").status == 201)
        let lock = try RowLock("select from restaurant_streams for update", in: database)
        let exchange = try TestExchange(loop: loop, address: server.address)
        exchange.send(
            .post, "/api/v1/orders", headers: ["Authorization": "Bearer \(orders.token)", "Idempotency-Key": "lost"],
            body: Array(orders.body().utf8))
        try server.wait(for: "the lock to be met") { lock.isInTheWay }
        proxy.holdsAnswers = true
        lock.release()
        try server.wait(for: "the commit") { (try? database.value("select count(*) from orders")) == "2" }
        proxy.holdsAnswers = false
        proxy.hangUp()
        try server.wait(for: "an answer") { exchange.responses.count == 1 }
        try expectProblem(exchange.responses[0], 503, code: "unavailable")
        var answer = try orders.create(key: "lost")
        let deadline = loop.now.instant + .seconds(10)
        while answer.status == 503, loop.now.instant < deadline { answer = try orders.create(key: "lost") }
        #expect(answer.status == 201)
        #expect(answer.eventSequence == 2)
        try server.wait(for: "both events") { tablet.events.count == 2 }
        #expect(tablet.events[1]["data"]["order_id"] == (try Document(answer.body)["id"]))
        #expect(try database.value("select count(*) from orders") == "2")
        proxy.close()
    }

    @Test("are 504 when a lock is in their way for too long, and were not made")
    func lockTimeout() throws {
        let server = try TestServer(["FYNLO_QUERY_TIMEOUT": "300ms"])
        let orders = try TestOrders(on: server)
        let lock = try RowLock("select from restaurant_streams for update", in: server.database)
        try expectProblem(try orders.create(), 504, code: "query_timeout")
        lock.release()
        #expect(try server.database.value("select count(*) from orders") == "0")
        #expect(try orders.create().status == 201)
    }
}
