import FynloCore
import FynloIO
import TestSupport
import Testing

@Suite("Keys of tokens")
struct TokenKeyringTests {
    @Test("checks signatures of other programs, by the key the token names", arguments: [TokenAlgorithm.es256, .rs256])
    func checks(algorithm: TokenAlgorithm) throws {
        let one = try TestIssuer(algorithm, id: "one")
        let two = try TestIssuer(algorithm, id: "two")
        let keys = try JSONWebKeySet.parse(Array(#"{"keys":[\#(one.jwk),\#(two.jwk)]}"#.utf8).span)
        #expect(keys.map(\.id) == ["one", "two"])
        let keyring = try TokenKeyring(secret: nil, keys: keys)
        let message = Array("header.payload".utf8)
        // Several, since r and s of ECDSA have leading zeros now and then.
        for _ in 0..<8 {
            let signature = try one.sign("header.payload")
            func check(_ signature: [UInt8], _ text: [UInt8], _ algorithm: TokenAlgorithm, _ id: String?) -> Bool {
                keyring.isValid(signature: signature, of: text.span, algorithm: algorithm, keyID: id)
            }
            #expect(check(signature, message, algorithm, "one"))
            #expect(!check(signature, message, algorithm, "two"))
            #expect(!check(signature, message, algorithm, "three"))
            #expect(!check(signature, message, algorithm, nil), "two keys, and the token names none")
            #expect(!check(signature, Array("header.payloae".utf8), algorithm, "one"))
            #expect(!check(signature, message, algorithm == .es256 ? .rs256 : .es256, "one"))
            #expect(!check(signature, message, .hs256, "one"))
            #expect(!check(Array(signature.dropLast()), message, algorithm, "one"))
            #expect(!check([], message, algorithm, "one"))
            var changed = signature
            changed[40] ^= 1
            #expect(!check(changed, message, algorithm, "one"))
        }
        let single = try TokenKeyring(secret: nil, keys: [keys[0]])
        let signature = try one.sign("header.payload")
        let isValid = single.isValid(signature: signature, of: message.span, algorithm: algorithm, keyID: nil)
        #expect(isValid, "one key, and the token names none")
    }

    @Test("never takes a public key for the secret of HS256")
    func confusion() throws {
        let issuer = try TestIssuer(.rs256, id: "one")
        let keys = try JSONWebKeySet.parse(Array(#"{"keys":[\#(issuer.jwk)]}"#.utf8).span)
        let keyring = try TokenKeyring(secret: nil, keys: keys)
        let pem = try issuer.publicKeyPEM()
        let message = Array("header.payload".utf8)
        let forged = Digest.hmacSHA256(key: pem, message: message)
        let isValid = keyring.isValid(signature: forged, of: message.span, algorithm: .hs256, keyID: "one")
        #expect(!isValid)
    }

    @Test(
        "refuses a key set in one sentence",
        arguments: [
            ("[]", JSONWebKeySetError.malformed), ("{}", .malformed), (#"{"keys":{}}"#, .malformed),
            (#"{"keys":[1]}"#, .malformed), (#"{"keys":[]}"#, .noUsableKey),
            (#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, .noUsableKey),
            (#"{"keys":[{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}]}"#, .noUsableKey),
            (#"{"keys":[{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}]}"#, .noUsableKey),
            (#"{"keys":[{"kid":"a"}]}"#, .badKey(index: 0, reason: "kty is missing")),
            (
                #"{"keys":[{"kty":"EC","crv":"P-256","x":"AA"}]}"#,
                .badKey(index: 0, reason: "y is missing or not base64url")
            ),
            (
                #"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#,
                .badKey(index: 0, reason: "x and y of P-256 have 32 bytes each")
            ),
            (
                #"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
                .badKey(index: 0, reason: "RS256 needs at least 2048 bits (RFC 7518 §3.3)")
            ),
        ])
    func refusals(text: String, error: JSONWebKeySetError) {
        #expect(throws: error) { try JSONWebKeySet.parse(Array(text.utf8).span) }
        #expect(!error.reason.isEmpty)
    }

    @Test("refuses a point that is not on the curve")
    func curve() {
        let key = JSONWebKey(
            id: nil,
            material: .ellipticCurve(x: Array(repeating: 1, count: 32), y: Array(repeating: 1, count: 32)))
        #expect(throws: JSONWebKeySetError.self) { try TokenKeyring(secret: nil, keys: [key]) }
    }
}
