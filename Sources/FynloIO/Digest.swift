// OpenSSL's hashes, for occasional use; HMACKey is for many messages under one key.

import COpenSSL
import FynloCore

/// Hashes, with a key and without.
public enum Digest {
    /// RFC 2104 with SHA-256: 32 bytes.
    public static func hmacSHA256(key: [UInt8], message: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        // HMAC() takes a null pointer to mean the previous key, and there is none.
        let pointedKey = key.isEmpty ? [0] : key
        let result = HMAC(EVP_sha256(), pointedKey, Int32(key.count), message, message.count, &code, &length)
        precondition(result != nil && length == 32, "HMAC fails only when there is no memory left")
        return code
    }

    /// The SHA-256 of a message, as 64 lower-case hexadecimal digits.
    public static func sha256Hexadecimal(of message: [UInt8]) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let result = EVP_Digest(message, message.count, &digest, &length, EVP_sha256(), nil)
        precondition(result == 1 && length == 32, "EVP_Digest fails only when there is no memory left")
        return digest.hexadecimal
    }

    /// The SHA-1 of a message, 20 bytes: for entity tags of long bodies. OpenSSL is ten times faster than the core's own.
    public static func sha1(of message: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 20)
        var length: UInt32 = 0
        let result = EVP_Digest(message, message.count, &digest, &length, EVP_sha1(), nil)
        precondition(result == 1 && length == 20, "EVP_Digest fails only when there is no memory left")
        return digest
    }
}
