// Does PostgreSQL answer, and does it have every migration of this program?

import FynloCore

/// Asks the database whether requests can be served.
final class DatabaseHealth {
    /// What one question found.
    struct Finding {
        let postgres: String
        let migrations: String

        /// Postgres answers, but requests cannot be served because migrations are missing.
        var lacksMigrations: Bool { postgres == "ok" && migrations == "missing" }

        /// Requests can be served.
        var isReady: Bool { postgres == "ok" && migrations == "current" }
    }

    private let pool: PostgresPool
    /// Those who wait for the answer to the question that is under way.
    private var waiting: [(Finding) -> Void] = []

    private static let newestMigration = PostgresStatement(
        name: "health", sql: "select coalesce(max(version), 0) from fynlo_migrations")

    init(pool: PostgresPool) {
        self.pool = pool
    }

    /// Asks Postgres. Anybody may ask, so all who ask while a question is under way share its answer.
    func ask(_ reply: @escaping (Finding) -> Void) {
        waiting.append(reply)
        guard waiting.count == 1 else { return }
        pool.send(DatabaseHealth.newestMigration, [], .shortRead) { [weak self] result in
            guard let self else { return }
            let finding = DatabaseHealth.finding(result)
            let replies = self.waiting
            self.waiting = []
            for reply in replies { reply(finding) }
        }
    }

    private static func finding(_ result: Result<PostgresResult, PostgresError>) -> Finding {
        switch result {
        case .success(let rows):
            let isCurrent = rows.first?.integer(0) == Int64(Migration.latestVersion)
            return Finding(postgres: "ok", migrations: isCurrent ? "current" : "missing")
        case .failure(.server("42P01", _)):
            // The table of migrations does not exist: Postgres is reachable, but nothing has been migrated.
            return Finding(postgres: "ok", migrations: "missing")
        case .failure:
            return Finding(postgres: "unavailable", migrations: "unknown")
        }
    }
}
