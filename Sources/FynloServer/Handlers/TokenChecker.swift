// The one place that checks access tokens: those of tablets and those of requests, with the same keys and policy.

import FynloCore
import FynloIO

/// Checks access tokens with the keys that are in force.
final class TokenChecker {
    private let loop: EventLoop
    private var verifier: TokenVerifier

    init(loop: EventLoop, keys: TokenKeyring, policy: TokenPolicy, limits: Limits) {
        self.loop = loop
        verifier = TokenVerifier(keys: keys, policy: policy, limitBytes: limits.verifiedTokensBytes)
    }

    /// Replaces the keys after a reload: every token that arrives from now on is checked with the new ones.
    func replaceKeys(_ keys: TokenKeyring) {
        verifier.keys = keys
    }

    /// Checks a tablet's token. It is not remembered, since a tablet sends each token once.
    func check(_ token: String) -> Result<AccessToken, TokenError> {
        Result { () throws(TokenError) in
            try verifier.verify(token, now: loop.now.unixTime, isToBeRemembered: false)
        }
    }

    /// Checks a request's token. It is remembered, since the same client sends it with every request.
    func check(_ token: Span<UInt8>) -> Result<AccessToken, TokenError> {
        Result { () throws(TokenError) in try verifier.verify(token, now: loop.now.unixTime) }
    }

    /// When a connection that is accepted now with this token has to end or renew it.
    func endOfUse(of token: AccessToken) -> UnixTime {
        token.endOfUse(acceptedAt: loop.now.unixTime, leeway: verifier.policy.leeway)
    }
}
