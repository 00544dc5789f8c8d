// What all connections of a process share, made once from the configuration.

/// Settings of the protocol; immutable, so that every connection can refer to the same one.
public final class SessionSettings: Sendable {
    public let limits: Limits
    public let http: HTTPLimits
    public let router: Router
    /// For connections of FYNLO_ADMIN_LISTEN.
    public let operationsRouter: Router
    public let decoder: MessageDecoder
    /// FYNLO_ALLOWED_ORIGINS: origins of browsers' pages that may open a WebSocket and read the API; empty: only the
    /// server's own.
    public let allowedOrigins: [String]
    /// FYNLO_ALLOW_QUERY_TOKEN: `?token=` authenticates.
    public let allowsQueryToken: Bool
    /// FYNLO_TRUSTED_PROXIES: who may say for whom it speaks.
    public let trustedProxies: TrustedProxies
    let crossOrigin: CrossOrigin
    let heartbeat: Heartbeat.Terms
    /// How long before a token's end its holder is warned, in nanoseconds: a plain number, as it is asked for at every message.
    let tokenWarning: Int64

    public init(
        limits: Limits = Limits(), http: HTTPLimits = HTTPLimits(), hasEcho: Bool = false,
        hasOperationsListener: Bool = false,
        allowedOrigins: [String] = [], allowsQueryToken: Bool = false,
        trustedProxies: TrustedProxies = TrustedProxies()
    ) {
        self.limits = limits
        self.http = http
        self.router = Router(hasEcho: hasEcho, scope: hasOperationsListener ? .service : .everything)
        operationsRouter = Router(scope: .operations)
        self.decoder = MessageDecoder(limits)
        self.allowedOrigins = allowedOrigins.map { $0.lowercased() }
        self.allowsQueryToken = allowsQueryToken
        self.trustedProxies = trustedProxies
        crossOrigin = CrossOrigin(allowedOrigins)
        heartbeat = Heartbeat.Terms(limits)
        tokenWarning = limits.tokenWarning.inNanoseconds
    }

    /// May a browser's page from `origin` open a WebSocket on `host` (the Host field)? Native apps send no Origin.
    func allows(origin: String, host: String?) -> Bool {
        let origin = origin.lowercased()
        if !allowedOrigins.isEmpty { return allowedOrigins.contains(origin) }
        guard let host = host?.lowercased() else { return false }
        // The scheme is not compared: TLS may end at a proxy in front of us.
        return origin == "https://" + host || origin == "http://" + host
    }
}
