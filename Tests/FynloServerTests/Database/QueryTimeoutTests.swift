import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Requests when the database is slow or away")
struct QueryTimeoutTests {
    private static let sentence = "Database query timeout - please try again"

    @Test(
        "are 504 when a statement runs longer than FYNLO_QUERY_TIMEOUT, which Postgres has cancelled by then",
        arguments: ["a lock", "a slow statement"])
    func timeout(cause: String) throws {
        let server = try TestServer(["FYNLO_QUERY_TIMEOUT": "300ms", "REDIS_URL": ""]) {
            $0.limits.menuCopiesBytes = 0
        }
        let menu = try TestMenu(on: server)
        try menu.addProduct("water")
        #expect(try menu.page().status == 200)
        var lock: RowLock?
        if cause == "a lock" {
            lock = try RowLock("lock table products in access exclusive mode", in: server.database)
        } else {
            try server.database.run(
                """
                create or replace function fynlo_timestamp(p_instant timestamptz) returns text
                language sql volatile as $$ select pg_sleep(10)::text $$
                """)
        }
        let start = SystemClock.instant
        let answer = try menu.page()
        let took = SystemClock.instant - start
        let problem = try expectProblem(answer, 504, code: "query_timeout")
        #expect(problem["detail"].string == QueryTimeoutTests.sentence)
        #expect(answer.headers.first("retry-after") != nil)
        #expect((.milliseconds(200)...(.seconds(2))).contains(took))
        #expect(try server.database.runningStatements() == 0)
        // The connection is as good as new, and other requests were never held up.
        #expect(try server.request(.get, "/health/ready").status == 200)
        if let lock {
            lock.release()
            #expect(try menu.page().status == 200)
        }
    }

    @Test("hold up nobody else while they wait")
    func others() throws {
        let server = try TestServer(["REDIS_URL": ""])
        let menu = try TestMenu(on: server)
        let order = try server.database.addOrder(at: menu.restaurant)
        let tablet = try server.staffTablet(at: menu.restaurant)
        let lock = try RowLock("lock table products in access exclusive mode", in: server.database)
        let waiting = try TestExchange(loop: server.loop, address: server.address)
        waiting.send(
            .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)", headers: ["Authorization": "Bearer \(menu.token)"])
        try server.wait(for: "the lock to be met") { lock.isInTheWay }
        tablet.update(order, to: .ready, id: "c1")
        try server.wait(for: "an answer") { tablet.answers.count == 1 }
        #expect(tablet.answers[0]["type"].string == "ack")
        _ = try server.staffTablet(at: menu.restaurant)
        #expect(try server.request(.get, "/health/ready").status == 200)
        #expect(waiting.responses.isEmpty)
        lock.release()
        try server.wait(for: "the page") { waiting.responses.count == 1 }
        #expect(waiting.responses[0].status == 200)
    }

    @Test("are 503 with Retry-After when Postgres cannot be reached")
    func unreachable() throws {
        let server = try TestServer(["DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"])
        let restaurant = RestaurantID(TestDatabase.randomUUID())
        let token = TestUser(id: UserID(TestDatabase.randomUUID())).token()
        for (method, target) in HTTPErrorTests.endpoints {
            let start = SystemClock.instant
            let answer = try server.request(
                method, target.replacing("RESTAURANT", with: restaurant.description), token: token)
            let problem = try expectProblem(answer, 503, code: "unavailable")
            #expect(Int(answer.headers.first("retry-after") ?? "") ?? 0 >= 1)
            #expect(problem["detail"].string?.contains("secret") == false)
            #expect(SystemClock.instant - start < .seconds(1))
            // Whoever is not known is told so without the database.
            try expectProblem(try server.request(method, target, token: "nonsense"), 401)
        }
    }

    @Test("are 503 when the connection is lost with the statement under way, and good again after it")
    func connectionLost() throws {
        let server = try TestServer(["REDIS_URL": ""])
        let menu = try TestMenu(on: server)
        let lock = try RowLock("lock table products in access exclusive mode", in: server.database)
        let waiting = try TestExchange(loop: server.loop, address: server.address)
        waiting.send(
            .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)", headers: ["Authorization": "Bearer \(menu.token)"])
        try server.wait(for: "the lock to be met") { lock.isInTheWay }
        try lock.terminateWaiting()
        try server.wait(for: "an answer") { waiting.responses.count == 1 }
        try expectProblem(waiting.responses[0], 503, code: "unavailable")
        lock.release()
        #expect(try menu.page().status == 200)
    }

    @Test("are 500 without a word of the database when it is not as it should be")
    func broken() throws {
        let server = try TestServer(["REDIS_URL": "", "FYNLO_LOG": "error"])
        let menu = try TestMenu(on: server)
        try server.database.run("alter table products rename to dishes")
        let problem = try expectProblem(try menu.page(), 500, code: "internal_error")
        #expect(problem["detail"].string?.contains("products") == false)
        try server.database.run("alter table dishes rename to products")
        #expect(try menu.page().status == 200)
    }
}
