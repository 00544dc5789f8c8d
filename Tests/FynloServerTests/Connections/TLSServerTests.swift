import Foundation
import FynloClient
import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

/// A server with a certificate of its own, and tablets that trust it.
private struct SecureServer {
    let certificates: TestCertificates
    let server: TestServer
    /// The files the server reads.
    let paths: (certificate: String, key: String)

    init(
        _ variables: [String: String] = [:], key: [String] = TestCertificates.ecdsa, host: String = "fynlo.test",
        adjust: (inout Config) -> Void = { _ in }
    ) throws {
        certificates = try TestCertificates()
        paths = try certificates.make("server", key: key, host: host)
        let files = ["FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": paths.key]
        server = try TestServer(variables.merging(files) { $1 }, adjust: adjust)
        server.tls = try TLSContext(authorityPath: paths.certificate)
    }

    /// What the openssl program as a client says and hears; it sends `request` once it is connected. `isInteractive`: a
    /// line that is a letter is a command to it.
    func client(
        _ arguments: [String], request: String, name: [String] = ["-servername", "fynlo.test"],
        isInteractive: Bool = false
    ) throws -> String {
        let process = Process()
        process.executableURL = OpenSSLProgram.url
        process.arguments =
            ["s_client", "-connect", server.address.description] + name + (isInteractive ? [] : ["-ign_eof"])
            + arguments
        let input = Pipe()
        process.standardInput = input
        let log = certificates.folder + "/client.log"
        try #require(FileManager.default.createFile(atPath: log, contents: nil))
        let output = try #require(FileHandle(forWritingAtPath: log))
        process.standardOutput = output
        process.standardError = output
        try process.run()
        input.fileHandleForWriting.write(Data(request.utf8))
        try server.wait(for: "the openssl program to end") { !process.isRunning }
        process.waitUntilExit()  // or it is never freed
        return try String(contentsOfFile: log, encoding: .utf8)
    }

    static let request = "GET /health/live HTTP/1.1\r\nHost: fynlo.test\r\nConnection: close\r\n\r\n"
}

@Suite("TLS")
struct TLSServerTests {
    // MARK: What it carries

