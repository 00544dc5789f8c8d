// What can go wrong with TLS: our own files at the start, and a peer's bytes later.

import COpenSSL

/// The one error of the TLS layer.
public enum TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A configured file cannot be used; `reason` completes the sentence.
    case file(path: String, reason: String)
    /// The key does not belong to the certificate.
    case keyMismatch(certificate: String, key: String)
    /// OpenSSL refused one of our settings.
    case setting(String)
    /// The peer does not speak a TLS that we accept, or it broke off; `reason` is OpenSSL's.
    case peer(reason: String)
    /// A client does not accept the server's certificate.
    case certificate(host: String, CertificateProblem)
    /// The server that a client connected to does not speak TLS; `isHTTP` if it answered in plain HTTP.
    case notTLS(isHTTP: Bool)
    /// The server ended a client's connection during the handshake.
    case endedInHandshake

    /// One sentence.
    public var description: String {
        switch self {
        case .file(let path, let reason): "\(path) \(reason)."
        case .keyMismatch(let certificate, let key):
            "The key in \(key) does not belong to the certificate in \(certificate)."
        case .setting(let what): "OpenSSL does not take the setting \(what)."
        case .peer(let reason): "The TLS connection failed: \(reason)."
        case .certificate(let host, let problem): problem.sentence(host: host)
        case .notTLS(isHTTP: true): "The server speaks plain HTTP there, not TLS: connect with http:// or ws://."
        case .notTLS(isHTTP: false): "The server does not speak TLS there."
        case .endedInHandshake: "The server ended the connection during the TLS handshake, as one without TLS does."
        }
    }

    /// The newest reason in OpenSSL's error queue. Empties the queue.
    static func lastReason() -> String {
        var reason = "no reason given"
        while true {
            let code = ERR_get_error()
            guard code != 0 else { return reason }
            if let text = ERR_reason_error_string(code) { reason = String(cString: text) }
        }
    }
}

/// What is wrong with a server's certificate.
public enum CertificateProblem: Equatable, Sendable {
    /// No trusted authority has signed it; in OpenSSL's words.
    case unknownAuthority(String)
    case otherHost
    case expired
    case notYetValid
    /// Anything else, in OpenSSL's words.
    case invalid(String)

    /// One of OpenSSL's X509_V_ERR_…; `nil` for X509_V_OK.
    init?(verification code: Int) {
        let words = X509_verify_cert_error_string(code).map { String(cString: $0) } ?? "error \(code)"
        switch Int32(truncatingIfNeeded: code) {
        case X509_V_OK: return nil
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED:
            self = .unknownAuthority(words)
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH: self = .otherHost
        case X509_V_ERR_CERT_HAS_EXPIRED: self = .expired
        case X509_V_ERR_CERT_NOT_YET_VALID: self = .notYetValid
        default: self = .invalid(words)
        }
    }

    /// One sentence.
    public func sentence(host: String) -> String {
        switch self {
        case .unknownAuthority(let words):
            "No authority that is trusted here vouches for the certificate of \(host) (\(words))."
        case .otherHost: "The certificate that answered is not for \(host)."
        case .expired: "The certificate of \(host) has expired, or this machine's clock is ahead."
        case .notYetValid: "The certificate of \(host) is not valid yet, or this machine's clock is behind."
        case .invalid(let words): "The certificate of \(host) cannot be used: \(words)."
        }
    }
}

extension TLSError {
    /// What is wrong with a server's certificate; `nil` if nothing is.
    init?(verification code: Int, host: String) {
        guard let problem = CertificateProblem(verification: code) else { return nil }
        self = .certificate(host: host, problem)
    }
}
