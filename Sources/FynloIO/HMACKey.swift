// A secret that checks many signatures. When OpenSSL is given a key, it looks up HMAC and SHA-256 by name and hashes the key's
// own two blocks. This type does that once, not for every message.

import COpenSSL

/// A key of HMAC with SHA-256 (RFC 2104).
final class HMACKey {
    private let context: OpaquePointer

    /// The secret may have any length, including zero.
    init(_ secret: [UInt8]) {
        guard let algorithm = EVP_MAC_fetch(nil, "HMAC", nil), let context = EVP_MAC_CTX_new(algorithm) else {
            preconditionFailure("every OpenSSL 3 has HMAC")
        }
        // The context keeps a reference to what it needs of the algorithm.
        EVP_MAC_free(algorithm)
        self.context = context
        // A null pointer would mean "the previous key".
        let pointedSecret = secret.isEmpty ? [0] : secret
        var digest = Array("SHA256".utf8CString)
        // A parameter points to its name and its value: both must live until OpenSSL has read them.
        let isReady = "digest".withCString { name in
            digest.withUnsafeMutableBufferPointer { digest in
                let parameters = [
                    OSSL_PARAM_construct_utf8_string(name, digest.baseAddress, 0), OSSL_PARAM_construct_end(),
                ]
                return EVP_MAC_init(context, pointedSecret, secret.count, parameters) == 1
            }
        }
        precondition(isReady, "HMAC with SHA-256 takes any key")
    }

    deinit {
        EVP_MAC_CTX_free(context)
    }

    /// Whether `code` is the message's HMAC under this key. Takes the same time wherever the two differ.
    func isCode(_ code: [UInt8], of message: Span<UInt8>) -> Bool {
        var expected: [32 of UInt8] = InlineArray(repeating: 0)
        var length = 0
        var span = expected.mutableSpan
        let isDone = span.withUnsafeMutableBufferPointer { expected in
            message.withUnsafeBufferPointer { message in
                // No key given: OpenSSL reuses the context's own.
                EVP_MAC_init(context, nil, 0, nil) == 1
                    && EVP_MAC_update(context, message.baseAddress, message.count) == 1
                    && EVP_MAC_final(context, expected.baseAddress, &length, expected.count) == 1
            }
        }
        precondition(isDone && length == 32, "HMAC fails only when there is no memory left")
        guard code.count == length else { return false }
        return expected.span.withUnsafeBufferPointer { CRYPTO_memcmp($0.baseAddress, code, length) == 0 }
    }
}
