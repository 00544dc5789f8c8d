import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Health")
struct HealthTests {
    /// An answer of /health and its relatives.
    private func health(
        _ server: TestServer, _ path: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (status: Int, body: Document) {
        let answer = try server.request(.get, path, sourceLocation: sourceLocation)
        #expect(answer.headers.first("content-type") == "application/json", sourceLocation: sourceLocation)
        #expect(answer.headers.first("cache-control") == "no-store", sourceLocation: sourceLocation)
        return (answer.status, try Document(answer.body))
    }

    /// Asks until the answer is the one waited for: connections are made in the background.
    private func waitForReady(_ server: TestServer, redis: String) throws -> Document {
        let deadline = server.loop.now.instant + .seconds(10)
        while server.loop.now.instant < deadline {
            let (status, body) = try health(server, "/health/ready")
            if status == 200, body["redis"].string == redis { return body }
            try server.settle(.milliseconds(10))
        }
        Issue.record("not ready with Redis \(redis)")
        return .null
    }

    @Test("is good when Postgres and Redis are there")
    func good() throws {
        let server = try TestServer()
        #expect(try health(server, "/health/live") == (200, .object(["status": .string("ok")])))
        let ready = try waitForReady(server, redis: "ok")
        #expect(
            ready
                == .object([
                    "status": .string("ok"), "postgres": .string("ok"), "migrations": .string("current"),
                    "redis": .string("ok"),
                ]))
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        let (status, summary) = try health(server, "/health")
        #expect(status == 200)
        #expect(summary["status"].string == "ok")
        #expect(["shared", "node"].contains(summary["limits"].string))
        #expect(summary["version"].string == fynloVersion)
        #expect(summary["tablets"].integer == 1)
        #expect((summary["connections"].integer ?? 0) >= 2)
        #expect((summary["uptime_seconds"].integer ?? -1) >= 0)
        #expect(!tablet.isClosed)
        #expect(try server.request(.head, "/health/ready").status == 200)
    }

    @Test("needs no Redis", arguments: [("", "not configured"), ("redis://127.0.0.1:1", "unavailable")])
    func withoutRedis(url: String, redis: String) throws {
        let server = try TestServer(["REDIS_URL": url])
        let ready = try waitForReady(server, redis: redis)
        #expect(ready["status"].string == "ok")
    }

    @Test("is bad without Postgres, though the program lives")
    func withoutPostgres() throws {
        let server = try TestServer(["DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"])
        for path in ["/health/ready", "/health"] {
            let (status, body) = try health(server, path)
            #expect(status == 503)
            #expect(body["status"].string == "unavailable")
            #expect(body["postgres"].string == "unavailable")
            #expect(body["migrations"].string == "unknown")
            #expect(try server.request(.get, path).headers.first("retry-after") != nil)
            // Nothing that an outsider could use.
            #expect(!String(decoding: try server.request(.get, path).body, as: UTF8.self).contains("127.0.0.1"))
        }
        #expect(try health(server, "/health/live").status == 200)
    }

    @Test("is bad while migrations are missing")
    func withoutMigrations() throws {
        let database = try TestDatabase(isMigrated: false)
        let server = try TestServer(database: database)
        let (status, body) = try health(server, "/health/ready")
        #expect(status == 503)
        #expect(body["postgres"].string == "ok")
        #expect(body["migrations"].string == "missing")
        try MigrationRunner(session: database.session).up { _ in }
        let migrated = try health(server, "/health/ready")
        #expect(migrated.status == 200)
        #expect(migrated.body["migrations"].string == "current")
    }

    @Test("comes and goes with Postgres")
    func recovery() throws {
        let server = try TestServer()
        #expect(try waitForReady(server, redis: "ok")["postgres"].string == "ok")
        try server.database.terminateServers()
        _ = try waitForReady(server, redis: "ok")
    }

    @Test("asks Postgres once for many who ask at the same time")
    func shared() throws {
        let database = try TestDatabase()
        // A ledger that counts how often it is read.
        try database.run(
            """
            create sequence readings;
            alter table fynlo_migrations rename to ledger;
            create function count_reading() returns bigint language sql volatile as $$ select nextval('readings') $$;
            create view fynlo_migrations as select l.* from ledger l, (select count_reading() as n offset 0) as c
            """)
        let server = try TestServer(database: database)
        _ = try health(server, "/health/ready")
        let before = try #require(try database.value("select last_value from readings").flatMap { Int($0) })
        let clients = try (0..<200).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        for client in clients { client.send(.get, "/health/ready") }
        try server.wait(for: "all answers") { clients.allSatisfy { !$0.responses.isEmpty } }
        #expect(clients.allSatisfy { $0.responses[0].status == 200 })
        let after = try #require(try database.value("select last_value from readings").flatMap { Int($0) })
        #expect((1...100).contains(after - before))
    }
}
