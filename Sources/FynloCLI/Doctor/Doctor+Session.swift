// The doctor's steps on the WebSocket: upgrade, authentication, heartbeat, resumption and silence.

import FynloClient
import FynloCore
import FynloIO

extension Doctor {
    // MARK: Upgrade

    /// Opens a WebSocket.
    func upgrade() throws(SystemError) -> DoctorSession? {
        guard let session = try open() else { return nil }
        _ = try wait {
            session.look()
            return session.isOpen || session.response != nil || session.hasEnded
        }
        if session.isOpen {
            note(.ok(.upgrade, "\(options.webSocketPath) is a WebSocket."))
            return session
        }
        session.close()
        note(upgradeFailure(session))
        return nil
    }

    private func open() throws(SystemError) -> DoctorSession? {
        guard let socket = try makeSocket() else { return nil }
        var headers = HTTPHeaders()
        if let origin = options.origin { headers.append("Origin", origin) }
        return DoctorSession(
            loop: loop, socket: socket, authority: options.server.authority, path: options.webSocketPath,
            headers: headers)
    }

    private static let proxyAdvice =
        "The proxy has to pass WebSockets on. nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
        + "proxy_set_header Connection \"upgrade\"."

    private func upgradeFailure(_ session: DoctorSession) -> Finding {
        guard let response = session.response else {
            let what =
                session.problem ?? session.socket.end?.sentence ?? "There was no answer in \(options.timeout.text)."
            return .failed(.upgrade, .upgradeNotPassed, "The upgrade failed: \(what)", Doctor.proxyAdvice)
        }
        let status = response.status
        let reason = JSONRecord(response.body)?.string("detail").map { ": \($0)" } ?? "."
        switch status {
        case 101:
            return .failed(
                .upgrade, .upgradeNotPassed, "The answer to the upgrade is no answer to ours: \(session.problem ?? "")",
                Doctor.proxyAdvice)
        case 200...299, 426:
            return .failed(
                .upgrade, .upgradeNotPassed,
                "The server took the upgrade for an ordinary request (HTTP \(status)): a proxy does not pass it on.",
                Doctor.proxyAdvice)
        case 300...399:
            let place = response.headers.first("location") ?? "another place"
            return .failed(
                .upgrade, .redirected, "The server sends us to \(place).", "Use that URL: tablets do not follow.")
        case 403:
            return .failed(
                .upgrade, .originRefused, "The upgrade was refused (HTTP 403)\(reason)",
                "A page's origin has to be in FYNLO_ALLOWED_ORIGINS; without --origin, a proxy or firewall refuses.")
        case 404:
            return .failed(
                .upgrade, .pathUnknown, "There is no \(options.webSocketPath) (HTTP 404).",
                "Is it a Fynlo server? Behind a proxy the URL may need a path, as in https://HOST/fynlo.")
        case 429, 503:
            return .failed(
                .upgrade, .connectionLimit, "The server takes no more connections (HTTP \(status))\(reason)",
                "See FYNLO_MAX_CONNECTIONS, FYNLO_MAX_UNAUTHENTICATED and FYNLO_MAX_CONNECTIONS_PER_IP; with 503 also the proxy."
            )
        case 500...599:
            return .failed(
                .upgrade, .gateway, "The upgrade was answered with HTTP \(status)\(reason)",
                "A proxy does not reach the server, or does not speak HTTP/1.1 to it: look at its log.")
        default:
            return .failed(
                .upgrade, .upgradeRefused, "The upgrade was refused (HTTP \(status))\(reason)", Doctor.proxyAdvice)
        }
    }

    // MARK: Authentication

    /// Everything after the upgrade.
    func examine(_ session: DoctorSession) throws(SystemError) {
        defer { session.close() }
        guard let identity = options.identity else {
            let reason = "Name --restaurant, --user-id and a token for it."
            for step in [DoctorStep.authentication, .heartbeat, .resume, .idle] { note(.skipped(step, reason)) }
            return
        }
        guard let head = try authenticate(session, identity) else { return }
        guard try beat(session) else { return }
        session.close()
        guard let resumed = try resume(identity, head: head) else { return }
        defer { resumed.close() }
        try keepSilent(resumed)
    }

