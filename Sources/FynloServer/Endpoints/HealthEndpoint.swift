// Is the server alive, and can it serve? For load balancers, operators and the curious.

import FynloCore
import FynloIO

/// Answers /health and its relatives.
final class HealthEndpoint {
    private let loop: EventLoop
    private let hub: Hub
    private let pool: PostgresPool
    private let redis: RedisConnection?
    private let leases: Leases
    private let started: Instant
    /// Who waits for the question that is under way.
    private var waiting: [(Finding) -> Void] = []

    /// What is known of the database.
    struct Finding {
        let postgres: String
        let migrations: String

        /// Postgres has answered, and that is why they cannot be served.
        var lacksMigrations: Bool { postgres == "ok" && migrations == "missing" }

        /// Requests can be served.
        var isReady: Bool { postgres == "ok" && migrations == "current" }
    }

    private static let applied = PostgresStatement(
        name: "health", sql: "select coalesce(max(version), 0) from fynlo_migrations")

    init(loop: EventLoop, hub: Hub, pool: PostgresPool, redis: RedisConnection?, leases: Leases) {
        self.loop = loop
        self.hub = hub
        self.pool = pool
        self.redis = redis
        self.leases = leases
        started = loop.now.instant
    }

    /// `GET /health/live`: the loop turns.
    func live() -> HTTPResponse {
        HealthEndpoint.response(200, "{\"status\":\"ok\"}")
    }

    /// `GET /health/ready` and `GET /health`: can requests be served? The summary has numbers besides.
    func ready(isSummary: Bool, reply: @escaping (HTTPResponse) -> Void) {
        ask { [unowned self] finding in reply(response(finding, isSummary: isSummary)) }
    }

    /// Asks Postgres. Anybody may ask, so those who ask while it is being asked share its answer.
    func ask(_ reply: @escaping (Finding) -> Void) {
        waiting.append(reply)
        guard waiting.count == 1 else { return }
        pool.send(HealthEndpoint.applied, [], .shortRead) { [weak self] result in
            guard let self else { return }
            let finding = HealthEndpoint.finding(result)
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
            // There is no ledger: reachable, but not migrated.
            return Finding(postgres: "ok", migrations: "missing")
        case .failure:
            return Finding(postgres: "unavailable", migrations: "unknown")
        }
    }

    private func response(_ finding: Finding, isSummary: Bool) -> HTTPResponse {
        let isReady = finding.isReady
        let redis = self.redis.map { $0.isReady ? "ok" : "unavailable" } ?? "not configured"
        var body = "{\"status\":\"\(isReady ? "ok" : "unavailable")\",\"postgres\":\"\(finding.postgres)\""
        body += ",\"migrations\":\"\(finding.migrations)\",\"redis\":\"\(redis)\""
        if isSummary {
            let uptime = (loop.now.instant - started).inMilliseconds / 1000
            body += ",\"limits\":\"\(leases.isShared ? "shared" : "node")\""
            body += ",\"version\":\"\(fynloVersion)\",\"uptime_seconds\":\(uptime)"
            body += ",\"connections\":\(hub.connectionCount),\"tablets\":\(hub.tabletCount)"
        }
        var response = HealthEndpoint.response(isReady ? 200 : 503, body + "}")
        if !isReady { response.headers.append("Retry-After", "1") }
        return response
    }

    private static func response(_ status: Int, _ body: String) -> HTTPResponse {
        var response = HTTPResponse(status: status, body: Array(body.utf8))
        response.headers.append("Content-Type", "application/json")
        response.headers.append("Cache-Control", "no-store")
        return response
    }
}
