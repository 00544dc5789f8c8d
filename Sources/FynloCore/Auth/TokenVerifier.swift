// Checks tokens, and remembers those whose signatures were good: a tablet sends the same one with every request for as long
// as it lives, and a signature costs more than all the rest of a small request (HMAC 2 µs, RSA 30 µs, ECDSA 100 µs).
//
// What is remembered is that a key of ours signed exactly these bytes, and what they say. It is found by the end of the
// signature, which nobody can choose, and compared to the last byte. Whether the token is of use now is asked of the clock
// each time, and whether its user still may do anything is not asked here at all.

/// Checks tokens with one set of keys and one policy.
public struct TokenVerifier {
    private struct Remembered: Sendable {
        let text: [UInt8]
        let token: AccessToken
    }

    /// Setting them forgets every token: those of the old keys are checked with the new ones.
    public var keys: any TokenSignatureChecking {
        didSet { remembered = RecentlyUsed(limit: remembered.limit) }
    }
    public let policy: TokenPolicy
    private var remembered: RecentlyUsed<UInt64, Remembered>

    /// About what a remembered token takes besides its bytes.
    static let overheadBytes = 256

    /// Remembers tokens of `limitBytes` bytes together, those used last.
    public init(keys: any TokenSignatureChecking, policy: TokenPolicy, limitBytes: Int) {
        self.keys = keys
        self.policy = policy
        remembered = RecentlyUsed(limit: limitBytes)
    }

    /// As `AccessToken.verify`.
    public mutating func verify(
        _ compact: String, now: UnixTime, isToBeRemembered: Bool = true
    ) throws(TokenError) -> AccessToken {
        try verify(compact.utf8Span.span, now: now, isToBeRemembered: isToBeRemembered)
    }

    /// As `AccessToken.verify`, for the bytes of a token. One that is not expected to come again soon, as a WebSocket's, need
    /// not be remembered.
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

    /// How many tokens are remembered.
    public var rememberedCount: Int { remembered.count }

    /// The last eight bytes; `nil` for a text too short to be a token. Only of signatures that were good do any come to be
    /// remembered, so nobody can make up many with the same ones.
    private static func key(of text: Span<UInt8>) -> UInt64? {
        guard text.count >= 8 else { return nil }
        var key: UInt64 = 0
        for index in text.count - 8..<text.count { key = key << 8 | UInt64(text[index]) }
        return key
    }

    /// Equal to the last byte; takes a time that does not tell where they differ.
    private static func isSame(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }
}
