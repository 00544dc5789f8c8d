import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// The demonstration, kept as a test: an evening with the data of demo/demo-data.sql.
@Suite("A restaurant's day")
struct RestaurantDayTests {
    /// Somebody of the demonstration data.
    private func person(_ email: String, in database: TestDatabase) throws -> (user: TestUser, token: String) {
        let row = try #require(try database.run("select id, supabase_id from users where email = '\(email)'").first)
        let user = TestUser(id: UserID(try #require(row.uuid(0))))
        let token = TokenCommand.makeToken(
            subject: try #require(row.string(1)), expiresAt: SystemClock.now.unixTime.seconds + 3_600,
            secret: TestUser.secret)
        return (user, token)
    }

    @Test("an order's way from the kitchen to all tablets, and the menu from Postgres to the cache and back")
    func evening() throws {
        let server = try TestServer()
        let database = server.database
        try database.run(Migration.demoData)
        let casaAzul = try #require(RestaurantID("11111111-1111-4111-8111-111111111111"))
        let elia = try #require(RestaurantID("22222222-2222-4222-8222-222222222222"))

        func tablet(_ email: String, at restaurant: RestaurantID, as client: String) throws -> TestTablet {
            let (user, token) = try person(email, in: database)
            let tablet = try server.tablet(at: restaurant, as: client)
            tablet.authenticate(user, at: restaurant, token: token)
            try server.wait(for: "\(email) to be in") { tablet.messages.count == 1 }
            #expect(tablet.messages[0]["type"].string == "authenticated", "\(tablet.texts)")
            return tablet
        }
        let kitchen = try tablet("liam@casa-azul.example", at: casaAzul, as: "kitchen")
        let waiter = try tablet("sofia@casa-azul.example", at: casaAzul, as: "pos")
        let manager = try tablet("jose@casa-azul.example", at: casaAzul, as: "management")
        let elsewhere = try tablet("eleni@elia-karvouno.example", at: elia, as: "management")
        let head = try #require(manager.messages[0]["data"]["seq"].integer)

        // The kitchen takes an order on and has it ready.
        let orderRow = try #require(
            try database.run(
                """
                select id, order_number, version from orders
                where restaurant_id = '\(casaAzul)' and status = 'confirmed' order by created_at limit 1
                """
            ).first)
        let order = OrderID(try #require(orderRow.uuid(0)))
        let version = try #require(orderRow.integer(2))
        kitchen.update(order, to: .preparing, id: "k1", expecting: Int(version))
        kitchen.update(order, to: .ready, id: "k2")
        try server.wait(for: "everybody to know") {
            kitchen.answers.count == 2 && [kitchen, waiter, manager].allSatisfy { $0.events.count == 2 }
        }
        #expect(kitchen.answers.map { $0["type"].string } == ["ack", "ack"])
        #expect(kitchen.answers.map { $0["data"]["seq"].integer } == [head + 1, head + 2])
        let cook = try person("liam@casa-azul.example", in: database).user
        for tablet in [kitchen, waiter, manager] {
            #expect(tablet.events.map { $0["type"].string } == ["order.status_changed", "order.status_changed"])
            #expect(tablet.events.map { $0["seq"].integer } == [head + 1, head + 2])
            #expect(tablet.events.map { $0["data"]["old_status"].string } == ["confirmed", "preparing"])
            #expect(tablet.events.map { $0["data"]["status"].string } == ["preparing", "ready"])
            #expect(tablet.events.allSatisfy { $0["data"]["order_id"].string == order.description })
            #expect(tablet.events.allSatisfy { $0["data"]["order_number"].string == orderRow.string(1) })
            #expect(tablet.events.allSatisfy { $0["data"]["updated_by"].string == cook.id.description })
        }
        let after = try #require(try database.run("select status, version from orders where id = '\(order)'").first)
        #expect(after.string(0) == "ready")
        #expect(after.integer(1) == version + 2)

        // A row changed by hand, by a program that knows nothing of tablets.
        try database.run("update orders set status = 'served' where id = '\(order)'")
        try server.wait(for: "the waiter to see it") { waiter.events.count == 3 }
        #expect(waiter.events[2]["data"]["status"].string == "served")
        #expect(elsewhere.messages.count == 1)

        // The menu: cold, warm, and after it was declared out of date.
        let page = MenuPageRequest(restaurant: casaAzul, category: nil, page: 1, limit: 100, includesInactive: false)
        let redis = try RedisUser(server.loop, try TestDatabase.variable("FYNLO_TEST_REDIS_URL"))
        try redis.open()
        _ = try redis.ask("DEL", .text(RedisKeys.menu(.page(page))))
        let token = try person("jose@casa-azul.example", in: database).token
        func menu() throws -> HTTPResponse {
            let answer = try server.request(
                .get, "/api/v1/menu?restaurant_id=\(casaAzul)&limit=100", token: token)
            #expect(answer.status == 200)
            return answer
        }
        let cold = try menu()
        #expect(cold.headers.first("x-cache") == "MISS")
        let products = try Document(cold.body).elements
        #expect(products.count == Int(cold.headers.first("x-total-count") ?? ""))
        #expect(products.contains { $0["name"].string == "Taco al Pastor" })
        let warm = try menu()
        #expect(warm.headers.first("x-cache") == "HIT")
        #expect(warm.body == cold.body)
        #expect(warm.headers.first("etag") == cold.headers.first("etag"))
        let invalidated = try server.request(
            .post, "/api/v1/menu/cache/invalidate?restaurant_id=\(casaAzul)", token: token)
        #expect(invalidated.status == 200)
        let anew = try menu()
        #expect(anew.headers.first("x-cache") == "MISS")
        #expect(anew.body == cold.body)
        let stranger = try person("eleni@elia-karvouno.example", in: database).token
        let refused = try server.request(
            .post, "/api/v1/menu/cache/invalidate?restaurant_id=\(casaAzul)", token: stranger)
        #expect(refused.status == 403)
        #expect(elsewhere.messages.count == 1)
    }
}
