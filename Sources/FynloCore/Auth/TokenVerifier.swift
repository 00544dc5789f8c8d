// Checks tokens, and remembers those with valid signatures: a tablet sends the same token with every request until the token
// expires, and a signature costs more than the rest of a small request (HMAC 2 µs, RSA 30 µs, ECDSA 100 µs).
//
// An entry records that one of our keys signed exactly these bytes, and their content. It is found by the end of the
// signature, which nobody can choose, and compared in full. Whether the token is valid now is checked against the clock each
// time; the user's rights are not checked here.

/// Checks tokens with one set of keys and one policy.
public struct TokenVerifier {
    private struct Remembered: Sendable {
        let text: [UInt8]
        let token: AccessToken
    }

    /// Setting the keys forgets every token, so that each is checked with the new keys.
    public var keys: any TokenSignatureChecking {
        didSet { remembered = RecentlyUsed(limit: remembered.limit) }
    }
    public let policy: TokenPolicy
    private var remembered: RecentlyUsed<UInt64, Remembered>

    /// The approximate memory of a remembered token besides its bytes.
    static let overheadBytes = 256

    /// Remembers the most recently used tokens, up to `limitBytes` bytes in all.
    public init(keys: any TokenSignatureChecking, policy: TokenPolicy, limitBytes: Int) {
        self.keys = keys
        self.policy = policy
        remembered = RecentlyUsed(limit: limitBytes)
    }

    /// Checks a token like `AccessToken.verify`, and remembers it.
    public mutating func verify(
        _ compact: String, now: UnixTime, isToBeRemembered: Bool = true
    ) throws(TokenError) -> AccessToken {
        try verify(compact.utf8Span.span, now: now, isToBeRemembered: isToBeRemembered)
    }

    /// Checks the bytes of a token like `AccessToken.verify`. A token that is not expected again soon, such as a WebSocket's,
    /// need not be remembered.
    public mutating func verify(
        _ text: Span<UInt8>, now: UnixTime, isToBeRemembered: Bool = true
    ) throws(TokenError) -> AccessToken {
        guard let key = TokenVerifier.key(of: text) else {
            return try AccessToken.verify(text, keys: keys, policy: policy, now: now)
        }
        if let known = remembered.use(key), TokenVerifier.isSame(known.text.span, text) {
            try known.token.checkTimes(now: now, leeway: policy.leeway)
            return known.token
        }
        let token = try AccessToken.verify(text, keys: keys, policy: policy, now: now)
        if isToBeRemembered {
            remembered.insert(
                Remembered(text: [UInt8](copying: text), token: token), for: key,
                cost: text.count + TokenVerifier.overheadBytes)
        }
        return token
    }

    /// The number of remembered tokens.
    public var rememberedCount: Int { remembered.count }

    /// The last eight bytes; `nil` for a text too short to be a token. Only tokens with valid signatures are remembered, so
    /// nobody can construct many with the same last bytes.
    private static func key(of text: Span<UInt8>) -> UInt64? {
        guard text.count >= 8 else { return nil }
        var key: UInt64 = 0
        for index in text.count - 8..<text.count { key = key << 8 | UInt64(text[index]) }
        return key
    }

    /// Compares two tokens in a time that does not depend on where they differ.
    private static func isSame(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }
}
