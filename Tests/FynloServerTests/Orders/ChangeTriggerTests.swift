import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// What one transaction of another program does, and what is to come of it.
private struct Change {
    let name: String
    /// Statements; ORDER, ITEM, A and B stand for an order of restaurant A, its item, and two restaurants.
    let sql: String
    /// Type, status, version of each event of restaurant A.
    let events: [String]

    init(_ name: String, _ sql: String, _ events: [String] = []) {
        self.name = name
        self.sql = sql
        self.events = events
    }
}

@Suite("Changes by other programs")
struct ChangeTriggerTests {
    /// Two restaurants and an order with one item.
    private struct Place {
        let database: TestDatabase
        let a: RestaurantID
        let b: RestaurantID
        let order: OrderID
        let item = TestDatabase.randomUUID()

        init() throws {
            database = try TestDatabase()
            a = try database.addRestaurant()
            b = try database.addRestaurant()
            order = try database.addOrder(at: a)
            try database.run(
                """
                insert into order_items (id, order_id, product_name, unit_price)
                values ('\(item)', '\(order)', 'Soup', 4.50)
                """)
        }

        func statement(_ sql: String) -> String {
            sql.replacing("ORDER", with: "'\(order)'").replacing("ITEM", with: "'\(item)'")
                .replacing("RESTAURANT_A", with: "'\(a)'").replacing("RESTAURANT_B", with: "'\(b)'")
        }

        func head(_ restaurant: RestaurantID) throws -> String? {
            try database.value("select head from restaurant_streams where restaurant_id = '\(restaurant)'")
        }

        /// Events after `head`: type, status and version.
        func events(_ restaurant: RestaurantID, after head: String?) throws -> [String] {
            try database.run(
                """
                select concat_ws(' ', type, data ->> 'status', data ->> 'version') from restaurant_events
                where restaurant_id = '\(restaurant)' and seq > \(head ?? "0") order by seq
                """
            ).rows.compactMap { $0.string(0) }
        }

        /// Menu and access versions of A and B.
        func versions() throws -> [Int64] {
            try database.run(
                """
                select menu_version, access_version from restaurant_streams
                order by restaurant_id = '\(b)'
                """
            ).rows.flatMap { [$0.integer(0) ?? 0, $0.integer(1) ?? 0] }
        }
    }

    // MARK: Orders