    @Test("serves HTTP and tablets", arguments: [TestCertificates.ecdsa, TestCertificates.rsa])
    func serves(key: [String]) throws {
        let secure = try SecureServer(key: key)
        let server = secure.server
        #expect(try server.request(.get, "/health/live").status == 200)
        let restaurant = try server.database.addRestaurant()
        let (sender, listener) = (try server.staffTablet(at: restaurant), try server.staffTablet(at: restaurant))
        sender.say(type: "ping", data: #"{"n":1}"#)
        try server.wait(for: "a pong") { !sender.messages("pong").isEmpty }
        #expect(sender.messages("pong")[0]["data"]["echo"]["n"].integer == 1)
        let order = try server.database.addOrder(at: restaurant)
        sender.update(order, to: .confirmed, id: "c1")
        try server.wait(for: "the event") {
            !listener.messages("order.status_changed").isEmpty && !sender.answers(to: "c1").isEmpty
        }
        let sequence = listener.messages("order.status_changed")[0]["seq"].integer
        #expect(sender.answers(to: "c1")[0]["data"]["seq"].integer == sequence)
        #expect(sender.tls?.version == "TLSv1.3")
    }

    @Test("carries a large menu whole")
    func large() throws {
        let secure = try SecureServer()
        let menu = try TestMenu(on: secure.server)
        try menu.server.database.run(
            """
            insert into products (restaurant_id, name, price, description)
            select '\(menu.restaurant)', 'Product ' || n, 1.00, repeat('ñ', 4000) from generate_series(1, 100) n
            """)
        for _ in 0..<2 {
            let answer = try menu.page("&limit=100")
            #expect(answer.status == 200)
            #expect(answer.body.count > 800_000)
            #expect(try Document(answer.body).elements.count == 100)
        }
    }

    @Test("carries pages that are asked for all at once, also to a client that does not read for a while")
    func pipelined() throws {
        let secure = try SecureServer()
        let menu = try TestMenu(on: secure.server)
        for number in 0..<20 { try menu.addProduct("product \(number) \(String(repeating: "x", count: 1_500))") }
        let page = try menu.page()
        let client = try TestExchange(
            loop: secure.server.loop, address: secure.server.address, receiveBufferBytes: 16_384, tls: secure.server.tls
        )
        let headers: HTTPHeaders = ["Authorization": "Bearer \(menu.token)"]
        for number in 0..<200 {
            client.send(
                number % 5 == 4 ? .head : .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)", headers: headers)
        }
        try secure.server.wait(for: "the first pages") { client.responses.count > 2 }
        client.isReading = false
        try secure.server.settle(.milliseconds(50))
        client.isReading = true
        try secure.server.wait(for: "all answers", atMost: .seconds(30)) { client.responses.count == 200 }
        for (number, response) in client.responses.enumerated() {
            #expect(response.status == 200 && response.body == (number % 5 == 4 ? [] : page.body))
        }
    }

    @Test("understands a client that sends a byte at a time")
    func segments() throws {
        let secure = try SecureServer()
        let restaurant = try secure.server.database.addRestaurant()
        let user = try secure.server.database.addUser(.employee, at: restaurant)
        let tablet = try secure.server.tablet(at: restaurant)
        tablet.segmentBytes = 1
        tablet.authenticate(user, at: restaurant)
        tablet.say(type: "ping")
        try secure.server.wait(for: "a pong", atMost: .seconds(30)) { !tablet.messages("pong").isEmpty }
    }

    @Test("closes a tablet that does not read with a whole close frame")
    func slowConsumer() throws {
        let secure = try SecureServer(["FYNLO_SEND_QUEUE": "131072", "FYNLO_RATE_BURST": "100000"])
        let server = secure.server
        let restaurant = try server.database.addRestaurant()
        let slow = try server.staffTablet(at: restaurant, receiveBufferBytes: 65_536)
        let busy = try server.staffTablet(at: restaurant)
        slow.isReading = false
        let data = "{\"note\":\"\(String(repeating: "x", count: 16_000))\"}"
        var sent = 0
        while server.server.hub.tabletCount == 2, sent < 2_000 {
            busy.say(type: "kitchen.item_ready", data: data)
            sent += 1
            try server.wait(for: "the sender to have it") { busy.messages("kitchen.item_ready").count == sent }
        }
        #expect(server.server.hub.tabletCount == 1)
        slow.isReading = true
        try server.wait(for: "its end") { slow.isClosed }
        #expect(slow.closeCode == 4010)
        let received = slow.messages("kitchen.item_ready")
        #expect(received.count == slow.messages.count - 1 && received.count < sent)
        #expect(received.allSatisfy { $0["data"]["note"].string?.utf8.count == 16_000 })
        #expect(!slow.wasReset && slow.tls?.isInputEnded == true)
    }

    // MARK: Clients of other kinds

    @Test("serves the client library, which says what is wrong when only one of them speaks TLS")
    func clientLibrary() throws {
        let secure = try SecureServer(host: "127.0.0.1")
        let server = secure.server
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.manager, at: restaurant)
        let url = try ServerURL("https://\(server.address)")
        let (trust, token) = (server.tls, user.token())
        let tokens = try TokenSource(loop: server.loop, token: token)
        defer { tokens.close() }
        let client = try Client(
            loop: server.loop, settings: Client.Settings(server: url, restaurant: restaurant, user: user.id),
            tokens: tokens, tls: trust)
        defer { client.close() }
        client.connect()
        try server.wait(for: "connected") { client.state == .connected }

        func fetch(_ url: ServerURL) throws -> Result<HTTPResponse, ClientError> {
            var result: Result<HTTPResponse, ClientError>?
            let path = "/api/v1/menu?restaurant_id=\(restaurant)"
            HTTPClient(loop: server.loop, server: url, tls: trust)
                .request(.get, path, headers: ["Authorization": "Bearer \(token)"]) { result = $0 }
            try server.wait(for: "an answer") { result != nil }
            return try #require(result)
        }
        #expect(try fetch(url).get().body == Array("[]".utf8))
        let plain = try fetch(try ServerURL("http://\(server.address)")).get()
        #expect(plain.status == 400)
        #expect(String(decoding: plain.body, as: UTF8.self).contains("connect with https://"))

        let other = try TestServer(database: server.database, loop: server.loop)
        let misled = try ServerURL("https://\(other.address)")
        #expect(try fetch(misled) == .failure(.insecure(misled, .notTLS(isHTTP: true))))
    }

