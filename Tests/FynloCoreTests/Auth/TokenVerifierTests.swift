import FynloCore
import Testing

/// Keys that take one signature, and count how often they are asked.
private final class CountingKeys: TokenSignatureChecking {
    let signature: [UInt8]
    private(set) var checks = 0

    init(_ signature: String = "a good signature") {
        self.signature = Array(signature.utf8)
    }

    func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool {
        checks += 1
        return signature == self.signature
    }
}

private let start: Int64 = 1_769_882_645

private func time(_ seconds: Int64) -> UnixTime {
    UnixTime(milliseconds: (start + seconds) * 1_000)
}

private func base64(_ text: String) -> String {
    Base64.encode(Array(text.utf8), as: .url)
}

/// A token of `subject` that ends so many seconds after the start.
private func token(
    _ subject: String = "a", ends: Int64 = 100, claims: String = "", signature: String = "a good signature"
)
    -> String
{
    let payload = "{\"sub\":\"\(subject)\",\"exp\":\(start + ends)\(claims)}"
    return "\(base64("{\"alg\":\"HS256\"}")).\(base64(payload)).\(base64(signature))"
}

private func verifier(
    _ keys: CountingKeys, leeway: Duration = .seconds(30), audience: String? = nil, limitBytes: Int = 1 << 20
) -> TokenVerifier {
    TokenVerifier(keys: keys, policy: TokenPolicy(audience: audience, leeway: leeway), limitBytes: limitBytes)
}

extension TokenVerifier {
    fileprivate mutating func subject(_ token: String, at seconds: Int64 = 0) -> String? {
        try? verify(token, now: time(seconds)).subject
    }

    fileprivate mutating func error(_ token: String, at seconds: Int64 = 0) -> TokenError? {
        do {
            _ = try verify(token, now: time(seconds))
            return nil
        } catch {
            return error
        }
    }
}

@Suite("TokenVerifier")
struct TokenVerifierTests {
    @Test("checks the signature of a token once, and says the same of it each time")
    func remembers() throws {
        let keys = CountingKeys()
        var tokens = verifier(keys)
        let first = try tokens.verify(token(), now: time(0))
        for second in 1...20 as ClosedRange<Int64> {
            #expect(try tokens.verify(token(), now: time(second)) == first)
        }
        #expect(first.subject == "a" && first.expiresAt == time(100) && keys.checks == 1)
        #expect(tokens.subject(token("b")) == "b" && keys.checks == 2)
        #expect(tokens.rememberedCount <= 2)
    }

    @Test("asks the clock at each use: a remembered token expires, to the millisecond")
    func expiry() throws {
        let keys = CountingKeys()
        var tokens = verifier(keys)
        #expect(tokens.error(token()) == nil)
        let end = time(130)  // with the leeway
        #expect(try tokens.verify(token(), now: UnixTime(milliseconds: end.milliseconds - 1)).subject == "a")
        #expect(throws: TokenError.expired) { try tokens.verify(token(), now: end) }
        #expect(throws: TokenError.expired) { try tokens.verify(token(), now: time(1_000)) }
        // A clock that is set back does not make it a lasting refusal.
        #expect(tokens.error(token(), at: 50) == nil)
        #expect(keys.checks == 1)
    }

    @Test("asks the clock at each use: a remembered token is not valid before its time")
    func notBefore() {
        let keys = CountingKeys()
        var tokens = verifier(keys)
        let early = token(claims: ",\"nbf\":\(start + 60)")
        #expect(tokens.error(early, at: 29) == .notYetValid && keys.checks == 1)
        #expect(tokens.error(early, at: 30) == nil && keys.checks == 2)
        #expect(tokens.error(early, at: 31) == nil && keys.checks == 2)
        #expect(tokens.error(early, at: 29) == .notYetValid && keys.checks == 2)
    }

    @Test("remembers nothing it refused")
    func refusals() {
        let keys = CountingKeys()
        var tokens = verifier(keys, audience: "pos")
        for (refused, error) in [
            (token(signature: "a bad signature!"), .badSignature), (token(ends: -100), .expired),
            (token(claims: ",\"nbf\":\(start + 60)"), .notYetValid), (token(), .wrongAudience),
            (token(claims: ",\"iat\":\"x\""), .badClaim("iat")), ("", .malformed), ("a.b.c", .malformed),
            ("nonsense", .malformed),
        ] as [(String, TokenError)] {
            for _ in 1...2 { #expect(tokens.error(refused) == error, "\(refused)") }
        }
        #expect(tokens.rememberedCount == 0)
    }

    @Test("takes no token for another one that ends alike")
    func likeness() {
        let keys = CountingKeys()
        var tokens = verifier(keys)
        let good = token()
        #expect(tokens.error(good) == nil)
        // The same signature under another payload, and every change of a single byte.
        let other = token("b", signature: "a good signature")
        #expect(tokens.subject(other) == "b" && keys.checks == 2, "checked by the keys, which believe it here")
        for position in 0..<good.utf8.count {
            var bytes = Array(good.utf8)
            bytes[position] ^= 1
            #expect(tokens.subject(good) == "a")
            let before = keys.checks
            let changed = String(decoding: bytes, as: UTF8.self)
            let found = tokens.subject(changed)
            #expect(keys.checks > before || found == nil, "\(position)")
        }
        #expect(tokens.error(String(good.dropFirst())) != nil && tokens.error(good + "A") != nil)
    }

    @Test("forgets everything with the keys")
    func keys() {
        let (old, new) = (CountingKeys("the old signature"), CountingKeys("the new signature"))
        var tokens = verifier(old)
        let signedByOld = token(signature: "the old signature")
        #expect(tokens.error(signedByOld) == nil)
        tokens.keys = new
        #expect(tokens.rememberedCount == 0)
        #expect(tokens.error(signedByOld) == .badSignature && new.checks == 1)
        #expect(tokens.error(token(signature: "the new signature")) == nil)
        tokens.keys = old
        #expect(tokens.error(token(signature: "the new signature")) == .badSignature)
        #expect(tokens.error(signedByOld) == nil && old.checks == 3)
    }

    @Test("stays within its bound, whatever comes, and checks again what it forgot")
    func bound() {
        let keys = AnyKeys()
        var tokens = TokenVerifier(keys: keys, policy: TokenPolicy(), limitBytes: 10_000)
        for number in 0..<1_000 {
            #expect(tokens.subject(token("user-\(number)", signature: "signature \(number) of \(number)")) != nil)
            #expect(tokens.rememberedCount <= 10_000 / 256)
        }
        #expect(tokens.rememberedCount > 10)
        // One that is longer than all that may be kept is believed, and not kept.
        let long = token("a", claims: ",\"x\":\"\(String(repeating: "x", count: 5_000))\"")
        var small = TokenVerifier(keys: keys, policy: TokenPolicy(), limitBytes: 5_000)
        #expect(small.subject(long) == "a" && small.rememberedCount == 0)
    }
}

private struct AnyKeys: TokenSignatureChecking {
    func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool { true }
}
