// When a token is renewed: before it expires and after it was refused, never twice at a time, and with a minimum interval to
// spare the identity provider.

/// A token as its holder sees it: a JWT (RFC 7519) with an unchecked signature, since only the server can check it.
public struct HeldToken: Equatable, Sendable {
    /// `header.payload.signature`.
    public let compact: String
    /// `exp`.
    public let expiresAt: UnixTime

    /// Throws if the text is not a JWT with an `exp`.
    public init(_ compact: String) throws(TokenFailure) {
        self.compact = compact
        guard let expiresAt = AccessToken.expiry(ofUnchecked: compact) else { throw .malformed }
        self.expiresAt = expiresAt
    }
}

/// Why there is no token.
public enum TokenFailure: Error, Equatable, Sendable {
    /// The provider has refused, with this sentence. A retry does not help: the user must sign in.
    case refused(String)
    /// The provider cannot be reached now; the sentence says why.
    case unreachable(String)
    /// The provider's token is not a JWT with an `exp`.
    case malformed
    /// The provider's token has expired already.
    case expired

    /// One sentence.
    public var sentence: String {
        switch self {
        case .refused(let sentence), .unreachable(let sentence): sentence
        case .malformed: "The new token is not a JWT with an expiry."
        case .expired: "The new token has expired already."
        }
    }

    /// True if a retry may help.
    public var isRetryable: Bool {
        if case .unreachable = self { true } else { false }
    }
}

/// The rule as a value. Its owner sends the requests to the provider and keeps the waiting callers.
public struct TokenRefresh: Sendable {
    /// The answer to a request for a token.
    public enum Answer: Equatable, Sendable {
        case token(HeldToken)
        case failure(TokenFailure)
        /// Wait for the refresh that is in progress.
        case wait
        /// Start a refresh now, and wait for it.
        case refresh
    }

    /// How long before its expiry a token is renewed.
    public static let early = Duration.seconds(60)
    /// The least time between the starts of two refreshes.
    public static let minimumInterval = Duration.seconds(5)

    /// The present token, which may have expired.
    public private(set) var token: HeldToken?
    /// True while a refresh is in progress.
    public private(set) var isRefreshing = false
    private var lastStart: Instant?
    private var lastFailure: TokenFailure?
    private let canRefresh: Bool

    /// - Parameter canRefresh: false if there is no provider: then the present token is the only one.
    public init(token: HeldToken?, canRefresh: Bool) {
        self.token = token
        self.canRefresh = canRefresh
    }

    /// A caller needs a token. `forced` is true if the present one was refused.
    public mutating func request(forced: Bool, now: Moment) -> Answer {
        if isRefreshing { return .wait }
        guard canRefresh else {
            guard let token else { return .failure(.refused("There is no token.")) }
            return forced ? .failure(.refused("There is no other token.")) : .token(token)
        }
        if !forced, let token, !isDue(token, now: now.unixTime) { return .token(token) }
        if let lastStart, now.instant < lastStart + TokenRefresh.minimumInterval {
            if let token, token.expiresAt > now.unixTime { return .token(token) }
            return .failure(lastFailure ?? .unreachable("The token was asked for a moment ago."))
        }
        start(now)
        return .refresh
    }

    /// Takes the provider's answer. Returns the result for all waiting callers.
    public mutating func deliver(
        _ result: Result<String, TokenFailure>, now: Moment
    ) -> Result<HeldToken, TokenFailure> {
        isRefreshing = false
        do throws(TokenFailure) {
            let token = try HeldToken(result.get())
            guard token.expiresAt > now.unixTime else { throw .expired }
            self.token = token
            lastFailure = nil
            return .success(token)
        } catch {
            lastFailure = error
            // Unless the provider refuses, the present token is valid until it expires.
            if !error.isRetryable || token.map({ $0.expiresAt <= now.unixTime }) ?? true { token = nil }
            return .failure(error)
        }
    }

    /// True if a refresh has to be started now because the time has come.
    public mutating func tick(now: Moment) -> Bool {
        guard let deadline = nextDeadline(now: now), now.instant >= deadline else { return false }
        start(now)
        return true
    }

    /// When `tick` is next due; `nil` if there is nothing to renew or a refresh is in progress.
    public func nextDeadline(now: Moment) -> Instant? {
        guard canRefresh, !isRefreshing, let token else { return nil }
        let left = token.expiresAt.milliseconds - now.unixTime.milliseconds
        let due = now.instant + (.milliseconds(left) - TokenRefresh.early)
        guard let lastStart else { return due }
        return max(due, lastStart + TokenRefresh.minimumInterval)
    }

    private func isDue(_ token: HeldToken, now: UnixTime) -> Bool {
        .milliseconds(token.expiresAt.milliseconds - now.milliseconds) <= TokenRefresh.early
    }

    private mutating func start(_ now: Moment) {
        isRefreshing = true
        lastStart = now.instant
    }
}