    /// The order is at version 2 when these begin.
    private static let itemChanges = [
        Change("an item changed", "update order_items set quantity = 2 where id = ITEM", ["order.updated draft 3"]),
        Change("an item changed to what it was", "update order_items set quantity = quantity where id = ITEM"),
        Change(
            "several items",
            "insert into order_items (order_id, product_name) select ORDER, 'Tea' from generate_series(1, 5)",
            ["order.updated draft 3"]),
        Change("an item removed", "delete from order_items where id = ITEM", ["order.updated draft 3"]),
        Change(
            "an item and the order, whose version moves for each",
            "update order_items set quantity = 3 where id = ITEM; update orders set status = 'ready' where id = ORDER",
            ["order.status_changed ready 4"]),
        Change(
            "the order and an item, which need one version",
            "update orders set notes = 'hot' where id = ORDER; update order_items set quantity = 3 where id = ITEM",
            ["order.updated draft 3"]),
        Change(
            "a change that is taken back",
            "update order_items set quantity = 9 where id = ITEM; update order_items set quantity = 1 where id = ITEM"),
        Change(
            "a change that is rolled back to a savepoint",
            "savepoint s; update order_items set quantity = 9 where id = ITEM; rollback to s"),
        Change(
            "an order and its items together",
            """
            insert into orders (id, restaurant_id) values ('99999999-0000-4000-8000-000000000001', RESTAURANT_A);
            insert into order_items (order_id, product_name) values ('99999999-0000-4000-8000-000000000001', 'Tea')
            """, ["order.created draft 1"]),
        Change(
            "an order and its items in one statement",
            """
            with o as (insert into orders (restaurant_id) values (RESTAURANT_A) returning id)
            insert into order_items (order_id, product_name) select id, 'Tea' from o
            """, ["order.created draft 1"]),
        Change(
            "a status and an item in one statement",
            """
            with o as (update orders set status = 'pending' where id = ORDER returning id)
            insert into order_items (order_id, product_name) select id, 'Tea' from o
            """, ["order.status_changed pending 3"]),
        Change("an order with its items", "delete from orders where id = ORDER", ["order.deleted draft 2"]),
        Change(
            "an order that is created and deleted",
            """
            insert into orders (id, restaurant_id) values ('99999999-0000-4000-8000-000000000001', RESTAURANT_A);
            insert into order_items (order_id, product_name) values ('99999999-0000-4000-8000-000000000001', 'Tea');
            delete from orders where id = '99999999-0000-4000-8000-000000000001'
            """),
        Change("all items by truncate", "truncate order_items", ["order.updated draft 3"]),
        Change("all orders by truncate", "truncate orders cascade", ["order.deleted draft 2"]),
        Change(
            "an item that finds another order",
            """
            insert into orders (id, restaurant_id) values ('99999999-0000-4000-8000-000000000001', RESTAURANT_A);
            update order_items set order_id = '99999999-0000-4000-8000-000000000001' where id = ITEM
            """, ["order.created draft 1", "order.updated draft 3"]),
        Change(
            "everything inserted and nothing done",
            "insert into order_items (id, order_id, product_name) values (ITEM, ORDER, 'x') on conflict do nothing"),
    ]

    @Test("of an order's items are one event of the order, and one version", arguments: itemChanges)
    private func items(change: Change) throws {
        let place = try Place()
        #expect(try place.events(place.a, after: nil) == ["order.created draft 1", "order.updated draft 2"])
        let head = try place.head(place.a)
        try place.database.run("begin; " + place.statement(change.sql) + "; commit")
        #expect(try Set(place.events(place.a, after: head)) == Set(change.events), "\(change.name)")
        #expect(try place.events(place.a, after: head).count == change.events.count)
        #expect(try place.events(place.b, after: nil) == [])
        #expect(try place.database.value("select count(*) from pending_changes") == "0")
    }

