import FynloCore
import Testing

/// Keys that take one signature, made with one algorithm; real cryptography is tested where it is.
private struct StubKeys: TokenSignatureChecking {
    var algorithm = TokenAlgorithm.hs256
    var keyID: String?
    var signature = Array("signature".utf8)
    var message: String?

    func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool {
        if let expected = self.message, Array(copying: message) != Array(expected.utf8) { return false }
        return signature == self.signature && algorithm == self.algorithm && keyID == self.keyID
    }
}

/// The present of these tests, in seconds.
private let seconds: Int64 = 1_769_882_645
private let now = UnixTime(milliseconds: seconds * 1_000)
private let hs256 = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
private let claims = "{\"sub\":\"a\",\"exp\":1769882700}"

private func base64(_ text: String) -> String {
    Base64.encode(Array(text.utf8), as: .url)
}

private func token(_ payload: String = claims, header: String = hs256) -> String {
    "\(base64(header)).\(base64(payload)).\(base64("signature"))"
}

private func verify(
    _ token: String, keys: StubKeys = StubKeys(), policy: TokenPolicy = TokenPolicy(), now: UnixTime = now
) -> Result<AccessToken, TokenError> {
    Result { () throws(TokenError) in try AccessToken.verify(token, keys: keys, policy: policy, now: now) }
}

extension Result where Success == AccessToken, Failure == TokenError {
    fileprivate var error: TokenError? {
        if case .failure(let error) = self { error } else { nil }
    }

    fileprivate var subject: String? { try? get().subject }
    fileprivate var expiry: Int64? { try? get().expiresAt.milliseconds }
}

@Suite("AccessToken")
struct AccessTokenTests {
    @Test("a good token gives its subject and its end")
    func good() {
        let result = verify(
            token("{\"sub\":\"0c6f\",\"exp\":1769882700,\"iat\":1769880000,\"role\":\"authenticated\"}"))
        #expect(result.subject == "0c6f" && result.expiry == 1_769_882_700_000)
    }

    // MARK: RFC 7515, appendix A.1

    private static let rfcMessage =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        + ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    private static let rfcSignature: [UInt8] = [
        116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191, 240,
        91, 88, 5, 88, 83, 132, 141, 121,
    ]

    @Test("the example of RFC 7515 is taken apart as it says")
    func rfcExample() {
        let keys = StubKeys(signature: Self.rfcSignature, message: Self.rfcMessage)
        let compact = Self.rfcMessage + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        let then = UnixTime(milliseconds: 1_300_819_379_000)
        // Its signature is right; our tokens need a subject, which it has not.
        #expect(verify(compact, keys: keys, now: then).error == .badClaim("sub"))
        #expect(verify(compact + "A", keys: keys, now: then).error == .badSignature)
        for replaced in ["eBjft", "dBjfu"] {
            let changed = compact.replacing("dBjft", with: replaced)
            #expect(verify(changed, keys: keys, now: then).error == .badSignature)
        }
        #expect(verify(compact.replacing("eyJpc3Mi", with: "eyJpc3Ni"), keys: keys, now: then).error == .badSignature)
    }

    // MARK: Form

    private static let (head, body, tail) = (base64(hs256), base64(claims), base64("signature"))
    private static let slashed = base64("{\"sub\":\"???>>>\",\"exp\":1}").replacing("_", with: "/")
    private static let misshapen: [String] = [
        "", ".", "..", "...", "a", "a.b", "\(head).\(body)", "\(token()).", "\(token()).x", ".\(token())",
        " \(token())",
        "\(token()) ", "\(token())\n", "\(token())=", "\(token())==", "\(head)=.\(body).\(tail)",
        "\(head).\(body)==.\(tail)",
        // Another alphabet, and bits that no encoder sets
        "\(head).\(slashed).\(tail)", "\(head).\(body).c2lnbmF0dXJ+", "\(head).\(body).Zh", "\(head).\(body).Zm9",
        "\(head).\(body).Z", "\(head).\(body).sig\u{e9}", "\(head). .\(tail)", "é.é.é",
    ]

    @Test("refuses what is not three parts of base64url, each as an encoder would write it", arguments: misshapen)
    func form(compact: String) {
        #expect(verify(compact).error == .malformed)
    }