    @Test("serves TLS 1.2", arguments: [TestCertificates.ecdsa, TestCertificates.rsa])
    func olderVersion(key: [String]) throws {
        let text = try SecureServer(key: key).client(["-tls1_2"], request: SecureServer.request)
        #expect(text.contains("HTTP/1.1 200 OK"))
        #expect(text.contains("TLSv1.2") && text.contains("Cipher is ECDHE-"))
    }

    @Test(
        "refuses TLS 1.1, and TLS 1.2 without forward secrecy",
        arguments: [
            ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA"],
            ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"],
        ])
    func refusedVersions(arguments: [String]) throws {
        let text = try SecureServer(key: TestCertificates.rsa).client(arguments, request: SecureServer.request)
        #expect(!text.contains("HTTP/1.1"))
        // The reason arrives before the end does.
        #expect(text.contains("alert"))
    }

    @Test("resumes sessions", arguments: ["-tls1_3", "-tls1_2"])
    func resumption(version: String) throws {
        let secure = try SecureServer()
        let session = secure.certificates.folder + "/session"
        let first = try secure.client([version, "-sess_out", session], request: SecureServer.request)
        #expect(first.contains("New, TLSv1"))
        let second = try secure.client([version, "-sess_in", session], request: SecureServer.request)
        #expect(second.contains("Reused, TLSv1") && second.contains("HTTP/1.1 200 OK"))
        // After a reload the old keys are gone, and so is what they had sealed: a full handshake, no failure.
        secure.server.server.reload()
        let third = try secure.client([version, "-sess_in", session], request: SecureServer.request)
        #expect(third.contains("New, TLSv1") && third.contains("HTTP/1.1 200 OK"))
    }

