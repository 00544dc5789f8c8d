// The doctor's steps on the way to the server: TLS and the certificate.

import FynloClient
import FynloCore
import FynloIO

extension Doctor {
    private static let certificateWarningDays: Int64 = 14

    /// True if the examination can go on.
    func secure() throws(SystemError) -> Bool {
        guard options.server.usesTLS else {
            note(.skipped(.tls, "The URL says http: nothing is encrypted."))
            return true
        }
        let start = SystemClock.instant
        do throws(TLSError) {
            tls = try TLSContext(authorityPath: options.authorityPath)
            let trusting = try TLSContext(authorityPath: options.authorityPath, verification: .reported)
            let engine = try TLSEngine(client: trusting, host: options.server.host)
            return try handshake(engine, since: start)
        } catch {
            note(.failed(.tls, .tlsFailed, error.description, "Look at the file that --ca-file names."))
            return false
        }
    }

    private func handshake(_ engine: TLSEngine, since start: Instant) throws(TLSError) -> Bool {
        guard let address else { return false }
        do throws(SystemError) {
            let socket = try DoctorSocket(loop: loop, address: address, tls: engine)
            defer { socket.close() }
            let isDone = try wait { socket.isOpen || socket.end != nil }
            guard isDone else {
                note(
                    .failed(
                        .tls, .noAnswer, "The TLS handshake was not answered within \(options.timeout.text).",
                        "Something takes connections on port \(address.port) and says nothing: does it hang, or is it the wrong port?"
                    ))
                return false
            }
            if let end = socket.end {
                note(handshakeFailure(end))
                return false
            }
            let finding = certificateFinding(engine, since: start)
            note(finding)
            return finding.outcome != .failed
        } catch {
            note(.failed(.tls, .tlsFailed, error.description, "Try again; if it stays, look at the network."))
            return false
        }
    }

    private func handshakeFailure(_ end: DoctorSocket.End) -> Finding {
        switch end {
        case .insecure(.notTLS(isHTTP: true)):
            .failed(
                .tls, .notTLS, "The server speaks plain HTTP there, not TLS.",
                "Connect with http://, or give the server FYNLO_TLS_CERT and FYNLO_TLS_KEY.")
        case .insecure(.notTLS(isHTTP: false)), .insecure(.endedInHandshake), .closed:
            .failed(
                .tls, .notTLS, "The server does not speak TLS there: \(end.sentence)",
                "Check the port; connect with http:// if it is meant to be plain.")
        case .insecure, .failed:
            .failed(
                .tls, .tlsFailed, end.sentence,
                "The server has to offer TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20.")
        }
    }

    private func certificateFinding(_ engine: TLSEngine, since start: Instant) -> Finding {
        let host = options.server.host
        guard let certificate = engine.peerCertificate else {
            return .failed(
                .tls, .certificateInvalid, "The server showed no certificate.", "Give it one: FYNLO_TLS_CERT.")
        }
        let names = certificate.names.joined(separator: ", ")
        let end = LocalTime(certificate.notAfter).minutes
        if let problem = engine.certificateProblem {
            let sentence = problem.sentence(host: host)
            switch problem {
            case .unknownAuthority:
                return .failed(
                    .tls, .certificateAuthority, "\(sentence) Its issuer is \(certificate.issuer).",
                    "Send the whole chain (FYNLO_TLS_CERT), or trust that authority: --ca-file FILE, and on the tablets."
                )
            case .otherHost:
                return .failed(
                    .tls, .certificateName,
                    "The certificate is for \(names.isEmpty ? "no name" : names), not for \(host).",
                    "Connect by a name it is for, or get a certificate for \(host).")
            case .expired:
                return .failed(
                    .tls, .certificateExpired, "The certificate has expired on \(end).",
                    "Renew it, replace the files and send HUP to the server; if it is newer, this machine's clock is wrong."
                )
            case .notYetValid, .invalid:
                return .failed(
                    .tls, .certificateInvalid,
                    "\(sentence) It is valid from \(LocalTime(certificate.notBefore).minutes).",
                    "Get a new certificate, or set this machine's clock.")
            }
        }
        let days = (certificate.notAfter.milliseconds - SystemClock.now.unixTime.milliseconds) / 86_400_000
        let detail =
            "\(engine.version), the certificate is for \(names), from \(certificate.issuer), until \(end): "
            + "\(days) days (\(Doctor.milliseconds(since: start)))."
        if days < Doctor.certificateWarningDays {
            return .warning(.tls, .certificateExpired, detail, "Renew it now; the server reads new files on HUP.")
        }
        return .ok(.tls, detail)
    }
}
