// JSON Web Tokens (RFC 7519) in the compact form of RFC 7515. They are parsed strictly, and trusted only after the signature
// and the times are checked. The key decides the algorithm, never the token.

/// How a token may be signed (RFC 7518 §3.1).
public enum TokenAlgorithm: String, Sendable {
    case hs256 = "HS256"
    case es256 = "ES256"
    case rs256 = "RS256"
}

/// Checks signatures with the keys it holds; the cryptography stays outside the core.
public protocol TokenSignatureChecking {
    /// True when one of the keys made for `algorithm`, and called `keyID` if the token names its key, signed `message`.
    func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool
}

/// Why a token is refused, for logs and tests. Clients get the same sentence for all of these.
public enum TokenError: Error, Equatable, Sendable {
    /// Not three parts of base64url, or a header or payload that is not a JSON object.
    case malformed
    /// `alg` is not supported, or there is no key for it.
    case unsupportedAlgorithm
    /// The header has `crit`: it requires an extension that is not supported.
    case criticalExtension
    case badSignature
    /// A claim is missing or has the wrong type.
    case badClaim(String)
    case expired
    case notYetValid
    case wrongAudience
    case wrongIssuer
}

/// The requirements on a token besides its signature.
public struct TokenPolicy: Sendable {
    /// FYNLO_JWT_AUDIENCE: one of the token's `aud`, if set.
    public var audience: String?
    /// FYNLO_JWT_ISSUER: the token's `iss`, if set.
    public var issuer: String?
    /// FYNLO_JWT_LEEWAY: how far the clocks of issuer and server may differ.
    public var leeway: Duration

    public init(audience: String? = nil, issuer: String? = nil, leeway: Duration = .seconds(30)) {
        self.audience = audience
        self.issuer = issuer
        self.leeway = leeway
    }
}

/// A checked token.
public struct AccessToken: Equatable, Sendable {
    /// `sub`: the user's `users.supabase_id`.
    public let subject: String
    /// `exp`.
    public let expiresAt: UnixTime
    /// `nbf`, if it has one.
    let notBefore: UnixTime?

    /// The longest token that is examined, in bytes; the issuer's tokens have about 1,000.
    public static let maximumBytes = 8_192

    /// When a connection with this token ends: at `exp`, or at `exp` + leeway if the token was accepted within the leeway.
    public func endOfUse(acceptedAt now: UnixTime, leeway: Duration) -> UnixTime {
        now < expiresAt ? expiresAt : UnixTime(milliseconds: expiresAt.milliseconds + leeway.inMilliseconds)
    }

    /// `exp` of an unchecked token in the compact form, for its holder to know when to renew it; `nil` if the text is not in
    /// the form of a JWT with an `exp`. It says nothing about the token's validity.
    static func expiry(ofUnchecked compact: String) -> UnixTime? {
        let text = compact.utf8Span.span
        // The time is not compared: the caller decides whether the token has expired.
        let anytime = TokenPolicy(leeway: .seconds(253_402_300_800))
        guard text.count <= maximumBytes, let parts = split(text), (try? readHeader(parts.header.span)) != nil,
            let claims = try? readClaims(parts.payload.span, policy: anytime, now: UnixTime(milliseconds: 0))
        else { return nil }
        return claims.expiresAt
    }

    /// Reads and checks a token in the compact form `header.payload.signature`.
    public static func verify(
        _ compact: String, keys: any TokenSignatureChecking, policy: TokenPolicy, now: UnixTime
    ) throws(TokenError) -> AccessToken {
        try verify(compact.utf8Span.span, keys: keys, policy: policy, now: now)
    }

    /// Reads and checks the bytes of a token in the compact form.
    static func verify(
        _ text: Span<UInt8>, keys: any TokenSignatureChecking, policy: TokenPolicy, now: UnixTime
    ) throws(TokenError) -> AccessToken {
        guard text.count <= maximumBytes, let parts = split(text) else { throw .malformed }
        let (algorithm, keyID) = try readHeader(parts.header.span)
        let message = text.extracting(0..<parts.signedBytes)
        guard keys.isValid(signature: parts.signature, of: message, algorithm: algorithm, keyID: keyID) else {
            throw .badSignature
        }
        return try readClaims(parts.payload.span, policy: policy, now: now)
    }

    /// RFC 7519 §4.1.4, §4.1.5: throws unless the token is valid at this moment.
    func checkTimes(now: UnixTime, leeway: Duration) throws(TokenError) {
        let leeway = leeway.inMilliseconds
        guard now.milliseconds < expiresAt.milliseconds + leeway else { throw .expired }
        if let notBefore, now.milliseconds < notBefore.milliseconds - leeway { throw .notYetValid }
    }

    /// The three decoded parts; the signature covers the first `signedBytes` bytes of the text.
    private struct Parts {
        let header: [UInt8]
        let payload: [UInt8]
        let signature: [UInt8]
        let signedBytes: Int
    }

