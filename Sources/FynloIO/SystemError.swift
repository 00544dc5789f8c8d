// What the kernel, the resolver or an address in the configuration refused, as one sentence for a person.

import Glibc

/// The one error of this layer.
public enum SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A system call failed with an errno. `subject` is what it was about (an address, say), where that helps.
    case call(String, code: Int32, subject: String? = nil)
    /// A text is not an address literal; `reason` completes the sentence.
    case invalidAddress(String, reason: String)
    /// A host name has no addresses, or the name service did not answer.
    case unresolved(host: String, reason: String)

    /// The failure in `errno`. Create it before any other call can change `errno`.
    static func last(_ call: String, subject: String? = nil) -> SystemError {
        .call(call, code: errno, subject: subject)
    }

    /// The errno; nil when no system call was involved.
    public var code: Int32? {
        guard case .call(_, let code, _) = self else { return nil }
        return code
    }

    /// The process or the machine has run out of descriptors or memory. Accepting again at once is useless; later it may work.
    public var isResourceExhaustion: Bool {
        guard let code else { return false }
        return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM
    }

    /// The peer or the network ended the connection; nothing is wrong on this side.
    public var isDisconnect: Bool {
        guard let code else { return false }
        switch code {
        case ECONNRESET, EPIPE, ETIMEDOUT, ECONNABORTED, EHOSTUNREACH, ENETUNREACH, ENETDOWN, ENOTCONN: return true
        default: return false
        }
    }

    /// One sentence.
    public var description: String {
        switch self {
        case .call(let name, let code, let subject):
            let about = subject.map { " of \($0)" } ?? ""
            return "The system call \(name)\(about) failed: \(Self.text(of: code)) (errno \(code))."
        case .invalidAddress(let text, let reason):
            return "\"\(text)\" is not an address: \(reason)."
        case .unresolved(let host, let reason):
            return "The host name \"\(host)\" could not be resolved: \(reason)."
        }
    }

    /// What an errno means.
    public static func text(of code: Int32) -> String {
        guard let text = strerror(code) else { return "unknown error" }
        return String(cString: text)
    }
}
