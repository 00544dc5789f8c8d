// Values -> bytes. What frames a message and keeps its connection is written here and nowhere else, so that no caller can
// contradict it; header values are free of line breaks by construction of HTTPHeaders.

/// Writes responses (the server) and requests (our client).
public enum HTTPEncoder {
    /// What a response depends on besides itself.
    public struct Exchange: Sendable, Equatable {
        /// The request was HEAD: the response has the headers of GET's and no body.
        public var isHead: Bool
        public var version: HTTPVersion
        /// The connection stays open after the response.
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
    /// `Date`, `Content-Length` and `Connection: close` or `keep-alive` are added as needed; those of `response` are left
    /// out, other `Connection` options are kept, and `X-Request-ID` is added if there is an `id`. 1xx, 204 and 304 get neither
    /// length nor body, HEAD no body.
    public static func encode(
        _ response: HTTPResponse, for exchange: Exchange, date: UnixTime, id: RequestID = .none,
        into output: inout ByteBuffer
    ) {
        precondition((100...999).contains(response.status), "a status has three digits")
        // The version is ours, not the client's (RFC 9110 §6.2).
        output.append("HTTP/1.1 ")
        output.append(decimal: Int64(response.status))
        output.append(UInt8.space)
        output.append(HTTPResponse.reason(of: response.status))
        output.append("\r\nDate: ")
        output.append(imfFixdate: date)
        output.append("\r\n")
        append(response.headers, to: &output, leavingOut: isManaged)
        if id != .none {
            output.append("X-Request-ID: ")
            output.append(id)
            output.append("\r\n")
        }
        let hasNoBody = HTTPResponse.hasNoBody(status: response.status)
        if !hasNoBody { append(contentLength: response.body.count, to: &output) }
        if !exchange.isKeepAlive {
            output.append("Connection: close\r\n")
        } else if exchange.version == .http10 {
            output.append("Connection: keep-alive\r\n")
        }
        output.append("\r\n")
        if !hasNoBody, !exchange.isHead { output.append(response.body) }
    }

    /// True for the fields of a response that are ours to write.
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
    /// `target` is in origin-form; its bytes that no target may hold are percent-encoded. `headers` must name the `Host`.
    /// `Content-Length` is added where there is a body, and for methods that announce one.
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
        let isWhole = (0..<headers.count).allSatisfy { position in
            headers.withField(at: position) { name, value in !isLeftOut(name, value) }
        }
        if isWhole { return headers.withLines { output.append($0) } }
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
}
