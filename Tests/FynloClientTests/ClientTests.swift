import FynloClient
import FynloCore
import FynloIO
import Testing

@Suite("Client")
final class ClientTests {
    let loop: EventLoop

    init() throws {
        loop = try EventLoop()
    }

    deinit {
        loop.close()
    }

    private func turn(
        _ what: String, until condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let isDone = try loop.run(until: condition, for: .seconds(10))
        try #require(isDone, "in time: \(what)", sourceLocation: sourceLocation)
    }

    @Test("connects and authenticates, by address and by name", arguments: ["127.0.0.1", "localhost"])
    func connects(host: String) throws {
        let server = try StackServer(loop: loop)
        let log = ClientLog(loop, try server.url(host: host)) { $0.deviceID = "till-1" }
        #expect(log.client.state == .disconnected)
        log.client.connect()
        #expect(log.client.state == .connecting)
        try turn("connected") { log.client.state == .connected }
        #expect(log.story == ["connect"])
        #expect(log.welcomes.first?.sequence == 7)
        #expect(server.authenticated.map(\.token) == ["t0"])
        #expect(server.authenticated.map(\.deviceID) == ["till-1"])
        log.client.connect()
        try turn("a second connect does nothing") { log.client.state == .connected }
        #expect(server.accepted == 1)
        log.client.close()
        server.stop()
    }

