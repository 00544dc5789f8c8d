import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The menu when Postgres is away, or has much to do")
struct MenuAwayTests {
    private func state(_ answer: HTTPResponse) -> String? { answer.headers.first("x-cache") }

    /// Asks until the menu comes from where it should; every answer on the way has one of `statuses`.
    private func ask(
        _ menu: TestMenu, _ parameters: String = "", until wanted: [String], statuses: [Int] = [200]
    ) throws -> HTTPResponse {
        let deadline = SystemClock.instant + Duration.seconds(15).patient
        while true {
            let answer = try menu.page(parameters)
            if wanted.contains(state(answer) ?? "") { return answer }
            #expect(statuses.contains(answer.status))
            try #require(SystemClock.instant < deadline, "waited for \(wanted), got \(state(answer) ?? "nothing")")
            try menu.server.settle(.milliseconds(20))
        }
    }

    @Test("costs no question of the database when it is warm")
    func warm() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        defer { proxy.close() }
        let server = try TestServer(["DATABASE_URL": proxy.url, "REDIS_URL": ""], database: database, loop: loop) {
            $0.limits.accessCacheLifetime = .seconds(30)
        }
        let menu = try TestMenu(on: server)
        try menu.addProduct("water")
        let miss = try menu.page()
        let categories = try menu.categories()
        proxy.isSilent = true
        for _ in 0..<3 {
            let hit = try menu.page()
            #expect(state(hit) == "HIT")
            #expect(hit.body == miss.body)
            #expect(state(try menu.categories()) == "HIT")
            #expect(try menu.page(headers: ["If-None-Match": hit.headers.first("etag") ?? ""]).status == 304)
        }
        #expect(try menu.categories().body == categories.body)
        // What is wrong is refused all the same.
        #expect(
            try server.request(.get, "/api/v1/menu?restaurant_id=\(menu.restaurant)", token: "rubbish").status == 401)
    }

    @Test("is served as STALE, from the process or from Redis, to those who were looked up not long ago")
    func stale() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        defer { proxy.close() }
        let server = try TestServer(
            ["DATABASE_URL": proxy.url, "FYNLO_QUERY_TIMEOUT": "200ms"], database: database, loop: loop)
        let menu = try TestMenu(on: server)
        let other = TestMenu(menu, on: try TestServer(database: database, loop: loop))
        for name in ["water", "wine"] { try menu.addProduct(name) }
        _ = try ask(menu, until: ["MISS", "HIT"])
        let page = try menu.page()
        let inRedis = try ask(other, "&limit=1", until: ["MISS", "HIT"])
        proxy.isSilent = true
        proxy.hangUp()
        let stale = try ask(menu, until: ["STALE"])
        #expect(stale.status == 200)
        #expect(stale.body == page.body)
        for name in ["etag", "link", "x-total-count", "x-menu-version", "cache-control"] {
            #expect(stale.headers.first(name) == page.headers.first(name), "\(name)")
        }
        #expect(try menu.page(headers: ["If-None-Match": page.headers.first("etag") ?? ""]).status == 304)
        let fromRedis = try menu.page("&limit=1")
        #expect(state(fromRedis) == "STALE")
        #expect(fromRedis.body == inRedis.body)
        // What nobody has a copy of, and somebody whom nobody knows.
        try expectProblem(try menu.page("&limit=7"), 503, code: "unavailable")
        let stranger = try database.addUser(.employee, at: menu.restaurant)
        let refusal = try server.request(
            .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)", token: stranger.token())
        try expectProblem(refusal, 503, code: "unavailable")
        #expect(refusal.headers.first("retry-after") != nil)
        try database.run("update products set name = 'beer' where name = 'water'")
        proxy.isSilent = false
        proxy.hangUp()
        // It may be known already that there is a newer one, and not yet be read.
        let fresh = try ask(menu, until: ["MISS", "HIT"], statuses: [200, 503])
        #expect(fresh.body != page.body)
    }

    @Test("is not served as STALE to those who were looked up too long ago")
    func tooOld() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        defer { proxy.close() }
        let server = try TestServer(
            ["DATABASE_URL": proxy.url, "FYNLO_QUERY_TIMEOUT": "200ms"], database: database, loop: loop
        ) { $0.limits.staleLifetime = .milliseconds(1_500) }
        let menu = try TestMenu(on: server)
        try menu.addProduct("water")
        #expect(try menu.page().status == 200)
        proxy.isSilent = true
        proxy.hangUp()
        let start = SystemClock.instant
        while try menu.page().status == 200 {
            try #require(SystemClock.instant - start < Duration.seconds(10).patient)
            try server.settle(.milliseconds(50))
        }
        try expectProblem(try menu.page(), 503, code: "unavailable")
    }

    @Test("reads few pages at the same time, lets some wait, and tells the others to come back")
    func bounded() throws {
        let server = try TestServer(["REDIS_URL": ""]) {
            $0.limits.menuReads = 2
            $0.limits.waitingMenuReads = 3
        }
        let menu = try TestMenu(on: server)
        try menu.addProduct("water")
        #expect(try menu.page().status == 200)
        let lock = try RowLock("lock table products in access exclusive mode", in: server.database)
        let readers = try (1...10).map { number in
            let reader = try TestExchange(loop: server.loop, address: server.address)
            reader.send(
                .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)&limit=\(number)",
                headers: ["Authorization": "Bearer \(menu.token)"])
            return reader
        }
        try server.wait(for: "refusals") { readers.count { !$0.responses.isEmpty } == 5 }
        try server.wait(for: "the lock to be met") { lock.isInTheWay }
        try server.wait(for: "two statements") { (try? server.database.runningStatements()) == 2 }
        try server.settle(.milliseconds(50))
        #expect(try server.database.runningStatements() == 2)
        for reader in readers where !reader.responses.isEmpty {
            try expectProblem(reader.responses[0], 503, code: "unavailable")
            #expect(reader.responses[0].headers.first("retry-after") != nil)
        }
        // A copy of one's own needs none of this.
        #expect(state(try menu.page()) == "HIT")
        let waiting = readers.filter { $0.responses.isEmpty }
        lock.release()
        try server.wait(for: "the others") { waiting.allSatisfy { !$0.responses.isEmpty } }
        #expect(waiting.allSatisfy { $0.responses[0].status == 200 })
    }

    /// Which pages, the index that finds and counts them.
    private static let plans: [(hasCategory: Bool, includesInactive: Bool, index: String)] = [
        (false, false, "idx_products_restaurant_active"), (true, false, "idx_products_category_active"),
        (false, true, "idx_products_restaurant"), (true, true, "idx_products_category"),
    ]

    @Test("is one statement a page, by the indexes that are there for it, among 10,000 products of a restaurant")
    func plan() throws {
        let database = try TestDatabase()
        let restaurants = try (0..<6).map { _ in try database.addRestaurant() }
        try database.run(
            """
            set session_replication_role = replica; -- without events
            insert into categories (restaurant_id, name, sort_order)
            select r.id, 'c' || n, n from restaurants r, generate_series(1, 20) n;
            insert into products (restaurant_id, category_id, name, price, sort_order, is_active)
            select c.restaurant_id, c.id, 'p' || n, n / 100.0, n, n % 20 > 0
            from categories c, generate_series(1, 500) n;
            insert into product_modifiers (product_id, name, price) select id, 'm', 1 from products where sort_order % 10 = 0;
            insert into product_variants (product_id, name, price) select id, 'v', 1 from products where sort_order % 10 = 0;
            set session_replication_role = origin;
            analyze categories, products, product_modifiers, product_variants
            """)
        let category = try #require(
            try database.run("select id from categories where restaurant_id = '\(restaurants[1])' limit 1").first?.uuid(
                0))
        for row in Self.plans {
            let request = MenuPageRequest(
                restaurant: restaurants[1], category: row.hasCategory ? CategoryID(category) : nil, page: 3, limit: 50,
                includesInactive: row.includesInactive)
            let arguments = MenuRepository.parameters(request).map { value in
                switch value {
                case .null: "null"
                case .text(let text): "'\(text)'"
                case .integer(let number): String(number)
                case .boolean(let flag): String(flag)
                case .uuid(let uuid): "'\(uuid)'"
                }
            }.joined(separator: ", ")
            // A generic plan has to do, too: that is what a statement comes to have that is used often.
            for mode in ["force_custom_plan", "force_generic_plan"] {
                try database.run(
                    "set plan_cache_mode = \(mode); prepare page as \(MenuRepository.statement(request).sql)")
                let plan = try database.run("explain execute page (\(arguments))").rows.compactMap { $0.string(0) }
                let text = plan.joined(separator: "\n")
                #expect(plan.contains { $0.hasSuffix(row.index) || $0.contains(row.index + " ") }, "\(mode)\n\(text)")
                // To count all of a restaurant's products, a sixth of the table, it may as well be read from end to end.
                let mayScan = row.includesInactive && !row.hasCategory
                for table in ["product_modifiers", "product_variants"] + (mayScan ? [] : ["products"]) {
                    #expect(!plan.contains { $0.contains("Seq Scan on \(table) ") }, "\(mode)\n\(text)")
                }
                #expect(!text.contains("JIT"), "\(mode)\n\(text)")
                try database.run("deallocate page")
            }
        }
    }
}
