// Values -> bytes. The fields that frame a message and keep its connection open are written only here, so that no caller can
// contradict them. HTTPHeaders guarantees that header values have no line breaks.

/// Writes responses (the server) and requests (our client).
public enum HTTPEncoder {
    /// What a response depends on besides itself.
    public struct Exchange: Sendable, Equatable {
        /// The request was HEAD: the response has the headers of GET's and no body.
        public var isHead: Bool
        public var version: HTTPVersion
        /// True if the connection stays open after the response.
        public var isKeepAlive: Bool

        public init(isHead: Bool, version: HTTPVersion, isKeepAlive: Bool) {
            self.isHead = isHead
            self.version = version
            self.isKeepAlive = isKeepAlive
        }
    }

    /// RFC 9110 §15.2.1: tells a client that waits to send its body.
    public static let continueResponse: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"

    // MARK: Responses

    /// Appends a whole response.
    ///
    /// Adds `Date`, `Content-Length` and `Connection: close` or `keep-alive` as needed, in place of those in `response`; other
    /// `Connection` options are kept. Adds `X-Request-ID` if there is an `id`. 1xx, 204 and 304 get neither length nor body;
    /// the response to HEAD gets no body.
    public static func encode(
        _ response: HTTPResponse, for exchange: Exchange, date: UnixTime, id: RequestID = .none,
        into output: inout ByteBuffer
    ) {
        precondition((100...999).contains(response.status), "a status has three digits")
        let headers = response.headers
        let isWhole = holdsNone(headers, where: isManaged)
        let hasNoBody = HTTPResponse.hasNoBody(status: response.status)
        headers.withLines { lines in
            output.write(atMost: managedBytes + lines.count + id.roomBytes) { head in
                // The server's version, not the client's (RFC 9110 §6.2).
                head.append("HTTP/1.1 ")
                head.append(decimal: UInt64(response.status))
                head.append(UInt8.space)
                head.append(HTTPResponse.reason(of: response.status))
                head.append("\r\nDate: ")
                head.append(imfFixdate: date)
                head.append("\r\n")
                if isWhole { head.append(lines) } else { append(headers, to: &head, leavingOut: isManaged) }
                if id != .none {
                    head.append("X-Request-ID: ")
                    head.append(id)
                    head.append("\r\n")
                }
                if !hasNoBody {
                    head.append("Content-Length: ")
                    head.append(decimal: UInt64(response.body.count))
                    head.append("\r\n")
                }
                if !exchange.isKeepAlive {
                    head.append("Connection: close\r\n")
                } else if exchange.version == .http10 {
                    head.append("Connection: keep-alive\r\n")
                }
                head.append("\r\n")
            }
        }
        if !hasNoBody, !exchange.isHead { output.append(response.body) }
    }

    /// An upper bound for the status line and the fields added here, except X-Request-ID.
    private static let managedBytes = 256

    /// True for the response fields that only the encoder writes.
    private static func isManaged(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool {
        name.equalsIgnoringCase("date") || framesBody(name)
            || name.equalsIgnoringCase("connection")
                && (value.equalsIgnoringCase("close") || value.equalsIgnoringCase("keep-alive"))
    }

    private static func framesBody(_ name: Span<UInt8>) -> Bool {
        name.equalsIgnoringCase("content-length") || name.equalsIgnoringCase("transfer-encoding")
    }

    // MARK: Requests

    /// Appends a whole request.
    ///
    /// `target` is in origin-form; bytes that are not allowed in a target are percent-encoded. `headers` must have a `Host`.
    /// `Content-Length` is added if there is a body, and for methods that imply one.
    public static func encodeRequest(
        method: HTTPMethod, target: String, headers: HTTPHeaders, body: [UInt8], into output: inout ByteBuffer
    ) {
        let name = method.name.utf8Span.span
        precondition(!name.isEmpty && name.consists(of: .token), "a method is a token")
        precondition(headers.count("host") == 1, "a request names its host")
        output.append(name)
        output.append(UInt8.space)
        append(target: target, to: &output)
        output.append(" HTTP/1.1\r\n")
        append(headers, to: &output) { name, _ in framesBody(name) }
        switch method {
        case .post, .put, .patch: append(contentLength: body.count, to: &output)
        case .get, .head, .delete, .options, .other:
            if !body.isEmpty { append(contentLength: body.count, to: &output) }
        }
        output.append("\r\n")
        output.append(body)
    }

    private static func append(target: String, to output: inout ByteBuffer) {
        let bytes = target.utf8Span.span
        if bytes.count == 0 || bytes[0] != UInt8(ascii: "/") && !bytes.equals("*") { output.append(UInt8(ascii: "/")) }
        let digits: StaticString = "0123456789ABCDEF"
        for index in bytes.indices {
            let byte = bytes[index]
            if ByteSet.query.contains(byte) {
                output.append(byte)
            } else {
                output.append(UInt8(ascii: "%"))
                // An ASCII literal has a pointer to its 16 bytes, and both indices are below 16.
                output.append(unsafe digits.utf8Start[Int(byte >> 4)])
                output.append(unsafe digits.utf8Start[Int(byte & 15)])
            }
        }
    }

    // MARK: Both

    private static func append(contentLength: Int, to output: inout ByteBuffer) {
        output.append("Content-Length: ")
        output.append(decimal: Int64(contentLength))
        output.append("\r\n")
    }

    private static func append(
        _ headers: HTTPHeaders, to output: inout ByteBuffer,
        leavingOut isLeftOut: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool
    ) {
        headers.withLines { lines in
            output.write(atMost: lines.count) { append(headers, to: &$0, leavingOut: isLeftOut) }
        }
    }

    private static func append(
        _ headers: HTTPHeaders, to output: inout ByteWriter,
        leavingOut isLeftOut: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool
    ) {
        for position in 0..<headers.count {
            headers.withField(at: position) { name, value in
                guard !isLeftOut(name, value) else { return }
                output.append(name)
                output.append(": ")
                output.append(value)
                output.append("\r\n")
            }
        }
    }

    private static func holdsNone(
        _ headers: HTTPHeaders, where isOne: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool
    ) -> Bool {
        for position in 0..<headers.count where headers.withField(at: position, isOne) { return false }
        return true
    }
}
