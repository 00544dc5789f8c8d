// What a server's certificate says, for people who diagnose a failed connection.

import COpenSSL
public import FynloCore
import Glibc

/// A server's certificate.
public struct PeerCertificate: Equatable, Sendable {
    /// The DNS names and IP addresses the certificate is valid for.
    public let names: [String]
    /// The issuer, as `/C=US/O=Let's Encrypt/CN=E5`.
    public let issuer: String
    public let notBefore: UnixTime
    public let notAfter: UnixTime
}

extension TLSEngine {
    /// The peer's certificate; `nil` until the handshake has received it.
    public var peerCertificate: PeerCertificate? {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(certificate) }
        var text = [CChar](repeating: 0, count: 8_192)
        let length = co_certificate_names(certificate, &text, text.count)
        let names = String(decoding: text.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var issuer = [CChar](repeating: 0, count: 512)
        X509_NAME_oneline(X509_get_issuer_name(certificate), &issuer, Int32(issuer.count))
        return PeerCertificate(
            names: names.split(separator: "\n").map(String.init),
            issuer: String(decoding: issuer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
            notBefore: UnixTime(milliseconds: 1_000 * co_unix_time(X509_get0_notBefore(certificate))),
            notAfter: UnixTime(milliseconds: 1_000 * co_unix_time(X509_get0_notAfter(certificate))))
    }

    /// What is wrong with the server's certificate, for a client; `nil` if nothing is, or if it has not arrived yet.
    public var certificateProblem: CertificateProblem? {
        CertificateProblem(verification: SSL_get_verify_result(ssl))
    }
}
