// The configuration: environment variables and flags, read once into typed settings, or refused in one sentence that names
// the variable.

import FynloCore
import FynloIO
import Glibc

/// The settings of one server.
struct Config {
    var listen: SocketAddress
    /// FYNLO_ADMIN_LISTEN: the operations listener; `nil`: its paths are served at `listen`.
    var operationsListen: SocketAddress?
    var postgres: PostgresSettings
    var redis: RedisSettings?
    var tokens: TokenSettings
    var tls: TLSSettings?
    var limits: Limits
    var http: HTTPLimits
    /// How long a request waits for Redis before it goes on without it. No variable.
    var redisBudget = Duration.milliseconds(50)
    /// How long a node keeps its connection slots. No variable, since all nodes have to agree.
    var leaseTerms = LeaseTerms()
    /// Begins the keys and channels that nodes share; 1 is the version of what they say to each other. No variable.
    var redisKeyPrefix = "fynlo:\(NodeMessage.version):"
    /// The interval between two pulses: less than a second, so that what a lost hint told is found within one. No variable.
    var pulseInterval = Config.pulseInterval
    static let pulseInterval = Duration.milliseconds(900)
    /// The length of each sample of the last quarter of an hour: no variable, since the samples of all nodes are added up.
    var activityInterval = Duration.seconds(15)
    var allowedOrigins: [String]
    var trustedProxies: TrustedProxies
    var allowsQueryToken: Bool
    var hasEcho: Bool
    var queryTimeout: Duration
    var drainTimeout: Duration
    var idempotencyWindow: Duration
    var eventRetention: Duration
    var migratesAtStart: Bool
    var logLevel: Logger.Level
    var logFormat: Logger.Format

    /// How tokens are checked.
    struct TokenSettings {
        /// FYNLO_JWT_SECRET, the key of HS256; `nil` if there is none.
        var secret: [UInt8]?
        /// FYNLO_JWT_JWKS_FILE, the keys of ES256 and RS256; `nil` if there are none.
        var keySetPath: String?
        var policy: TokenPolicy

        fileprivate init(_ source: Source) throws(ConfigError) {
            secret = source.text("FYNLO_JWT_SECRET").map { Array($0.utf8) }
            keySetPath = source.text("FYNLO_JWT_JWKS_FILE")
            policy = TokenPolicy(
                audience: source.text("FYNLO_JWT_AUDIENCE"), issuer: source.text("FYNLO_JWT_ISSUER"),
                leeway: try source.duration("FYNLO_JWT_LEEWAY", minimum: .zero))
            if let secret, secret.count < 32 {
                throw ConfigError(
                    "FYNLO_JWT_SECRET is shorter than 32 bytes; HS256 needs at least as many (RFC 7518 §3.2).")
            }
        }

        /// Reads the keys as they are now.
        func loadKeys() throws(ConfigError) -> TokenKeyring {
            var text: [UInt8]?
            if let keySetPath {
                text = File.contents(of: keySetPath, limit: 1_048_576)
                guard text != nil else { throw ConfigError("FYNLO_JWT_JWKS_FILE: \(keySetPath) cannot be read.") }
            }
            do throws(JSONWebKeySetError) {
                return try TokenKeyring(
                    secret: secret,
                    keys: text.map { text throws(JSONWebKeySetError) in
                        try JSONWebKeySet.parse(text.span)
                    } ?? [])
            } catch {
                throw ConfigError("FYNLO_JWT_JWKS_FILE: \(keySetPath ?? "") \(error.reason).")
            }
        }
    }

    /// FYNLO_TLS_CERT and FYNLO_TLS_KEY.
    struct TLSSettings {
        var certificatePath: String
        var keyPath: String

        /// `nil` if neither variable is set.
        fileprivate static func read(_ source: Source) throws(ConfigError) -> TLSSettings? {
            switch (source.text("FYNLO_TLS_CERT"), source.text("FYNLO_TLS_KEY")) {
            case (.some(let certificate), .some(let key)): TLSSettings(certificatePath: certificate, keyPath: key)
            case (nil, nil): nil
            case (.some, nil): throw ConfigError("FYNLO_TLS_CERT is set without FYNLO_TLS_KEY; set both or none.")
            case (nil, .some): throw ConfigError("FYNLO_TLS_KEY is set without FYNLO_TLS_CERT; set both or none.")
            }
        }

