// check: tests whether `serve` would work here. It prints one line per part, and exits with 1 if any of them fails.

import FynloCore
import FynloIO

enum CheckCommand {
    static func run(_ flags: Flags) throws -> Int32 {
        var isFine = true
        func report(_ part: String, _ problem: String?) {
            printOut("\(part): \(problem ?? "ok")\n")
            if problem != nil { isFine = false }
        }
        let environment = try ProcessEnvironment.take()
        var config: Config?
        do {
            config = try Config(environment: environment, flags: flags.values)
            let hasKey = config?.tokens.secret != nil || config?.tokens.keySetPath != nil
            report("configuration", hasKey ? nil : "neither FYNLO_JWT_SECRET nor FYNLO_JWT_JWKS_FILE is set.")
        } catch {
            report("configuration", error.description)
        }
        if let config {
            report("keys", problem { _ = try config.tokens.loadKeys() })
            if let tls = config.tls { report("certificates", problem { _ = try tls.load() }) }
        }
        report("postgres", postgresProblem(environment))
        if let redis = config?.redis {
            report("redis", try redisProblem(redis))
        } else if config != nil {
            printOut("redis: not configured; there is no shared cache\n")
        }
        return isFine ? ExitCode.done : ExitCode.failed
    }

    private static func problem(_ attempt: () throws -> Void) -> String? {
        do {
            try attempt()
            return nil
        } catch {
            return String(describing: error)
        }
    }

    private static func postgresProblem(_ environment: [String: String]) -> String? {
        do {
            let settings = try Config.postgres(environment: environment, role: .tool)
            let runner = MigrationRunner(session: try PostgresSession(settings))
            let missing = try runner.status().count { $0.appliedAt == nil }
            return missing == 0 ? nil : "reachable, but \(missing) migrations are missing; run fynlo-server migrate up."
        } catch {
            return String(describing: error)
        }
    }

    private static func redisProblem(_ settings: RedisSettings) throws -> String? {
        let loop = try EventLoop()
        defer { loop.close() }
        var reasons: [String] = []
        let redis = RedisConnection(loop: loop, settings: settings) { event, text in reasons.append("\(event): \(text)")
        }
        redis.open()
        defer { redis.close() }
        guard try loop.run(until: { redis.isReady || !reasons.isEmpty }, for: .seconds(3)), redis.isReady else {
            return reasons.first ?? "no answer within 3 seconds"
        }
        var answer: String??
        redis.send(["PING"], budget: .seconds(1)) { result in
            switch result {
            case .success: answer = .some(nil)
            case .failure(let error): answer = String(describing: error)
            }
        }
        _ = try loop.run(until: { answer != nil }, for: .seconds(2))
        return answer ?? "no answer within 2 seconds"
    }
}
