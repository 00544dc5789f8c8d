import FynloClient
import FynloCore
import FynloIO
import Testing

@Suite("HTTPClient")
final class HTTPClientTests {
    let loop: EventLoop

    init() throws {
        loop = try EventLoop()
    }

    deinit {
        loop.close()
    }

    private func fetch(
        _ client: HTTPClient, _ method: HTTPMethod = .get, _ path: String, headers: HTTPHeaders = HTTPHeaders(),
        body: [UInt8] = []
    ) throws -> Result<HTTPResponse, ClientError> {
        var results: [Result<HTTPResponse, ClientError>] = []
        client.request(method, path, headers: headers, body: body) { results.append($0) }
        #expect(results.isEmpty, "nobody is called before the turn")
        _ = try loop.run(until: { !results.isEmpty }, for: .seconds(10))
        try loop.turn(timeout: .zero)
        #expect(results.count == 1)
        return try #require(results.first)
    }

    @Test("sends a request and gets the answer, even with an error status", arguments: ["127.0.0.1", "localhost"])
    func exchange(host: String) throws {
        let server = try StackServer(loop: loop)
        var seen: HTTPRequest?
        server.response = { request in
            seen = request
            return HTTPResponse(status: 200, headers: ["X-Total-Count": "3"], body: Array("[1,2,3]".utf8))
        }
        let client = HTTPClient(loop: loop, server: try server.url(host: host))
        let response = try fetch(
            client, .get, "/api/v1/menu?restaurant_id=x y", headers: ["Authorization": "Bearer t"]
        ).get()
        #expect(response.status == 200)
        #expect(response.body == Array("[1,2,3]".utf8))
        #expect(response.headers.first("x-total-count") == "3")
        #expect(seen?.query == "restaurant_id=x%20y")
        #expect(seen?.headers.first("authorization") == "Bearer t")
        #expect(seen?.headers.first("host") == "\(host):\(server.port)")
        #expect(try fetch(client, .get, "/nothing/here").get().status == 404)
        #expect(try fetch(client, .delete, "/api/v1/menu").get().status == 405)
        #expect(try fetch(client, .head, "/api/v1/menu").get().body.isEmpty)
        _ = try loop.run(until: { server.connections.isEmpty }, for: .seconds(10))
        #expect(server.connections.isEmpty, "no connection is kept")
        server.stop()
    }

    @Test("sends a body with its length")
    func body() throws {
        let server = try ScriptedServer(loop: loop) { _ in "HTTP/1.1 202 Accepted\r\n\r\nuntil the end" }
        let client = HTTPClient(loop: loop, server: try server.url)
        let response = try fetch(client, .post, "/x", body: Array("{}".utf8)).get()
        #expect(response.status == 202)
        #expect(response.body == Array("until the end".utf8))
        #expect(server.heard(from: 0).contains("Content-Length: 2\r\n"))
        #expect(server.heard(from: 0).hasSuffix("\r\n\r\n{}"))
        server.stop()
    }

    @Test(
        "says what is wrong with an answer",
        arguments: ["", "SSH-2.0\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
    func rubbish(answer: String) throws {
        let server = try ScriptedServer(loop: loop) { _ in answer }
        let client = HTTPClient(loop: loop, server: try server.url)
        guard case .failure(.unreadableResponse) = try fetch(client, .get, "/") else {
            Issue.record("it cannot be read")
            return
        }
        server.stop()
    }

    @Test("gives up after its timeout, and if nothing listens")
    func giveUp() throws {
        let server = try ScriptedServer(loop: loop) { _ in "HTTP/1.1 200 OK\r\n" }
        server.holds = true
        let slow = HTTPClient(loop: loop, server: try server.url, timeout: .milliseconds(20))
        guard case .failure(.timedOut(_, .milliseconds(20))) = try fetch(slow, .get, "/") else {
            Issue.record("it took too long")
            return
        }
        server.stop()
        let nobody = HTTPClient(loop: loop, server: try ServerURL("http://127.0.0.1:1"))
        guard case .failure(.unreachable) = try fetch(nobody, .get, "/") else {
            Issue.record("nobody listens there")
            return
        }
    }
}

@Suite("ServerURL")
struct ServerURLTests {
    @Test(
        "reads the URL of a server",
        arguments: [
            ("http://127.0.0.1:8000", "127.0.0.1", 8000, "", "127.0.0.1:8000"),
            ("ws://pos.example.com", "pos.example.com", 80, "", "pos.example.com"),
            ("HTTP://h:80/", "h", 80, "", "h"),
            ("ws://[::1]:9/a/b/", "::1", 9, "/a/b", "[::1]:9"),
            ("http://[fe80::1]", "fe80::1", 80, "", "[fe80::1]"),
            ("http://h:443", "h", 443, "", "h:443"),
            ("https://h", "h", 443, "", "h"),
            ("WSS://h:80/x", "h", 80, "/x", "h:80"),
            ("https://[::1]:443", "::1", 443, "", "[::1]"),
        ] as [(String, String, UInt16, String, String)])
    func reads(text: String, host: String, port: UInt16, prefix: String, authority: String) throws {
        let url = try ServerURL(text)
        #expect(url.usesTLS == (text.lowercased().hasPrefix("https") || text.lowercased().hasPrefix("wss")))
        #expect(url.description.hasPrefix(url.usesTLS ? "https://" : "http://"))
        #expect(url.host == host && url.port == port && url.pathPrefix == prefix && url.authority == authority)
    }

    @Test(
        "refuses everything else with one sentence",
        arguments: [
            "", "127.0.0.1:8000", "ftp://h", "http://", "http://:80", "http://h:", "http://h:0", "http://h:65536",
            "http://h:+1", "http://h:80:80", "http://u@h", "http://h?x", "http://h/#f", "http://h h", "http://é",
            "http://[::1", "http://[::1]x", "http://[]", "http://h\r\nX: y",
        ])
    func refuses(text: String) throws {
        do {
            let url = try ServerURL(text)
            Issue.record("\(url) was taken")
        } catch {
            guard case .invalidURL = error else { throw error }
            #expect(error.description.hasSuffix("."))
        }
    }
}