    @Test(
        "selects http/1.1 where it is offered, and speaks it to who offers nothing",
        arguments: [
            (["-alpn", "h2,http/1.1"], "ALPN protocol: http/1.1"), (["-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
            ([], "No ALPN negotiated"),
        ], ["-tls1_3", "-tls1_2"])
    func protocols(offer: (arguments: [String], result: String), version: String) throws {
        let text = try SecureServer().client([version] + offer.arguments, request: SecureServer.request)
        #expect(text.contains(offer.result))
        #expect(text.contains("HTTP/1.1 200 OK"))
    }

    @Test("refuses who offers other protocols only, as RFC 7301 wants it", arguments: ["h2", "imap,xmpp-client"])
    func otherProtocols(offered: String) throws {
        let text = try SecureServer().client(["-alpn", offered], request: SecureServer.request)
        #expect(text.contains("alert no application protocol"))
        #expect(!text.contains("HTTP/1.1"))
    }

    @Test("tells a client that speaks HTTP/2 what is spoken here")
    func http2() throws {
        let text = try SecureServer().client([], request: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        #expect(text.contains("HTTP/1.1 505"))
    }

    @Test(
        "serves by whatever name it is called, and by none",
        arguments: [
            ["-noservername"], ["-servername", "elsewhere.example"], ["-servername", "*"],
            ["-servername", String(repeating: "a", count: 255)],
        ], ["-tls1_3", "-tls1_2"])
    func serverNames(name: [String], version: String) throws {
        let text = try SecureServer().client([version], request: SecureServer.request, name: name)
        #expect(text.contains("HTTP/1.1 200 OK"))
        #expect(text.contains("CN = fynlo.test"))
    }

    @Test("does not negotiate anew when a client of TLS 1.2 asks for it, and serves the others")
    func renegotiation() throws {
        let secure = try SecureServer()
        let tablet = try secure.server.staffTablet(at: try secure.server.database.addRestaurant())
        let text = try secure.client(["-tls1_2"], request: "R\n", isInteractive: true)
        #expect(text.contains("RENEGOTIATING") && text.contains("no renegotiation"))
        tablet.say(type: "ping")
        try secure.server.wait(for: "a pong") { !tablet.messages("pong").isEmpty }
        try secure.server.wait(for: "the client's end") { secure.server.server.hub.connectionCount == 1 }
    }

    // MARK: Strangers

    @Test("tells a client that speaks plain HTTP what is spoken here, whole and byte by byte", arguments: [1, Int.max])
    func plain(segment: Int) throws {
        let secure = try SecureServer()
        secure.server.tls = nil
        let exchange = try TestExchange(loop: secure.server.loop, address: secure.server.address)
        exchange.segmentBytes = segment
        exchange.send(.get, "/health/live")
        try secure.server.wait(for: "the answer") { exchange.isClosed }
        let response = try #require(exchange.responses.first)
        #expect(response.status == 400)
        #expect(response.headers.first("content-type") == "application/problem+json")
        #expect(
            try Document(response.body)["detail"].string
                == "This port speaks TLS only; connect with https:// or wss://.")
        #expect(!exchange.wasReset)
    }

    @Test(
        "closes on bytes that are no TLS",
        arguments: [
            Array("\r\n\r\n".utf8), Array("get / HTTP/1.1\r\n\r\n".utf8), Array(repeating: 0, count: 100),
            [0x16, 3, 1, 0xff, 0xff] + Array(repeating: 0, count: 100), [0x16, 3, 1, 0, 4, 1, 0, 0, 0],
            [0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0], [0x17, 3, 3, 0, 1, 0], [0xff],
        ])
    func garbage(bytes: [UInt8]) throws {
        let secure = try SecureServer { $0.http.headTimeout = .milliseconds(200) }
        let answer = try secure.server.raw(bytes)
        // An alert at most.
        #expect(answer.isEmpty || answer.first == 0x15 && answer.count == 7)
        try secure.server.wait(for: "the socket to be let go") { secure.server.server.hub.connectionCount == 0 }
    }

    @Test("ends handshakes that are not finished in time", arguments: [0, 1, 100])
    func unfinished(count: Int) throws {
        let secure = try SecureServer { $0.http.headTimeout = .milliseconds(200) }
        var hello = ByteBuffer()
        try TLSEngine(client: try #require(secure.server.tls), host: "fynlo.test").start(output: &hello)
        let start = secure.server.loop.now.instant
        let answer = try secure.server.raw(Array(hello.bytes().prefix(count)))
        #expect(answer.isEmpty)
        #expect((.milliseconds(150)...(.seconds(2))).contains(secure.server.loop.now.instant - start))
        try secure.server.wait(for: "the socket to be let go") { secure.server.server.hub.connectionCount == 0 }
    }

    @Test("ends a connection that stops after the server's half of the handshake")
    func halfHandshake() throws {
        let secure = try SecureServer { $0.http.headTimeout = .milliseconds(200) }
        var hello = ByteBuffer()
        try TLSEngine(client: try #require(secure.server.tls), host: "fynlo.test").start(output: &hello)
        let answer = try secure.server.raw(hello.bytes())
        #expect(answer.first == 0x16)
        try secure.server.wait(for: "the socket to be let go") { secure.server.server.hub.connectionCount == 0 }
    }

    @Test("ends a tablet whose ciphertext was tampered with, and nobody else's connection")
    func tampering() throws {
        let secure = try SecureServer()
        let restaurant = try secure.server.database.addRestaurant()
        let (victim, other) = (
            try secure.server.staffTablet(at: restaurant), try secure.server.staffTablet(at: restaurant)
        )
        victim.sendRaw([0x17, 3, 3, 0, 32] + Array(repeating: 7, count: 32))
        try secure.server.wait(for: "its end") { victim.isClosed }
        #expect(secure.server.server.hub.tabletCount == 1)
        other.say(type: "ping")
        try secure.server.wait(for: "a pong") { !other.messages("pong").isEmpty }
    }

    @Test("lets a storm of handshakes in, a few in each turn, and serves those who are there meanwhile")
    func storm() throws {
        let secure = try SecureServer()
        let server = secure.server
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        let newcomers = try (0..<120).map { _ in try server.tablet(at: restaurant) }
        // Counted by turns, as it is the machine that says how long one is.
        func handshakes() -> Int {
            server.hub.allConnections.count { $0.extras?.tls?.isEstablished == true }
        }
        var (pings, most, done) = (0, 0, handshakes())
        try server.wait(for: "all newcomers", atMost: .seconds(60)) {
            most = max(most, handshakes() - done)
            done = handshakes()
            if tablet.messages("pong").count == pings {
                tablet.say(type: "ping")
                pings += 1
            }
            return newcomers.allSatisfy(\.isUpgraded)
        }
        #expect(done == newcomers.count + 1)
        #expect((1...Hub.handshakesPerTurn).contains(most))
        // The first one was answered before all of them were in.
        #expect(pings > 1)
    }

    // MARK: Ends

    @Test("says close_notify when it closes")
    func serverCloses() throws {
        let secure = try SecureServer()
        let exchange = try TestExchange(
            loop: secure.server.loop, address: secure.server.address, tls: secure.server.tls)
        exchange.send(.get, "/health/live", headers: ["Connection": "close"])
        try secure.server.wait(for: "the end") { exchange.isClosed }
        #expect(exchange.responses.count == 1 && exchange.tls?.isInputEnded == true && !exchange.wasReset)
        let tablet = try secure.server.staffTablet(at: try secure.server.database.addRestaurant())
        tablet.closeWebSocket()
        try secure.server.wait(for: "the tablet's end") { tablet.isClosed }
        #expect(tablet.closeCode == 1000 && tablet.tls?.isInputEnded == true && !tablet.wasReset)
    }

    @Test("answers what was asked before the client's close_notify, and then closes")
    func clientCloses() throws {
        let secure = try SecureServer()
        let exchange = try TestExchange(
            loop: secure.server.loop, address: secure.server.address, tls: secure.server.tls)
        exchange.send(.get, "/health/ready")
        exchange.send(.get, "/health/live")
        try secure.server.wait(for: "the handshake") {
            exchange.tls?.isEstablished == true && exchange.outbound.isEmpty
        }
        exchange.closeNotify()
        try secure.server.wait(for: "the end") { exchange.isClosed }
        #expect(exchange.responses.map(\.status) == [200, 200])
        #expect(exchange.tls?.isInputEnded == true && !exchange.wasReset)
    }

    @Test("answers all that came together with the close_notify")
    func clientClosesAtOnce() throws {
        let secure = try SecureServer()
        let exchange = try TestExchange(
            loop: secure.server.loop, address: secure.server.address, tls: secure.server.tls)
        exchange.send(.get, "/health/live")
        try secure.server.wait(for: "the first answer") { exchange.responses.count == 1 }
        for _ in 0..<3 { exchange.send(.get, "/health/live") }
        exchange.closeNotify()
        try secure.server.wait(for: "the end") { exchange.isClosed }
        #expect(exchange.responses.map(\.status) == [200, 200, 200, 200])
        #expect(exchange.tls?.isInputEnded == true && !exchange.wasReset)
    }

    @Test("takes a tablet out that said close_notify, or vanished", arguments: [true, false])
    func tabletLeaves(politely: Bool) throws {
        let secure = try SecureServer()
        let tablet = try secure.server.staffTablet(at: try secure.server.database.addRestaurant())
        if politely { tablet.closeNotify() } else { tablet.close() }
        try secure.server.wait(for: "its end") { secure.server.server.hub.connectionCount == 0 }
        #expect(secure.server.server.hub.tabletCount == 0)
    }

    @Test(
        "gives the buffers of idle connections back",
        .enabled(if: CommandLine.environment["FYNLO_TEST_SANITIZER"] == nil, "sanitizers keep what is freed"))
    func idleMemory() throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("server")
        let server = try ServerProcess(
            try TestDatabase(), ["FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": paths.key, "FYNLO_ECHO": "1"])
        let loop = try EventLoop()
        defer { loop.close() }
        let trust = try TLSContext(authorityPath: paths.certificate)
        let message = String(repeating: "x", count: 16_000)
        func connect(_ count: Int) throws -> [TestTablet] {
            let tablets = try (0..<count).map { _ in
                try TestTablet(loop: loop, address: server.address, target: "/debug/echo", tls: trust)
            }
            for tablet in tablets { tablet.say(message) }
            try #require(try loop.run(until: { tablets.allSatisfy { $0.texts == [message] } }, for: .seconds(60)))
            return tablets
        }
        let first = try connect(100)
        let before = server.memory
        let second = try connect(200)
        // OpenSSL alone would keep 34 KiB for the records of each besides its state.
        #expect((server.memory - before) / second.count < 40 * 1_024)
        #expect(first.allSatisfy { !$0.isClosed })
    }

    // MARK: New certificates

    @Test("shows new connections the new certificate after a reload; a tablet that is in stays")
    func reload() throws {
        let secure = try SecureServer()
        let server = secure.server
        let restaurant = try server.database.addRestaurant()
        let old = try server.staffTablet(at: restaurant)
        let oldTrust = server.tls
        try secure.certificates.make("server")
        // Nothing changes before it is told to.
        #expect(try server.request(.get, "/health/live").status == 200)
        server.server.reload()
        let refused = try TestExchange(loop: server.loop, address: server.address, tls: oldTrust)
        try server.wait(for: "the old trust to fail") { refused.isClosed }
        #expect(refused.tlsError != nil)
        server.tls = try TLSContext(authorityPath: secure.paths.certificate)
        let new = try server.staffTablet(at: restaurant)
        let order = try server.database.addOrder(at: restaurant)
        old.update(order, to: .confirmed, id: "c1")
        try server.wait(for: "both to have it") {
            [old, new].allSatisfy { $0.messages("order.status_changed").count == 1 }
        }
        #expect(!old.isClosed)
    }

    @Test("shows them the new certificate once the program has got HUP; who is in stays")
    func hangUp() throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("server")
        let server = try ServerProcess(
            try TestDatabase(), ["FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": paths.key, "FYNLO_ECHO": "1"])
        let loop = try EventLoop()
        defer { loop.close() }
        let socket = try TestTablet(
            loop: loop, address: server.address, target: "/debug/echo",
            tls: try TLSContext(authorityPath: paths.certificate))
        try #require(try loop.run(until: { socket.isUpgraded }, for: .seconds(20)))
        try certificates.make("server")
        let trust = try TLSContext(authorityPath: paths.certificate)
        server.hangUp()
        let deadline = SystemClock.instant + .seconds(20)
        var answer: HTTPResponse?
        while answer == nil, SystemClock.instant < deadline {
            let exchange = try TestExchange(loop: loop, address: server.address, tls: trust)
            defer { exchange.close() }
            exchange.send(.get, "/health/live")
            _ = try loop.run(until: { !exchange.responses.isEmpty || exchange.isClosed }, for: .seconds(20))
            answer = exchange.responses.first
        }
        #expect(answer?.status == 200)
        socket.say("still here")
        #expect(try loop.run(until: { socket.texts == ["still here"] }, for: .seconds(20)))
        #expect(server.stop().contains("\"event\":\"reloaded\""))
    }

    @Test("keeps the old certificate when the new files cannot be used", arguments: ["missing", "rubbish", "mismatch"])
    func badReload(kind: String) throws {
        let secure = try SecureServer()
        switch kind {
        case "missing": try FileManager.default.removeItem(atPath: secure.paths.key)
        case "rubbish": try "rubbish".write(toFile: secure.paths.certificate, atomically: true, encoding: .utf8)
        default:
            let other = try secure.certificates.make("other")
            try FileManager.default.removeItem(atPath: secure.paths.key)
            try FileManager.default.copyItem(atPath: other.key, toPath: secure.paths.key)
        }
        secure.server.server.reload()
        #expect(try secure.server.request(.get, "/health/live").status == 200)
    }

    @Test("does not start with files that cannot be used, and says which")
    func badStart() throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("a")
        for (name, variables) in [
            ("FYNLO_TLS_CERT", ["FYNLO_TLS_CERT": "/nonexistent", "FYNLO_TLS_KEY": paths.key]),
            ("/nonexistent", ["FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": "/nonexistent"]),
            ("FYNLO_TLS_KEY", ["FYNLO_TLS_CERT": paths.certificate]),
            ("FYNLO_TLS_CERT", ["FYNLO_TLS_KEY": paths.key]),
        ] {
            let error = #expect(throws: ConfigError.self) { _ = try TestServer(variables) }
            #expect(error?.description.contains(name) == true)
        }
    }
}
