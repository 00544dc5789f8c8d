// The findings of fynlo doctor: one line per step.

import FynloCore

/// The steps, in their order.
enum DoctorStep: String, CaseIterable {
    case name, tcp, tls, http, clock, upgrade, authentication, heartbeat, resume, idle
}

/// What can be wrong. The names are stable.
enum Fault: String {
    case nameUnknown = "name_unknown"
    case connectionRefused = "connection_refused"
    case unreachable
    /// Connecting, or the first answer, does not finish.
    case noAnswer = "no_answer"
    case certificateAuthority = "certificate_authority"
    case certificateName = "certificate_name"
    case certificateExpired = "certificate_expired"
    case certificateInvalid = "certificate_invalid"
    /// TLS is expected, but the server does not speak it.
    case notTLS = "not_tls"
    /// The server speaks TLS, but the URL does not ask for it.
    case tlsRequired = "tls_required"
    case tlsFailed = "tls_failed"
    case notHTTP = "not_http"
    case redirected
    /// A proxy answers instead of the server.
    case gateway
    case clockSkew = "clock_skew"
    case upgradeNotPassed = "upgrade_not_passed"
    case upgradeRefused = "upgrade_refused"
    case pathUnknown = "path_unknown"
    case originRefused = "origin_refused"
    case tokenExpired = "token_expired"
    case tokenInvalid = "token_invalid"
    case accessDenied = "access_denied"
    case connectionLimit = "connection_limit"
    case serverUnavailable = "server_unavailable"
    case connectionLost = "connection_lost"
    case pongsMissing = "pongs_missing"
    case notResumed = "not_resumed"
    case idleCut = "idle_cut"
}

/// The result of one step.
struct Finding {
    enum Outcome: String {
        case ok
        case warning
        case failed
        case skipped
    }

    let step: DoctorStep
    let outcome: Outcome
    /// What was seen, as one sentence.
    let detail: String
    var fault: Fault?
    /// What to do about it.
    var advice: String?

    static func ok(_ step: DoctorStep, _ detail: String) -> Finding {
        Finding(step: step, outcome: .ok, detail: detail)
    }

    static func skipped(_ step: DoctorStep, _ reason: String) -> Finding {
        Finding(step: step, outcome: .skipped, detail: reason)
    }

    static func warning(_ step: DoctorStep, _ fault: Fault, _ detail: String, _ advice: String) -> Finding {
        Finding(step: step, outcome: .warning, detail: detail, fault: fault, advice: advice)
    }

    static func failed(_ step: DoctorStep, _ fault: Fault, _ detail: String, _ advice: String) -> Finding {
        Finding(step: step, outcome: .failed, detail: detail, fault: fault, advice: advice)
    }

    /// One JSON object with its line break.
    var json: [UInt8] {
        var text = ByteBuffer("{\"step\":\"\(step.rawValue)\",\"outcome\":\"\(outcome.rawValue)\",\"detail\":")
        text.append(jsonString: detail)
        if let fault { text.append(",\"fault\":\"\(fault.rawValue)\"") }
        if let advice {
            text.append(",\"advice\":")
            text.append(jsonString: advice)
        }
        text.append("}\n")
        return text.bytes()
    }

    /// The finding for a person, with its line break. Advice is on a line of its own.
    func line(hasColour: Bool) -> [UInt8] {
        let (word, colour) =
            switch outcome {
            case .ok: ("ok", "32")
            case .warning: ("warning", "33")
            case .failed: ("FAILED", "31")
            case .skipped: ("skipped", "2")
            }
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(1, width - text.count))
        }
        let shown = hasColour ? "\u{1b}[\(colour)m\(padded(word, 9))\u{1b}[0m" : padded(word, 9)
        let heading = Finding.harmless(padded(step.rawValue, 16) + detail)
        let tail = advice.map { "\n" + String(repeating: " ", count: 25) + Finding.harmless("→ " + $0) } ?? ""
        return Array((shown + heading + tail + "\n").utf8)
    }

    private static func harmless(_ text: String) -> String {
        String(decoding: Console.printable(Array(text.utf8)), as: UTF8.self)
    }
}
