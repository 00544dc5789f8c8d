// Is the server alive, and can it serve? For load balancers, operators and the curious.

import FynloCore
import FynloIO

/// Answers /health and its relatives.
final class HealthHandler {
    private let loop: EventLoop
    private let hub: Hub
    private let pool: PostgresPool
    private let redis: RedisConnection?
    private let started: Instant

    private static let applied = PostgresStatement(
        name: "health", sql: "select coalesce(max(version), 0) from fynlo_migrations")

    init(loop: EventLoop, hub: Hub, pool: PostgresPool, redis: RedisConnection?) {
        self.loop = loop
        self.hub = hub
        self.pool = pool
        self.redis = redis
        started = loop.now.instant
    }

    /// `GET /health/live`: the loop turns.
    func live() -> HTTPResponse {
        HealthHandler.response(200, "{\"status\":\"ok\"}")
    }

    /// `GET /health/ready` and `GET /health`: can requests be served? The summary has numbers besides.
    func ready(isSummary: Bool, reply: @escaping (HTTPResponse) -> Void) {
        pool.send(HealthHandler.applied, [], .shortRead) { [weak self] result in
            guard let self else { return }
            var postgres = "unavailable"
            var migrations = "unknown"
            switch result {
            case .success(let rows):
                postgres = "ok"
                migrations = rows.first?.integer(0) == Int64(Migration.latestVersion) ? "current" : "missing"
            case .failure(.server("42P01", _)):
                // There is no ledger: reachable, but not migrated.
                postgres = "ok"
                migrations = "missing"
            case .failure: break
            }
            let isReady = postgres == "ok" && migrations == "current"
            let redis = self.redis.map { $0.isReady ? "ok" : "unavailable" } ?? "not configured"
            var body = "{\"status\":\"\(isReady ? "ok" : "unavailable")\",\"postgres\":\"\(postgres)\""
            body += ",\"migrations\":\"\(migrations)\",\"redis\":\"\(redis)\""
            if isSummary {
                let uptime = (self.loop.now.instant - self.started).inMilliseconds / 1000
                body += ",\"version\":\"\(fynloVersion)\",\"uptime_seconds\":\(uptime)"
                body += ",\"connections\":\(self.hub.connectionCount),\"tablets\":\(self.hub.tabletCount)"
            }
            var response = HealthHandler.response(isReady ? 200 : 503, body + "}")
            if !isReady { response.headers.append("Retry-After", "1") }
            reply(response)
        }
    }

    private static func response(_ status: Int, _ body: String) -> HTTPResponse {
        var response = HTTPResponse(status: status, body: Array(body.utf8))
        response.headers.append("Content-Type", "application/json")
        response.headers.append("Cache-Control", "no-store")
        return response
    }
}