    @Test("hands many clients every event in order")
    func events() throws {
        let server = try StackServer(loop: loop)
        let logs = try (0..<20).map { _ in ClientLog(loop, try server.url()) }
        for log in logs { log.client.connect() }
        try turn("all connected") { logs.allSatisfy { $0.client.state == .connected } }
        server.publish(events: 8...300)
        try turn("all events") { logs.allSatisfy { $0.client.lastSequence == 300 } }
        for log in logs { #expect(log.sequences == Array(8...300)) }
        for log in logs { log.client.close() }
        try turn("the server has seen them go") { server.connections.isEmpty }
        server.stop()
    }

    @Test("pairs commands with their answers, and everybody hears a transient event")
    func commands() throws {
        let server = try StackServer(loop: loop)
        server.storage = {
            $0 == 2 ? .refused(APIError(.orderNotFound, "No.")) : .done(sequence: EventSequence($0 + 7))
        }
        let waiter = ClientLog(loop, try server.url())
        let kitchen = ClientLog(loop, try server.url()) { $0.clientType = .kitchen }
        waiter.client.connect()
        kitchen.client.connect()
        try turn("both connected") { server.active.count == 2 && kitchen.client.state == .connected }
        var answers: [String] = []
        let update = #"{"order_id":"00000000-0000-4000-8000-000000000001","status":"ready"}"#
        for name in ["first", "second", "third"] {
            kitchen.client.send("order.status_update", data: update, id: name) { result in
                switch result {
                case .success(.acknowledged(let sequence, _)): answers.append("\(name) \(sequence ?? 0)")
                case .success(.refused(let error, _)): answers.append("\(name) \(error.code)")
                case .success(.timedOut), .failure: answers.append("\(name) failed")
                }
            }
        }
        kitchen.client.send("kitchen.item_ready", data: #"{"item":"soup"}"#) { _ in answers.append("soup") }
        kitchen.client.send("kitchen.item_ready", data: "nonsense") { result in
            guard case .failure(.refused(.dataNotAnObject)) = result else { return }
            answers.append("nonsense")
        }
        #expect(answers.isEmpty, "nobody is called before the turn")
        try turn("all answered") { answers.count == 5 }
        #expect(answers.filter { $0 != "nonsense" } == ["first 8", "second order_not_found", "third 10", "soup"])
        try turn("heard") { waiter.messages.contains { $0.type == "kitchen.item_ready" } }
        waiter.client.close()
        kitchen.client.close()
        server.stop()
    }

    @Test("comes back after the server has gone, and resumes where it was")
    func reconnects() throws {
        let server = try StackServer(loop: loop)
        let port = server.port
        let log = ClientLog(loop, try server.url())
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.publish(events: 8...9)
        try turn("events") { log.client.lastSequence == 9 }
        var answer: Result<CommandOutcome, ClientError>?
        server.storage = { _ in nil }
        let update = #"{"order_id":"00000000-0000-4000-8000-000000000001","status":"ready"}"#
        log.client.send("order.status_update", data: update) { answer = $0 }
        try turn("sent") { server.commands == 1 }

        server.stop()
        try turn("lost") { log.client.state == .reconnecting }
        guard case .failure(.connectionLost) = answer else {
            Issue.record("the command's outcome is told to be unknown")
            return
        }
        let retryIn = try #require(log.ends.first?.retryIn)
        #expect(retryIn >= .milliseconds(500) && retryIn <= .seconds(1))
        log.hurry()
        try turn("refused") { log.ends.count == 2 }
        #expect(log.client.failedAttempts == 2)

        let second = try StackServer(loop: loop, port: port)
        log.client.token = "t1"
        log.hurry()
        try turn("connected again") { log.client.state == .connected }
        #expect(log.client.failedAttempts == 0)
        #expect(second.authenticated.map(\.lastSequence) == [9])
        #expect(second.authenticated.map(\.token) == ["t1"])
        second.publish(events: 8...11)
        try turn("the events missed") { log.client.lastSequence == 11 }
        #expect(log.sequences == [8, 9, 10, 11])
        #expect(log.story == ["connect", "disconnect 1006, again", "disconnect 1006, again", "connect"])
        log.client.close()
        second.stop()
    }

    @Test("comes back by itself once the time has come")
    func reconnectsByItself() throws {
        let server = try StackServer(loop: loop)
        let log = ClientLog(loop, try server.url())
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.dropAll()
        try turn("connected again") { log.welcomes.count == 2 }
        #expect(log.client.state == .connected)
        #expect(server.accepted == 2)
        log.client.close()
        server.stop()
    }

    @Test(
        "stops where another try cannot help, and tries again where it can",
        arguments: [
            (.invalidToken, "disconnect 4003"), (.accessDenied, "disconnect 4003"),
            (.connectionLimit, "disconnect 4003, again"), (.unavailable, "disconnect 4000, again"),
        ] as [(AuthenticationFailure, String)])
    func refusedAuthentication(failure: AuthenticationFailure, story: String) throws {
        let server = try StackServer(loop: loop)
        let accept = server.authentication
        server.authentication = { _ in .failed(failure, retryAfter: nil) }
        let log = ClientLog(loop, try server.url())
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.story == [story])
        #expect(log.ends.first?.closure.refusal?.sentence == failure.sentence)
        #expect(log.client.state == (failure.isRetryable ? .reconnecting : .disconnected))
        server.authentication = accept
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        log.client.close()
        server.stop()
    }

    @Test(
        "close codes: replaced and revoked stay away, a drain does not",
        arguments: [
            (.replaced, false), (.accessRevoked, false), (.tokenExpired, false), (.goingAway, true),
            (.slowConsumer, true),
        ] as [(CloseReason, Bool)])
    func closeCodes(reason: CloseReason, isReconnecting: Bool) throws {
        let server = try StackServer(loop: loop)
        let log = ClientLog(loop, try server.url())
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.closeAll(reason)
        try turn("told") { !log.ends.isEmpty }
        #expect(log.ends.first?.closure.code == reason.code)
        #expect(log.ends.first?.closure.reason == reason.sentence.description)
        #expect(log.client.state == (isReconnecting ? .reconnecting : .disconnected))
        log.client.close()
        server.stop()
    }

    @Test("gives up at the first loss when it shall not reconnect")
    func single() throws {
        let log = ClientLog(loop, try ServerURL("http://127.0.0.1:1")) { $0.isReconnecting = false }
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.story == ["disconnect 1006"])
        #expect(log.ends.first?.closure.reason.contains("127.0.0.1:1") == true)
        #expect(log.client.state == .disconnected)
    }

