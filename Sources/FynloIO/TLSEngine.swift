// TLS over memory buffers: ciphertext in and plaintext out, and the reverse. The socket stays with its owner, so that a TLS
// connection reads once and writes once per turn, like a plain one.

import COpenSSL
public import FynloCore

/// One TLS connection.
public final class TLSEngine {
    let ssl: OpaquePointer
    /// Ciphertext from the peer; owned by `ssl`.
    private let incoming: OpaquePointer
    /// Ciphertext for the peer; owned by `ssl`.
    private let outgoing: OpaquePointer
    private let context: TLSContext
    /// The host that a client connects to.
    let host: String?
    /// True until the first byte arrives.
    private var isUntouched = true

    /// True once the handshake is done.
    public private(set) var isEstablished = false
    /// True once the peer has said that it will send nothing more (close_notify).
    public private(set) var isInputEnded = false

    /// The server's side of a connection.
    public convenience init(server context: TLSContext) throws(TLSError) {
        try self.init(context)
        SSL_set_accept_state(ssl)
    }

    /// The client's side; the server's certificate has to be for `host`, a name or an IP address (IPv6 without brackets).
    public convenience init(client context: TLSContext, host: String) throws(TLSError) {
        try self.init(context, host: host)
        SSL_set_connect_state(ssl)
        if SocketAddress(host: host, port: 0) != nil {
            // RFC 6066 §3: addresses are not sent as names. RFC 6125 §1.7.2: they are compared with the addresses alone.
            guard X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1 else { throw .setting("host address") }
        } else {
            // A trailing dot belongs to DNS; certificates have none.
            let name = host.hasSuffix(".") ? String(host.dropLast()) : host
            guard co_set_host_name(ssl, name) == 1, SSL_set1_host(ssl, name) == 1 else { throw .setting("host name") }
            // RFC 9525 §6.3: a wildcard stands for a whole label.
            SSL_set_hostflags(ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        }
        let offered: [UInt8] = [8] + Array("http/1.1".utf8)
        guard SSL_set_alpn_protos(ssl, offered, UInt32(offered.count)) == 0 else { throw .setting("http/1.1") }
    }

    /// `host`: for a client, the server's name.
    private init(_ context: TLSContext, host: String? = nil) throws(TLSError) {
        guard let ssl = SSL_new(context.context) else { throw .setting("a connection") }
        guard let incoming = BIO_new(BIO_s_mem()) else {
            SSL_free(ssl)
            throw .setting("memory")
        }
        guard let outgoing = BIO_new(BIO_s_mem()) else {
            SSL_free(ssl)
            BIO_free(incoming)
            throw .setting("memory")
        }
        co_set_write_bio_eof(incoming)
        co_set_write_bio_eof(outgoing)
        SSL_set_bio(ssl, incoming, outgoing)
        self.ssl = ssl
        self.incoming = incoming
        self.outgoing = outgoing
        self.context = context
        self.host = host
    }

    deinit {
        SSL_free(ssl)
    }

    /// The protocol's name, as `TLSv1.3`.
    public var version: String { SSL_get_version(ssl).map { String(cString: $0) } ?? "" }

    /// True if the handshake resumed an earlier session.
    public var isResumed: Bool { SSL_session_reused(ssl) == 1 }

    /// Consumes all of `ciphertext`: appends the decrypted bytes to `plaintext`, and the handshake's answers to `output`. After
    /// an error, `output` may hold an alert to send before closing.
    public func receive(
        _ ciphertext: inout ByteBuffer, plaintext: inout ByteBuffer, output: inout ByteBuffer
    ) throws(TLSError) {
        defer {
            moveOutgoing(to: &output)
            co_release_memory(incoming)
        }
        if isUntouched, !ciphertext.isEmpty {
            isUntouched = false
            if host != nil { try checkFirstByte(ciphertext[0]) }
        }
        while !ciphertext.isEmpty {
            let taken = ciphertext.withReadable { bytes in
                bytes.withUnsafeBytes { BIO_write(incoming, $0.baseAddress, Int32(clamping: $0.count)) }
            }
            guard taken > 0 else { throw .peer(reason: "out of memory") }
            ciphertext.consume(Int(taken))
            try read(into: &plaintext)
        }
        if !isEstablished { try read(into: &plaintext) }
    }

    /// Starts a client's handshake: the client speaks first.
    public func start(output: inout ByteBuffer) throws(TLSError) {
        var nothing = ByteBuffer()
        var noPlaintext = ByteBuffer()
        try receive(&nothing, plaintext: &noPlaintext, output: &output)
    }

    /// Encrypts up to `limit` bytes from the front of `plaintext`. Call it only once `isEstablished`.
    public func send(_ plaintext: inout ByteBuffer, limit: Int, output: inout ByteBuffer) throws(TLSError) {
        defer { moveOutgoing(to: &output) }
        var left = min(limit, plaintext.count)
        while left > 0 {
            ERR_clear_error()
            let written = plaintext.withReadable { bytes in
                bytes.withUnsafeBytes { SSL_write(ssl, $0.baseAddress, Int32(clamping: left)) }
            }
            guard written > 0 else { throw .peer(reason: TLSError.lastReason()) }
            plaintext.consume(Int(written))
            left -= Int(written)
        }
    }

    /// Announces that nothing more will be sent (close_notify).
    public func close(output: inout ByteBuffer) {
        guard isEstablished else { return }
        ERR_clear_error()
        _ = SSL_shutdown(ssl)
        moveOutgoing(to: &output)
    }

    /// Reads everything that is available: epoll sends no second event for bytes that OpenSSL already holds.
    private func read(into plaintext: inout ByteBuffer) throws(TLSError) {
        if !isEstablished {
            ERR_clear_error()
            let done = SSL_do_handshake(ssl)
            guard done == 1 else {
                guard SSL_get_error(ssl, done) == SSL_ERROR_WANT_READ else { throw handshakeError() }
                return
            }
            isEstablished = true
        }
        while true {
            ERR_clear_error()
            var result: Int32 = 0
            _ = plaintext.withWritable(atLeast: 16_384) { room in
                result = SSL_read(ssl, room.baseAddress, 16_384)
                return max(0, Int(result))
            }
            if result > 0 { continue }
            switch SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ: return
            case SSL_ERROR_ZERO_RETURN:
                isInputEnded = true
                return
            default: throw .peer(reason: TLSError.lastReason())
            }
        }
    }

    /// RFC 8446 §5.1: a server begins with a handshake record or an alert.
    private func checkFirstByte(_ byte: UInt8) throws(TLSError) {
        guard byte != 21, byte != 22 else { return }
        throw .notTLS(isHTTP: byte == UInt8(ascii: "H"))
    }

    private func handshakeError() -> TLSError {
        let reason = TLSError.lastReason()
        guard let host else { return .peer(reason: reason) }
        return TLSError(verification: SSL_get_verify_result(ssl), host: host) ?? .peer(reason: reason)
    }

    private func moveOutgoing(to output: inout ByteBuffer) {
        defer { co_release_memory(outgoing) }
        while true {
            let pending = BIO_ctrl_pending(outgoing)
            guard pending > 0 else { return }
            let moved = output.withWritable(atLeast: Int(pending)) { room in
                max(0, Int(BIO_read(outgoing, room.baseAddress, Int32(clamping: pending))))
            }
            if moved == 0 { return }
        }
    }
}
