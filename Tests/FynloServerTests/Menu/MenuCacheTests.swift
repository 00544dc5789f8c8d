import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The menu's cache")
struct MenuCacheTests {
    private func state(_ answer: HTTPResponse) -> String? { answer.headers.first("x-cache") }

    /// A connection to the Redis that the servers use.
    private func redis(_ server: TestServer) throws -> RedisUser {
        let user = try RedisUser(server.loop, try TestDatabase.variable("FYNLO_TEST_REDIS_URL"))
        try user.open()
        return user
    }

    private func key(_ menu: TestMenu) -> RedisArgument {
        .text("menu:v3:\(menu.restaurant):all:1:50:False")
    }

    /// A server without copies of its own: what is not in Redis is read from Postgres.
    private static func withoutCopies(_ config: inout Config) {
        config.limits.menuCopiesBytes = 0
    }

    @Test("gives the bytes of the miss to every hit, each page under its own key")
    func hitEqualsMiss() throws {
        let menu = try TestMenu(on: try TestServer())
        let other = TestMenu(menu, on: try TestServer(database: menu.server.database, loop: menu.server.loop))
        try other.server.wait(for: "Redis") {
            (try? other.server.request(.get, "/health/ready").body).map { String(decoding: $0, as: UTF8.self) }?
                .contains("\"redis\":\"ok\"") == true
        }
        let category = try menu.addCategory("Tapas")
        for number in 0..<5 {
            try menu.addProduct("p\(number)", price: "\(number).10", in: category, isActive: number != 4)
        }
        let pages = [
            "", "&page=2", "&limit=2", "&limit=2&page=2", "&category=\(category)", "&include_inactive=true",
            "&page=7", "&category=\(RestaurantID(TestDatabase.randomUUID()))",
        ]
        for parameters in pages {
            let miss = try menu.page(parameters)
            #expect(state(miss) == "MISS", "\(parameters)")
            // From the process, and, on another one, from Redis.
            for hit in [try menu.page(parameters), try other.page(parameters), try other.page(parameters)] {
                #expect(state(hit) == "HIT", "\(parameters)")
                #expect(hit.body == miss.body, "\(parameters)")
                for name in ["etag", "link", "x-total-count", "x-menu-version", "content-type"] {
                    #expect(hit.headers.first(name) == miss.headers.first(name), "\(parameters): \(name)")
                }
            }
        }
        // Two spellings of one page share its key.
        #expect(state(try menu.page("&page=1&limit=50&include_inactive=false")) == "HIT")
    }