    @Test("of an item wait for a change of the order that is under way, and tell the difference to what that left")
    func concurrentOrder() throws {
        let place = try Place()
        let head = try place.head(place.a)
        let other = try place.database.anotherSession()
        _ = try other.execute("begin; update orders set status = 'ready' where id = '\(place.order)'").get()
        // The second one is sent through a server's connection, so that this thread can go on.
        let loop = try EventLoop()
        defer { loop.close() }
        let pool = PostgresPool(
            loop: loop,
            settings: try PostgresSettings(url: place.database.url, queryTimeout: .seconds(20), role: .server),
            log: Logger(level: .error, format: .text))
        defer { pool.close() }
        var isDone = false
        pool.send(
            PostgresStatement(name: "t", sql: place.statement("update order_items set quantity = 4 where id = ITEM")),
            [],
            .exclusive
        ) { result in
            #expect((try? result.get()) != nil)
            isDone = true
        }
        let isWaiting = try loop.run(
            until: {
                (try? place.database.value(
                    "select count(*) from pg_locks where not granted and locktype = 'transactionid'"))
                    != "0" && isDone == false
            }, for: .seconds(10))
        #expect(isWaiting)
        _ = try other.execute("commit").get()
        #expect(try loop.run(until: { isDone }, for: .seconds(10)))
        #expect(
            try place.events(place.a, after: head) == ["order.status_changed ready 3", "order.updated ready 4"])
    }

    @Test(
        "over the same restaurants in opposite order do not wait for each other before they commit, and do not deadlock"
    )
    func oppositeOrder() throws {
        let place = try Place()
        let far = try place.database.addOrder(at: place.b)
        let second = [try place.database.addOrder(at: place.a), try place.database.addOrder(at: place.b)]
        let (left, right) = (try place.database.anotherSession(), try place.database.anotherSession())
        // Each of these returns although the other transaction is open: nobody waits.
        _ = try left.execute("begin; update orders set status = 'ready' where id = '\(place.order)'").get()
        _ = try right.execute("begin; update orders set status = 'ready' where id = '\(second[1])'").get()
        _ = try left.execute("update orders set status = 'ready' where id = '\(far)'").get()
        _ = try right.execute("update orders set status = 'ready' where id = '\(second[0])'").get()
        _ = try right.execute("insert into order_items (order_id, product_name) values ('\(second[0])', 'Tea')").get()
        _ = try left.execute("commit").get()
        _ = try right.execute("commit").get()
        #expect(try place.database.value("select count(*) from orders where status = 'ready'") == "4")
        let gaps = try place.database.value(
            """
            select count(*) from restaurant_streams s
            where s.head <> (select count(*) from restaurant_events e where e.restaurant_id = s.restaurant_id)
            """)
        #expect(gaps == "0")
    }

    // MARK: Menu and access

    /// How the versions of A's menu, A's access, B's menu and B's access move.
    private static let versionChanges: [(sql: String, moves: [Int64])] = [
        ("insert into categories (restaurant_id, name) values (RESTAURANT_A, 'Soups')", [1, 0, 0, 0]),
        (
            "insert into products (restaurant_id, name) select RESTAURANT_A, 'P' || n from generate_series(1, 50) n",
            [1, 0, 0, 0]
        ),
        ("update products set price = 2", [1, 0, 1, 0]),
        ("update products set price = price", [0, 0, 0, 0]),
        ("update products set price = 2 where false", [0, 0, 0, 0]),
        ("delete from products where restaurant_id = RESTAURANT_B", [0, 0, 1, 0]),
        ("update products set restaurant_id = RESTAURANT_B where restaurant_id = RESTAURANT_A", [1, 0, 1, 0]),
        ("insert into product_modifiers (product_id, name) select id, 'm' from products", [1, 0, 1, 0]),
        (
            "insert into product_variants (product_id, name) select id, 'v' from products where restaurant_id = RESTAURANT_A",
            [1, 0, 0, 0]
        ),
        ("update product_modifiers set options = '[1]'", [1, 0, 0, 0]),
        ("update product_modifiers set options = options", [0, 0, 0, 0]),
        ("delete from product_variants", [0, 0, 1, 0]),
        ("truncate product_variants", [1, 0, 1, 0]),
        (
            "update categories set sort_order = 3; update products set price = 9 where restaurant_id = RESTAURANT_A",
            [1, 0, 0, 0]
        ),
        ("update users set role = 'manager' where full_name = 'Home A'", [0, 1, 0, 0]),
        ("update users set full_name = 'x'", [0, 0, 0, 0]),
        ("update users set is_active = false where full_name = 'Also B'", [0, 1, 0, 1]),
        ("update users set restaurant_id = RESTAURANT_B where full_name = 'Home A'", [0, 1, 0, 1]),
        ("delete from users where full_name = 'Also B'", [0, 1, 0, 1]),
        ("update users set is_active = false where full_name = 'Owner'", [0, 1, 0, 1]),
        ("delete from user_restaurants", [0, 0, 0, 1]),
        ("update restaurants set is_active = false where id = RESTAURANT_B", [0, 0, 0, 1]),
        ("update restaurants set name = 'New' where id = RESTAURANT_B", [0, 0, 0, 0]),
        ("insert into users (full_name, restaurant_id) values ('new', RESTAURANT_A)", [0, 0, 0, 0]),
    ]

    @Test("of menu and staff move the versions of the restaurants they concern, once", arguments: versionChanges)
    func versions(change: (sql: String, moves: [Int64])) throws {
        let place = try Place()
        try place.database.run(
            place.statement(
                """
                insert into categories (restaurant_id, name) values (RESTAURANT_A, 'C');
                insert into products (id, restaurant_id, name) values
                    ('99999999-0000-4000-8000-00000000000a', RESTAURANT_A, 'pa'),
                    ('99999999-0000-4000-8000-00000000000b', RESTAURANT_B, 'pb');
                insert into product_modifiers (product_id, name)
                    values ('99999999-0000-4000-8000-00000000000a', 'extra');
                insert into product_variants (product_id, name)
                    values ('99999999-0000-4000-8000-00000000000b', 'large');
                insert into users (id, full_name, restaurant_id, role) values
                    ('99999999-0000-4000-8000-000000000001', 'Home A', RESTAURANT_A, 'employee'),
                    ('99999999-0000-4000-8000-000000000002', 'Also B', RESTAURANT_A, 'employee'),
                    ('99999999-0000-4000-8000-000000000003', 'Owner', null, 'platform_owner');
                insert into user_restaurants (user_id, restaurant_id)
                    values ('99999999-0000-4000-8000-000000000002', RESTAURANT_B)
                """))
        let before = try place.versions()
        let heads = [try place.head(place.a), try place.head(place.b)]
        try place.database.run("begin; " + place.statement(change.sql) + "; commit")
        let after = try place.versions()
        #expect(zip(after, before).map { $0 - $1 } == change.moves, "\(change.sql)")
        // A menu that moves is told, with its version.
        for (index, restaurant) in [place.a, place.b].enumerated() {
            let told = try place.events(restaurant, after: heads[index]).map { String($0.split(separator: " ")[0]) }
            #expect(told == (change.moves[index * 2] == 1 ? ["menu.updated"] : []), "\(change.sql)")
        }
    }

    @Test("wake the servers by what concerns them, and the servers' own changes do not")
    func notifications() throws {
        let place = try Place()
        let loop = try EventLoop()
        defer { loop.close() }
        let pool = PostgresPool(
            loop: loop,
            settings: try PostgresSettings(url: place.database.url, queryTimeout: .seconds(20), role: .server),
            log: Logger(level: .error, format: .text))
        defer { pool.close() }
        var heard: [StreamCounters] = []
        var others = 0
        pool.whenNotified = { payload in
            guard let counters = StreamCounters(notification: payload) else {
                others += 1
                return
            }
            // Other tests' restaurants are heard of, too.
            if counters.restaurant == place.a || counters.restaurant == place.b { heard.append(counters) }
        }
        pool.start()
        // Listening has begun when the same connection has answered something else.
        var isReady = false
        pool.send(PostgresStatement(name: "t", sql: "select 1"), [], .live) { _ in isReady = true }
        #expect(try loop.run(until: { isReady }, for: .seconds(10)))

        try place.database.run("set fynlo.server = 'on'")
        try place.database.run("update orders set notes = 'ours'")
        try place.database.run("reset fynlo.server")
        try place.database.run("update orders set notes = 'theirs'")
        #expect(try loop.run(until: { !heard.isEmpty }, for: .seconds(10)))
        #expect(
            heard == [StreamCounters(restaurant: place.a, head: 4, menuVersion: 1, accessVersion: 1)],
            "one for what another program did, none for what a server did")
        heard = []
        try place.database.run("update restaurants set is_active = false")
        #expect(try loop.run(until: { heard.count == 2 }, for: .seconds(10)))
        #expect(heard.allSatisfy { $0.accessVersion == 2 })

        let before = others
        try place.database.run("insert into restaurants (name) select 'R' || n from generate_series(1, 101) n")
        try place.database.run("update restaurants set is_active = false where name like 'R%'")
        #expect(try loop.run(until: { others > before }, for: .seconds(10)), "many are told as one")
    }
}
