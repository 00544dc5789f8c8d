// REST requests to a server, each on a connection of its own.

public import FynloCore
public import FynloIO

/// A small HTTP client. It keeps nothing between requests.
public final class HTTPClient {
    /// How a request ends.
    public typealias Reply = (Result<HTTPResponse, ClientError>) -> Void

    public let server: ServerURL
    private let loop: EventLoop
    private var encryption: Encryption
    private let timeout: Duration
    private let limits: HTTPLimits

    /// - Parameters:
    ///   - tls: the authorities to trust, for https; `nil` for the system's.
    ///   - timeout: for a whole request, including name resolution.
    ///   - limits: for the responses.
    public init(
        loop: EventLoop, server: ServerURL, tls: TLSContext? = nil, timeout: Duration = .seconds(10),
        limits: HTTPLimits = HTTPLimits()
    ) {
        self.loop = loop
        self.server = server
        encryption = Encryption(server, context: tls)
        self.timeout = timeout
        self.limits = limits
    }

    /// Sends one request. `path` begins with a slash and may have a query; `Host`, `Content-Length` and `Connection` are added.
    /// `reply` is called exactly once, after this call has returned. A response with an error status is a success here.
    public func request(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = [],
        reply: @escaping Reply
    ) {
        var headers = headers
        headers.set("Host", server.authority)
        headers.set("Connection", "close")
        var bytes = ByteBuffer()
        HTTPEncoder.encodeRequest(
            method: method, target: server.pathPrefix + path, headers: headers, body: body, into: &bytes)
        do throws(TLSError) {
            HTTPExchange(
                loop: loop, server: server, tls: try encryption.makeEngine(), timeout: timeout, limits: limits,
                method: method, request: bytes, reply: reply
            ).start()
        } catch {
            loop.atEndOfTurn { [server] in reply(.failure(.insecure(server, error))) }
        }
    }
}

/// One request and its response. The loop keeps it until it is over.
private final class HTTPExchange: EventSource {
    private let loop: EventLoop
    private let server: ServerURL
    private let tls: TLSEngine?
    private let timeout: Duration
    private let deadline: Instant
    private let method: HTTPMethod
    private var request: ByteBuffer
    private var reply: HTTPClient.Reply?
    private var parser: HTTPResponseParser
    private var token: SourceToken?
    private var dialer: Dialer?
    private var channel: Channel?

    init(
        loop: EventLoop, server: ServerURL, tls: TLSEngine?, timeout: Duration, limits: HTTPLimits, method: HTTPMethod,
        request: ByteBuffer, reply: @escaping HTTPClient.Reply
    ) {
        self.loop = loop
        self.server = server
        self.tls = tls
        self.timeout = timeout
        self.method = method
        self.request = request
        self.reply = reply
        deadline = SystemClock.instant + timeout
        parser = HTTPResponseParser(limits: limits)
    }

    func start() {
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: deadline)
        let dialer = Dialer(
            loop: loop, server: server, deadline: deadline,
            connected: { [weak self] in self?.connected($0) },
            failed: { [weak self] error in
                guard let self else { return }
                finish(.failure(.unreachable(server, error)))
            })
        self.dialer = dialer
        dialer.start()
    }

    private func connected(_ descriptor: consuming FileDescriptor) {
        dialer = nil
        do throws(SystemError) {
            let channel = try Channel(loop: loop, descriptor: descriptor, tls: tls) { [weak self] input, _ in
                self?.received(&input)
            } ended: { [weak self] end, _ in
                self?.ended(end)
            }
            self.channel = channel
            swap(&channel.output, &request)
            channel.scheduleFlush()
        } catch {
            finish(.failure(.unreachable(server, error)))
        }
    }

    private func received(_ input: inout ByteBuffer) {
        do throws(HTTPError) {
            if let response = try parser.next(&input, requestMethod: method) { finish(.success(response)) }
        } catch {
            finish(.failure(.unreadableResponse(server, error)))
        }
    }

    private func ended(_ end: ChannelEnd) {
        switch end {
        case .failed(let error): finish(.failure(.unreachable(server, error)))
        case .insecure(let error): finish(.failure(.insecure(server, error)))
        // The end of a body without a length is the end of the connection, which anybody on the way can cut.
        case .cut: finish(.failure(.unreadableResponse(server, .endedEarly)))
        case .finished: endOfInput()
        }
    }

    private func endOfInput() {
        do throws(HTTPError) {
            guard let response = try parser.endOfInput() else { throw .endedEarly }
            finish(.success(response))
        } catch {
            finish(.failure(.unreadableResponse(server, error)))
        }
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        guard now.instant >= deadline else { return deadline }
        finish(.failure(.timedOut(server, after: timeout)))
        return nil
    }

    private func finish(_ result: Result<HTTPResponse, ClientError>) {
        guard let reply else { return }
        self.reply = nil
        dialer?.cancel()
        dialer = nil
        channel?.close()
        channel = nil
        if let token { loop.remove(token) }
        token = nil
        reply(result)
    }
}
