import FynloCore
import Testing

@Suite("HTTPEncoder")
struct HTTPEncoderTests {
    static let date = UnixTime(milliseconds: 784_111_777_500)

    private func encode(
        _ response: HTTPResponse, isHead: Bool = false, version: HTTPVersion = .http11, isKeepAlive: Bool = true
    ) -> String {
        var output = ByteBuffer()
        let exchange = HTTPEncoder.Exchange(isHead: isHead, version: version, isKeepAlive: isKeepAlive)
        HTTPEncoder.encode(response, for: exchange, date: Self.date, into: &output)
        return String(decoding: output.bytes(), as: UTF8.self)
    }

    @Test("writes status line, date, fields as they were written, length and body")
    func plain() {
        let response = HTTPResponse(
            status: 200, headers: ["Content-Type": "application/json", "X-A": "1", "X-A": "2"], body: Array("{}".utf8))
        #expect(
            encode(response) == "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                + "Content-Type: application/json\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\n{}")
    }

    @Test(
        "frames and keeps the connection as the request asks",
        arguments: [
            (HTTPResponse(status: 200, body: [120]), false, .http11, true, "Content-Length: 1\r\n\r\nx"),
            (HTTPResponse(status: 200, body: [120]), true, .http11, true, "Content-Length: 1\r\n\r\n"),
            (HTTPResponse(status: 404), false, .http11, true, "Content-Length: 0\r\n\r\n"),
            (HTTPResponse(status: 204, body: [120]), false, .http11, true, "\r\n"),
            (HTTPResponse(status: 304, body: [120]), false, .http11, true, "\r\n"),
            (HTTPResponse(status: 200), false, .http11, false, "Content-Length: 0\r\nConnection: close\r\n\r\n"),
            (HTTPResponse(status: 200), false, .http10, false, "Content-Length: 0\r\nConnection: close\r\n\r\n"),
            (HTTPResponse(status: 200), false, .http10, true, "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n"),
            (HTTPResponse(status: 204), true, .http11, false, "Connection: close\r\n\r\n"),
        ] as [(HTTPResponse, Bool, HTTPVersion, Bool, String)])
    func framing(response: HTTPResponse, isHead: Bool, version: HTTPVersion, isKeepAlive: Bool, end: String) {
        let text = encode(response, isHead: isHead, version: version, isKeepAlive: isKeepAlive)
        let reason = [200: "OK", 204: "No Content", 304: "Not Modified", 404: "Not Found"][response.status] ?? ""
        #expect(
            text == "HTTP/1.1 \(response.status) \(reason)\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\(end)")
    }

    @Test("writes framing, date and keep-alive itself, whatever the response says")
    func managedFields() {
        let response = HTTPResponse(
            status: 426,
            headers: [
                "content-length": "99", "Transfer-Encoding": "chunked", "DATE": "never", "Connection": "close",
                "connection": "Upgrade", "Upgrade": "websocket",
            ])
        #expect(
            encode(response) == "HTTP/1.1 426 Upgrade Required\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                + "connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
    }

    @Test("writes an upgrade without a length")
    func upgrade() {
        let response = HTTPResponse(status: 101, headers: ["Upgrade": "websocket", "Connection": "Upgrade"])
        #expect(
            encode(response) == "HTTP/1.1 101 Switching Protocols\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    }

    @Test("writes a status without a name with the space that belongs there")
    func unnamedStatus() {
        #expect(encode(HTTPResponse(status: 299)).hasPrefix("HTTP/1.1 299 \r\nDate: "))
    }

    @Test(
        "writes requests that our parser reads back",
        arguments: [
            (.get, "/a?b=c", [], "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"),
            (.post, "/a", [120], "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"),
            (.post, "/a", [], "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
            (.delete, "/a", [], "DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n"),
            (.get, "", [], "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            (.get, "x", [], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"),
            (.options, "*", [], "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
            (
                .get, "/é x\r\nY: \0", [],
                "GET /%C3%A9%20x%0D%0AY:%20%00 HTTP/1.1\r\nHost: h\r\n\r\n"
            ),
        ] as [(HTTPMethod, String, [UInt8], String)])
    func requests(method: HTTPMethod, target: String, body: [UInt8], sent: String) throws {
        var output = ByteBuffer()
        HTTPEncoder.encodeRequest(
            method: method, target: target, headers: ["Host": "h", "Content-Length": "7"], body: body, into: &output)
        #expect(String(decoding: output.bytes(), as: UTF8.self) == sent)
        guard !target.contains("\0") else { return }
        let request = try #require(parseRequests(output.bytes()).messages.first)
        #expect(request.method == method)
        #expect(request.body == body)
    }

    @Test("writes responses that our client reads back")
    func roundTrip() throws {
        let response = HTTPResponse(status: 201, headers: ["Location": "/x"], body: Array("hello".utf8))
        let parsed = try #require(parseResponses(Array(encode(response).utf8)).messages.first)
        #expect(parsed.status == 201)
        #expect(parsed.body == response.body)
        #expect(parsed.headers.first("location") == "/x")
    }
}