        /// Reads the certificates as they are now.
        func load() throws(ConfigError) -> TLSContext {
            do throws(TLSError) {
                return try TLSContext(certificatePath: certificatePath, keyPath: keyPath)
            } catch {
                throw ConfigError("FYNLO_TLS_CERT, FYNLO_TLS_KEY: \(error)")
            }
        }
    }

    /// Whether a variable's value is a secret. Secrets are not accepted as flags, since other users of the machine can read
    /// command lines.
    enum Kind { case plain, secret }

    /// One variable.
    struct Variable {
        let name: String
        let fallback: String
        let kind: Kind
        let help: String

        init(_ name: String, _ fallback: String, _ help: String, kind: Kind = .plain) {
            self.name = name
            self.fallback = fallback
            self.help = help
            self.kind = kind
        }

        /// `--listen` for FYNLO_LISTEN; `nil` for a variable that is not accepted as a flag.
        var flag: String? { kind == .plain ? spelledAsFlag : nil }

        /// The name as a flag, whether or not it is accepted as one.
        var spelledAsFlag: String {
            let stem = name.hasPrefix("FYNLO_") ? name.dropFirst("FYNLO_".count) : name[...]
            return "--" + stem.lowercased().split(separator: "_").joined(separator: "-")
        }
    }

    /// Every variable, in the order of `--help`. An empty default means "not set".
    static let variables: [Variable] = [
        Variable("FYNLO_LISTEN", "127.0.0.1:8000", "address and port to serve on"),
        Variable(
            "FYNLO_ADMIN_LISTEN", "",
            "address and port for /metrics, /health and the API's documents in plain HTTP, as 127.0.0.1:8001; unset: FYNLO_LISTEN"
        ),
        Variable("DATABASE_URL", "", "PostgreSQL, as postgresql://user:password@host:port/database", kind: .secret),
        Variable(
            "REDIS_URL", "", "shared cache, as redis://host:port/0 or unix:/path; unset: no shared cache",
            kind: .secret),
        Variable("FYNLO_JWT_SECRET", "", "key of HS256 tokens, at least 32 bytes", kind: .secret),
        Variable(
            "FYNLO_JWT_JWKS_FILE", "", "JSON Web Key Set with the issuer's ES256 and RS256 keys; HUP reads it again"),
        Variable("FYNLO_JWT_AUDIENCE", "", "required in the tokens' aud, if set"),
        Variable("FYNLO_JWT_ISSUER", "", "required as the tokens' iss, if set"),
        Variable("FYNLO_JWT_LEEWAY", "30s", "how far the issuer's clock may differ"),
        Variable(
            "FYNLO_TLS_CERT", "",
            "certificate chain in PEM form, for https and wss; unset: plain HTTP, for a proxy to encrypt"),
        Variable("FYNLO_TLS_KEY", "", "its key in PEM form, not encrypted; HUP reads both again"),
        Variable(
            "FYNLO_ALLOWED_ORIGINS", "",
            "origins whose pages may use the server, such as https://pos.example.com; unset: only its own"),
        Variable(
            "FYNLO_TRUSTED_PROXIES", "",
            "proxies whose Forwarded and X-Forwarded-For are trusted, such as 10.0.0.5,10.1.0.0/16"),
        Variable("FYNLO_MAX_CONNECTIONS", "", "open sockets, at most; unset: the limit of descriptors less 256"),
        Variable("FYNLO_MAX_UNAUTHENTICATED", "", "unauthenticated sockets, at most; unset: a quarter of the former"),
        Variable(
            "FYNLO_MAX_CONNECTIONS_PER_IP", "0",
            "open sockets per address (behind a trusted proxy, the address it names); 0: no limit"),
        Variable("FYNLO_MAX_CONNECTIONS_PER_RESTAURANT", "100", "tablets of one restaurant"),
        Variable("FYNLO_MAX_CONNECTIONS_PER_USER", "5", "tablets of one user in one restaurant"),
        Variable("FYNLO_AUTH_TIMEOUT", "10s", "time for the first message"),
        Variable("FYNLO_IDLE_PING", "30s", "silence after which the server pings"),
        Variable("FYNLO_STALE_AFTER", "60s", "silence after which a tablet is closed"),
        Variable("FYNLO_SWEEP_INTERVAL", "30s", "the longest that a stale tablet may go unnoticed"),
        Variable("FYNLO_HEARTBEAT_INTERVAL", "15s", "how often tablets are told to ping"),
        Variable("FYNLO_TOKEN_WARNING", "5m", "how long before a token expires its holder is warned"),
        Variable("FYNLO_RATE_LIMIT", "20", "messages per second on one connection"),
        Variable("FYNLO_RATE_BURST", "100", "messages at once on one connection"),
        Variable("FYNLO_MAX_MESSAGE", "65536", "bytes of one message"),
        Variable("FYNLO_MAX_BODY", "1048576", "bytes of one request's body"),
        Variable("FYNLO_SEND_QUEUE", "1048576", "bytes queued for a tablet that does not read"),
        Variable("FYNLO_QUERY_TIMEOUT", "5s", "how long a statement may run before PostgreSQL cancels it"),
        Variable("FYNLO_DRAIN_TIMEOUT", "20s", "how long a server that was asked to stop may take"),
        Variable("FYNLO_IDEMPOTENCY_WINDOW", "7d", "how long a command's answer is remembered"),
        Variable("FYNLO_EVENT_RETENTION", "7d", "how long events are kept"),
        Variable("FYNLO_MIGRATE", "0", "1: apply missing migrations at start"),
        Variable("FYNLO_LOG", "info", "debug, info, warning or error"),
        Variable("FYNLO_LOG_FORMAT", "auto", "auto, text or json; auto is text on a terminal"),
        Variable("FYNLO_ECHO", "0", "1: serve /debug/echo and /debug/json for conformance suites"),
        Variable("FYNLO_ALLOW_QUERY_TOKEN", "0", "1: accept ?token= from old clients"),
    ]

