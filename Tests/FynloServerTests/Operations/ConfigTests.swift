import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Configuration")
struct ConfigTests {
    private static let minimum = [
        "DATABASE_URL": "postgresql://fynlo@localhost/fynlo", "FYNLO_JWT_SECRET": "0123456789abcdef0123456789abcdef",
    ]

    private static func sentence(_ variables: [String: String], flags: [String: String] = [:]) -> String? {
        do {
            _ = try Config(environment: minimum.merging(variables) { $1 }, flags: flags)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("has the contract's defaults")
    func defaults() throws {
        let config = try Config(environment: Self.minimum)
        #expect(config.listen.description == "127.0.0.1:8000")
        #expect(config.limits.connectionsPerRestaurant == 100)
        #expect(config.limits.connectionsPerUser == 5)
        #expect(config.limits.connectionsPerAddress == 0)
        #expect(config.limits.authenticationTimeout == .seconds(10))
        #expect(config.limits.idlePing == .seconds(30))
        #expect(config.limits.staleAfter == .seconds(60))
        #expect(config.limits.sweepInterval == .seconds(30))
        #expect(config.limits.heartbeatInterval == .seconds(15))
        #expect(config.limits.tokenWarning == .seconds(300))
        #expect(config.limits.messagesPerSecond == 20)
        #expect(config.limits.messageBurst == 100)
        #expect(config.limits.messageBytes == 65_536)
        #expect(config.limits.sendQueueBytes == 1_048_576)
        #expect(config.http.bodyBytes == 1_048_576)
        #expect(config.queryTimeout == .seconds(5))
        #expect(config.drainTimeout == .seconds(20))
        #expect(config.tokens.policy.leeway == .seconds(30))
        #expect(config.idempotencyWindow == .seconds(7 * 86_400))
        #expect(config.eventRetention == .seconds(7 * 86_400))
        #expect(config.limits.unauthenticatedConnections == config.limits.connections / 4)
        #expect(!config.migratesAtStart && !config.hasEcho && !config.allowsQueryToken)
        #expect(config.logLevel == .info)
        #expect(config.redis == nil)
        #expect(config.tls == nil)
    }

    @Test(
        "refuses a value it cannot use in one sentence that names the variable",
        arguments: [
            ("FYNLO_LISTEN", "nowhere"), ("FYNLO_LISTEN", "localhost:8000"), ("FYNLO_LISTEN", "127.0.0.1:99999"),
            ("DATABASE_URL", "mysql://x"), ("REDIS_URL", "http://x"), ("REDIS_URL", "rediss://x"),
            ("FYNLO_JWT_SECRET", "short"), ("FYNLO_JWT_LEEWAY", "30"), ("FYNLO_ALLOWED_ORIGINS", "example.com"),
            ("FYNLO_MAX_CONNECTIONS", "0"), ("FYNLO_MAX_UNAUTHENTICATED", "-1"), ("FYNLO_MAX_CONNECTIONS_PER_IP", "x"),
            ("FYNLO_MAX_CONNECTIONS_PER_RESTAURANT", "1.5"), ("FYNLO_MAX_CONNECTIONS_PER_USER", "many"),
            ("FYNLO_AUTH_TIMEOUT", "0"), ("FYNLO_IDLE_PING", "1 h"), ("FYNLO_IDLE_PING", "2m"),
            ("FYNLO_STALE_AFTER", "60"), ("FYNLO_SWEEP_INTERVAL", "99999999999999999999d"),
            ("FYNLO_HEARTBEAT_INTERVAL", "s"), ("FYNLO_TOKEN_WARNING", "-5m"), ("FYNLO_RATE_LIMIT", "0"),
            ("FYNLO_RATE_BURST", ""), ("FYNLO_MAX_MESSAGE", "1"), ("FYNLO_MAX_BODY", "1e6"), ("FYNLO_SEND_QUEUE", "0"),
            ("FYNLO_QUERY_TIMEOUT", "0ms"),
            ("FYNLO_QUERY_TIMEOUT", "30d"), ("FYNLO_DRAIN_TIMEOUT", "soon"), ("FYNLO_IDEMPOTENCY_WINDOW", "7w"),
            ("FYNLO_EVENT_RETENTION", "week"), ("FYNLO_MIGRATE", "yes"), ("FYNLO_LOG", "loud"),
            ("FYNLO_LOG_FORMAT", "xml"), ("FYNLO_ECHO", "2"), ("FYNLO_ALLOW_QUERY_TOKEN", "on"),
            ("FYNLO_TRUSTED_PROXIES", "10.0.0.0/33"), ("FYNLO_TLS_CERT", "/etc/cert.pem"),
            ("FYNLO_TLS_KEY", "/etc/key.pem"),
            ("FYNLO_ADMIN_LISTEN", "localhost"), ("FYNLO_ADMIN_LISTEN", "127.0.0.1:8000"),
        ])
    func refusals(name: String, value: String) throws {
        guard !value.isEmpty else {
            #expect(Self.sentence([name: value]) == nil, "an empty variable counts as not set")
            return
        }
        let sentence = try #require(Self.sentence([name: value]))
        #expect(sentence.contains(name))
        #expect(sentence.hasSuffix("."))
        #expect(!sentence.contains("\n"))
    }

    @Test("never quotes a secret")
    func secrets() throws {
        let secret = "s3cr3t-w0rd"
        for (name, value) in [
            ("DATABASE_URL", "postgresql://user:\(secret)@host/db?nonsense=1"),
            ("DATABASE_URL", "nonsense \(secret)"),
            ("DATABASE_URL", "host=x password='\(secret)"),
            ("REDIS_URL", "redis://:\(secret)@host:none/0"),
            ("REDIS_URL", "rediss://:\(secret)@host"),
            ("FYNLO_JWT_SECRET", secret),
        ] {
            let sentence = try #require(Self.sentence([name: value]), "\(name) is refused")
            #expect(!sentence.contains(secret))
            #expect(sentence.contains(name))
        }
    }

    @Test("flags override variables; secrets have none")
    func flags() throws {
        let flags = try Flags(["--listen", "127.0.0.1:9000", "--rate-limit=7"])
        let config = try Config(
            environment: Self.minimum.merging(["FYNLO_LISTEN": "127.0.0.1:1"]) { $1 }, flags: flags.values)
        #expect(config.listen.description == "127.0.0.1:9000")
        #expect(config.limits.messagesPerSecond == 7)
        for arguments in [
            ["--jwt-secret", "x"], ["--database-url=x"], ["--redis-url", "x"], ["--unknown", "1"], ["--listen"],
            ["listen"],
        ] {
            #expect(throws: UsageError.self) { try Flags(arguments) }
        }
    }

    @Test(
        "reads durations with their unit",
        arguments: [
            ("0", Duration.zero), ("1ms", .milliseconds(1)), ("500ms", .milliseconds(500)), ("30s", .seconds(30)),
            ("5m", .seconds(300)), ("2h", .seconds(7_200)), ("7d", .seconds(604_800)), ("", nil), ("5", nil),
            ("s", nil), ("-1s", nil), ("1.5s", nil), ("1 s", nil), ("1S", nil), ("9223372036854775807d", nil),
        ] as [(String, Duration?)])
    func durations(text: String, duration: Duration?) {
        #expect(Duration(text: text) == duration)
    }
}
