// Applies migrations, each in a transaction of its own, one process at a time, and records them in a ledger.
//
//     fynlo_migrations (version, name, checksum, applied_at): the ledger

/// Why the schema could not be migrated.
enum MigrationError: Error, Equatable, CustomStringConvertible {
    case postgres(PostgresError)
    /// Tables with Fynlo's names exist, but no ledger.
    case foreignDatabase(table: String)
    /// An applied migration differs from this program's.
    case edited(version: Int)
    /// The database is ahead of this program.
    case unknown(version: Int)
    /// There is no migration to revert.
    case nothingToUndo

    var description: String {
        switch self {
        case .postgres(let error): error.description
        case .foreignDatabase(let table):
            "DATABASE_URL names a database that already has a table called \(table) but was not made by fynlo-server; use an empty database."
        case .edited(let version):
            "Migration \(version) was applied with other contents than this program has; run the program it was applied by."
        case .unknown(let version):
            "The database has migration \(version), which this program does not know; run a newer fynlo-server."
        case .nothingToUndo: "No migration is applied, so there is none to take back."
        }
    }
}

/// The schema of one database.
struct MigrationRunner {
    private let session: PostgresSession
    private let migrations: [Migration]

    /// The number of the advisory lock, unlikely to be used elsewhere: "fynlo" in ASCII.
    private static let lockKey = 0x66_79_6e_6c_6f

    init(session: PostgresSession, migrations: [Migration] = Migration.all) {
        self.session = session
        self.migrations = migrations
    }

    /// A migration and the time when it was applied; `nil` if it was not.
    struct Status {
        let migration: Migration
        let appliedAt: String?
    }

    /// Applies the missing migrations and reports each. Several processes may do so at once: one works, the others wait.
    func up(progress: (Migration) -> Void) throws(MigrationError) {
        try locked { () throws(MigrationError) in
            try prepare()
            let applied = try ledger()
            for migration in migrations where applied[migration.version] == nil {
                try transaction { () throws(MigrationError) in
                    try run(migration.up)
                    try run(
                        "insert into fynlo_migrations (version, name, checksum) values ($1::integer, $2::text, $3::text)",
                        [.integer(Int64(migration.version)), .text(migration.name), .text(migration.checksum)])
                }
                progress(migration)
            }
        }
    }

    /// Reverts the newest migration.
    func down(progress: (Migration) -> Void) throws(MigrationError) {
        try locked { () throws(MigrationError) in
            try prepare()
            let applied = try ledger()
            guard let migration = migrations.last(where: { applied[$0.version] != nil }) else {
                throw .nothingToUndo
            }
            try transaction { () throws(MigrationError) in
                try run(migration.down)
                try run(
                    "delete from fynlo_migrations where version = $1::integer", [.integer(Int64(migration.version))])
            }
            progress(migration)
        }
    }

    /// The applied and the missing migrations; changes nothing.
    func status() throws(MigrationError) -> [Status] {
        let applied = try hasLedger() ? ledger() : [:]
        return migrations.map { Status(migration: $0, appliedAt: applied[$0.version]) }
    }

    /// Makes the ledger if it is missing, and refuses to work on the tables of another program.
    private func prepare() throws(MigrationError) {
        if try hasLedger() { return }
        let ours =
            "'restaurants','users','user_restaurants','categories','products','product_modifiers'"
            + ",'product_variants','orders','order_items','restaurant_streams','processed_commands','restaurant_events'"
        let found = try run(
            "select table_name from information_schema.tables where table_schema = current_schema() and table_name in (\(ours)) order by 1"
        )
        if let table = found.first?.string(0) { throw .foreignDatabase(table: table) }
        try run(
            """
            create table fynlo_migrations (
                version integer primary key, name text not null, checksum text not null,
                applied_at timestamptz not null default now())
            """)
    }

    private func hasLedger() throws(MigrationError) -> Bool {
        try run("select to_regclass('fynlo_migrations') is not null").first?.boolean(0) ?? false
    }

    /// The time of each applied version, after a check against this program's migrations.
    private func ledger() throws(MigrationError) -> [Int: String] {
        var applied: [Int: String] = [:]
        for row in try run("select version, checksum, applied_at from fynlo_migrations order by version").rows {
            guard let version = row.integer(0).map({ Int($0) }) else { continue }
            guard let migration = migrations.first(where: { $0.version == version }) else {
                throw .unknown(version: version)
            }
            guard migration.checksum == row.string(1) else { throw .edited(version: version) }
            applied[version] = row.string(2)
        }
        return applied
    }

    private func locked(_ body: () throws(MigrationError) -> Void) throws(MigrationError) {
        try run("select pg_advisory_lock($1::bigint)", [.integer(Int64(MigrationRunner.lockKey))])
        let outcome = Result { () throws(MigrationError) in try body() }
        // The lock ends with the connection in any case.
        try run("select pg_advisory_unlock($1::bigint)", [.integer(Int64(MigrationRunner.lockKey))])
        try outcome.get()
    }

    private func transaction(_ body: () throws(MigrationError) -> Void) throws(MigrationError) {
        try run("begin")
        do {
            try body()
            try run("commit")
        } catch {
            // The first error is reported; a connection that cannot roll back is closed when the program ends.
            _ = session.execute("rollback")
            throw error
        }
    }

    @discardableResult
    private func run(_ sql: String, _ parameters: [PostgresValue] = []) throws(MigrationError) -> PostgresResult {
        let result = parameters.isEmpty ? session.execute(sql) : session.query(sql, parameters)
        switch result {
        case .success(let rows): return rows
        case .failure(let error): throw .postgres(error)
        }
    }
}