    @Test("gives up a server that says nothing, at each stage")
    func silence() throws {
        let server = try ScriptedServer(loop: loop) { _ in "" }
        server.holds = true
        let log = ClientLog(loop, try server.url) {
            $0.isReconnecting = false
            $0.limits.connectTimeout = .milliseconds(20)
        }
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.ends.first?.closure.code == 1006)
        server.stop()

        let stacks = try StackServer(loop: loop)
        var limits = Limits()
        limits.heartbeatInterval = .milliseconds(50)
        let quick = try StackServer(loop: loop, limits: limits)
        let healthy = ClientLog(loop, try quick.url())
        healthy.client.connect()
        try turn("pings are answered") { healthy.messages.filter { $0.type == "pong" }.count == 3 }
        #expect(healthy.client.state == .connected)
        healthy.client.close()
        quick.stop()
        stacks.stop()
    }

    @Test(
        "refuses what is not our server, and does not come back",
        arguments: [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-OpenSSH\r\n",
        ])
    func wrongServer(answer: String) throws {
        let server = try ScriptedServer(loop: loop) { _ in answer }
        let log = ClientLog(loop, try server.url)
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.client.state == .disconnected)
        #expect(server.accepted == 1)
        #expect(server.heard(from: 0).hasPrefix("GET /api/v1/websocket/ws/pos/"))
        server.stop()
    }

    @Test("a name that nobody knows is worth another try")
    func unknownName() throws {
        let log = ClientLog(loop, try ServerURL("http://no-such-host.invalid:8000"))
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.client.state == .reconnecting)
        log.client.close()
    }

    // MARK: Release

    @Test(
        "lets go of everything on close, in whatever state",
        arguments: ["resolving", "connecting", "connected", "waiting"])
    func released(state: String) throws {
        let server = try StackServer(loop: loop)
        weak var reference: Client?
        var answer: Result<CommandOutcome, ClientError>?
        do {
            let host = state == "resolving" ? "localhost" : "127.0.0.1"
            let log = ClientLog(loop, try server.url(host: host))
            reference = log.client
            log.client.connect()
            if state == "connected" || state == "waiting" {
                try turn("connected") { log.client.state == .connected }
            }
            if state == "connected" {
                server.storage = { _ in nil }
                log.client.send(
                    "order.status_update",
                    data: #"{"order_id":"00000000-0000-4000-8000-000000000001","status":"ready"}"#
                ) { answer = $0 }
            }
            if state == "waiting" {
                server.dropAll()
                try turn("waiting") { log.client.state == .reconnecting }
            }
            log.client.close()
            #expect(log.client.state == .disconnected)
            #expect(log.ends.count == (state == "waiting" ? 1 : 0), "nobody is told of his own wish")
            log.client.close()
        }
        // What is removed between two turns goes with the end of the next one.
        try loop.turn(timeout: .zero)
        try turn("released") { reference == nil }
        if state == "connected" {
            guard case .failure(.closed) = answer else {
                Issue.record("the command that waited is told")
                return
            }
            try turn("the server has read 1000 and the end") { server.connections.isEmpty }
        }
        server.stop()
    }

    @Test("a listener may close the client, or send, in the middle of a batch")
    func reentrancy() throws {
        let server = try StackServer(loop: loop)
        let log = ClientLog(loop, try server.url())
        var heard: [EventSequence] = []
        log.client.onConnect = { [unowned log] _ in
            log.client.send("table.cleaned", data: "{}") { _ in server.publish(events: 8...20) }
        }
        log.client.onMessage = { [unowned log] message in
            guard let sequence = message.sequence else { return }
            heard.append(sequence)
            if sequence == 10 { log.client.close() }
        }
        log.client.connect()
        try turn("closed") { heard.last == 10 && log.client.state == .disconnected }
        try turn("gone") { server.connections.isEmpty }
        #expect(heard == [8, 9, 10])
        server.stop()
    }
}
