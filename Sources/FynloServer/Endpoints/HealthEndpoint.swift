// Is the server alive, and can it serve? For load balancers and operators.

import FynloCore
import FynloIO

/// Answers `GET /health`, `GET /health/live` and `GET /health/ready`.
final class HealthEndpoint {
    private let loop: EventLoop
    private let hub: Hub
    private let database: DatabaseHealth
    private let redis: RedisConnection?
    private let leases: Leases
    private let started: Instant

    init(loop: EventLoop, hub: Hub, database: DatabaseHealth, redis: RedisConnection?, leases: Leases) {
        self.loop = loop
        self.hub = hub
        self.database = database
        self.redis = redis
        self.leases = leases
        started = loop.now.instant
    }

    /// `GET /health/live`: the loop turns.
    func live() -> HTTPResponse {
        .json(200, Array("{\"status\":\"ok\"}".utf8))
    }

    /// `GET /health/ready` and `GET /health`: can requests be served? Only the summary contains numbers.
    func ready(isSummary: Bool, reply: @escaping (HTTPResponse) -> Void) {
        database.ask { [unowned self] finding in reply(response(finding, isSummary: isSummary)) }
    }

    private func response(_ finding: DatabaseHealth.Finding, isSummary: Bool) -> HTTPResponse {
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
        var response = HTTPResponse.json(isReady ? 200 : 503, Array((body + "}").utf8))
        if !isReady { response.headers.append("Retry-After", "1") }
        return response
    }
}