    @Test("is shared by the servers of a Redis, and by the users of a restaurant")
    func shared() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.addProduct("water")
        let node = TestMenu(menu, on: try TestServer(database: menu.server.database, loop: menu.server.loop))
        let miss = try menu.page()
        #expect(state(miss) == "MISS")
        let hit = try node.page()
        #expect(state(hit) == "HIT")
        #expect(hit.body == miss.body)
        let owner = try menu.server.database.addUser(.platformOwner, at: nil)
        let target = "/api/v1/menu?restaurant_id=\(menu.restaurant)"
        #expect(state(try menu.server.request(.get, target, token: owner.token())) == "HIT")
        // An invalidation on one is seen by the other within a second.
        #expect(try node.invalidate().status == 200)
        #expect(state(try node.page()) == "MISS")
        let start = SystemClock.instant
        while try menu.page().headers.first("x-menu-version") == hit.headers.first("x-menu-version") {
            try #require(SystemClock.instant - start < .seconds(1).patient)
        }
        #expect(try menu.page().headers.first("x-menu-version") == node.page().headers.first("x-menu-version"))
    }

    @Test("keeps pages for 300 s and categories for 600 s")
    func lifetimes() throws {
        let menu = try TestMenu(on: try TestServer())
        let redis = try redis(menu.server)
        _ = try menu.page()
        _ = try menu.categories()
        guard case .success(.integer(let page)) = try redis.ask("PTTL", key(menu)),
            case .success(.integer(let categories)) = try redis.ask(
                "PTTL", .text("menu_categories:v2:\(menu.restaurant)"))
        else {
            Issue.record("Redis did not tell")
            return
        }
        #expect((290_000...300_000).contains(page))
        #expect((590_000...600_000).contains(categories))
    }

    @Test("makes one statement for 500 simultaneous readers")
    func singleFlight() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.addProduct("water")
        let lock = try menu.observeReads()
        let readers = try (0..<500).map { _ in
            try TestExchange(loop: menu.server.loop, address: menu.server.address)
        }
        for reader in readers {
            reader.send(
                .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)",
                headers: ["Authorization": "Bearer \(menu.token)"])
        }
        try menu.server.wait(for: "the statement") { lock.isInTheWay }
        try menu.server.wait(for: "all of them") { menu.server.server.hub.connectionCount >= readers.count }
        try menu.server.settle(.milliseconds(300))
        lock.release()
        try menu.server.wait(for: "500 answers") { readers.allSatisfy { $0.responses.count == 1 } }
        #expect(try menu.readCount == 1)
        let first = readers[0].responses[0]
        #expect(try Document(first.body).elements.count == 1)
        for reader in readers {
            #expect(reader.responses[0].status == 200)
            #expect(reader.responses[0].body == first.body)
        }
        // On a slow machine some come too late to wait with the others, and find the copy.
        #expect(readers.count { state($0.responses[0]) == "MISS" } > 100)
        #expect(readers.allSatisfy { ["MISS", "HIT"].contains(state($0.responses[0])) })
        #expect(state(try menu.page()) == "HIT")
        #expect(try menu.readCount == 1)
    }

    @Test("tells all simultaneous readers of a failure, and the next one tries again")
    func sharedFailure() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.addProduct("water")
        let lock = try menu.observeReads()
        let readers = try (0..<5).map { _ in
            try TestExchange(loop: menu.server.loop, address: menu.server.address)
        }
        for reader in readers {
            reader.send(
                .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)",
                headers: ["Authorization": "Bearer \(menu.token)"])
        }
        try menu.server.wait(for: "the statement") { lock.isInTheWay }
        try menu.server.settle(.milliseconds(50))
        try lock.terminateWaiting()
        try menu.server.wait(for: "5 answers") { readers.allSatisfy { $0.responses.count == 1 } }
        #expect(readers.allSatisfy { $0.responses[0].status == 503 })
        lock.release()
        #expect(try menu.page().status == 200)
    }

    @Test("never serves the old menu after an invalidation, even when a fill was under way")
    func raceWithFill() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.addProduct("water", price: "1.00")
        let lock = try menu.observeReads()
        let slow = try TestExchange(loop: menu.server.loop, address: menu.server.address)
        slow.send(
            .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)", headers: ["Authorization": "Bearer \(menu.token)"])
        try menu.server.wait(for: "a fill that has seen the old menu") { lock.isInTheWay }
        try menu.server.database.run("update products set price = 2.00")
        #expect(try menu.invalidate().status == 200)

        func price(_ answer: HTTPResponse) throws -> Document { try Document(answer.body)[0]["price"] }
        let new = try Document(json: "2.00")
        let second = try menu.page()
        #expect(try price(second) == new)
        #expect(state(second) == "MISS")
        #expect(state(try menu.page()) == "HIT")
        #expect(slow.responses.isEmpty)
        lock.release()
        try menu.server.wait(for: "the slow answer") { slow.responses.count == 1 }
        // It was asked for before; what it has put into Redis is not taken by anybody.
        for _ in 0..<3 { #expect(try price(try menu.page()) == new) }
        #expect(state(try menu.page()) == "HIT")
        let versions = [slow.responses[0], second].map { $0.headers.first("x-menu-version").flatMap { Int($0) } ?? 0 }
        #expect(versions[0] < versions[1])
    }

    @Test("shows a change of any part by any program within a second", arguments: ["it says so", "it says nothing"])
    func foreignChange(kind: String) throws {
        let menu = try TestMenu(on: try TestServer())
        let category = try menu.addCategory("Drinks")
        let product = try menu.addProduct("water", in: category)
        func version(_ answer: HTTPResponse) throws -> Int {
            try #require(answer.headers.first("x-menu-version").flatMap { Int($0) })
        }
        for change in [
            "update products set price = 2.00",
            "update categories set name = 'Bebidas'",
            "insert into product_modifiers (product_id, name) values ('\(product)', 'Ice')",
            "insert into product_variants (product_id, name) values ('\(product)', 'Large')",
            "update product_modifiers set price = 0.50",
            "delete from product_variants",
            "delete from products",
        ] {
            let before = try menu.page()
            #expect(state(try menu.page()) == "HIT")
            _ = try menu.categories()
            try menu.server.database.run("set fynlo.server = '\(kind == "it says so" ? "off" : "on")'; \(change)")
            let start = SystemClock.instant
            var answer = try menu.page()
            while try version(answer) == version(before) {
                try #require(SystemClock.instant - start < .milliseconds(1_100).patient, "\(change)")
                answer = try menu.page()
            }
            #expect(try version(answer) == version(before) + 1, "\(change)")
            #expect(answer.body != before.body, "\(change)")
            #expect(try version(menu.categories()) == version(answer), "\(change)")
        }
    }

    static let rubbish: [(String, String)] = [
        ("nothing", ""),
        ("no number", "rubbish"),
        ("no menu", "VERSION 1\n"),
        ("half a menu", "VERSION 1\n[{\"id\":"),
        ("an object", "VERSION 1\n{}"),
        ("a menu with something behind it", "VERSION 1\n[]]"),
        ("no total", "VERSION\n[]"),
        ("a negative total", "VERSION -1\n[]"),
        ("a total beyond all pages", "VERSION 9223372036854775807\n[]"),
        ("an old version", "0 0\n[]"),
        ("another version", "99999 0\n[]"),
        ("a version beyond all numbers", "99999999999999999999999 0\n[]"),
    ]

    @Test("is not impressed by rubbish under its keys")
    func rubbish() throws {
        let menu = try TestMenu(on: try TestServer(adjust: Self.withoutCopies))
        try menu.addProduct("water")
        let redis = try redis(menu.server)
        let first = try menu.page()
        let version = first.headers.first("x-menu-version") ?? ""
        for (name, value) in MenuCacheTests.rubbish {
            _ = try redis.ask("SET", key(menu), .text(value.replacing("VERSION", with: version)))
            let answer = try menu.page()
            #expect(answer.status == 200, "\(name)")
            #expect(answer.body == first.body, "\(name)")
            #expect(state(answer) == "MISS", "\(name)")
            #expect(state(try menu.page()) == "HIT", "\(name)")
        }
        // A key of another type cannot be read; it is replaced all the same.
        _ = try redis.ask("DEL", key(menu))
        _ = try redis.ask("LPUSH", key(menu), "rubbish")
        #expect(try menu.page().body == first.body)
        #expect(state(try menu.page()) == "HIT")
    }

    @Test("goes by the contract's keys, and asks for no others, whatever their number")
    func commands() throws {
        let menu = try TestMenu(on: try TestServer())
        let user = try self.redis(menu.server)
        _ = try menu.page()
        _ = try menu.categories()
        #expect(try menu.invalidate().status == 200)
        _ = try menu.page()
        for name in [key(menu), .text("menu_categories:v2:\(menu.restaurant)")] {
            #expect(try user.ask("EXISTS", name) == .success(.integer(1)))
        }
        guard case .success(.string(let bytes)) = try user.ask("INFO", "commandstats") else {
            Issue.record("Redis did not tell")
            return
        }
        let statistics = String(decoding: bytes, as: UTF8.self)
        #expect(statistics.contains("cmdstat_get:"))
        for name in ["keys", "scan", "flushdb", "flushall"] { #expect(!statistics.contains("cmdstat_\(name):")) }
    }

    @Test("invalidates with one statement in Postgres and nothing of Redis, however many keys there are")
    func invalidationIsConstant() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let redis = try FakeRedis(loop)
        redis.onCommand = { client, command in client.send(command[0] == "GET" ? "$-1\r\n" : "+OK\r\n") }
        let menu = try TestMenu(on: try TestServer(["REDIS_URL": redis.url], loop: loop))
        try menu.server.wait(for: "Redis") { redis.commands.count > 0 }
        _ = try menu.page()
        /// What the process says of itself, and the limits of all, are no business of menus.
        func ofMenus() -> [[String]] {
            redis.commands.filter { command in command.dropFirst().contains { $0.contains("menu") } }
        }
        let before = ofMenus()
        #expect(before.map { $0[0] } == ["GET", "SET"])
        #expect(try menu.invalidate().status == 200)
        try menu.server.settle(.milliseconds(50))
        let after = ofMenus().dropFirst(before.count)
        #expect(after.allSatisfy { ["PUBLISH", "DEL", "UNLINK"].contains($0[0]) && $0.count <= 3 })
        redis.close()
    }

    @Test("is a miss and then a hit without a Redis")
    func withoutRedis() throws {
        let menu = try TestMenu(on: try TestServer(["REDIS_URL": ""]))
        try menu.addProduct("water")
        let miss = try menu.page()
        #expect(state(miss) == "MISS")
        let hit = try menu.page()
        #expect(state(hit) == "HIT")
        #expect(hit.body == miss.body)
    }

    @Test("is gone without: a dead Redis, one that refuses and one that is slow")
    func bypass() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let slow = try FakeRedis(loop)
        let refusing = try FakeRedis(loop)
        refusing.onCommand = { client, _ in client.send("-ERR not today\r\n") }
        let database = try TestDatabase()
        for url in ["redis://127.0.0.1:1", "unix:/nonexistent/redis.sock", refusing.url, slow.url] {
            let server = try TestServer(["REDIS_URL": url], database: database, loop: loop) {
                $0.redisBudget = .milliseconds(50)
                $0.limits.menuCopiesBytes = 0
            }
            let menu = try TestMenu(on: server)
            try menu.addProduct("water")
            _ = try menu.page()  // connections are up
            try server.settle(.milliseconds(30))
            for _ in 0..<3 {
                let start = SystemClock.instant
                let answer = try menu.page()
                #expect(answer.status == 200, "\(url)")
                #expect(try Document(answer.body).elements.count == 1, "\(url)")
                #expect(state(answer) == "BYPASS", "\(url)")
                #expect(SystemClock.instant - start < .seconds(1), "\(url)")
            }
        }
        #expect(slow.commands.contains { $0[0] == "GET" })
        slow.close()
        refusing.close()
    }

    // MARK: Who may invalidate

    @Test("may be invalidated by whoever may act for the restaurant")
    func permitted() throws {
        let menu = try TestMenu(on: try TestServer())
        let database = menu.server.database
        let elsewhere = try database.addRestaurant()
        let member = try database.addUser(.employee, at: elsewhere)
        try database.run(
            "insert into user_restaurants (user_id, restaurant_id) values ('\(member.id)', '\(menu.restaurant)')")
        let users = [
            try database.addUser(.employee, at: menu.restaurant), try database.addUser(.manager, at: menu.restaurant),
            try database.addUser(.restaurantOwner, at: menu.restaurant), try database.addUser(.platformOwner, at: nil),
            member,
        ]
        for user in users {
            let answer = try menu.server.request(
                .post, "/api/v1/menu/cache/invalidate?restaurant_id=\(menu.restaurant)", token: user.token())
            #expect(answer.status == 200)
            #expect(
                try Document(answer.body)
                    == (try Document(json: #"{"success": true, "message": "Menu cache invalidated"}"#)))
            #expect(state(try menu.page()) == "MISS")
            #expect(state(try menu.page()) == "HIT")
        }
    }

    @Test(
        "may not be invalidated by others",
        arguments: [Role.employee, Role.manager, Role.restaurantOwner])
    func refused(_ role: Role) throws {
        let menu = try TestMenu(on: try TestServer())
        _ = try menu.page()
        let user = try menu.server.database.addUser(role, at: try menu.server.database.addRestaurant())
        let answer = try menu.server.request(
            .post, "/api/v1/menu/cache/invalidate?restaurant_id=\(menu.restaurant)", token: user.token())
        #expect(answer.status == 403)
        #expect(try Document(answer.body)["detail"].string == "Permission denied")
        #expect(state(try menu.page()) == "HIT")
    }

    @Test("is not said to be invalidated when the database cannot record it")
    func unrecorded() throws {
        let menu = try TestMenu(on: try TestServer(["FYNLO_QUERY_TIMEOUT": "300ms"]))
        _ = try menu.page()
        let lock = try RowLock(
            "select from restaurant_streams where restaurant_id = '\(menu.restaurant)' for update",
            in: menu.server.database)
        let answer = try menu.invalidate()
        #expect(answer.status == 503)
        #expect(answer.headers.first("retry-after") != nil)
        lock.release()
        #expect(state(try menu.page()) == "HIT")
        #expect(try menu.invalidate().status == 200)
        #expect(state(try menu.page()) == "MISS")
    }
}
