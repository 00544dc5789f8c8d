import Foundation
import FynloCore
import FynloIO
import Testing

/// A key pair made by the openssl program, and signatures made with it.
private struct Issuer {
    let folder: TestCertificates
    let keyPath: String
    let jwk: String

    init(_ algorithm: TokenAlgorithm, id: String) throws {
        folder = try TestCertificates()
        keyPath = folder.folder + "/issuer.pem"
        let arguments: [String] =
            algorithm == .es256
            ? ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", keyPath]
            : ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", keyPath]
        _ = try openssl(arguments)
        if algorithm == .es256 {
            // The last 64 bytes of the public key's DER are the point.
            let der = try openssl(["pkey", "-in", keyPath, "-pubout", "-outform", "DER"])
            let x = Base64.encode(Array(der.suffix(64).prefix(32)), as: .url)
            let y = Base64.encode(Array(der.suffix(32)), as: .url)
            jwk = #"{"kty":"EC","crv":"P-256","kid":"\#(id)","alg":"ES256","use":"sig","x":"\#(x)","y":"\#(y)"}"#
        } else {
            let line = String(decoding: try openssl(["rsa", "-in", keyPath, "-noout", "-modulus"]), as: UTF8.self)
            let hexadecimal = line.trimmingCharacters(in: .newlines).dropFirst("Modulus=".count)
            var modulus: [UInt8] = []
            var rest = hexadecimal[...]
            while let byte = UInt8(rest.prefix(2), radix: 16) {
                modulus.append(byte)
                rest = rest.dropFirst(2)
            }
            let n = Base64.encode(modulus, as: .url)
            jwk = #"{"kty":"RSA","kid":"\#(id)","n":"\#(n)","e":"AQAB"}"#
        }
    }

    /// A signature as a token carries it.
    func sign(_ message: String, _ algorithm: TokenAlgorithm) throws -> [UInt8] {
        let path = folder.folder + "/message"
        try message.write(toFile: path, atomically: true, encoding: .utf8)
        let der = try openssl(["dgst", "-sha256", "-sign", keyPath, path])
        guard algorithm == .es256 else { return der }
        // SEQUENCE { INTEGER r, INTEGER s } -> 32 bytes each.
        func number(at index: Int) -> (bytes: [UInt8], end: Int) {
            let end = index + 2 + Int(der[index + 1])
            let digits = Array(der[(index + 2)..<end].drop { $0 == 0 })
            return (Array(repeating: 0, count: 32 - digits.count) + digits, end)
        }
        let r = number(at: 2)
        return r.bytes + number(at: r.end).bytes
    }
}

private func openssl(_ arguments: [String]) throws -> [UInt8] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return Array(data)
}

@Suite("Keys of tokens")
struct TokenKeyringTests {
    @Test("checks signatures of other programs, by the key the token names", arguments: [TokenAlgorithm.es256, .rs256])
    func checks(algorithm: TokenAlgorithm) throws {
        let one = try Issuer(algorithm, id: "one")
        let two = try Issuer(algorithm, id: "two")
        let keys = try JSONWebKeySet.parse(Array(#"{"keys":[\#(one.jwk),\#(two.jwk)]}"#.utf8).span)
        #expect(keys.map(\.id) == ["one", "two"])
        let keyring = try TokenKeyring(secret: nil, keys: keys)
        let message = Array("header.payload".utf8)
        // Several, since r and s of ECDSA have leading zeros now and then.
        for _ in 0..<8 {
            let signature = try one.sign("header.payload", algorithm)
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
        let signature = try one.sign("header.payload", algorithm)
        let isValid = single.isValid(signature: signature, of: message.span, algorithm: algorithm, keyID: nil)
        #expect(isValid, "one key, and the token names none")
    }

    @Test("never takes a public key for the secret of HS256")
    func confusion() throws {
        let issuer = try Issuer(.rs256, id: "one")
        let keys = try JSONWebKeySet.parse(Array(#"{"keys":[\#(issuer.jwk)]}"#.utf8).span)
        let keyring = try TokenKeyring(secret: nil, keys: keys)
        let pem = try openssl(["pkey", "-in", issuer.keyPath, "-pubout"])
        let message = Array("header.payload".utf8)
        let forged = SignatureVerifier.hmacSHA256(key: pem, message: message)
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
