// A secret that signs many messages. OpenSSL looks HMAC and SHA-256 up by their names and hashes the key's own two blocks when
// it is given a key; here it does so once, not for each message.

import COpenSSL

/// A key of HMAC with SHA-256 (RFC 2104).
final class HMACKey {
    private let context: OpaquePointer

    /// Of any length, also none.
    init(_ secret: [UInt8]) {
        // A null pointer would be "the key of last time".
        guard let context = co_hmac_sha256(secret.isEmpty ? [0] : secret, secret.count) else {
            preconditionFailure("every OpenSSL 3 has HMAC with SHA-256, and it takes any key")
        }
        self.context = context
    }

    deinit {
        EVP_MAC_CTX_free(context)
    }

    /// Whether `code` is this key's for the message, in a time that does not tell where it differs.
    func isCode(_ code: [UInt8], of message: Span<UInt8>) -> Bool {
        var expected: [32 of UInt8] = InlineArray(repeating: 0)
        var length = 0
        var span = expected.mutableSpan
        let isDone = span.withUnsafeMutableBufferPointer { expected in
            message.withUnsafeBufferPointer { message in
                // Without a key: with the one it has.
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
