// One connection to Postgres: libpq in non-blocking mode on the loop, always in pipeline mode. Every request is one statement
// and one sync, so a failing request affects no other, and a write is one transaction.
//
//     idle ──open──► resolving ──► connecting ──► ready ──failure──► closed (its owner opens another)

import CPostgres
import FynloCore
import FynloIO

/// One request.
struct PostgresRequest {
    let statement: PostgresStatement
    let parameters: [PostgresValue]
    /// When the request times out.
    var deadline: Instant
    let reply: (Result<PostgresResult, PostgresError>) -> Void
}

/// A connection and the requests sent on it.
final class PostgresConnection: EventSource {
    private enum State {
        case idle
        case resolving
        case connecting(deadline: Instant)
        case ready
        case closed
    }

    /// A request without an answer yet.
    private struct Pending {
        let request: PostgresRequest
        /// The name of the statement that is being prepared for it.
        let preparing: String?
        var result: PostgresResult?
        var error: PostgresError?
    }

    private let loop: EventLoop
    private let settings: PostgresSettings
    private var state = State.idle
    private var connection: OpaquePointer?
    private var token: SourceToken?
    private var pending: [Pending] = []
    private var prepared: Set<String> = []
    private var isFlushScheduled = false
    /// True if answers were received that the turn had no time for.
    private var isReadingPutOff = false

    /// Called when the connection can take requests.
    var whenReady: () -> Void = {}
    /// Called once when the connection has ended, after all its requests were answered.
    var whenClosed: (PostgresError) -> Void = { _ in }
    /// Called when a request was answered, with the time that it took and its error, if any.
    var whenAnswered: (Duration, PostgresError?) -> Void = { _, _ in }
    /// Called with the payload of a notification, of a channel that a request listens to.
    var whenNotified: (String) -> Void = { _ in }

    init(loop: EventLoop, settings: PostgresSettings) {
        self.loop = loop
        self.settings = settings
    }

    deinit {
        // Owners close the connection first; this frees a forgotten one.
        if let connection { PQfinish(connection) }
    }

    var isReady: Bool {
        if case .ready = state { true } else { false }
    }

    /// The number of requests sent and not answered.
    var pendingCount: Int { pending.count }

    // MARK: Opening

    /// Starts to connect; names are resolved on the helper thread. `attempt` counts the failures since the last success: each
    /// attempt begins with another address.
    func open(attempt: Int = 0) {
        guard case .idle = state else { return }
        let hosts = settings.hostsToResolve
        guard !hosts.isEmpty else { return connect(settings) }
        state = .resolving
        loop.offload {
            hosts.map { Resolver.resolve(host: $0, port: 0) }
        } then: { [weak self] results in
            guard let self, case .resolving = self.state else { return }
            var addresses: [String: [SocketAddress]] = [:]
            var reason = ""
            for (host, result) in zip(hosts, results) {
                switch result {
                case .success(let found): addresses[host] = found
                case .failure(let error):
                    addresses[host] = []
                    reason = error.description
                }
            }
            guard let settings = self.settings.resolved(to: addresses, startingAt: attempt) else {
                return self.close(.unreachable(reason))
            }
            self.connect(settings)
        }
    }

    private func connect(_ settings: PostgresSettings) {
        let started = settings.withParameters { PQconnectStartParams($0, $1, 0) }
        guard let started else { return close(.unreachable("libpq is out of memory")) }
        connection = started
        guard PQstatus(started) != CONNECTION_BAD else {
            return close(.unreachable(PostgresConnection.message(of: started)))
        }
        PQsetNoticeProcessor(started, ignoreNotice, nil)
        let deadline = loop.now.instant + PostgresSettings.connectTimeout
        state = .connecting(deadline: deadline)
        do {
            // libpq's rule: behave first as if PQconnectPoll had asked to write.
            let token = try loop.add(self, descriptor: PQsocket(started), interest: .write)
            self.token = token
            loop.wake(token, by: deadline)
        } catch {
            close(.unreachable(error.description))
        }
    }

