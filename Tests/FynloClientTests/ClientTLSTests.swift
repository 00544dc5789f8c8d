import FynloClient
import FynloCore
import FynloIO
import TestSupport
import Testing

@Suite("Clients over TLS")
final class ClientTLSTests {
    let loop: EventLoop
    let certificates: TestCertificates

    init() throws {
        loop = try EventLoop()
        certificates = try TestCertificates()
    }

    deinit {
        loop.close()
    }

    private func turn(
        _ what: String, until condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let isDone = try loop.run(until: condition, for: .seconds(20))
        try #require(isDone, "in time: \(what)", sourceLocation: sourceLocation)
    }

    /// A server with a certificate for `host`, and whom to trust to trust it.
    private func secureServer(for host: String, isExpired: Bool = false) throws -> (StackServer, TLSContext) {
        let paths = try certificates.make("server", host: host, isExpired: isExpired)
        let server = try StackServer(loop: loop)
        server.tls = try TLSContext(certificatePath: paths.certificate, keyPath: paths.key)
        return (server, try TLSContext(authorityPath: paths.certificate))
    }

    private func fetch(_ client: HTTPClient) throws -> Result<HTTPResponse, ClientError> {
        var results: [Result<HTTPResponse, ClientError>] = []
        client.request(.get, "/api/v1/menu") { results.append($0) }
        #expect(results.isEmpty, "nobody is called before the turn")
        try turn("an answer") { !results.isEmpty }
        #expect(results.count == 1)
        return try #require(results.first)
    }

    /// The sentence with which a request fails.
    private func failure(_ client: HTTPClient) throws -> TLSError? {
        guard case .failure(let error) = try fetch(client) else { return nil }
        #expect(error.description.hasSuffix(".") && !error.description.hasSuffix(".."))
        guard case .insecure(let server, let reason) = error else { return nil }
        #expect(server == client.server)
        return reason
    }

    @Test("work as they do without TLS, by name and by address", arguments: ["localhost", "127.0.0.1"])
    func talks(host: String) throws {
        let (server, trust) = try secureServer(for: host)
        server.response = { _ in
            HTTPResponse(status: 200, body: [UInt8](repeating: UInt8(ascii: "x"), count: 300_000))
        }
        let client = HTTPClient(loop: loop, server: try server.url(host: host), tls: trust)
        #expect(try fetch(client).get().body.count == 300_000)

        let waiter = try ClientLog(loop, try server.url(host: host), tls: trust)
        let kitchen = try ClientLog(loop, try server.url(host: host), tls: trust)
        waiter.client.connect()
        kitchen.client.connect()
        try turn("both connected") { server.active.count == 2 && kitchen.client.state == .connected }
        server.publish(events: 8...300)
        try turn("all events") { waiter.client.lastSequence == 300 && kitchen.client.lastSequence == 300 }
        #expect(waiter.sequences == Array(8...300))
        var isAnswered = false
        let note = "{\"note\":\"\(String(repeating: "ñ", count: 8_000))\"}"
        try kitchen.client.send("kitchen.item_ready", data: note) { _ in isAnswered = true }
        try turn("heard") { isAnswered && waiter.messages.contains { $0.type == "kitchen.item_ready" } }
        waiter.close()
        kitchen.close()
        try turn("the server has seen them go") { server.connections.isEmpty }
        server.stop()
    }

    @Test("reconnect when the connection is cut, and end when the server ends it")
    func reconnects() throws {
        let (server, trust) = try secureServer(for: "127.0.0.1")
        let log = try ClientLog(loop, try server.url(), tls: trust)
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.dropAll()
        try turn("lost") { log.client.state == .reconnecting }
        log.hurry()
        try turn("connected again") { log.client.state == .connected }
        server.closeAll(.accessRevoked)
        try turn("ended") { log.client.state == .disconnected }
        #expect(log.ends.map(\.closure.code) == [1006, 4006])
        server.stop()
    }

    @Test("refuse a certificate that no trusted authority signed")
    func unknownAuthority() throws {
        let (server, _) = try secureServer(for: "127.0.0.1")
        let other = try TLSContext(authorityPath: try certificates.make("other").certificate)
        for trust in [other, nil] {
            let reason = try failure(HTTPClient(loop: loop, server: try server.url(), tls: trust))
            guard case .certificate(host: "127.0.0.1", .unknownAuthority) = reason else {
                Issue.record("\(String(describing: reason))")
                continue
            }
        }
        let log = try ClientLog(loop, try server.url(), tls: other)
        log.client.connect()
        try turn("refused") { !log.ends.isEmpty }
        #expect(log.ends.first?.closure.reason.contains("vouches") == true)
        #expect(server.authenticated.isEmpty)
        log.close()
        server.stop()
    }

    @Test(
        "refuse a certificate for another host",
        arguments: [
            ("elsewhere.test", "127.0.0.1"), ("elsewhere.test", "localhost"), ("127.0.0.1", "localhost"),
            ("localhost", "127.0.0.1"),
        ])
    func otherHost(certified: String, asked: String) throws {
        let (server, trust) = try secureServer(for: certified)
        let client = HTTPClient(loop: loop, server: try server.url(host: asked), tls: trust)
        #expect(try failure(client) == .certificate(host: asked, .otherHost))
        server.stop()
    }

    @Test("refuse a certificate that has expired")
    func expired() throws {
        let (server, trust) = try secureServer(for: "127.0.0.1", isExpired: true)
        let client = HTTPClient(loop: loop, server: try server.url(), tls: trust)
        #expect(try failure(client) == .certificate(host: "127.0.0.1", .expired))
        server.stop()
    }

    @Test(
        "say what a server that speaks no TLS speaks",
        arguments: [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", TLSError.notTLS(isHTTP: true)),
            ("SSH-2.0-OpenSSH\r\n", .notTLS(isHTTP: false)), ("", .endedInHandshake),
        ])
    func plain(answer: String, reason: TLSError) throws {
        let server = try ScriptedServer(loop: loop) { _ in answer }
        let url = try ServerURL("https://127.0.0.1:\(server.url.port)")
        let (_, trust) = try secureServer(for: "127.0.0.1")
        #expect(try failure(HTTPClient(loop: loop, server: url, tls: trust)) == reason)
        server.stop()
    }

    @Test("do not accept an answer that was cut before the server marked its end")
    func cut() throws {
        let (server, trust) = try secureServer(for: "127.0.0.1")
        var isAsked = false
        server.response = { _ in
            isAsked = true
            return nil
        }
        let client = HTTPClient(loop: loop, server: try server.url(), tls: trust)
        var result: Result<HTTPResponse, ClientError>?
        client.request(.get, "/api/v1/menu") { result = $0 }
        try turn("asked") { isAsked }
        for connection in server.connections.values { connection.say("HTTP/1.1 200 OK\r\n\r\nhalf of it") }
        server.dropAll()
        try turn("ended") { result != nil }
        guard case .failure(.unreadableResponse(_, .endedEarly)) = result else {
            Issue.record("\(String(describing: result))")
            return
        }
        server.stop()
    }
}
