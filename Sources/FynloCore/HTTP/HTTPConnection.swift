// One server-side connection as a value: one request at a time, in order, with deadlines while the client must send.
//
//     reading ──request──> answering ──response──> reading … or closing
//        │                     └──101──> upgraded: the input now belongs to another protocol
//        ├──error, deadline──> failed ──response──> closing
//        └──idle too long, peer gone, drained──> closing

/// What a connection tells its owner.
public enum HTTPEvent: Sendable, Equatable {
    /// A whole request, to be answered by one `respond`.
    case request(HTTPRequest)
    /// The input cannot be understood, or came too slowly. To be answered by one `respond`, after which the connection closes.
    case failed(HTTPError)
}

/// The server's side of one HTTP/1.1 connection.
///
/// After every `receive`, `respond` and `endOfInput` the owner calls `next` until it returns `nil`. While `isAwaitingResponse`,
/// bytes of later requests stay in the input: the owner stops reading from the socket when there are many.
public struct HTTPConnection: Sendable {
    private enum State: Sendable {
        case reading
        case answering(HTTPEncoder.Exchange)
        case failed
        case upgraded
        case closing
    }

    private var state = State.reading
    private var parser: HTTPRequestParser
    private var deadline: Instant?
    /// When the current body began.
    private var bodyStart: Instant
    private var hasSentContinue = false
    private var isDraining = false
    /// True once a request has been answered.
    private var hasServed = false
    private var hasInputEnded = false
    /// True if the last call left bytes in the input.
    private var hasPipelinedInput = false

    /// A connection that was just accepted. Its first byte is due within `limits.headTimeout`.
    public init(limits: HTTPLimits, now: Instant) {
        parser = HTTPRequestParser(limits: limits)
        deadline = now + limits.headTimeout
        bodyStart = now
    }

    /// True from a `.request` or `.failed` until its `respond`.
    public var isAwaitingResponse: Bool {
        switch state {
        case .answering, .failed: true
        case .reading, .upgraded, .closing: false
        }
    }

    /// True once nothing more will be read or written: close when the output is flushed.
    public var isClosing: Bool {
        if case .closing = state { true } else { false }
    }

    /// True after a 101: the input belongs to the new protocol, and this value is finished.
    public var isUpgraded: Bool {
        if case .upgraded = state { true } else { false }
    }

    /// True between two requests, when the connection can be closed without losing anything.
    public var isIdle: Bool {
        if case .reading = state { parser.phase == .idle } else { false }
    }

    /// When to call `tick` next; `nil` while the connection is not waiting for the client.
    public var nextDeadline: Instant? { deadline }

    // MARK: Input

    /// Takes the next request from the front of `input`; `nil` if more bytes are needed, or a response first. Appends
    /// `100 Continue` to `output` if the client is waiting for it.
    public mutating func next(_ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer) -> HTTPEvent? {
        switch state {
        case .answering:
            hasPipelinedInput = !input.isEmpty
            return nil
        case .upgraded:
            return nil
        case .failed, .closing:
            input.consume(input.count)
            return nil
        case .reading:
            break
        }
        let phase = parser.phase
        let bodyBytesRead = parser.bodyBytesRead
        do {
            if let request = try parser.next(&input) {
                state = .answering(
                    HTTPEncoder.Exchange(
                        isHead: request.method == .head, version: request.version, isKeepAlive: request.isKeepAlive))
                deadline = nil
                hasPipelinedInput = !input.isEmpty
                return .request(request)
            }
        } catch {
            input.consume(input.count)
            return fail(error)
        }
        if hasInputEnded {
            close(.closing)
        } else {
            moveDeadline(from: phase, bodyBytesRead: bodyBytesRead, now: now.instant)
            if parser.awaitsContinue, input.isEmpty, !hasSentContinue {
                output.append(HTTPEncoder.continueResponse)
                hasSentContinue = true
            }
        }
        return nil
    }

    /// The peer has ended its stream. Complete requests are still answered; then the connection closes.
    public mutating func endOfInput() {
        hasInputEnded = true
        if case .reading = state { close(.closing) }
    }

