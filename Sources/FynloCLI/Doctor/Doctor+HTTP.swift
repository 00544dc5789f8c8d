// The doctor's steps on the way to the server: HTTP, and the server's clock.

import FynloClient
import FynloCore
import FynloIO

extension Doctor {
    /// The Date field has whole seconds, so smaller differences are ignored.
    private static let skewWarning = Duration.seconds(5)
    /// By how much a token's times may be off (FYNLO_JWT_LEEWAY).
    private static let skewLimit = Duration.seconds(30)

    /// True if there was a response, so that the examination can go on.
    func speak() throws(SystemError) -> Bool {
        guard let socket = try makeSocket() else { return false }
        defer { socket.close() }
        var headers = HTTPHeaders()
        headers.append("Host", options.server.authority)
        headers.append("Connection", "close")
        var request = ByteBuffer()
        HTTPEncoder.encodeRequest(
            method: .get, target: options.server.pathPrefix + "/health/live", headers: headers, body: [], into: &request
        )
        var parser = HTTPResponseParser(limits: HTTPLimits())
        var response: HTTPResponse?
        var problem: HTTPError?
        let start = SystemClock.now
        socket.send(request)
        let isDone = try wait {
            do throws(HTTPError) {
                if response == nil { response = try parser.next(&socket.input, requestMethod: .get) }
                if response == nil, socket.end != nil { response = try parser.endOfInput() }
            } catch {
                problem = error
            }
            return response != nil || problem != nil || socket.end != nil
        }
        let took = SystemClock.instant - start.instant
        // A TLS server answers plain HTTP with an alert, with 400, or not at all.
        if !options.server.usesTLS, isDone, response == nil || response?.status == 400, try speaksTLS() { return false }
        if let response {
            let finding = httpFinding(response, took)
            note(finding)
            if finding.fault == .redirected { return false }
            noteClock(response, at: start.unixTime, took)
            return true
        }
        if !isDone {
            note(
                .failed(
                    .http, .noAnswer,
                    "The server took the connection and did not answer within \(options.timeout.text).",
                    "It hangs, or what listens there waits for something else than HTTP: check the port."))
        } else {
            let what = problem.map { "The answer cannot be read: \($0.detail)" } ?? socket.end?.sentence ?? "No answer."
            note(.failed(.http, .notHTTP, what, "What listens there is no HTTP server: check the port."))
        }
        return false
    }

    private func httpFinding(_ response: HTTPResponse, _ took: Duration) -> Finding {
        let answer = "HTTP \(response.status) for /health/live in \(Doctor.milliseconds(took))"
        switch response.status {
        case 200...299: return .ok(.http, answer + ".")
        case 300...399:
            let place = response.headers.first("location") ?? "another place"
            return .failed(
                .http, .redirected, "The server sends us to \(place).", "Use that URL: tablets do not follow.")
        case 502, 503, 504:
            return .warning(
                .http, .gateway, answer + ": a proxy does not reach the server, or the server is too busy.",
                "Look at the proxy's log and at whether the server runs.")
        default:
            return .ok(.http, answer + ": the health page is somewhere else, which is no fault.")
        }
    }

    /// True if the other side expects TLS; records the finding.
    private func speaksTLS() throws(SystemError) -> Bool {
        guard let address, let context = try? TLSContext(verification: .reported),
            let engine = try? TLSEngine(client: context, host: options.server.host)
        else { return false }
        let socket = try DoctorSocket(loop: loop, address: address, tls: engine)
        defer { socket.close() }
        _ = try wait { socket.isOpen || socket.end != nil }
        guard engine.isEstablished else { return false }
        note(
            .failed(
                .http, .tlsRequired, "The server speaks TLS there, not plain HTTP.",
                "Connect with https:// (or wss://)."))
        return true
    }

    /// The difference of the clocks. The Date field has whole seconds, and was written between the request and the response.
    private func noteClock(_ response: HTTPResponse, at sent: UnixTime, _ took: Duration) {
        guard let date = response.headers.first("date").flatMap({ Doctor.time(imfFixdate: $0) }) else {
            return note(.skipped(.clock, "The answer has no Date."))
        }
        let (earliest, latest) = (sent.milliseconds - 999, sent.milliseconds + took.inMilliseconds)
        let behind = earliest - date.milliseconds
        let ahead = date.milliseconds - latest
        let skew = Duration.milliseconds(max(behind, ahead, 0))
        note(Doctor.clockFinding(skew: skew, isServerAhead: ahead > 0))
    }

    private static func clockFinding(skew: Duration, isServerAhead: Bool) -> Finding {
        let seconds = LoadValue.fixed(skew.inSeconds, skew < .seconds(10) ? 1 : 0)
        let detail = "The server's clock is \(seconds) s \(isServerAhead ? "ahead of" : "behind") ours."
        let advice = "Set the clock that is wrong, and keep it right with NTP (chrony, systemd-timesyncd)."
        if skew > skewLimit {
            let consequence = " Tokens count as expired, or not valid yet, beyond \(skewLimit.text)."
            return .failed(.clock, .clockSkew, detail + consequence, advice)
        }
        if skew > skewWarning { return .warning(.clock, .clockSkew, detail, advice) }
        return .ok(.clock, skew < .seconds(1) ? "The server's clock and ours agree." : detail)
    }

    /// RFC 9110 §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func time(imfFixdate text: String) -> UnixTime? {
        let words = text.split(separator: " ")
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard words.count == 6, words[5] == "GMT", let month = months.firstIndex(of: String(words[2])) else {
            return nil
        }
        return UnixTime(rfc3339: "\(words[3])-\(LocalTime.digits(month + 1, 2))-\(words[1])T\(words[4])Z")
    }
}