    /// The head of the restaurant's event stream, once authenticated.
    private func authenticate(
        _ session: DoctorSession, _ identity: DoctorIdentity
    ) throws(SystemError) -> EventSequence? {
        let start = SystemClock.instant
        session.authenticate(identity, type: options.clientType)
        let isDone = try wait {
            session.look()
            return !session.messages("authenticated").isEmpty || session.hasEnded
        }
        guard let data = session.messages("authenticated").first?.record("data") else {
            note(authenticationFailure(session, identity, isDone: isDone))
            return nil
        }
        let detail = "Let in as \(data.text("role")) in \(Doctor.milliseconds(since: start))"
        let ends = data.string("token_expires_at").flatMap { UnixTime(rfc3339: $0) }
        let left = ends.map { ($0.milliseconds - SystemClock.now.unixTime.milliseconds) / 1_000 }
        if let left, left < 300 {
            note(
                .warning(
                    .authentication, .tokenExpired, "\(detail); the token expires in \(max(0, left)) s.",
                    "Renew it: the server closes connections whose token has expired (4005)."))
        } else {
            let until = ends.map { "; the token is good until \(LocalTime($0).minutes)" } ?? ""
            note(.ok(.authentication, "\(detail)\(until)."))
        }
        return data.integer("seq") ?? 0
    }

    private func authenticationFailure(
        _ session: DoctorSession, _ identity: DoctorIdentity, isDone: Bool
    ) -> Finding {
        guard let data = session.messages("auth_error").last?.record("data") else {
            guard isDone else {
                return .failed(
                    .authentication, .noAnswer, "There was no answer to authenticate within \(options.timeout.text).",
                    "The server cannot reach its database, or a proxy keeps messages back.")
            }
            let why = session.closeCode.map { "closed with \($0) \(session.closeReason)" } ?? "the connection was lost"
            return .failed(
                .authentication, .connectionLost, "Instead of an answer to authenticate: \(why).",
                "A proxy may pass the upgrade, but not the messages; try it without the proxy.")
        }
        let sentence = "\(data.text("error")) (\(data.text("code")))."
        switch data.text("code") {
        case "invalid_token": return tokenFailure(sentence, identity)
        case "access_denied":
            return .failed(
                .authentication, .accessDenied, sentence,
                "The user may not act for \(identity.restaurant), or that is unknown or inactive: check --restaurant, "
                    + "users.restaurant_id and user_restaurants.")
        case "connection_limit":
            let wait = data.integer("retry_after_ms").map { " The server says to try again in \($0) ms." } ?? ""
            return .failed(
                .authentication, .connectionLimit, sentence + wait,
                "A user has 5 connections of a restaurant, a restaurant 100 (FYNLO_MAX_CONNECTIONS_PER_USER, _PER_RESTAURANT): "
                    + "close some, and give each device a device_id, so that it replaces its own.")
        case "unavailable":
            return .failed(
                .authentication, .serverUnavailable, sentence,
                "The server does not reach its database: see its log, and fynlo-server check.")
        default:
            return .failed(
                .authentication, .tokenInvalid, sentence,
                "A proxy changes messages, or the server is of another version.")
        }
    }

    /// The server does not say what is wrong with a token; some reasons can be found from here.
    private func tokenFailure(_ sentence: String, _ identity: DoctorIdentity) -> Finding {
        guard let claims = Doctor.claims(of: identity.token) else {
            return .failed(
                .authentication, .tokenInvalid, sentence + " It is no JWT.",
                "Give the token as it is, without \"Bearer\" and quotation marks.")
        }
        let now = SystemClock.now.unixTime.seconds
        if let end = claims.integer("exp"), end <= now {
            let time = LocalTime(UnixTime(milliseconds: end * 1_000)).minutes
            return .failed(
                .authentication, .tokenExpired, "\(sentence) It expired \(now - end) s ago, on \(time).",
                "Get a new one.")
        }
        return .failed(
            .authentication, .tokenInvalid, sentence,
            "It has not expired. Either the server has not the key that signed it (FYNLO_JWT_SECRET, FYNLO_JWT_JWKS_FILE), or no "
                + "active user has supabase_id \(claims.text("sub")), or that user's id is not \(identity.user).")
    }

