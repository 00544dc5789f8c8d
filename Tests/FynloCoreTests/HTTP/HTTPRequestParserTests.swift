import FynloCore
import Testing

@Suite("HTTPRequestParser")
struct HTTPRequestParserTests {
    /// One row: what it shows, the bytes, and the request they are.
    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let input: String
        let request: HTTPRequest
        var testDescription: String { name }

        init(_ name: String, _ input: String, _ request: HTTPRequest) {
            self.name = name
            self.input = input
            self.request = request
        }
    }

    static let rows: [Row] = [
        Row(
            "the smallest request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .get, path: "/", headers: ["host": "a"])),
        Row(
            "a query, kept as it was sent", "GET /api/v1/menu?page=1&limit=50&x=%20 HTTP/1.1\r\nHost: a:8000\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/api/v1/menu", query: "page=1&limit=50&x=%20", headers: ["host": "a:8000"])),
        Row(
            "an empty query, and a question mark within one", "GET /a??b? HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .get, path: "/a", query: "?b?", headers: ["host": "a"])),
        Row(
            "characters that browsers leave alone in a query", "GET /?a[]={x}|y\\^`'! HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .get, path: "/", query: "a[]={x}|y\\^`'!", headers: ["host": "a"])),
        Row(
            "a percent-encoded path", "GET /caf%C3%A9/%41%20b/..c/.d/e.../%252e HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/café/A b/..c/.d/e.../%2e", rawTarget: "/caf%C3%A9/%41%20b/..c/.d/e.../%252e",
                headers: ["host": "a"])),
        Row(
            "field names in any case, values trimmed, order and repetition kept",
            "GET / HTTP/1.1\r\nHOST:a\r\nX-A:  1 \t\r\nx-a:\t2\r\nX-Empty:\r\nX-Colon: a:b : c\r\n"
                + "X-Bytes: \u{80}\u{ff}\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/",
                headers: [
                    "host": "a", "x-a": "1", "x-a": "2", "x-empty": "", "x-colon": "a:b : c", "x-bytes": "REPLACED",
                ])),
        Row(
            "every character of a token in a field name",
            "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: v\r\n\r\n",
            HTTPRequest(method: .get, path: "/", headers: ["host": "a", "!#$%&'*+-.^_`|~09azaz": "v"])),
        Row(
            "a body with a length", "POST /o HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            HTTPRequest(
                method: .post, path: "/o", headers: ["host": "a", "content-length": "5"], body: Array("hello".utf8))),
        Row(
            "a body of no bytes, in digits with leading zeros",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
            HTTPRequest(method: .put, path: "/", headers: ["host": "a", "content-length": "000"])),
        Row(
            "a POST that names no length has no body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .post, path: "/", headers: ["host": "a"])),
        Row(
            "a body of line breaks and NULs",
            "PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n\r\n\n\r\0\u{ff}",
            HTTPRequest(
                method: .patch, path: "/", headers: ["host": "a", "content-length": "6"],
                body: [13, 10, 10, 13, 0, 255])),
        Row(
            "a chunked body",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
            HTTPRequest(
                method: .post, path: "/", headers: ["host": "a", "transfer-encoding": "chunked"],
                body: Array("hello!".utf8))),
        Row(
            "chunk sizes in either case with zeros, extensions, white space before them, and trailers, all dropped",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  CHUNKED \r\n\r\n"
                + "0000000000000A;a=\"b;c\"\r\n0123456789\r\nb \t;x\r\n0123456789a\r\n"
                + "00;last\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n",
            HTTPRequest(
                method: .post, path: "/", headers: ["host": "a", "transfer-encoding": "CHUNKED"],
                body: Array("01234567890123456789a".utf8))),
        Row(
            "an empty chunked body", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n",
            HTTPRequest(method: .post, path: "/", headers: ["transfer-encoding": "chunked", "host": "a"])),
        Row(
            "empty lines before the request line", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .get, path: "/", headers: ["host": "a"])),
        Row(
            "HTTP/1.0 without a host, closing", "GET / HTTP/1.0\r\n\r\n",
            HTTPRequest(method: .get, path: "/", version: .http10, isKeepAlive: false)),
        Row(
            "HTTP/1.0 that asks to keep the connection",
            "GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\nExpect: 100-continue, y\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/", version: .http10,
                headers: ["connection": "x, Keep-Alive", "expect": "100-continue, y"])),
        Row(
            "a later minor version is HTTP/1.1", "GET / HTTP/1.9\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .get, path: "/", headers: ["host": "a"])),
        Row(
            "Connection: close, in a list of several fields",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\nConnection:,CLOSE ,\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/",
                headers: ["host": "a", "connection": "keep-alive, x", "connection": ",CLOSE ,"], isKeepAlive: false)),
        Row(
            "Expect: 100-continue with a body",
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
            HTTPRequest(
                method: .post, path: "/", headers: ["host": "a", "expect": "100-Continue", "content-length": "1"],
                body: [120], expectsContinue: true)),
        Row(
            "Expect: 100-continue without a body expects nothing",
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            HTTPRequest(method: .post, path: "/", headers: ["host": "a", "expect": "100-continue"])),
        Row(
            "absolute-form: its host takes the place of the Host field",
            "GET HTTP://b.example:80/p?q HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/p", query: "q", rawTarget: "HTTP://b.example:80/p?q",
                headers: ["x": "1", "host": "b.example:80"])),
        Row(
            "absolute-form without a path", "GET https://b?q HTTP/1.0\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/", query: "q", rawTarget: "https://b?q", version: .http10, headers: ["host": "b"],
                isKeepAlive: false)),
        Row(
            "asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .options, path: "*", headers: ["host": "a"])),
        Row(
            "a method that only the router refuses", "get /x HTTP/1.1\r\nHost: a\r\n\r\n",
            HTTPRequest(method: .other("get"), path: "/x", headers: ["host": "a"])),
        Row(
            "hosts of every kind", "DELETE / HTTP/1.1\r\nHost: [2001:db8::1]:65535\r\n\r\n",
            HTTPRequest(method: .delete, path: "/", headers: ["host": "[2001:db8::1]:65535"])),
        Row(
            "a host with an empty port", "HEAD / HTTP/1.1\r\nHost: 10.0.0.1:\r\n\r\n",
            HTTPRequest(method: .head, path: "/", headers: ["host": "10.0.0.1:"])),
        Row(
            "an upgrade", "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            HTTPRequest(
                method: .get, path: "/ws", headers: ["host": "a", "upgrade": "websocket", "connection": "Upgrade"])),
    ]

    @Test("reads", arguments: rows)
    func reads(row: Row) throws {
        var request = row.request
        if request.headers.first("x-bytes") != nil {
            // A value that is not UTF-8 can be compared only with what was read.
            request.headers = try #require(parseRequests(latin1(row.input)).messages.first).headers
            #expect(request.headers.first("x-bytes") == "\u{fffd}\u{fffd}")
        }
        let input = latin1(row.input)
        checkEverySplit(input, expected: Parsed(messages: [request])) { parseRequests($0, cuts: $1) }
        let next = HTTPRequest(method: .get, path: "/next", headers: ["host": "n"])
        checkEverySplit(
            input + latin1("GET /next HTTP/1.1\r\nHost: n\r\n\r\n"), expected: Parsed(messages: [request, next])
        ) { parseRequests($0, cuts: $1) }
    }

    @Test("leaves in the input what follows a request")
    func leftovers() throws {
        var parser = HTTPRequestParser(limits: HTTPLimits())
        var input = ByteBuffer("GET / HTTP/1.1\r\nHost: a\r\n\r\n\u{1}websocket frames")
        #expect(try parser.next(&input) != nil)
        #expect(input.bytes() == Array("\u{1}websocket frames".utf8))
    }

    @Test("leaves no more than the line under way in the input")
    func consumption() throws {
        var parser = HTTPRequestParser(limits: HTTPLimits())
        var input = ByteBuffer("POST / HTTP/1.1\r\nHost: a\r\nContent-Le")
        #expect(try parser.next(&input) == nil)
        #expect(input.bytes() == Array("Content-Le".utf8))
        input.append("ngth: 1000\r\n\r\n")
        input.append([UInt8](repeating: 7, count: 999))
        #expect(try parser.next(&input) == nil)
        #expect(input.isEmpty)
        #expect(parser.phase == .body)
    }

    @Test("tells which part of a message it is in")
    func phases() throws {
        var parser = HTTPRequestParser(limits: HTTPLimits())
        var input = ByteBuffer()
        let steps: [(String, HTTPRequestParser.Phase)] = [
            ("\r", .idle), ("\n", .idle), ("P", .head), ("OST / HTTP/1.1\r\n", .head),
            ("Host: a\r\nTransfer-Encoding: chunked\r\n\r", .head), ("\n", .body), ("1\r\nx\r\n0\r\n\r", .body),
        ]
        for (text, phase) in steps {
            input.append(text)
            #expect(try parser.next(&input) == nil)
            #expect(parser.phase == phase)
        }
        input.append("\n")
        #expect(try parser.next(&input)?.body == [120])
        #expect(parser.phase == .idle)
    }
}
