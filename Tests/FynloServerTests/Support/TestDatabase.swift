import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

/// A schema of its own in the tests' PostgreSQL, migrated, dropped with the value.
final class TestDatabase {
    let url: String
    let session: PostgresSession
    private let schema: String
    /// Unlike that of any other.
    var name: String { schema }

    /// The tests need `scripts/test`, which starts the databases and names them in the environment.
    static func variable(_ name: String) throws -> String {
        try #require(CommandLine.environment[name], "\(name) is not set: run the tests by scripts/test")
    }

    static func randomUUID() -> UUID128 {
        let bytes = ProcessSetup.randomBytes(16).map(UInt64.init)
        let high = bytes[..<8].reduce(0) { $0 << 8 | $1 }
        let low = bytes[8...].reduce(0) { $0 << 8 | $1 }
        return UUID128(high: high & ~0xf000 | 0x4000, low: low & ~(3 << 62) | 1 << 63)
    }

    /// `isMigrated: false` leaves the schema empty.
    init(isMigrated: Bool = true) throws {
        let base = try TestDatabase.variable("FYNLO_TEST_DATABASE_URL")
        schema = "test_" + TestDatabase.randomUUID().description.replacing("-", with: "")
        let separator = base.contains("?") ? "&" : "?"
        // The servers' connections are told by their name from those of other tests.
        url = base + separator + "application_name=\(schema)&options=-csearch_path%3D" + schema
        session = try PostgresSession(
            PostgresSettings(
                url: base + separator + "options=-csearch_path%3D" + schema, queryTimeout: .seconds(60), role: .tool))
        try run("create schema \(schema)")
        if isMigrated { try MigrationRunner(session: session).up { _ in } }
    }

    deinit {
        _ = session.execute("drop schema \(schema) cascade")
    }

    /// Runs statements; the last one's rows.
    @discardableResult
    func run(_ sql: String) throws -> PostgresResult {
        try session.execute(sql).get()
    }

    /// The first column of the first row.
    func value(_ sql: String) throws -> String? {
        try run(sql).first?.string(0)
    }

    /// A second connection, for what happens at the same time.
    func anotherSession() throws -> PostgresSession {
        try PostgresSession(PostgresSettings(url: url, queryTimeout: .seconds(60), role: .tool))
    }

    /// Ends every connection of the servers that use this database, as when it is restarted, and waits for their end.
    func terminateServers() throws {
        try run(
            """
            select pg_terminate_backend(pid, 5000) from pg_stat_activity
            where application_name = '\(schema)' and pid <> pg_backend_pid()
            """)
    }

    /// Statements of the servers that use this database and have not come to their end.
    func runningStatements() throws -> Int {
        let count = try value(
            "select count(*) from pg_stat_activity where application_name = '\(schema)' and state = 'active'")
        return try #require(count.flatMap { Int($0) })
    }

    // MARK: Rows

    func addRestaurant(isActive: Bool = true) throws -> RestaurantID {
        let id = RestaurantID(TestDatabase.randomUUID())
        try run("insert into restaurants (id, name, is_active) values ('\(id)', 'Casa \(id)', \(isActive))")
        return id
    }

    func addUser(_ role: Role, at restaurant: RestaurantID?, isActive: Bool = true) throws -> TestUser {
        let user = TestUser(id: UserID(TestDatabase.randomUUID()))
        let home = restaurant.map { "'\($0)'" } ?? "null"
        try run(
            """
            insert into users (id, supabase_id, email, full_name, role, restaurant_id, is_active)
            values ('\(user.id)', '\(user.subject)', '\(user.id)@example.com', 'Test', '\(role.rawValue)', \(home), \(isActive))
            """)
        return user
    }

    func addOrder(at restaurant: RestaurantID, status: OrderStatus = .draft) throws -> OrderID {
        let id = OrderID(TestDatabase.randomUUID())
        try run(
            "insert into orders (id, restaurant_id, status) values ('\(id)', '\(restaurant)', '\(status.rawValue)')")
        return id
    }
}

/// A user as the tests know them.
struct TestUser {
    let id: UserID
    var subject: String { "subject-\(id)" }

    static let secret = Array("a secret of the tests, 32 bytes long".utf8)

    /// A token, valid for an hour unless told otherwise.
    func token(expiresIn seconds: Int64 = 3_600, secret: [UInt8] = TestUser.secret) -> String {
        TokenCommand.makeToken(
            subject: subject, expiresAt: SystemClock.now.unixTime.seconds + seconds, secret: secret)
    }
}