    @Test("looks at no more than 8 KiB")
    func size() {
        func padded(_ bytes: Int) -> String {
            // Three more characters of base64 in the payload make four, so the header takes up the slack.
            for slack in 0..<4 {
                let header = "{\"alg\":\"HS256\"" + String(repeating: " ", count: slack) + "}"
                let rest = bytes - token("{\"sub\":\"a\",\"exp\":1769882700}", header: header).utf8.count
                for more in max(0, rest * 3 / 4 - 3)...max(0, rest * 3 / 4 + 3) {
                    let payload = "{\"sub\":\"a\",\"exp\":1769882700" + String(repeating: " ", count: more) + "}"
                    let compact = token(payload, header: header)
                    if compact.utf8.count == bytes { return compact }
                }
            }
            return ""
        }
        #expect(padded(8_192).utf8.count == 8_192 && padded(8_193).utf8.count == 8_193)
        #expect(verify(padded(8_192)).subject == "a")
        #expect(verify(padded(8_193)).error == .malformed)
    }

    // MARK: Header

    @Test(
        "the header says how it is signed, and nothing that we would have to understand",
        arguments: [
            ("{\"alg\":\"none\"}", .unsupportedAlgorithm), ("{\"alg\":\"None\"}", .unsupportedAlgorithm),
            ("{\"alg\":\"hs256\"}", .unsupportedAlgorithm), ("{\"alg\":\"HS512\"}", .unsupportedAlgorithm),
            ("{\"alg\":\"HS256 \"}", .unsupportedAlgorithm), ("{\"alg\":\"\"}", .unsupportedAlgorithm),
            ("{\"alg\":\"PS256\"}", .unsupportedAlgorithm), ("{\"alg\":\"EdDSA\"}", .unsupportedAlgorithm),
            ("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", .criticalExtension),
            ("{\"alg\":\"HS256\",\"crit\":null}", .criticalExtension),
            ("{\"alg\":\"HS256\",\"cr\\u0069t\":[]}", .criticalExtension),
            ("{}", .malformed), ("{\"alg\":null}", .malformed), ("{\"alg\":[\"HS256\"]}", .malformed),
            ("{\"alg\":256}", .malformed), ("{\"ALG\":\"HS256\"}", .malformed), ("[]", .malformed), ("", .malformed),
            ("null", .malformed), ("\"HS256\"", .malformed), ("{\"alg\":\"HS256\"", .malformed),
            ("{\"alg\":\"HS256\"}x", .malformed), ("{\"alg\":\"HS256\",\"alg\":\"HS256\"}", .malformed),
            ("{\"alg\":\"none\",\"alg\":\"HS256\"}", .malformed),
            ("{\"alg\":\"HS256\",\"al\\u0067\":\"none\"}", .malformed),
            ("{\"alg\":\"HS256\",\"kid\":1}", .malformed), ("{\"alg\":\"HS256\",\"kid\":null}", .malformed),
            ("{\"alg\":\"HS256\",\"kid\":\"a\",\"kid\":\"a\"}", .malformed),
            // A key for another algorithm does not fit.
            ("{\"alg\":\"RS256\"}", .badSignature), ("{\"alg\":\"ES256\"}", .badSignature),
            ("{\"alg\":\"HS256\",\"kid\":\"a\"}", .badSignature),
        ] as [(String, TokenError)])
    func headers(header: String, error: TokenError) {
        #expect(verify(token(header: header)).error == error)
    }

    @Test("a header that is not UTF-8 is refused, and so is a payload")
    func notUTF8() {
        let spoilt = Base64.encode([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d], as: .url)
        #expect(verify("\(spoilt).\(base64(claims)).\(base64("signature"))").error == .malformed)
        #expect(verify("\(base64(hs256)).\(spoilt).\(base64("signature"))").error == .malformed)
    }

    @Test("the key is looked for by algorithm and name", arguments: [TokenAlgorithm.hs256, .es256, .rs256])
    func keys(algorithm: TokenAlgorithm) {
        let named = token(header: "{\"alg\":\"\(algorithm.rawValue)\",\"kid\":\"k-1\"}")
        #expect(verify(named, keys: StubKeys(algorithm: algorithm, keyID: "k-1")).subject == "a")
        #expect(verify(named, keys: StubKeys(algorithm: algorithm, keyID: "k-2")).error == .badSignature)
        #expect(verify(named, keys: StubKeys(algorithm: algorithm)).error == .badSignature)
    }

