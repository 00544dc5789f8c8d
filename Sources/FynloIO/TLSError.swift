// What can go wrong with TLS: with our own files at the start, and with a peer's bytes later.

import COpenSSL

/// The one error of the TLS layer.
public enum TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A file of ours cannot be used; `reason` completes the sentence.
    case file(path: String, reason: String)
    /// The key does not belong to the certificate.
    case keyMismatch(certificate: String, key: String)
    /// OpenSSL refused a setting of ours.
    case setting(String)
    /// The peer's bytes are no TLS that we speak, or it broke off; `reason` is OpenSSL's.
    case peer(reason: String)

    /// One sentence.
    public var description: String {
        switch self {
        case .file(let path, let reason): "\(path) \(reason)."
        case .keyMismatch(let certificate, let key):
            "The key in \(key) does not belong to the certificate in \(certificate)."
        case .setting(let what): "OpenSSL does not take the setting \(what)."
        case .peer(let reason): "The TLS connection failed: \(reason)."
        }
    }

    /// The newest reason in OpenSSL's queue, which is emptied.
    static func lastReason() -> String {
        var reason = "no reason given"
        while true {
            let code = ERR_get_error()
            guard code != 0 else { return reason }
            if let text = ERR_reason_error_string(code) { reason = String(cString: text) }
        }
    }
}
