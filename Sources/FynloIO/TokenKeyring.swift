// The keys that tokens may be signed with, prepared for OpenSSL. A key belongs to one algorithm: a token that names another
// finds no key.

import COpenSSL
public import FynloCore

/// Checks the signatures of tokens.
public final class TokenKeyring: TokenSignatureChecking {
    private let secret: HMACKey?
    private let publicKeys: [(key: JSONWebKey, handle: OpaquePointer)]

    /// `secret` is the key of HS256, `keys` are those of ES256 and RS256. Throws for a key that OpenSSL does not accept; `index`
    /// counts from 0.
    public init(secret: [UInt8]?, keys: [JSONWebKey] = []) throws(JSONWebKeySetError) {
        var handles: [(key: JSONWebKey, handle: OpaquePointer)] = []
        for (index, key) in keys.enumerated() {
            guard let handle = TokenKeyring.handle(of: key) else {
                for entry in handles { EVP_PKEY_free(entry.handle) }
                throw .badKey(index: index, reason: "OpenSSL does not accept its numbers (\(TLSError.lastReason()))")
            }
            handles.append((key, handle))
        }
        self.secret = secret.map(HMACKey.init)
        publicKeys = handles
    }

    deinit {
        for entry in publicKeys { EVP_PKEY_free(entry.handle) }
    }

    public func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool {
        switch algorithm {
        case .hs256:
            return secret?.isCode(signature, of: message) ?? false
        case .es256:
            guard let handle = publicKey(for: algorithm, id: keyID),
                let encoded = TokenKeyring.derSignature(signature)
            else { return false }
            return TokenKeyring.verify(encoded, of: message, with: handle)
        case .rs256:
            guard let handle = publicKey(for: algorithm, id: keyID) else { return false }
            return TokenKeyring.verify(signature, of: message, with: handle)
        }
    }

    /// The key with that name. A token that names none gets the algorithm's only key, if there is just one.
    private func publicKey(for algorithm: TokenAlgorithm, id: String?) -> OpaquePointer? {
        let candidates = publicKeys.filter { $0.key.algorithm == algorithm && (id == nil || $0.key.id == id) }
        return candidates.count == 1 ? candidates.first?.handle : nil
    }

    private static func verify(_ signature: [UInt8], of message: Span<UInt8>, with key: OpaquePointer) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer {
            EVP_MD_CTX_free(context)
            // A bad signature is the peer's fault: it must not stay in OpenSSL's error queue.
            ERR_clear_error()
        }
        guard EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, key) == 1 else { return false }
        return message.withUnsafeBufferPointer { bytes in
            EVP_DigestVerify(context, signature, signature.count, bytes.baseAddress, bytes.count) == 1
        }
    }

    /// RFC 7518 §3.4: r and s, 32 bytes each, one after the other; OpenSSL wants them in DER (RFC 3279 §2.2.3).
    private static func derSignature(_ signature: [UInt8]) -> [UInt8]? {
        guard signature.count == 64 else { return nil }
        return tagged(0x30, integer(Array(signature[..<32])) + integer(Array(signature[32...])))
    }

    private static func handle(of key: JSONWebKey) -> OpaquePointer? {
        let der: [UInt8]
        switch key.material {
        case .ellipticCurve(let x, let y):
            // SubjectPublicKeyInfo of id-ecPublicKey, prime256v1 (RFC 5480): a fixed head and the point, uncompressed.
            let head: [UInt8] = [
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
            ]
            der = head + x + y
        case .rsa(let modulus, let exponent):
            // SubjectPublicKeyInfo of rsaEncryption (RFC 3279 §2.3.1).
            let numbers = tagged(0x30, integer(modulus) + integer(exponent))
            let identifier: [UInt8] = [
                0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
            ]
            der = tagged(0x30, identifier + tagged(0x03, [0] + numbers))
        }
        return der.withUnsafeBufferPointer { bytes in
            var next = bytes.baseAddress
            return d2i_PUBKEY(nil, &next, der.count)
        }
    }

    /// A non-negative DER integer.
    private static func integer(_ bytes: [UInt8]) -> [UInt8] {
        var digits = Array(bytes.drop { $0 == 0 })
        if digits.isEmpty || digits[0] & 0x80 != 0 { digits.insert(0, at: 0) }
        return tagged(0x02, digits)
    }

    /// Tag, length and contents in DER.
    private static func tagged(_ tag: UInt8, _ contents: [UInt8]) -> [UInt8] {
        let count = contents.count
        switch count {
        case ..<128: return [tag, UInt8(count)] + contents
        case ..<256: return [tag, 0x81, UInt8(count)] + contents
        default: return [tag, 0x82, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)] + contents
        }
    }
}
