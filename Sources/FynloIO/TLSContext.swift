// Certificates and policy, shared by all connections that start under them. A new context applies to new connections;
// existing ones keep theirs.

import COpenSSL
import Glibc

/// What TLS connections of one kind have in common.
public final class TLSContext {
    let context: OpaquePointer

    /// A server's context: TLS 1.2 and 1.3 with forward secrecy only, one session ticket, ALPN http/1.1.
    ///
    /// `certificatePath` is a PEM file with the chain, the server's own certificate first; `keyPath` a PEM file with its
    /// key, RSA or ECDSA, not encrypted. Throws in one sentence when either cannot be used.
    public init(certificatePath: String, keyPath: String) throws(TLSError) {
        guard let context = SSL_CTX_new(TLS_server_method()) else { throw .setting("TLS_server_method") }
        self.context = context
        try TLSContext.setPolicy(of: context)
        co_set_server_options(context)
        try TLSContext.readable(certificatePath)
        try TLSContext.readable(keyPath)
        ERR_clear_error()
        guard SSL_CTX_use_certificate_chain_file(context, certificatePath) == 1 else {
            throw .file(
                path: certificatePath,
                reason: "holds no certificate chain in PEM form that can be used (\(TLSError.lastReason()))")
        }
        // Without a callback OpenSSL would ask for a password on the terminal.
        SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in 0 }
        guard SSL_CTX_use_PrivateKey_file(context, keyPath, SSL_FILETYPE_PEM) == 1 else {
            let code = ERR_peek_last_error()
            if UInt32(truncatingIfNeeded: code) & 0xfff == UInt32(X509_R_KEY_VALUES_MISMATCH) {
                _ = TLSError.lastReason()
                throw .keyMismatch(certificate: certificatePath, key: keyPath)
            }
            throw .file(
                path: keyPath, reason: "holds no unencrypted private key in PEM form (\(TLSError.lastReason()))")
        }
        guard SSL_CTX_check_private_key(context) == 1 else {
            _ = TLSError.lastReason()
            throw .keyMismatch(certificate: certificatePath, key: keyPath)
        }
        SSL_CTX_set_num_tickets(context, 1)
        var sessionContext = Array("fynlo".utf8)
        SSL_CTX_set_session_id_context(context, &sessionContext, UInt32(sessionContext.count))
        SSL_CTX_set_alpn_select_cb(context, selectHTTP11, nil)
    }

    /// What happens if a server's certificate is not acceptable.
    public enum Verification: Sendable {
        /// Its handshake fails.
        case required
        /// The handshake succeeds and `TLSEngine.certificateProblem` says why it should not: for diagnosing a server only, never
        /// for sending it anything.
        case reported
    }

    /// A client's context: trusts the system's authorities, or those in the PEM file `authorityPath`.
    public init(authorityPath: String? = nil, verification: Verification = .required) throws(TLSError) {
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw .setting("TLS_client_method") }
        self.context = context
        try TLSContext.setPolicy(of: context)
        switch verification {
        case .required: SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        case .reported: co_accept_any_certificate(context)
        }
        ERR_clear_error()
        if let authorityPath {
            try TLSContext.readable(authorityPath)
            guard SSL_CTX_load_verify_file(context, authorityPath) == 1 else {
                throw .file(path: authorityPath, reason: "holds no certificates in PEM form (\(TLSError.lastReason()))")
            }
        } else if SSL_CTX_set_default_verify_paths(context) != 1 {
            throw .setting("the system's certificate authorities")
        }
    }

    deinit {
        SSL_CTX_free(context)
    }

    /// RFC 9325: ECDHE with AEAD ciphers only.
    private static func setPolicy(of context: OpaquePointer) throws(TLSError) {
        co_set_modes(context)
        let ciphers =
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
            + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
        guard co_set_minimum_version(context, TLS1_2_VERSION) == 1 else { throw .setting("TLS 1.2") }
        guard SSL_CTX_set_cipher_list(context, ciphers) == 1 else { throw .setting(ciphers) }
        guard co_set_groups(context, "X25519:P-256:P-384") == 1 else { throw .setting("X25519:P-256:P-384") }
    }

    /// OpenSSL's own words for a missing file are not a sentence.
    private static func readable(_ path: String) throws(TLSError) {
        guard access(path, R_OK) == 0 else {
            throw .file(path: path, reason: "cannot be read (\(String(cString: strerror(errno))))")
        }
    }
}

/// RFC 7301 §3.2: selects http/1.1 if the client offers it. A client that offers only other protocols is refused with the alert
/// no_application_protocol, so that its bytes are never taken for HTTP. A client that sends no list never gets here.
private func selectHTTP11(
    _: OpaquePointer?, selected: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    selectedLength: UnsafeMutablePointer<UInt8>?, offered: UnsafePointer<UInt8>?, offeredLength: UInt32,
    _: UnsafeMutableRawPointer?
) -> Int32 {
    guard let offered else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    let name = Array("http/1.1".utf8)
    let list = UnsafeBufferPointer(start: offered, count: Int(offeredLength))
    var index = 0
    while index < list.count {
        let length = Int(list[index])
        guard index + 1 + length <= list.count else { break }
        if list[(index + 1)..<(index + 1 + length)].elementsEqual(name) {
            // The bytes belong to the handshake and outlive this call.
            selected?.pointee = offered + index + 1
            selectedLength?.pointee = UInt8(length)
            return SSL_TLSEXT_ERR_OK
        }
        index += 1 + length
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}