    /// Reads the configuration of `serve` and `check`. `flags` are the values of flags by variable name.
    /// Long because each variable is one statement.
    init(environment: [String: String], flags: [String: String] = [:]) throws(ConfigError) {
        let source = Source(environment: environment, flags: flags)
        listen = try source.address("FYNLO_LISTEN", source.value("FYNLO_LISTEN"))
        operationsListen = try source.text("FYNLO_ADMIN_LISTEN").map { text throws(ConfigError) in
            try source.address("FYNLO_ADMIN_LISTEN", text)
        }
        if operationsListen == listen, listen.port != 0 {
            throw ConfigError("FYNLO_ADMIN_LISTEN is the same as FYNLO_LISTEN; give it an address of its own.")
        }
        // PostgreSQL counts its time-outs in milliseconds, of which there may be 2^31; a day is shorter.
        queryTimeout = try source.duration("FYNLO_QUERY_TIMEOUT", maximum: .seconds(86_400))
        postgres = try Config.postgres(environment: environment, queryTimeout: queryTimeout)
        do {
            redis = try source.text("REDIS_URL").map { url throws(RedisError) in try RedisSettings(url) }
        } catch {
            throw ConfigError(error.description)
        }
        tokens = try TokenSettings(source)
        tls = try TLSSettings.read(source)
        limits = try Config.limits(source, tokenLeeway: tokens.policy.leeway)
        http = HTTPLimits()
        http.bodyBytes = try source.integer("FYNLO_MAX_BODY", in: 1_024...1_073_741_824)
        allowedOrigins = try Config.origins(source.text("FYNLO_ALLOWED_ORIGINS") ?? "")
        trustedProxies = try Config.proxies(source.text("FYNLO_TRUSTED_PROXIES") ?? "")
        allowsQueryToken = try source.boolean("FYNLO_ALLOW_QUERY_TOKEN")
        hasEcho = try source.boolean("FYNLO_ECHO")
        drainTimeout = try source.duration("FYNLO_DRAIN_TIMEOUT")
        idempotencyWindow = try source.duration("FYNLO_IDEMPOTENCY_WINDOW")
        eventRetention = try source.duration("FYNLO_EVENT_RETENTION")
        migratesAtStart = try source.boolean("FYNLO_MIGRATE")
        let level = source.value("FYNLO_LOG")
        guard let logLevel = Logger.Level(name: level) else {
            throw ConfigError("FYNLO_LOG has to be debug, info, warning or error, not \(level).")
        }
        self.logLevel = logLevel
        switch source.value("FYNLO_LOG_FORMAT") {
        case "auto": logFormat = isatty(STDERR_FILENO) == 1 ? .text : .json
        case "text": logFormat = .text
        case "json": logFormat = .json
        default: throw ConfigError("FYNLO_LOG_FORMAT has to be auto, text or json.")
        }
        guard limits.idlePing < limits.staleAfter else {
            throw ConfigError(
                "FYNLO_IDLE_PING has to be shorter than FYNLO_STALE_AFTER, or no tablet is asked in time.")
        }
    }

