import FynloCore
import Testing

@Suite("HTTPResponseParser")
struct HTTPResponseParserTests {
    /// One row: the bytes, the method they answer, and the response they are.
    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let method: HTTPMethod
        let input: String
        let response: HTTPResponse
        let isKeepAlive: Bool
        var testDescription: String { name }

        init(
            _ name: String, _ input: String, _ response: HTTPResponse, to method: HTTPMethod = .get,
            keepAlive: Bool = true
        ) {
            self.name = name
            self.method = method
            self.input = input
            self.response = response
            isKeepAlive = keepAlive
        }
    }

    static let rows: [Row] = [
        Row(
            "a body with a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            HTTPResponse(status: 200, headers: ["content-length": "2"], body: Array("hi".utf8))),
        Row(
            "a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\nT: 1\r\n\r\n",
            HTTPResponse(status: 200, headers: ["transfer-encoding": "chunked"], body: Array("hi".utf8))),
        Row(
            "an empty reason", "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
            HTTPResponse(status: 404, headers: ["content-length": "0"])),
        Row(
            "no reason at all, closing", "HTTP/1.1 599\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            HTTPResponse(status: 599, headers: ["content-length": "0", "connection": "close"]), keepAlive: false),
        Row(
            "HTTP/1.0", "HTTP/1.0 200 Fine \u{e9}\r\nContent-Length: 0\r\n\r\n",
            HTTPResponse(status: 200, headers: ["content-length": "0"]), keepAlive: false),
        Row(
            "HTTP/1.0 that keeps the connection",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            HTTPResponse(status: 200, headers: ["connection": "keep-alive", "content-length": "0"])),
        Row(
            "an answer to HEAD, with the length of GET's", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            HTTPResponse(status: 200, headers: ["content-length": "99999999"]), to: .head),
        Row("204", "HTTP/1.1 204 No Content\r\n\r\n", HTTPResponse(status: 204)),
        Row(
            "304 with the length of what was not sent", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            HTTPResponse(status: 304, headers: ["content-length": "5"])),
        Row(
            "interim responses before the final one",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\n"
                + "Content-Length: 0\r\n\r\n",
            HTTPResponse(status: 201, headers: ["content-length": "0"])),
        Row(
            "101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            HTTPResponse(status: 101, headers: ["upgrade": "websocket"])),
    ]

    @Test("reads", arguments: rows)
    func reads(row: Row) throws {
        let expected = Parsed(messages: [row.response])
        checkEverySplit(latin1(row.input), expected: expected) { parseResponses($0, cuts: $1, method: row.method) }
        let next = HTTPResponse(status: 204)
        let attached = latin1(row.input + "HTTP/1.1 204 No Content\r\n\r\n")
        checkEverySplit(attached, expected: Parsed(messages: [row.response, next])) {
            parseResponses($0, cuts: $1, method: row.method)
        }
        var parser = HTTPResponseParser(limits: HTTPLimits())
        var input = ByteBuffer(latin1(row.input))
        #expect(try parser.next(&input, requestMethod: row.method) != nil)
        #expect(parser.isKeepAlive == row.isKeepAlive)
        #expect(try parser.endOfInput() == nil)
    }

    @Test(
        "refuses what is no response, or could end in two places",
        arguments: [
            ("HTTP/1.1 2000 OK\r\n", .malformedStatusLine), ("HTTP/1.1 20 OK\r\n", .malformedStatusLine),
            ("HTTP/1.1 099 OK\r\n", .malformedStatusLine), ("HTTP/1.1  200 OK\r\n", .malformedStatusLine),
            ("HTTP/1.1\r\n", .malformedStatusLine), ("\r\n", .malformedStatusLine),
            ("SSH-2.0-x\r\n", .malformedStatusLine),
            ("HTTP/2.0 200 OK\r\n", .unsupportedVersion), ("HTTP/1.1 200 OK\nX: 1\r\n", .bareLineBreak),
            ("\u{15}\u{3}", .controlCharacter), ("HTTP/1.1 200 OK\r\nX : 1\r\n", .invalidFieldName),
            ("HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n", .leadingWhitespace),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", .contentLengthRepeated),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .invalidContentLength),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                .contentLengthWithTransferEncoding
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", .unsupportedTransferCoding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", .bodyTooLarge(limitBytes: 1_048_576)),
        ] as [(String, HTTPError)])
    func refuses(input: String, error: HTTPError) {
        checkEverySplit(latin1(input), expected: Parsed<HTTPResponse>(messages: [], error: error)) {
            parseResponses($0, cuts: $1)
        }
    }

    @Test("leaves what follows a 101 to the new protocol")
    func upgrade() throws {
        var parser = HTTPResponseParser(limits: HTTPLimits())
        var input = ByteBuffer(latin1("HTTP/1.1 101 Switching Protocols\r\n\r\n\u{81}\u{0}"))
        #expect(try parser.next(&input, requestMethod: .get)?.status == 101)
        #expect(input.bytes() == [0x81, 0])
    }

    @Test("takes a response without a length to end with the connection, up to the limit of a body")
    func untilClose() throws {
        var parser = HTTPResponseParser(limits: .small)
        var input = ByteBuffer("HTTP/1.1 200 OK\r\n\r\n0123456789")
        #expect(try parser.next(&input, requestMethod: .get) == nil)
        input.append("abcdef")
        #expect(try parser.next(&input, requestMethod: .get) == nil)
        var other = parser
        #expect(try parser.endOfInput() == HTTPResponse(status: 200, body: Array("0123456789abcdef".utf8)))
        #expect(!parser.isKeepAlive)
        #expect(try parser.endOfInput() == nil)
        input.append("g")
        #expect(throws: HTTPError.bodyTooLarge(limitBytes: 16)) { try other.next(&input, requestMethod: .get) }
    }

    @Test(
        "tells when the connection ends within a response",
        arguments: ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"])
    func cutShort(text: String) throws {
        var parser = HTTPResponseParser(limits: HTTPLimits())
        var input = ByteBuffer(text)
        #expect(try parser.next(&input, requestMethod: .get) == nil)
        #expect(throws: HTTPError.endedEarly) { try parser.endOfInput() }
    }
}
