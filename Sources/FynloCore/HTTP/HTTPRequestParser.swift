// Bytes -> requests. Lines are taken from the front of the input as they become complete, so that little stays there and
// nothing is scanned twice.
//
//     start line ──> fields ──> body ──> request, and on to the next
//         any violation of RFC 9112 ──> HTTPError, after which nothing more can be read

/// Reads the requests of one connection, one after the other. Between requests it holds no memory.
public struct HTTPRequestParser: Sendable {
    /// Which part of a message is being read.
    public enum Phase: Sendable {
        /// No byte of a request has arrived since the last one; empty lines before it do not count.
        case idle
        case head
        case body
    }

    public let limits: HTTPLimits
    /// The current message, if any. It is in an array so that an idle connection stores one word instead of the whole reader.
    private var underWay: [HTTPRequestReader] = []

    public init(limits: HTTPLimits) {
        self.limits = limits
    }

    /// Which part of a message is expected next.
    public var phase: Phase { underWay.first?.phase ?? .idle }

    /// True while the client may be waiting for `100 Continue`: it announced so, and no byte of its body has been read
    /// (RFC 9110 §10.1.1).
    public var awaitsContinue: Bool {
        guard let reader = underWay.first else { return false }
        return reader.phase == .body && reader.bodyBytesRead == 0 && reader.request?.expectsContinue == true
    }

    /// The current request, with an empty body; `nil` until its start line is complete.
    var partial: HTTPRequest? { underWay.first?.request }

    /// How many bytes of the current body have been consumed, including its framing.
    var bodyBytesRead: Int { underWay.first?.bodyBytesRead ?? 0 }

    /// The next request, or `nil` when more bytes are needed.
    ///
    /// Consumes what it has parsed and leaves at most part of a line in `input`. Do not call it again after an error.
    public mutating func next(_ input: inout ByteBuffer) throws(HTTPError) -> HTTPRequest? {
        guard !input.isEmpty else { return nil }
        if underWay.isEmpty { underWay.append(HTTPRequestReader()) }
        var cursor = 0
        let request = try input.withReadable { (bytes) throws(HTTPError) -> HTTPRequest? in
            try underWay[0].read(bytes, at: &cursor, limits: limits)
        }
        input.consume(cursor)
        if request != nil { underWay = [] }
        return request
    }
}

/// Reads one request.
private struct HTTPRequestReader: Sendable {
    private enum State: Sendable {
        case startLine
        case fields
        case body
    }

    private var state = State.startLine
    private var hasStarted = false
    private var emptyLines = 0
    private var lines = HTTPLineScanner()
    private var fields = HTTPFieldReader()
    private var bodyReader = HTTPBodyReader()
    private(set) var request: HTTPRequest?
    private var targetAuthority: String?
    private(set) var bodyBytesRead = 0

    var phase: HTTPRequestParser.Phase {
        switch state {
        case .startLine: hasStarted ? .head : .idle
        case .fields: .head
        case .body: .body
        }
    }

    /// Reads from `cursor` on and advances it. Returns the request once it is complete.
    mutating func read(
        _ bytes: Span<UInt8>, at cursor: inout Int, limits: HTTPLimits
    ) throws(HTTPError) -> HTTPRequest? {
        if state == .startLine {
            guard try readStartLine(bytes, at: &cursor, limits: limits) else { return nil }
            state = .fields
        }
        if state == .fields {
            guard try fields.read(bytes, at: &cursor, limits: limits) else { return nil }
            try finishHead(limits: limits)
            state = .body
        }
        let bodyStart = cursor
        let isComplete = try bodyReader.read(bytes, at: &cursor, limits: limits)
        bodyBytesRead += cursor - bodyStart
        guard isComplete else { return nil }
        request?.body = bodyReader.takeBody()
        return request.take()
    }

    // MARK: The start line

    /// RFC 9112 §3: `method SP request-target SP HTTP-version`, after a few empty lines at most (§2.2).
    private mutating func readStartLine(
        _ bytes: Span<UInt8>, at cursor: inout Int, limits: HTTPLimits
    ) throws(HTTPError) -> Bool {
        while cursor < bytes.count {
            if !hasStarted, bytes[cursor] != .carriageReturn {
                // Checking the first byte refuses other protocols at once, without waiting for a line break.
                guard bytes[cursor] != 0x16 else { throw .plainTextExpected }
                guard bytes[cursor] != .lineFeed else { throw .bareLineBreak }
                guard ByteSet.token.contains(bytes[cursor]) else { throw .malformedRequestLine }
                hasStarted = true
            }
            let end = try lines.lineEnd(
                in: bytes, from: cursor, limit: limits.requestLineBytes,
                tooLong: .requestLineTooLong(limitBytes: limits.requestLineBytes))
            guard let end else { return false }
            let line = bytes.extracting(cursor..<end)
            cursor = end + 2
            if !line.isEmpty {
                try parseStartLine(line)
                return true
            }
            emptyLines += 1
            guard emptyLines <= limits.leadingEmptyLines else { throw .tooManyEmptyLines }
        }
        return false
    }