    private static func limits(_ source: Source, tokenLeeway: Duration) throws(ConfigError) -> Limits {
        var limits = Limits()
        limits.connections = try source.integer(
            "FYNLO_MAX_CONNECTIONS", unset: max(64, descriptorLimit - 256), in: 1...10_000_000)
        limits.unauthenticatedConnections = try source.integer(
            "FYNLO_MAX_UNAUTHENTICATED", unset: max(1, limits.connections / 4), in: 1...10_000_000)
        limits.connectionsPerAddress = try source.integer("FYNLO_MAX_CONNECTIONS_PER_IP", in: 0...10_000_000)
        limits.connectionsPerRestaurant = try source.integer(
            "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT", in: 1...100_000)
        limits.connectionsPerUser = try source.integer("FYNLO_MAX_CONNECTIONS_PER_USER", in: 1...100_000)
        limits.authenticationTimeout = try source.duration("FYNLO_AUTH_TIMEOUT")
        limits.idlePing = try source.duration("FYNLO_IDLE_PING")
        limits.staleAfter = try source.duration("FYNLO_STALE_AFTER")
        limits.sweepInterval = try source.duration("FYNLO_SWEEP_INTERVAL")
        limits.heartbeatInterval = try source.duration("FYNLO_HEARTBEAT_INTERVAL")
        limits.tokenWarning = try source.duration("FYNLO_TOKEN_WARNING", minimum: .zero)
        limits.tokenLeeway = tokenLeeway
        limits.messagesPerSecond = try source.integer("FYNLO_RATE_LIMIT", in: 1...1_000_000)
        limits.messageBurst = try source.integer("FYNLO_RATE_BURST", in: 1...1_000_000)
        limits.messageBytes = try source.integer("FYNLO_MAX_MESSAGE", in: 1_024...16_777_216)
        limits.sendQueueBytes = try source.integer("FYNLO_SEND_QUEUE", in: 4_096...1_073_741_824)
        return limits
    }

    /// A comma-separated list of origins.
    private static func origins(_ list: String) throws(ConfigError) -> [String] {
        let origins = list.split(separator: ",").map { $0.trimmingWhitespace() }
        for origin in origins where !isOrigin(origin) {
            throw ConfigError("FYNLO_ALLOWED_ORIGINS lists origins such as https://pos.example.com, not \(origin).")
        }
        return origins
    }

    /// True for an origin as browsers send it: scheme and host, the port if it is not the scheme's default, and no path, not even
    /// a slash.
    private static func isOrigin(_ text: String) -> Bool {
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) {
            let host = text.dropFirst(scheme.count)
            return !host.isEmpty && !host.contains("/") && !host.hasSuffix(scheme == "https://" ? ":443" : ":80")
        }
        return false
    }

    /// A comma-separated list of addresses and networks.
    private static func proxies(_ list: String) throws(ConfigError) -> TrustedProxies {
        var networks: [IPNetwork] = []
        for part in list.split(separator: ",") {
            let text = part.trimmingWhitespace()
            guard let network = IPNetwork(text) else {
                throw ConfigError(
                    "FYNLO_TRUSTED_PROXIES lists addresses such as 10.0.0.5 and networks such as 10.0.0.0/8, not \(text)."
                )
            }
            networks.append(network)
        }
        return TrustedProxies(networks)
    }

    /// Reads DATABASE_URL alone, for the subcommands that need nothing else.
    static func postgres(
        environment: [String: String], queryTimeout: Duration = .seconds(5),
        role: PostgresSettings.Role = .server
    ) throws(ConfigError) -> PostgresSettings {
        guard let url = environment["DATABASE_URL"], !url.isEmpty else {
            throw ConfigError("DATABASE_URL is not set; set it to postgresql://user:password@host:port/database.")
        }
        return try PostgresSettings(url: url, queryTimeout: queryTimeout, role: role)
    }

    /// How many descriptors this process may have.
    private static var descriptorLimit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
        return Int(clamping: limit.rlim_cur)
    }
}