    private func pollConnect(_ connection: OpaquePointer) {
        switch PQconnectPoll(connection) {
        case PGRES_POLLING_OK:
            PQsetnonblocking(connection, 1)
            guard PQenterPipelineMode(connection) == 1 else {
                return close(.unreachable("the connection does not take pipeline mode"))
            }
            state = .ready
            watch(connection, for: .read)
            if isReady { whenReady() }
        case PGRES_POLLING_READING: watch(connection, for: .read)
        case PGRES_POLLING_WRITING: watch(connection, for: .write)
        default: close(.unreachable(PostgresConnection.message(of: connection)))
        }
    }

    /// libpq may have a new socket after each step, possibly with the number of the old one.
    private func watch(_ connection: OpaquePointer, for interest: Interest) {
        guard let token else { return }
        do {
            try loop.replaceDescriptor(PQsocket(connection), interest: interest, for: token)
        } catch {
            close(.unreachable(error.description))
        }
    }

    // MARK: Requests

    /// Sends a request; its reply is called exactly once. Only when `isReady`.
    func send(_ request: PostgresRequest) {
        guard case .ready = state, let connection else {
            return request.reply(.failure(.connectionLost("it is not open")))
        }
        let name = request.statement.name
        var preparing: String?
        if !prepared.contains(name) {
            guard PQsendPrepare(connection, name, request.statement.sql, 0, nil) == 1 else {
                return fail(request, connection)
            }
            preparing = name
        }
        guard sendQuery(request, connection), PQpipelineSync(connection) == 1 else {
            return fail(request, connection)
        }
        // Assumed until the answer says otherwise, so that the next request does not prepare the statement again.
        if preparing != nil { prepared.insert(name) }
        pending.append(Pending(request: request, preparing: preparing))
        if let token { loop.wake(token, by: request.deadline + PostgresConnection.grace) }
        scheduleFlush()
    }

    /// How long after a request's deadline the connection counts as dead: Postgres' own time-outs come first.
    private static let grace = Duration.milliseconds(500)

    private func sendQuery(_ request: PostgresRequest, _ connection: OpaquePointer) -> Bool {
        request.parameters.withPointers { count, values in
            PQsendQueryPrepared(connection, request.statement.name, count, values, nil, nil, 0) == 1
        }
    }

    private func fail(_ request: PostgresRequest, _ connection: OpaquePointer) {
        let error = PostgresError.connectionLost(PostgresConnection.message(of: connection))
        request.reply(.failure(error))
        close(error)
    }