    private mutating func parseStartLine(_ line: Span<UInt8>) throws(HTTPError) {
        guard let methodEnd = line.firstIndex(of: .space),
            let targetEnd = line.firstIndex(of: .space, from: methodEnd + 1),
            targetEnd > methodEnd + 1,
            line.extracting(0..<methodEnd).consists(of: .token), methodEnd > 0
        else { throw .malformedRequestLine }
        let version = try HTTPVersion(line.extracting(targetEnd + 1..<line.count))
        let method = HTTPMethod(token: line.extracting(0..<methodEnd))
        guard method != .other("CONNECT") else { throw .connectRefused }
        let targetBytes = line.extracting(methodEnd + 1..<targetEnd)
        guard let rawTarget = String(validating: targetBytes) else { throw .invalidTarget }
        let target = try HTTPTarget(targetBytes, raw: rawTarget, method: method)
        targetAuthority = target.authority
        request = HTTPRequest(
            method: method, path: target.path, query: target.query, rawTarget: rawTarget, version: version)
    }

    // MARK: The end of the head

    /// Decides by the whole head which host the request is for, how long its body is, and whether the connection stays open.
    private mutating func finishHead(limits: HTTPLimits) throws(HTTPError) {
        guard let version = request?.version else { return }
        var headers = fields.takeHeaders()
        let named = DecidingFields(headers)
        try checkHost(of: &headers, count: named.hosts, version: version)
        if named.hasFraming {
            switch try HTTPBodyLength(headers, version: version, limitBytes: limits.bodyBytes) {
            case .unstated: bodyReader = HTTPBodyReader()
            case .counted(let length): bodyReader = HTTPBodyReader(length: length)
            case .chunked: bodyReader = .chunked
            }
        }
        // RFC 9112 §9.3: HTTP/1.1 keeps the connection open unless told otherwise, HTTP/1.0 only if told to.
        request?.isKeepAlive =
            !(named.hasConnection && headers.hasToken("close", in: "connection"))
            && (version == .http11 || named.hasConnection && headers.hasToken("keep-alive", in: "connection"))
        // RFC 9110 §10.1.1: an HTTP/1.0 client's expectation is ignored.
        if version == .http11, named.hasExpectation {
            guard headers.tokens("expect") == ["100-continue"] else { throw .unsupportedExpectation }
            request?.expectsContinue = !bodyReader.isComplete
        }
        request?.headers = headers
    }

    /// RFC 9112 §3.2: exactly one valid Host in HTTP/1.1, at most one before. The host of an absolute target takes its
    /// place (§3.2.2).
    private func checkHost(
        of headers: inout HTTPHeaders, count hosts: Int, version: HTTPVersion
    ) throws(HTTPError) {
        guard hosts <= 1 else { throw .hostRepeated }
        guard hosts == 1 || version == .http10 else { throw .hostMissing }
        if hosts == 1 {
            let isValid = headers.withOnlyValue(of: "host") { HTTPTarget.isAuthority($0) }
            guard isValid == true else { throw .invalidHost }
        }
        if let targetAuthority { headers.set("host", targetAuthority) }
    }
}

/// Which of the fields that affect framing are present. Most requests have only Host, and the others need not be searched for.
private struct DecidingFields {
    var hosts = 0
    var hasFraming = false
    var hasConnection = false
    var hasExpectation = false

    /// Compares names in lower case, as the parser stores them.
    init(_ headers: HTTPHeaders) {
        for position in 0..<headers.count {
            headers.withField(at: position) { name, _ in
                switch name.count {
                case 4: if name.equals("host") { hosts += 1 }
                case 6: if name.equals("expect") { hasExpectation = true }
                case 10: if name.equals("connection") { hasConnection = true }
                case 14: if name.equals("content-length") { hasFraming = true }
                case 17: if name.equals("transfer-encoding") { hasFraming = true }
                default: break
                }
            }
        }
    }
}
