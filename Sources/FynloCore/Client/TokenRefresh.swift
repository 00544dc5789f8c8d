// When a token is renewed: before it expires, when it was refused, never twice at a time, and not more often than the
// identity provider likes.

/// A token as its holder sees it: in the form of a JWT (RFC 7519), its signature not checked, as only the server can.
public struct HeldToken: Equatable, Sendable {
    /// `header.payload.signature`.
    public let compact: String
    /// `exp`.
    public let expiresAt: UnixTime

    /// Throws when the text is no JWT with an `exp`.
    public init(_ compact: String) throws(TokenFailure) {
        self.compact = compact
        guard let expiresAt = AccessToken.expiry(ofUnchecked: compact) else { throw .malformed }
        self.expiresAt = expiresAt
    }
}

/// Why there is no token.
public enum TokenFailure: Error, Equatable, Sendable {
    /// The provider has refused; its sentence. Another try will not help, a person has to sign in.
    case refused(String)
    /// The provider cannot be reached now; a sentence.
    case unreachable(String)
    /// What the provider gave is no JWT with an `exp`.
    case malformed
    /// What the provider gave has expired already.
    case expired

    /// One sentence.
    public var sentence: String {
        switch self {
        case .refused(let sentence), .unreachable(let sentence): sentence
        case .malformed: "The new token is not a JWT with an expiry."
        case .expired: "The new token has expired already."
        }
    }

    /// True when another try may help.
    public var isRetryable: Bool {
        if case .unreachable = self { true } else { false }
    }
}

/// The rule as a value. Its owner asks the provider when told to, and keeps those who wait.
public struct TokenRefresh: Sendable {
    /// What a request for a token gets.
    public enum Answer: Equatable, Sendable {
        case token(HeldToken)
        case failure(TokenFailure)
        /// To wait for the refresh that is under way.
        case wait
        /// To wait for a refresh, which is to be started now.
        case refresh
    }

    /// How long before its expiry a token is renewed.
    public static let early = Duration.seconds(60)
    /// The least time between the starts of two refreshes.
    public static let minimumInterval = Duration.seconds(5)

    /// The token at hand; it may have expired.
    public private(set) var token: HeldToken?
    /// True from the start of a refresh to its end.
    public private(set) var isRefreshing = false
    private var lastStart: Instant?
    private var lastFailure: TokenFailure?
    private let canRefresh: Bool

    /// - Parameter canRefresh: false where there is nobody to ask: then the token at hand is all there is.
    public init(token: HeldToken?, canRefresh: Bool) {
        self.token = token
        self.canRefresh = canRefresh
    }

    /// Somebody needs a token. `forced`: the one at hand was refused.
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

    /// The provider's answer, for all who wait. Returns what they get.
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
            // Without a word of the provider's against it, a token is good until it expires.
            if !error.isRetryable || token.map({ $0.expiresAt <= now.unixTime }) ?? true { token = nil }
            return .failure(error)
        }
    }

    /// True when the timer calls for a refresh, which is to be started now.
    public mutating func tick(now: Moment) -> Bool {
        guard let deadline = nextDeadline(now: now), now.instant >= deadline else { return false }
        start(now)
        return true
    }

    /// When `tick` is next due; `nil` while there is nothing to renew, or a refresh is under way.
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