    private func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        loop.atEndOfTurn { [weak self] in
            self?.isFlushScheduled = false
            self?.flush()
        }
    }

    private func flush() {
        guard case .ready = state, let connection, let token else { return }
        switch PQflush(connection) {
        case 0: loop.setInterest(.read, for: token)
        case 1: loop.setInterest([.read, .write], for: token)
        default: close(.connectionLost(PostgresConnection.message(of: connection)))
        }
    }

    // MARK: Events

    func ready(_ readiness: Readiness, now: Moment) {
        guard let connection else { return }
        switch state {
        case .connecting: pollConnect(connection)
        case .ready:
            // Deferred answers are delivered before later events, which may include the end.
            if !isReadingPutOff {
                guard PQconsumeInput(connection) == 1 else {
                    return close(.connectionLost(PostgresConnection.message(of: connection)))
                }
                readResults(connection)
                readNotifications()
            }
            if readiness.contains(.write) { flush() }
        case .idle, .resolving, .closed: break
        }
    }

    private func readResults(_ connection: OpaquePointer) {
        var isBetweenStatements = false
        while case .ready = state, !pending.isEmpty, PQisBusy(connection) == 0 {
            guard let raw = PQgetResult(connection) else {
                // libpq returns nil once between two statements of the pipeline, and twice when it has given up.
                guard !isBetweenStatements, PQstatus(connection) == CONNECTION_OK else {
                    return close(.connectionLost(PostgresConnection.message(of: connection)))
                }
                isBetweenStatements = true
                continue
            }
            isBetweenStatements = false
            let status = PQresultStatus(raw)
            let result = PostgresResult(raw)
            switch status {
            case PGRES_PIPELINE_SYNC:
                finishFirst()
                if loop.isOverdue { return readLater() }
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK:
                pending[0].result = result
            case PGRES_PIPELINE_ABORTED:
                break  // the error came before
            default:
                let error = PostgresError(result: raw)
                pending[0].error = pending[0].error ?? error
            }
        }
        if case .ready = state, pending.isEmpty {
            // An idle connection receives notices or the end.
            if PQstatus(connection) == CONNECTION_BAD {
                close(.connectionLost(PostgresConnection.message(of: connection)))
            }
        }
    }

    /// libpq keeps the answers that the turn has no time for.
    private func readLater() {
        isReadingPutOff = true
        loop.later { [weak self] in
            guard let self else { return }
            isReadingPutOff = false
            guard let connection else { return }
            readResults(connection)
            readNotifications()
        }
    }

    private func readNotifications() {
        while case .ready = state, let connection, let notification = PQnotifies(connection) {
            let payload = String(cString: notification.pointee.extra)
            PQfreemem(notification)
            whenNotified(payload)
        }
    }

    private func finishFirst() {
        let done = pending.removeFirst()
        let took = loop.now.instant - (done.request.deadline + (.zero - settings.queryTimeout))
        if let error = done.error {
            // A failed preparation leaves no statement. If only the statement itself failed, the prepared statement exists, and
            // Postgres refuses to prepare it again.
            if let name = done.preparing, done.result == nil { prepared.remove(name) }
            if case .server("26000", _) = error { prepared.remove(done.request.statement.name) }
            done.request.reply(.failure(error))
        } else if let result = done.result {
            done.request.reply(.success(result))
        } else {
            done.request.reply(.failure(.unexpectedAnswer("no result before the end of the statement")))
        }
        whenAnswered(took, done.error)
    }

    func tick(now: Moment) -> Instant? {
        switch state {
        case .connecting(let deadline):
            if now.instant >= deadline { close(.unreachable("connecting took too long")) }
            return deadline
        case .ready:
            guard let first = pending.first else { return nil }
            let deadline = first.request.deadline + PostgresConnection.grace
            guard now.instant >= deadline else { return deadline }
            close(.connectionLost("no answer in time"))
            return nil
        case .idle, .resolving, .closed: return nil
        }
    }

    // MARK: Closing

    /// Ends the connection and answers all its requests.
    func close(_ error: PostgresError) {
        if case .closed = state { return }
        state = .closed
        if let token { loop.remove(token) }
        token = nil
        if let connection { PQfinish(connection) }
        connection = nil
        let lost = pending
        pending = []
        for entry in lost { entry.request.reply(.failure(error)) }
        whenClosed(error)
    }

    private static func message(of connection: OpaquePointer) -> String {
        guard let text = PQerrorMessage(connection) else { return "no reason given" }
        let line = singleLine(String(cString: text))
        return line.isEmpty ? "no reason given" : line
    }
}

extension PostgresError {
    /// The error of a failed result.
    init(result: OpaquePointer) {
        let state = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map { String(cString: $0) }
        let message = PQresultErrorField(result, Int32(UInt8(ascii: "M"))).map { String(cString: $0) }
        if let state {
            self = .server(state: state, message: singleLine(message ?? ""))
        } else {
            self = .connectionLost(message.map(singleLine) ?? "no reason given")
        }
    }
}

/// libpq prints notices to standard error unless it is told not to.
private func ignoreNotice(_: UnsafeMutableRawPointer?, _: UnsafePointer<CChar>?) {}
