import Foundation
public import FynloCore

/// An issuer of tokens, with a key pair made by the openssl program.
public struct TestIssuer {
    private let folder: TestFolder
    private let keyPath: String
    private let algorithm: TokenAlgorithm
    private let id: String
    /// Its public key as a member of a JSON Web Key Set.
    public let jwk: String

    /// An issuer with a new key of an algorithm that has public keys; `id` is the `kid`.
    public init(_ algorithm: TokenAlgorithm, id: String) throws {
        self.algorithm = algorithm
        self.id = id
        folder = try TestFolder()
        keyPath = folder.path + "/issuer.pem"
        switch algorithm {
        case .hs256:
            preconditionFailure("an issuer has a public key; HS256 has a shared secret")
        case .es256:
            try OpenSSLProgram.run([
                "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", keyPath,
            ])
            // The last 64 bytes of the public key's DER are the point.
            let der = try OpenSSLProgram.run(["pkey", "-in", keyPath, "-pubout", "-outform", "DER"])
            let x = Base64.encode(Array(der.suffix(64).prefix(32)), as: .url)
            let y = Base64.encode(Array(der.suffix(32)), as: .url)
            jwk = #"{"kty":"EC","crv":"P-256","kid":"\#(id)","alg":"ES256","use":"sig","x":"\#(x)","y":"\#(y)"}"#
        case .rs256:
            try OpenSSLProgram.run([
                "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", keyPath,
            ])
            let line = String(
                decoding: try OpenSSLProgram.run(["rsa", "-in", keyPath, "-noout", "-modulus"]), as: UTF8.self)
            var modulus: [UInt8] = []
            var rest = line.trimmingCharacters(in: .newlines).dropFirst("Modulus=".count)
            while let byte = UInt8(rest.prefix(2), radix: 16) {
                modulus.append(byte)
                rest = rest.dropFirst(2)
            }
            jwk = #"{"kty":"RSA","kid":"\#(id)","n":"\#(Base64.encode(modulus, as: .url))","e":"AQAB"}"#
        }
    }

    /// The public key as another program would hand it on.
    public func publicKeyPEM() throws -> [UInt8] {
        try OpenSSLProgram.run(["pkey", "-in", keyPath, "-pubout"])
    }

    /// A signature as a token carries it.
    public func sign(_ message: String) throws -> [UInt8] {
        let path = try folder.write(message, to: "message")
        let signature = try OpenSSLProgram.run(["dgst", "-sha256", "-sign", keyPath, path])
        switch algorithm {
        case .hs256, .rs256: return signature
        case .es256: return TestIssuer.numbers(inDER: signature)
        }
    }

    /// SEQUENCE { INTEGER r, INTEGER s } -> 32 bytes each.
    private static func numbers(inDER der: [UInt8]) -> [UInt8] {
        func number(at index: Int) -> (bytes: [UInt8], end: Int) {
            let end = index + 2 + Int(der[index + 1])
            let digits = Array(der[(index + 2)..<end].drop { $0 == 0 })
            return (Array(repeating: 0, count: 32 - digits.count) + digits, end)
        }
        let r = number(at: 2)
        return r.bytes + number(at: r.end).bytes
    }

    /// A token of `subject`, in the compact form. `keyID` in the header is the issuer's own unless another one is named, and
    /// left out when it is empty.
    public func token(subject: String, expiresAt: UnixTime, keyID: String? = nil) throws -> String {
        let keyID = keyID ?? id
        let member = keyID.isEmpty ? "" : ",\"kid\":\"\(keyID)\""
        let header = "{\"alg\":\"\(algorithm.rawValue)\",\"typ\":\"JWT\"\(member)}"
        let claims = "{\"sub\":\"\(subject)\",\"exp\":\(expiresAt.seconds)}"
        let signed = Base64.encode(Array(header.utf8), as: .url) + "." + Base64.encode(Array(claims.utf8), as: .url)
        return signed + "." + Base64.encode(try sign(signed), as: .url)
    }
}