    @Test("the signature is of the text as it came, and is checked before the claims are believed")
    func signature() {
        let compact = token("{\"exp\":1}")
        let message = String(compact[..<(compact.lastIndex(of: ".") ?? compact.endIndex)])
        #expect(verify(compact, keys: StubKeys(message: message)).error == .badClaim("sub"))
        #expect(verify(compact, keys: StubKeys(message: message + ".")).error == .badSignature)
        #expect(verify(compact, keys: StubKeys(signature: [])).error == .badSignature)
        #expect(verify("\(base64(hs256)).\(base64(claims)).").error == .badSignature)
        #expect(verify("\(base64(hs256)).e30.\(base64("other"))").error == .badSignature)
    }

    // MARK: Claims

    @Test(
        "claims are there, and of their types",
        arguments: [
            ("{}", .badClaim("sub")), ("{\"exp\":1769882700}", .badClaim("sub")),
            ("{\"sub\":\"\",\"exp\":1769882700}", .badClaim("sub")),
            ("{\"sub\":null,\"exp\":1769882700}", .badClaim("sub")),
            ("{\"sub\":1,\"exp\":1769882700}", .badClaim("sub")),
            ("{\"sub\":[\"a\"],\"exp\":1769882700}", .badClaim("sub")),
            ("{\"Sub\":\"a\",\"exp\":1769882700}", .badClaim("sub")),
            ("{\"sub\":\"a\"}", .badClaim("exp")), ("{\"sub\":\"a\",\"exp\":null}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":\"1769882700\"}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":true}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":{}}", .badClaim("exp")), ("{\"sub\":\"a\",\"exp\":-1}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":1e300}", .badClaim("exp")), ("{\"sub\":\"a\",\"exp\":1e999}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":9223372036854775807}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":253402300800}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":99999999999999999999999999999999999999}", .badClaim("exp")),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"nbf\":\"1\"}", .badClaim("nbf")),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"nbf\":null}", .badClaim("nbf")),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"iat\":\"1\"}", .badClaim("iat")),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"iss\":[]}", .badClaim("iss")),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"aud\":1}", .badClaim("aud")),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"aud\":[1]}", .badClaim("aud")),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"aud\":[\"a\",null]}", .badClaim("aud")),
            ("{\"sub\":\"a\",\"sub\":\"b\",\"exp\":1769882700}", .malformed),
            ("{\"sub\":\"a\",\"s\\u0075b\":\"b\",\"exp\":1769882700}", .malformed),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"exp\":1769882700}", .malformed),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"nbf\":1,\"nbf\":2}", .malformed),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"aud\":\"a\",\"aud\":\"b\"}", .malformed),
            ("{\"sub\":\"a\",\"exp\":1769882700,\"iss\":\"a\",\"iss\":\"b\"}", .malformed),
            ("[]", .malformed), ("", .malformed), ("\"a\"", .malformed),
            ("{\"sub\":\"a\",\"exp\":1769882700}}", .malformed),
            ("{\"sub\":\"a\",\"exp\":0}", .expired), ("{\"sub\":\"a\",\"exp\":1}", .expired),
        ] as [(String, TokenError)])
    func payloads(payload: String, error: TokenError) {
        #expect(verify(token(payload)).error == error)
    }

    @Test(
        "times may be written with a fraction or an exponent",
        arguments: [
            ("1769882700", 1_769_882_700_000), ("1769882700.5", 1_769_882_700_500), ("1769882700.0", 1_769_882_700_000),
            ("1.7698827e9", 1_769_882_700_000), ("17698827E+2", 1_769_882_700_000),
            ("253402300799", 253_402_300_799_000),
        ] as [(String, Int64)])
    func times(exp: String, milliseconds: Int64) {
        #expect(verify(token("{\"sub\":\"a\",\"exp\":\(exp)}")).expiry == milliseconds)
    }

    @Test("a token is taken up to the leeway behind its end, and no longer", arguments: [Int64(0), 30, 300])
    func expiry(leeway: Int64) {
        let policy = TokenPolicy(leeway: .seconds(leeway))
        let compact = token("{\"sub\":\"a\",\"exp\":\(seconds)}")
        let end = (seconds + leeway) * 1_000
        #expect(verify(compact, policy: policy, now: UnixTime(milliseconds: end - 1)).subject == "a")
        #expect(verify(compact, policy: policy, now: UnixTime(milliseconds: end)).error == .expired)
    }

    @Test("a token is taken from the leeway before its beginning, and no earlier", arguments: [Int64(0), 30])
    func notBefore(leeway: Int64) {
        let policy = TokenPolicy(leeway: .seconds(leeway))
        let compact = token("{\"sub\":\"a\",\"exp\":\(seconds + 100),\"nbf\":\(seconds)}")
        let start = (seconds - leeway) * 1_000
        #expect(verify(compact, policy: policy, now: UnixTime(milliseconds: start)).subject == "a")
        #expect(verify(compact, policy: policy, now: UnixTime(milliseconds: start - 1)).error == .notYetValid)
    }

    @Test(
        "the audience is one of the token's, if one is asked for",
        arguments: [
            ("", nil), ("", "pos"), (",\"aud\":\"pos\"", "pos"), (",\"aud\":\"pos\"", nil), (",\"aud\":\"POS\"", "pos"),
            (",\"aud\":[\"web\",\"pos\"]", "pos"), (",\"aud\":[\"web\"]", "pos"), (",\"aud\":[]", "pos"),
            (",\"aud\":[]", nil), (",\"aud\":\"po\\u0073\"", "pos"), (",\"aud\":\"web pos\"", "pos"),
        ] as [(String, String?)])
    func audience(claim: String, asked: String?) {
        let fits =
            asked == nil || ["\"pos\"", "[\"web\",\"pos\"]", "\"po\\u0073\""].contains(String(claim.dropFirst(7)))
        let error = verify(
            token("{\"sub\":\"a\",\"exp\":1769882700\(claim)}"), policy: TokenPolicy(audience: asked)
        ).error
        #expect(error == (fits ? nil : .wrongAudience))
    }

    @Test(
        "the issuer is the one that is asked for, if one is",
        arguments: [
            ("", nil, nil), (",\"iss\":\"x\"", nil, nil), (",\"iss\":\"x\"", "x", nil), ("", "x", .wrongIssuer),
            (",\"iss\":\"X\"", "x", .wrongIssuer), (",\"iss\":\"\"", "x", .wrongIssuer),
            (",\"iss\":\"x/\"", "x", .wrongIssuer),
        ] as [(String, String?, TokenError?)])
    func issuer(claim: String, asked: String?, error: TokenError?) {
        let result = verify(token("{\"sub\":\"a\",\"exp\":1769882700\(claim)}"), policy: TokenPolicy(issuer: asked))
        #expect(result.error == error)
    }

    @Test("a connection lives until the token's end, or through the leeway when it came within it")
    func endOfUse() throws {
        let expiry = (seconds + 55) * 1_000
        let token = try verify(token()).get()
        #expect(token.expiresAt.milliseconds == expiry)
        for (acceptedAt, end) in [(expiry - 1, expiry), (expiry, expiry + 30_000), (expiry + 29_999, expiry + 30_000)] {
            let result = token.endOfUse(acceptedAt: UnixTime(milliseconds: acceptedAt), leeway: .seconds(30))
            #expect(result.milliseconds == end)
        }
    }

    @Test("spoilt tokens never trap and are never taken", arguments: 0..<4 as Range<UInt64>)
    func mutations(seed: UInt64) {
        var generator = SeededBytes(seed)
        let keys = StubKeys(message: "\(Self.head).\(Self.body)")
        #expect(verify(token(), keys: keys).subject == "a")
        for _ in 0..<2_000 {
            var bytes = Array(token().utf8)
            for _ in 0...Int.random(in: 0...2, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                bytes[index] = UInt8.random(in: 0x20...0x7e, using: &generator)
            }
            let compact = String(decoding: bytes, as: UTF8.self)
            if compact != token() { #expect(verify(compact, keys: keys).subject == nil, "\(compact)") }
            // Believed, whatever it says: only its form is left to protect the rest.
            let dots = compact.split(separator: ".", omittingEmptySubsequences: false)
            if dots.count == 3 { _ = verify("\(dots[0]).\(dots[1]).\(base64("signature"))") }
        }
    }
}