    /// `nil` if the text is not three parts of base64url.
    private static func split(_ text: Span<UInt8>) -> Parts? {
        let dot = UInt8(ascii: ".")
        // A third dot fails here, because it is not a base64url character.
        guard let first = text.firstIndex(of: dot), let second = text.firstIndex(of: dot, from: first + 1),
            let header = Base64.decode(text.extracting(0..<first), as: .url),
            let payload = Base64.decode(text.extracting((first + 1)..<second), as: .url),
            let signature = Base64.decode(text.extracting((second + 1)..<text.count), as: .url)
        else { return nil }
        return Parts(header: header, payload: payload, signature: signature, signedBytes: second)
    }

    private static func readHeader(
        _ text: Span<UInt8>
    ) throws(TokenError) -> (algorithm: TokenAlgorithm, keyID: String?) {
        var algorithm: String?
        var keyID: String?
        var seen = Members()
        var isCritical = false
        try scan(text) { key, value in
            switch key {
            case "alg":
                seen.note(key)
                algorithm = JSON.string(value, in: text)
            case "kid":
                seen.note(key)
                keyID = JSON.string(value, in: text)
                if keyID == nil { seen.mistyped.append(key) }
            case "crit": isCritical = true
            default: break
            }
        }
        guard !seen.hasDuplicates, seen.mistyped.isEmpty, let algorithm else { throw .malformed }
        if isCritical { throw .criticalExtension }
        guard let known = TokenAlgorithm(rawValue: algorithm) else { throw .unsupportedAlgorithm }
        return (known, keyID)
    }

    private static func readClaims(
        _ text: Span<UInt8>, policy: TokenPolicy, now: UnixTime
    ) throws(TokenError) -> AccessToken {
        var subject: String?
        var issuer: String?
        var audiences: [String] = []
        var expiresAt: UnixTime?
        var notBefore: UnixTime?
        var seen = Members()
        try scan(text) { key, value in
            switch key {
            case "sub":
                seen.note(key)
                subject = JSON.string(value, in: text)
                if subject == nil { seen.mistyped.append(key) }
            case "iss":
                seen.note(key)
                issuer = JSON.string(value, in: text)
                if issuer == nil { seen.mistyped.append(key) }
            case "aud":
                seen.note(key)
                guard let list = strings(value, in: text) else { return seen.mistyped.append(key) }
                audiences = list
            case "exp":
                seen.note(key)
                expiresAt = numericDate(value, in: text)
                if expiresAt == nil { seen.mistyped.append(key) }
            case "nbf":
                seen.note(key)
                notBefore = numericDate(value, in: text)
                if notBefore == nil { seen.mistyped.append(key) }
            case "iat":
                if numericDate(value, in: text) == nil { seen.mistyped.append(key) }
            default: break
            }
        }
        if let claim = seen.mistyped.first { throw .badClaim(claim) }
        if seen.hasDuplicates { throw .malformed }
        guard let subject, !subject.isEmpty else { throw .badClaim("sub") }
        guard let expiresAt else { throw .badClaim("exp") }
        let token = AccessToken(subject: subject, expiresAt: expiresAt, notBefore: notBefore)
        try token.checkTimes(now: now, leeway: policy.leeway)
        if let audience = policy.audience, !audiences.contains(audience) { throw .wrongAudience }
        if let expected = policy.issuer, issuer != expected { throw .wrongIssuer }
        return token
    }

    /// The members found so far. A repeated one is refused, since two readers may take different values.
    private struct Members {
        var names: [String] = []
        var hasDuplicates = false
        var mistyped: [String] = []

        mutating func note(_ name: String) {
            if names.contains(name) { hasDuplicates = true }
            names.append(name)
        }
    }

    private static func scan(
        _ text: Span<UInt8>, _ member: (_ key: String, _ value: JSONValue) -> Void
    ) throws(TokenError) {
        guard (try? UTF8Span(validating: text)) != nil else { throw .malformed }
        do {
            try JSON.scanObject(text) { key, value in
                if let key = JSON.string(key, in: text) { member(key, value) }
            }
        } catch {
            throw .malformed
        }
    }

    /// RFC 7519 §4.1.3: one string or an array of them.
    private static func strings(_ value: JSONValue, in text: Span<UInt8>) -> [String]? {
        if value.kind == .string { return JSON.string(value, in: text).map { [$0] } }
        guard value.kind == .array else { return nil }
        var list: [String] = []
        var isMistyped = false
        do {
            try JSON.scanElements(of: value, in: text) { element in
                if let string = JSON.string(element, in: text) { list.append(string) } else { isMistyped = true }
            }
        } catch {
            return nil
        }
        return isMistyped ? nil : list
    }

    /// RFC 7519 §2: seconds since 1970, possibly with a fraction; years 1970 to 9999.
    private static func numericDate(_ value: JSONValue, in text: Span<UInt8>) -> UnixTime? {
        let latest: Int64 = 253_402_300_799
        // The form that nearly all issuers use.
        if let whole = JSON.integer(value, in: text) {
            return (0...latest).contains(whole) ? UnixTime(milliseconds: whole * 1000) : nil
        }
        guard value.kind == .number, let literal = String(validating: text.extracting(value.positions)),
            let seconds = Double(literal), seconds >= 0, seconds <= Double(latest)
        else { return nil }
        return UnixTime(milliseconds: Int64(seconds * 1000))
    }
}