    private mutating func moveDeadline(from phase: HTTPRequestParser.Phase, bodyBytesRead: Int, now: Instant) {
        let limits = parser.limits
        switch parser.phase {
        case .idle:
            break
        case .head:
            if phase == .idle { deadline = now + limits.headTimeout }
        case .body:
            if phase != .body { bodyStart = now }
            guard phase != .body || parser.bodyBytesRead > bodyBytesRead else { return }
            // Too slow: a pause of `bodyTimeout`, or a body that arrives below the minimum rate.
            let earned = Duration.milliseconds(
                Int64(parser.bodyBytesRead) * 1_000 / Int64(max(limits.bodyBytesPerSecond, 1)))
            deadline = min(now + limits.bodyTimeout, bodyStart + limits.bodyTimeout + earned)
        }
    }

    // MARK: Responses

    /// Appends the response to the current request: exactly one for each event. `id` becomes its X-Request-ID.
    ///
    /// A response may come before the request is complete, for example because the server is overloaded: it closes the
    /// connection. A response after the connection began to close is dropped, since nobody waits for it.
    public mutating func respond(
        _ response: HTTPResponse, id: RequestID = .none, now: Moment, output: inout ByteBuffer
    ) {
        precondition(response.status == 101 || response.status >= 200, "100 Continue is sent by `next`")
        var exchange: HTTPEncoder.Exchange
        switch state {
        case .answering(let current):
            exchange = current
        case .reading, .failed:
            let request = parser.partial
            exchange = HTTPEncoder.Exchange(
                isHead: request?.method == .head, version: request?.version ?? .http11, isKeepAlive: false)
        case .upgraded, .closing:
            return
        }
        if response.status == 101 {
            // The new protocol decides how the connection ends; the response brings its own Connection field.
            exchange = HTTPEncoder.Exchange(isHead: false, version: .http11, isKeepAlive: true)
            HTTPEncoder.encode(response, for: exchange, date: now.unixTime, id: id, into: &output)
            close(.upgraded)
            return
        }
        if isDraining || hasInputEnded && !hasPipelinedInput
            || response.headers.contains("connection") && response.headers.hasToken("close", in: "connection")
        {
            exchange.isKeepAlive = false
        }
        HTTPEncoder.encode(response, for: exchange, date: now.unixTime, id: id, into: &output)
        hasServed = true
        if exchange.isKeepAlive {
            state = .reading
            hasSentContinue = false
            deadline = now.instant + parser.limits.idleTimeout
        } else {
            close(.closing)
        }
    }

    /// Drains: the current request is answered with `Connection: close`; an idle connection closes at once.
    public mutating func close() {
        isDraining = true
        if isIdle { close(.closing) }
    }

    /// Drains because the server is going away. A client that has just connected is about to send its request and gets a
    /// moment for it: once the server has accepted a connection, nobody else will answer it.
    public mutating func leave(now: Instant) {
        guard isIdle, !hasServed, !isDraining, !hasInputEnded else { return close() }
        isDraining = true
        let limit = now + parser.limits.firstRequestTimeout
        deadline = deadline.map { min($0, limit) } ?? limit
    }

    // MARK: Time

    /// Checks the deadline. A request that takes too long fails with 408. A connection without one closes silently, since the
    /// client could take an unrequested response for the answer to its next request.
    public mutating func tick(now: Moment) -> HTTPEvent? {
        guard let deadline, now.instant >= deadline else { return nil }
        switch parser.phase {
        case .idle:
            close(.closing)
            return nil
        case .head:
            return fail(.headTimedOut(after: parser.limits.headTimeout))
        case .body:
            return fail(.bodyTimedOut(after: parser.limits.bodyTimeout))
        }
    }

    private mutating func fail(_ error: HTTPError) -> HTTPEvent {
        state = .failed
        deadline = nil
        return .failed(error)
    }

    private mutating func close(_ last: State) {
        state = last
        deadline = nil
        parser = HTTPRequestParser(limits: parser.limits)
    }
}
