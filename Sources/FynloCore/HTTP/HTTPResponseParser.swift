// Bytes -> responses, on the client's side: for the WebSocket upgrade and for REST. It is as strict as the server's parser,
// since misunderstanding a server is as dangerous as misunderstanding a client.

/// Reads the responses on one connection, one after the other.
public struct HTTPResponseParser: Sendable {
    private enum State: Sendable {
        case statusLine
        case fields
        case body
    }

    public let limits: HTTPLimits

    private var state = State.statusLine
    private var status = 0
    private var version = HTTPVersion.http11
    private var lines = HTTPLineScanner()
    private var fields = HTTPFieldReader()
    private var headers = HTTPHeaders()
    private var bodyReader = HTTPBodyReader()

    /// True when the connection may carry another request after the last response that was returned (RFC 9112 §9.3).
    public private(set) var isKeepAlive = true

    /// `limits.requestLineBytes` applies to the status line.
    public init(limits: HTTPLimits) {
        self.limits = limits
    }

    /// The response to a request with that method, or `nil` if more bytes are needed. Interim responses (1xx) are skipped,
    /// except 101: what follows it in `input` belongs to the new protocol.
    ///
    /// Do not call it again after an error. The error's `detail` describes the server's message.
    public mutating func next(
        _ input: inout ByteBuffer, requestMethod: HTTPMethod
    ) throws(HTTPError) -> HTTPResponse? {
        var cursor = 0
        let response = try input.withReadable { (bytes) throws(HTTPError) -> HTTPResponse? in
            try read(bytes, at: &cursor, requestMethod: requestMethod)
        }
        input.consume(cursor)
        return response
    }

    /// The server has closed the connection. Returns the response whose body ends there, or `nil` between two responses.
    /// Throws if a response was cut short.
    public mutating func endOfInput() throws(HTTPError) -> HTTPResponse? {
        if state == .statusLine, lines.scanned == 0 { return nil }
        guard state == .body, bodyReader.endsWithConnection else { throw .endedEarly }
        return takeResponse()
    }

    private mutating func read(
        _ bytes: Span<UInt8>, at cursor: inout Int, requestMethod: HTTPMethod
    ) throws(HTTPError) -> HTTPResponse? {
        while true {
            switch state {
            case .statusLine:
                let end = try lines.lineEnd(
                    in: bytes, from: cursor, limit: limits.requestLineBytes, tooLong: .malformedStatusLine)
                guard let end else { return nil }
                try parseStatusLine(bytes.extracting(cursor..<end))
                cursor = end + 2
                state = .fields
            case .fields:
                guard try fields.read(bytes, at: &cursor, limits: limits) else { return nil }
                headers = fields.headers
                fields = HTTPFieldReader()
                if status < 200, status != 101 {
                    state = .statusLine
                } else {
                    try finishHead(requestMethod: requestMethod)
                    state = .body
                }
            case .body:
                guard try bodyReader.read(bytes, at: &cursor, limits: limits) else { return nil }
                return takeResponse()
            }
        }
    }

    /// RFC 9112 §4: `HTTP-version SP status-code SP [reason-phrase]`; the space before a missing reason may be missing too.
    private mutating func parseStatusLine(_ line: Span<UInt8>) throws(HTTPError) {
        guard line.count >= 12, line[8] == .space, line.count == 12 || line[12] == .space else {
            throw .malformedStatusLine
        }
        do {
            version = try HTTPVersion(line.extracting(0..<8))
        } catch {
            throw error == .unsupportedVersion ? error : .malformedStatusLine
        }
        status = 0
        for index in 9..<12 {
            guard line[index].isDigit else { throw .malformedStatusLine }
            status = status * 10 + Int(line[index] - UInt8(ascii: "0"))
        }
        guard status >= 100 else { throw .malformedStatusLine }
    }

    /// RFC 9112 §6.3: the method and the status take precedence over the fields.
    private mutating func finishHead(requestMethod: HTTPMethod) throws(HTTPError) {
        isKeepAlive =
            !headers.hasToken("close", in: "connection")
            && (version == .http11 || headers.hasToken("keep-alive", in: "connection"))
        if HTTPResponse.hasNoBody(status: status) || requestMethod == .head {
            bodyReader = HTTPBodyReader()
            return
        }
        switch try HTTPBodyLength(headers, version: version, limitBytes: limits.bodyBytes) {
        case .counted(let length):
            bodyReader = HTTPBodyReader(length: length)
        case .chunked:
            bodyReader = .chunked
        case .unstated:
            bodyReader = .untilClose
            isKeepAlive = false
        }
    }

    private mutating func takeResponse() -> HTTPResponse {
        let response = HTTPResponse(status: status, headers: headers, body: bodyReader.takeBody())
        headers = HTTPHeaders()
        bodyReader = HTTPBodyReader()
        state = .statusLine
        return response
    }
}
