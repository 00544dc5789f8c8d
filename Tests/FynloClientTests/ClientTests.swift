import FynloClient
import FynloCore
import FynloIO
import TestSupport
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
        let log = try ClientLog(loop, try server.url(host: host), change: { $0.deviceID = "till-1" })
        #expect(log.client.state == .disconnected)
        log.client.connect()
        #expect(log.client.state == .connecting)
        try turn("connected") { log.client.state == .connected }
        #expect(log.story == ["connect"])
        #expect(log.welcomes.first?.sequence == 7)
        #expect(server.authenticated.map(\.token) == [log.tokens.token?.compact])
        #expect(server.authenticated.map(\.deviceID) == ["till-1"])
        #expect(!log.client.connect(), "there is never a second connection")
        #expect(log.states == [.connecting, .authenticating, .connected])
        #expect(server.accepted == 1)
        log.close()
        server.stop()
    }

    @Test("delivers every event to many clients in order")
    func events() throws {
        let server = try StackServer(loop: loop)
        let logs = try (0..<20).map { _ in try ClientLog(loop, try server.url()) }
        for log in logs { log.client.connect() }
        try turn("all connected") { logs.allSatisfy { $0.client.state == .connected } }
        server.publish(events: 8...300)
        try turn("all events") { logs.allSatisfy { $0.client.lastSequence == 300 } }
        for log in logs { #expect(log.sequences == Array(8...300)) }
        for log in logs { log.close() }
        try turn("the server has seen them go") { server.connections.isEmpty }
        server.stop()
    }

    @Test("pairs commands with their answers, and everybody hears a transient event")
    func commands() throws {
        let server = try StackServer(loop: loop)
        server.storage = {
            $0 == 2 ? .refused(APIError(.orderNotFound, "No.")) : .done(sequence: EventSequence($0 + 7))
        }
        let waiter = try ClientLog(loop, try server.url())
        let kitchen = try ClientLog(loop, try server.url(), change: { $0.clientType = .kitchen })
        waiter.client.connect()
        kitchen.client.connect()
        try turn("both connected") { server.active.count == 2 && kitchen.client.state == .connected }
        let update = #"{"order_id":"00000000-0000-4000-8000-000000000001","status":"ready"}"#
        var finals: [CommandState] = []
        for name in ["first", "second", "third"] {
            try kitchen.client.send("order.status_update", data: update, id: name) { finals.append($0) }
        }
        try kitchen.client.send("kitchen.item_ready", data: #"{"item":"soup"}"#, id: "soup")
        #expect(throws: CommandRefusal.dataNotAnObject) {
            try kitchen.client.send("kitchen.item_ready", data: "nonsense")
        }
        #expect(throws: CommandRefusal.idInUse) { try kitchen.client.send("table.cleaned", data: "{}", id: "third") }
        #expect(kitchen.commands.isEmpty, "they are kept first")
        try turn("all answered") { kitchen.client.outbox.waiting.isEmpty }
        #expect(
            kitchen.commands == [
                "first queued", "first sent", "second queued", "third queued", "soup queued", "first acknowledged 8",
                "second sent", "second refused order_not_found", "third sent", "third acknowledged 10", "soup sent",
                "soup acknowledged 0",
            ])
        #expect(finals.count == 3)
        #expect(kitchen.client.outbox.state(of: "third") == .acknowledged(sequence: 10))
        try turn("heard") { waiter.messages.contains { $0.type == "kitchen.item_ready" } }
        waiter.close()
        kitchen.close()
        server.stop()
    }

    @Test("reconnects after the server was gone, and resumes where it was")
    func reconnects() throws {
        let server = try StackServer(loop: loop)
        let port = server.port
        let log = try ClientLog(loop, try server.url())
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.publish(events: 8...9)
        try turn("events") { log.client.lastSequence == 9 }
        server.storage = { _ in nil }
        let update = #"{"order_id":"00000000-0000-4000-8000-000000000001","status":"ready"}"#
        try log.client.send("order.status_update", data: update, id: "c1")
        try log.client.send("order.status_update", data: update, id: "c2")
        try turn("sent") { server.commands == 1 }

        server.stop()
        try turn("lost") { log.client.state == .reconnecting }
        #expect(log.client.outbox.state(of: "c1") == .queued, "its outcome is unknown")
        let retryIn = try #require(log.ends.first?.retryIn)
        #expect(retryIn >= .milliseconds(500) && retryIn <= .seconds(1))
        log.hurry()
        try turn("refused") { log.ends.count == 2 }
        #expect(log.client.reconnectAttempts == 1)

        let second = try StackServer(loop: loop, port: port)
        try log.tokens.set(ClientLog.token("t1"))
        log.hurry()
        try turn("connected again") { log.client.state == .connected }
        #expect(log.client.reconnectAttempts == 0)
        #expect(second.authenticated.map(\.lastSequence) == [9])
        #expect(second.authenticated.map(\.token) == [log.tokens.token?.compact])
        second.publish(events: 8...11)
        try turn("the events missed") { log.client.lastSequence == 11 }
        #expect(log.sequences == [8, 9, 10, 11])
        try turn("the same commands again") { log.client.outbox.waiting.isEmpty }
        #expect(
            log.commands == [
                "c1 queued", "c1 sent", "c2 queued", "c1 queued", "c1 sent", "c1 acknowledged 1", "c2 sent",
                "c2 acknowledged 2",
            ])
        #expect(log.story == ["connect", "disconnect 1006, again", "disconnect 1006, again", "connect"])
        log.close()
        second.stop()
    }

    @Test("reconnects automatically after the delay")
    func reconnectsByItself() throws {
        let server = try StackServer(loop: loop)
        let log = try ClientLog(loop, try server.url())
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.dropAll()
        try turn("connected again") { log.welcomes.count == 2 }
        #expect(log.client.state == .connected)
        #expect(server.accepted == 2)
        log.close()
        server.stop()
    }

    @Test(
        "stops where another try cannot help, and tries again where it can",
        arguments: [
            (.invalidToken, ["disconnect 4003, again", "auth_error invalid_token"]),
            (.accessDenied, ["disconnect 4003, again", "auth_error access_denied"]),
            (.connectionLimit, ["disconnect 4003, again"]), (.unavailable, ["disconnect 4000, again"]),
        ] as [(AuthenticationFailure, [String])])
    func refusedAuthentication(failure: AuthenticationFailure, story: [String]) throws {
        let server = try StackServer(loop: loop)
        let accept = server.authentication
        server.authentication = { _ in .failed(failure, retryAfter: nil) }
        let log = try ClientLog(loop, try server.url())
        log.client.connect()
        try turn("told") { log.story.count == story.count }
        #expect(log.story == story)
        #expect(log.ends.first?.closure.refusal?.sentence == failure.sentence)
        #expect(log.client.state == (failure.isRetryable ? .reconnecting : .disconnected))
        server.authentication = accept
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        log.close()
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
        let log = try ClientLog(loop, try server.url())
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.closeAll(reason)
        try turn("told") { !log.ends.isEmpty && log.client.state == (isReconnecting ? .reconnecting : .disconnected) }
        #expect(log.ends.first?.closure.code == reason.code)
        #expect(log.ends.first?.closure.reason == reason.sentence.description)
        #expect(log.ends.count == 1)
        log.close()
        server.stop()
    }

    @Test("gives up at the first loss if it must not reconnect")
    func single() throws {
        let log = try ClientLog(
            loop, try ServerURL("http://127.0.0.1:1"),
            change: {
                $0.session.isReconnecting = false
            })
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
        let log = try ClientLog(
            loop, try server.url,
            change: {
                $0.session.isReconnecting = false
                $0.session.limits.connectTimeout = .milliseconds(20)
            })
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.ends.first?.closure.code == 1006)
        server.stop()

        let stacks = try StackServer(loop: loop)
        var limits = Limits()
        limits.heartbeatInterval = .milliseconds(50)
        let quick = try StackServer(loop: loop, limits: limits)
        let healthy = try ClientLog(loop, try quick.url())
        healthy.client.connect()
        try turn("pings are answered") { healthy.messages.filter { $0.type == "pong" }.count == 3 }
        #expect(healthy.client.state == .connected)
        healthy.close()
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
        let log = try ClientLog(loop, try server.url)
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.client.state == .disconnected)
        #expect(server.accepted == 1)
        #expect(server.heard(from: 0).hasPrefix("GET /api/v1/websocket/ws/pos/"))
        server.stop()
    }

    @Test("tries an unknown name again")
    func unknownName() throws {
        let log = try ClientLog(loop, try ServerURL("http://no-such-host.invalid:8000"))
        log.client.connect()
        try turn("told") { !log.ends.isEmpty }
        #expect(log.client.state == .reconnecting)
        log.close()
    }

    // MARK: Release

    @Test(
        "lets go of everything on close, in whatever state",
        arguments: ["resolving", "connecting", "connected", "waiting"])
    func released(state: String) throws {
        let server = try StackServer(loop: loop)
        weak var reference: Client?
        var isTold = false
        do {
            let host = state == "resolving" ? "localhost" : "127.0.0.1"
            let log = try ClientLog(loop, try server.url(host: host))
            reference = log.client
            log.client.connect()
            if state == "connected" || state == "waiting" {
                try turn("connected") { log.client.state == .connected }
            }
            if state == "connected" {
                server.storage = { _ in nil }
                try log.client.send(
                    "order.status_update",
                    data: #"{"order_id":"00000000-0000-4000-8000-000000000001","status":"ready"}"#
                ) { _ in isTold = true }
                try turn("sent") { server.commands == 1 }
            }
            if state == "waiting" {
                server.dropAll()
                try turn("waiting") { log.client.state == .reconnecting }
            }
            log.client.disconnect()
            #expect(log.client.state == .disconnected)
            #expect(log.ends.map(\.closure.code) == (state == "waiting" ? [1006, 1000] : [1000]))
            #expect(log.ends.last?.retryIn == nil)
            log.client.disconnect()
            #expect(log.states.last == .disconnected)
            #expect(log.ends.count == (state == "waiting" ? 2 : 1), "told once")
            log.close()
        }
        // What is removed between two turns goes with the end of the next one.
        try loop.turn(timeout: .zero)
        try turn("released") { reference == nil }
        #expect(!isTold, "the command's outcome is unknown")
        try turn("the server has seen it go") { server.connections.isEmpty }
        server.stop()
    }

    @Test("a listener may close the client, or send, in the middle of a batch")
    func reentrancy() throws {
        let server = try StackServer(loop: loop)
        let log = try ClientLog(loop, try server.url())
        var heard: [EventSequence] = []
        log.client.once(.connect) { [unowned log] _ in
            _ = try? log.client.send("table.cleaned", data: "{}") { _ in server.publish(events: 8...20) }
        }
        log.client.on("order.updated") { [unowned log] event in
            guard case .message(let message) = event, let sequence = message.sequence else { return }
            heard.append(sequence)
            if sequence == 10 { log.client.disconnect() }
        }
        log.client.connect()
        try turn("closed") { heard.last == 10 && log.client.state == .disconnected }
        try turn("gone") { server.connections.isEmpty }
        #expect(heard == [8, 9, 10])
        #expect(log.client.lastSequence == 10, "what nobody was told of comes again")
        log.client.connect()
        try turn("connected again") { log.client.state == .connected }
        #expect(server.authenticated.last?.lastSequence == 10)
        log.close()
        server.stop()
    }

    @Test("if it is closed as soon as a command is done, the outbox has recorded that")
    func closesOutbox() throws {
        let folder = try TestFolder()
        let server = try StackServer(loop: loop)
        let log = try ClientLog(
            loop, try server.url(), outbox: try FileOutbox(loop: loop, path: folder.path + "/outbox"))
        var isClosed = false
        try log.client.send("table.cleaned", data: "{}", id: "done") { [unowned log] _ in
            log.client.close { isClosed = true }
        }
        try log.client.send("table.cleaned", data: "{}", id: "waiting")
        log.client.connect()
        try turn("closed") { isClosed }
        let outbox = try FileOutbox(loop: loop, path: folder.path + "/outbox")
        #expect(outbox.load().map(\.id) == ["waiting"])
        outbox.close()
        log.close()
        server.stop()
    }

    @Test("listeners come and go by name, also in the middle of an event")
    func listeners() throws {
        let server = try StackServer(loop: loop)
        let log = try ClientLog(loop, try server.url())
        var heard: [String] = []
        var second: Subscription?
        log.client.on("order.updated") { [unowned log] _ in
            heard.append("first")
            if let second { log.client.off(second) }
            log.client.once("order.updated") { _ in heard.append("once") }
        }
        second = log.client.on("order.updated") { _ in heard.append("second") }
        log.client.on("order.created") { _ in heard.append("created") }
        log.client.connect()
        try turn("connected") { log.client.state == .connected }
        server.publish(events: 8...10)
        try turn("events") { log.client.lastSequence == 10 }
        #expect(heard == ["first", "first", "once", "first", "once"])
        log.close()
        server.stop()
    }
}
