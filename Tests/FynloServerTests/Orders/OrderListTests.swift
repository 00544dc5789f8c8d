import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Orders as lists")
struct OrderListTests {
    /// Orders made by hand, with the tables 0, 1, 2 …, each a minute older than the one before.
    private func fill(_ orders: TestOrders, _ statuses: [OrderStatus]) throws {
        for (number, status) in statuses.enumerated() {
            try orders.server.database.run(
                """
                insert into orders (restaurant_id, table_number, status, created_at, updated_at)
                select '\(orders.restaurant)', '\(number)', '\(status.rawValue)', t, t
                from (select timestamptz '2026-01-31 18:00:00Z' - \(number) * interval '1 minute' as t) t
                """)
        }
    }

    private func tables(_ answer: HTTPResponse) throws -> [String] {
        try Document(answer.body).elements.compactMap { $0["table_number"].string }
    }

    @Test("have every order as it is shown alone, the newest first, and nothing of other restaurants")
    func content() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let foreign = try TestOrders(on: server)
        _ = try foreign.created()
        #expect(try orders.list().body == Array("[]".utf8))
        try fill(orders, [.draft, .ready])
        let newest = try orders.created()
        let answer = try orders.list()
        #expect(answer.status == 200)
        #expect(answer.headers.first("content-type") == "application/json")
        #expect(answer.headers.first("cache-control") == "no-store")
        #expect(answer.headers.first("x-total-count") == "3")
        #expect(answer.eventSequence == (try orders.head()))
        let rows = try Document(answer.body).elements
        #expect(rows.count == 3 && rows[0]["id"].string == newest.description)
        #expect(try tables(answer) == ["0", "1"])
        for row in rows {
            let id = try #require(row["id"].string.flatMap(OrderID.init))
            #expect(try Document(orders.get(id).body) == row)
        }
        let head = try orders.list(method: .head)
        #expect(head.status == 200 && head.body.isEmpty && head.headers.first("x-total-count") == "3")
    }

    @Test("are ordered by id where two are of the same time")
    func ties() throws {
        let orders = try TestOrders(on: try TestServer())
        try orders.server.database.run(
            """
            insert into orders (restaurant_id, created_at)
            select '\(orders.restaurant)', '2026-01-31 18:00Z' from generate_series(1, 9)
            """)
        var ids: [String] = []
        for page in 1...5 {
            let rows = try Document(orders.list("&limit=2&page=\(page)").body).elements
            ids += rows.compactMap { $0["id"].string }
        }
        #expect(ids.count == 9 && ids == ids.sorted())
    }

    @Test("show one status, and what has changed since a time")
    func filters() throws {
        let orders = try TestOrders(on: try TestServer())
        try fill(orders, [.draft, .ready, .draft, .completed, .ready])
        let rows: [(String, [String])] = [
            ("&status=ready", ["1", "4"]), ("&status=served", []), ("&status=draft&limit=1", ["0"]),
            ("&since=2026-01-31T17:57:59.999Z", ["0", "1", "2"]), ("&since=2026-01-31T17:58:00Z", ["0", "1"]),
            ("&since=2026-01-31T18:58:00%2B01:00", ["0", "1"]), ("&since=2026-01-31T18:00:00Z", []),
            ("&since=0000-01-01T00:00:00Z", ["0", "1", "2", "3", "4"]), ("&since=9999-12-31T23:59:59Z", []),
            ("&status=ready&since=2026-01-31T17:58:00Z", ["1"]),
            ("&colour=red&colour=blue", ["0", "1", "2", "3", "4"]),
        ]
        for (parameters, expected) in rows {
            #expect(try tables(orders.list(parameters)) == expected, "\(parameters)")
        }
        #expect(try orders.list("&status=draft&limit=1").headers.first("x-total-count") == "2")
        // A change makes an old order new to whoever asks since.
        try orders.server.database.run("update orders set notes = 'x' where table_number = '4'")
        #expect(try tables(orders.list("&since=2026-01-31T18:00:00Z")) == ["4"])
    }

    @Test("come in pages that name their neighbours")
    func pages() throws {
        let orders = try TestOrders(on: try TestServer())
        try fill(orders, Array(repeating: .ready, count: 7))
        let filter = "&status=ready&since=2020-01-31T19:00:00%2B01:00"
        for (page, expected, relations) in [
            (1, ["0", "1", "2"], ["first": 1, "next": 2, "last": 3]),
            (2, ["3", "4", "5"], ["first": 1, "prev": 1, "next": 3, "last": 3]),
            (3, ["6"], ["first": 1, "prev": 2, "last": 3]), (9, [], ["first": 1, "prev": 3, "last": 3]),
        ] {
            let answer = try orders.list("&page=\(page)&limit=3\(filter)")
            #expect(try tables(answer) == expected)
            #expect(answer.headers.first("x-total-count") == "7")
            var found: [String: Int] = [:]
            for link in try #require(answer.headers.first("link")).split(separator: ", ") {
                let match = try #require(link.wholeMatch(of: /<(\/[^>]*[?&]page=(\d+)[^>]*)>; rel="([a-z]+)"/))
                found[String(match.3)] = Int(match.2)
                let followed = try orders.server.request(.get, String(match.1), token: orders.token)
                #expect(followed.body == (try orders.list("&page=\(match.2)&limit=3\(filter)").body))
            }
            #expect(found == relations)
        }
    }

    @Test("are refused by the name of the parameter that is wrong")
    func parameters() throws {
        let orders = try TestOrders(on: try TestServer())
        for (query, name) in [
            ("status=eaten", "status"), ("status=", "status"), ("status=READY", "status"),
            ("status=ready&status=ready", "status"), ("since=yesterday", "since"), ("since=2026-01-31", "since"),
            ("since=2026-01-31T19:00:00+01:00", "since"), ("since=", "since"), ("since=2026-02-30T00:00:00Z", "since"),
            ("page=0", "page"), ("page=1000001", "page"), ("limit=0", "limit"), ("limit=101", "limit"),
            ("limit=ten", "limit"), ("page=1&page=2", "page"),
        ] {
            let problem = try expectProblem(try orders.list("&" + query), 422, code: "invalid_parameter", "\(query)")
            #expect(problem["detail"].string?.hasPrefix(name + " ") == true, "\(query)")
        }
        for (query, name) in [
            ("after=-1", "after"), ("after=x", "after"), ("after=9223372036854775808", "after"), ("after=", "after"),
            ("after=1&after=1", "after"), ("limit=0", "limit"), ("limit=1001", "limit"),
        ] {
            let problem = try expectProblem(try orders.events("&" + query), 422, code: "invalid_parameter", "\(query)")
            #expect(problem["detail"].string?.hasPrefix(name + " ") == true, "\(query)")
        }
    }

    @Test("read no more than they show, by an index, whatever is asked for")
    func plans() throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        for _ in 0..<20 { _ = try database.addRestaurant() }
        try database.run(
            """
            set session_replication_role = replica; -- without events
            insert into orders (restaurant_id, order_number, status, created_at, updated_at)
            select r.id, 'T-' || n, case when n % 50 = 0 then 'ready' else 'completed' end, t, t
            from restaurants r, generate_series(1, 1000) n, lateral (select now() - n * interval '1 minute' as t) t;
            set session_replication_role = origin;
            analyze orders
            """)
        let since = SystemClock.now.unixTime.milliseconds - 600_000
        for (status, since, index) in [
            (nil, nil, "idx_orders_restaurant_created"), (.ready, nil, "idx_orders_restaurant_status_created"),
            (nil, since, "idx_orders_restaurant_updated"), (.ready, since, "idx_orders_restaurant_"),
        ] as [(OrderStatus?, Int64?, String)] {
            let request = OrderPageRequest(
                restaurant: restaurant, status: status, since: since.map { UnixTime(milliseconds: $0) }, page: 1,
                limit: 50)
            let arguments = OrderRepository.parameters(request).map { value in
                switch value {
                case .null: "null"
                case .text(let text): "'\(text)'"
                case .integer(let number): String(number)
                case .boolean(let flag): String(flag)
                case .uuid(let uuid): "'\(uuid)'"
                }
            }.joined(separator: ", ")
            // A generic plan has to do: that is what a statement comes to have that is used often.
            try database.run(
                "set plan_cache_mode = force_generic_plan; prepare page as \(OrderRepository.statement(request).sql)")
            let plan = try database.run("explain execute page (\(arguments))").rows.compactMap { $0.string(0) }
            try database.run("deallocate page")
            #expect(plan.contains { $0.contains(index) }, "\(plan.joined(separator: "\n"))")
            #expect(!plan.contains { $0.contains("Seq Scan on orders") }, "\(plan.joined(separator: "\n"))")
        }
    }

    @Test("and the events after their X-Event-Seq come to what the orders are in the end, while many write")
    func snapshots() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server)
        let authorization: HTTPHeaders = ["Authorization": "Bearer \(orders.token)"]
        let writers = try (0..<6).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        let reader = try TestExchange(loop: server.loop, address: server.address)
        let rounds = 15
        func send(_ writer: TestExchange) {
            writer.send(.post, "/api/v1/orders", headers: authorization, body: Array(orders.body().utf8))
        }
        // Each writer makes an order and then changes it, over and over; the reader lists all the while.
        var written = 0
        var listed = 0
        for writer in writers { send(writer) }
        reader.send(.get, "/api/v1/orders?restaurant_id=\(orders.restaurant)&limit=100", headers: authorization)
        var answered = [Int](repeating: 0, count: writers.count)
        try server.wait(for: "all to be written", atMost: .seconds(30)) {
            for (index, writer) in writers.enumerated() where writer.responses.count > answered[index] {
                answered[index] += 1
                written += 1
                guard written < writers.count * rounds else { continue }
                if answered[index] % 2 == 1, let location = writer.responses.last?.headers.first("location") {
                    writer.send(
                        .patch, location + "/status", headers: authorization, body: Array("{\"status\":\"ready\"}".utf8)
                    )
                } else {
                    send(writer)
                }
            }
            if reader.responses.count > listed {
                listed += 1
                reader.send(.get, "/api/v1/orders?restaurant_id=\(orders.restaurant)&limit=100", headers: authorization)
            }
            return written >= writers.count * rounds
        }
        func statuses(_ body: [UInt8]) throws -> [String: String] {
            var statuses: [String: String] = [:]
            for order in try Document(body).elements {
                statuses[try #require(order["id"].string)] = order["status"].string
            }
            return statuses
        }
        try server.settle()
        let end = try statuses(orders.list("&limit=100").body)
        #expect(end.count <= 100 && listed > 5)
        for response in reader.responses {
            #expect(response.status == 200)
            var found = try statuses(response.body)
            let after = try #require(response.eventSequence)
            for event in try Document(orders.events("&limit=1000&after=\(after)").body).elements {
                let data = event["data"]
                let id = try #require(data["order_id"].string)
                // A change that the list already had would be seen as an order that is made twice.
                if event["type"].string == "order.created" { #expect(found[id] == nil) }
                if event["type"].string == "order.status_changed" { #expect(found[id] == data["old_status"].string) }
                found[id] = data["status"].string
            }
            #expect(found == end)
        }
    }
}