    /// The claims of a JWT, unverified.
    static func claims(of token: String) -> JSONRecord? {
        let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map(Array.init)
        guard parts.count == 3 else { return nil }
        let text = parts[1]
        return Base64.decode(text.span, as: .url).flatMap { JSONRecord($0) }
    }

    // MARK: Heartbeat

    private func beat(_ session: DoctorSession) throws(SystemError) -> Bool {
        var times: [Duration] = []
        for number in 1...options.pings {
            let start = SystemClock.instant
            session.say("ping", "{\"n\":\(number)}")
            var end: Instant?
            let isDone = try wait {
                session.look()
                if end == nil, session.messages("pong").count >= number { end = SystemClock.instant }
                return end != nil || session.hasEnded
            }
            guard isDone, let end else {
                note(missingPong(session, answered: times.count))
                return false
            }
            times.append(end - start)
        }
        times.sort()
        let (least, median, most) = (times[0], times[times.count / 2], times[times.count - 1])
        note(
            .ok(
                .heartbeat,
                "\(times.count) pings, \(times.count) pongs: \(Doctor.milliseconds(least)) at least, "
                    + "\(Doctor.milliseconds(median)) in the middle, \(Doctor.milliseconds(most)) at most."))
        return true
    }

    private func missingPong(_ session: DoctorSession, answered: Int) -> Finding {
        if session.hasEnded {
            let why = session.closeCode.map { "closed with \($0) \(session.closeReason)" } ?? "cut"
            return .failed(
                .heartbeat, .connectionLost, "The connection was \(why) after \(answered) pongs.",
                "Look at the server's log for this connection, and at proxies on the way.")
        }
        return .failed(
            .heartbeat, .pongsMissing,
            "A ping was not answered within \(options.timeout.text), after \(answered) that were.",
            "The server hangs, or a proxy on the way buffers messages or has lost the connection without a word.")
    }

    // MARK: Resumption

    /// Reconnects as a tablet that has seen everything.
    private func resume(_ identity: DoctorIdentity, head: EventSequence) throws(SystemError) -> DoctorSession? {
        guard let session = try open() else { return nil }
        _ = try wait {
            session.look()
            return session.isOpen || session.response != nil || session.hasEnded
        }
        session.authenticate(identity, type: options.clientType, lastSequence: head)
        _ = try wait {
            session.look()
            return !session.messages("authenticated").isEmpty || session.hasEnded
        }
        guard let data = session.messages("authenticated").first?.record("data") else {
            session.close()
            let why = session.messages("auth_error").last?.record("data")?.text("error") ?? "no answer."
            note(
                .failed(
                    .resume, .connectionLost, "The second connection was not let in: \(why)",
                    "Does a proxy limit connections, or send them to a server of another database?"))
            return nil
        }
        if data.boolean("resumed") {
            note(.ok(.resume, "Came back after event \(head), with nothing missing."))
        } else {
            note(
                .failed(
                    .resume, .notResumed, "The server did not take up the events after number \(head).",
                    "Do all servers behind this URL use the same database?"))
        }
        return session
    }

    // MARK: Silence

    /// Stays silent, except to answer the server's pings.
    private func keepSilent(_ session: DoctorSession) throws(SystemError) {
        guard let idle = options.idle else {
            return note(.skipped(.idle, "Give --idle 75s to see whether a proxy cuts tablets that are silent."))
        }
        let start = SystemClock.instant
        let isCut = try wait(idle) {
            session.look()
            return session.hasEnded
        }
        guard isCut else {
            return note(.ok(.idle, "Silent for \(idle.text), and still connected."))
        }
        let silent = LoadValue.fixed((SystemClock.instant - start).inSeconds, 1)
        let quiet = LoadValue.fixed((SystemClock.instant - session.socket.lastActivity).inSeconds, 1)
        if let code = session.closeCode {
            return note(
                .failed(
                    .idle, .connectionLost, "Closed with \(code) \(session.closeReason) after \(silent) s of silence.",
                    "The server ended it by itself: see its log."))
        }
        note(
            .failed(
                .idle, .idleCut,
                "The connection was cut after \(silent) s of silence, \(quiet) s after the last byte, without a close frame.",
                "A proxy's idle time-out is too short. It has to be longer than FYNLO_STALE_AFTER (60s): nginx "
                    + "proxy_read_timeout 120s, HAProxy timeout tunnel 120s."))
    }
}
