import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

@Suite("Redis connection to a server that behaves badly")
struct RedisConnectionTests {
    /// A fake server that echoes `ECHO`, and a connection that is ready.
    private func makePair(
        limits: RedisConnection.Limits = RedisUser.patient
    ) throws -> (server: FakeRedis, user: RedisUser) {
        let loop = try EventLoop()
        let server = try FakeRedis(loop)
        server.onCommand = { client, words in client.send("$\(words[1].utf8.count)\r\n\(words[1])\r\n") }
        let user = try RedisUser(loop, server.url, limits: limits)
        try user.open()
        return (server, user)
    }

    // MARK: Coming and going

    @Test("greets first, and sends nothing else before it has been let in")
    func greeting() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let server = try FakeRedis(loop)
        defer { server.close() }
        server.greets = false
        let user = try RedisUser(loop, "redis://fynlo:s%65cret@\(server.address)/7")
        #expect(try user.ask("ECHO", "closed") == .failure(.notConnected))
        user.connection.open()
        user.connection.open()
        #expect(try user.ask("ECHO", "connecting") == .failure(.notConnected))
        let greeting = [["AUTH", "fynlo", "secret"], ["SELECT", "7"], ["PING"]]
        try user.until { server.commands == greeting }
        #expect(try user.ask("ECHO", "greeting") == .failure(.notConnected))
        server.clients[0].send("+OK\r\n+OK\r\n")
        #expect(try user.ask("ECHO", "greeting") == .failure(.notConnected))
        server.clients[0].send("+PONG\r\n")
        try user.untilReady()
        #expect(server.clients.count == 1 && server.commands == greeting)
        #expect(user.log == ["info: Redis is connected (redis://\(server.address)/7)."])
    }

    @Test(
        "a server that refuses the greeting is tried again, logged once, and never with what it was sent",
        arguments: [
            ("-WRONGPASS no user fynlo with secret\r\n", "It refuses the user or password of REDIS_URL."),
            (
                "-ERR unknown command 'AUTH', with args beginning with: 'fynlo' 'secret'\r\n",
                "It refuses the user or password of REDIS_URL."
            ),
            ("-DENIED Redis is protected.\r\n", "It refuses us: DENIED Redis is protected."),
            ("+OK\r\n-ERR DB index\nis out of range\r\n", "It refuses the database: ERR DB index is out of range."),
            (
                "+OK\r\n+OK\r\n-LOADING Redis is loading the dataset in memory\r\n",
                "It refuses us: LOADING Redis is loading the dataset in memory."
            ),
            ("", "It closed the connection."),
        ])
    func refusedGreeting(answer: String, reason: String) throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let server = try FakeRedis(loop)
        defer { server.close() }
        server.greets = false
        server.onCommand = { client, words in
            guard words == ["PING"] else { return }
            client.send(answer)
            client.close()
        }
        let user = try RedisUser(loop, "redis://fynlo:secret@\(server.address)/7")
        user.connection.open()
        try user.until { server.clients.count >= 4 }
        #expect(
            user.log == [
                "warning: Redis (redis://\(server.address)/7) is not available and is tried again until it is: \(reason)"
            ])
        server.greets = true
        try user.untilReady()
        #expect(user.log.count == 2)
    }

    @Test("a refused connection fails at once, is logged once, and is found when somebody listens")
    func refusedConnection() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let closed = try FakeRedis(loop)
        closed.close()
        let user = try RedisUser(loop, closed.url)
        user.connection.open()
        try user.until { !user.log.isEmpty }
        #expect(try user.askWithinOneTurn("ECHO", "x") == .failure(.notConnected))
        _ = try loop.run(until: { false }, for: .milliseconds(150))
        #expect(user.log.count == 1 && user.log[0].contains("Connection refused"), "\(user.log)")
        let server = try FakeRedis(loop, at: closed.address)
        defer { server.close() }
        try user.untilReady()
    }

    @Test("an address that accepts nothing is given up in time")
    func unansweredConnection() throws {
        // With a full queue of waiting clients, Linux drops further ones silently.
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let full = FileDescriptor(owning: number)
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(full.rawValue, $0, size) }
        }
        try #require(status == 0 && listen(full.rawValue, 0) == 0)
        let address = try #require(Socket.localAddress(of: full.rawValue))
        let first = try Socket.nonBlockingConnect(to: address)
        let second = try Socket.nonBlockingConnect(to: address)

        var limits = RedisUser.patient
        limits.connect = .milliseconds(50)
        let user = try RedisUser(EventLoop(), "redis://\(address)", limits: limits)
        defer { user.loop.close() }
        user.connection.open()
        try user.until { !user.log.isEmpty }
        #expect(user.log[0].hasSuffix("It did not accept the connection in time."))
        first.close()
        second.close()
    }

    @Test("names are looked up, and all their addresses tried")
    func names() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let server = try FakeRedis(loop)
        defer { server.close() }
        let user = try RedisUser(loop, "redis://localhost:\(server.address.port)")
        try user.open()
        #expect(server.clients.count == 1)
    }

    @Test("a name that does not exist is logged once; closing does not wait for the name service")
    func unknownName() throws {
        // Too long a label: the name service knows without asking anybody.
        let name = String(repeating: "nobody", count: 11) + ".invalid"
        let user = try RedisUser(EventLoop(), "redis://:secret@\(name)")
        defer { user.loop.close() }
        user.connection.open()
        user.connection.close()
        user.connection.open()
        #expect(try user.ask("ECHO", "x") == .failure(.notConnected))
        try user.until { !user.log.isEmpty }
        #expect(user.log[0].contains("The host name \"\(name)\" could not be resolved"))
        #expect(!user.log[0].contains("secret"))
    }

    @Test("waits longer and longer between attempts, never shorter than the least")
    func backoff() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let server = try FakeRedis(loop)
        defer { server.close() }
        var arrivals: [Instant] = []
        server.onClient = { client in
            arrivals.append(SystemClock.instant)
            client.close()
        }
        var limits = RedisUser.patient
        limits.backoff = .milliseconds(20)...(.milliseconds(160))
        let user = try RedisUser(loop, server.url, limits: limits)
        user.connection.open()
        try user.until { arrivals.count == 7 }
        let gaps = zip(arrivals.dropFirst(), arrivals).map { $0 - $1 }
        for (gap, least) in zip(gaps, [20, 40, 80, 80, 80, 80]) {
            #expect(gap >= .milliseconds(least), "\(gaps)")
        }
    }

    @Test("closing tells every command under way, once and later; a closed connection can be opened again")
    func closing() throws {
        let (server, user) = try makePair()
        defer { user.loop.close() }
        defer { server.close() }
        server.onCommand = { _, _ in }
        let answers = Answers()
        for number in 0..<3 {
            user.connection.send(["ECHO", .integer(Int64(number))], budget: .milliseconds(50), reply: answers.take)
        }
        user.connection.close()
        user.connection.close()
        #expect(answers.all.isEmpty)
        user.connection.send(["ECHO", "x"], reply: answers.take)
        try user.until { server.clients[0].isAtEnd }
        _ = try user.loop.run(until: { false }, for: .milliseconds(60))
        #expect(answers.all == Array(repeating: .failure(.closed), count: 3) + [.failure(.notConnected)])
        // What was sent before was not kept back.
        #expect(server.clients[0].commands.count == 4)
        #expect(server.clients.count == 1 && user.log.count == 1)

        try user.open()
        #expect(server.clients.count == 2)
    }

    @Test("a reply may send, close and open")
    func reentrance() throws {
        let (server, user) = try makePair()
        defer { user.loop.close() }
        defer { server.close() }
        let connection = user.connection
        let answers = Answers()
        connection.send(["ECHO", "1"], budget: .seconds(10)) { answer in
            answers.take(answer)
            connection.send(["ECHO", "2"], budget: .seconds(10)) { answer in
                answers.take(answer)
                connection.close()
                connection.open()
                connection.send(["ECHO", "3"], reply: answers.take)
            }
            connection.send(["ECHO", "4"], budget: .seconds(10), reply: answers.take)
        }
        try user.until { answers.all.count == 4 }
        #expect(
            answers.all == [
                .success(.text("1")), .success(.text("2")), .failure(.closed), .failure(.notConnected),
            ])
        try user.untilReady()

        // The same when a reply is told that the connection is lost, or that its time is over.
        server.onCommand = { client, _ in client.close() }
        connection.send(["ECHO", "5"], budget: .seconds(10)) { answer in
            answers.take(answer)
            connection.close()
        }
        connection.send(["ECHO", "6"], budget: .seconds(10), reply: answers.take)
        try user.until { answers.all.count == 6 }
        #expect(answers.all.suffix(2) == [.failure(.connectionLost), .failure(.connectionLost)])
        try user.open()
        server.onCommand = { _, _ in }
        connection.send(["ECHO", "7"], budget: .milliseconds(10)) { answer in
            answers.take(answer)
            connection.close()
        }
        connection.send(["ECHO", "8"], budget: .milliseconds(10), reply: answers.take)
        try user.until { answers.all.count == 8 }
        #expect(answers.all.suffix(2) == [.failure(.timeout), .failure(.timeout)])
    }

    // MARK: Commands and answers

    @Test("the commands of a turn leave in one write")
    func coalescing() throws {
        let (server, user) = try makePair()
        defer { user.loop.close() }
        defer { server.close() }
        let answers = Answers()
        let before = server.clients[0].segments.count
        for number in 0..<100 {
            user.connection.send(["ECHO", .integer(Int64(number))], budget: .seconds(10), reply: answers.take)
        }
        try user.until { answers.all.count == 100 }
        #expect(answers.all == (0..<100).map { .success(.text("\($0)")) })
        #expect(server.clients[0].segments.count == before + 1)
    }

    @Test("answers may come in single bytes, and in halves")
    func segments() throws {
        let (server, user) = try makePair()
        defer { user.loop.close() }
        defer { server.close() }
        server.onCommand = { client, words in
            client.sendSlowly("*2\r\n$\(words[1].utf8.count)\r\n\(words[1])\r\n:12\r\n")
        }
        let answers = Answers()
        for text in ["first", ""] {
            user.connection.send(["ECHO", .text(text)], budget: .seconds(10), reply: answers.take)
        }
        try user.until { answers.all.count == 2 }
        #expect(
            answers.all == [
                .success(.array([.text("first"), .integer(12)])), .success(.array([.text(""), .integer(12)])),
            ])
    }

    @Test("a late answer is thrown away in its place, and the next one is the next one's")
    func lateAnswer() throws {
        let (server, user) = try makePair()
        defer { user.loop.close() }
        defer { server.close() }
        var held: [String] = []
        server.onCommand = { _, words in held.append(words[1]) }
        let start = SystemClock.instant
        #expect(try user.ask("ECHO", "slow", budget: .milliseconds(30)) == .failure(.timeout))
        #expect(SystemClock.instant - start >= .milliseconds(30))
        let answers = Answers()
        user.connection.send(["ECHO", "patient"], budget: .seconds(10), reply: answers.take)
        user.connection.send(["ECHO", "hasty"], budget: .zero, reply: answers.take)
        try user.until { answers.all.count == 1 && held.count == 3 }
        #expect(answers.all == [.failure(.timeout)])
        for text in held { server.clients[0].send("$\(text.utf8.count)\r\n\(text)\r\n") }
        try user.until { answers.all.count == 2 }
        #expect(answers.all[1] == .success(.text("patient")))
        server.onCommand = { client, _ in client.send("+now\r\n") }
        #expect(try user.ask("ECHO", "x") == .success(.status("now")))
        #expect(server.clients.count == 1 && user.connection.outstandingRequests == 0)
    }

    @Test("half an answer and the end are a lost connection, and then a new one")
    func halfAnswer() throws {
        let (server, user) = try makePair()
        defer { user.loop.close() }
        defer { server.close() }
        server.onCommand = { client, _ in
            client.send("*2\r\n$5\r\nabc")
            client.close()
        }
        #expect(try user.ask("ECHO", "x") == .failure(.connectionLost))
        #expect(user.log.last?.hasSuffix("It closed the connection.") == true)
        server.onCommand = { client, _ in client.send(":1\r\n") }
        try user.untilReady()
        #expect(try user.ask("ECHO", "x") == .success(.integer(1)))
    }

    @Test("a server that falls silent with answers due is left, as soon as it is sure")
    func silence() throws {
        var limits = RedisUser.patient
        limits.silence = .milliseconds(100)
        let (server, user) = try makePair(limits: limits)
        defer { user.loop.close() }
        defer { server.close() }
        server.onCommand = { _, _ in }
        let start = SystemClock.instant
        let answers = Answers()
        user.connection.send(["ECHO", "impatient"], budget: .milliseconds(20), reply: answers.take)
        user.connection.send(["ECHO", "patient"], budget: .seconds(100), reply: answers.take)
        try user.until { answers.all.count == 2 }
        #expect(answers.all == [.failure(.timeout), .failure(.connectionLost)])
        #expect(SystemClock.instant - start >= .milliseconds(100))
        #expect(user.log.last?.hasSuffix("It has been silent for 100 ms with answers due.") == true)
        try user.untilReady()
        #expect(server.clients.count == 2)

        // Without answers due, silence is no fault.
        _ = try user.loop.run(until: { false }, for: .milliseconds(250))
        #expect(user.connection.isReady && server.clients.count == 2)
    }

    @Test(
        "what is not Redis, or out of step, is left",
        arguments: [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "It does not speak the protocol"),
            ("*2147483647\r\n", "It does not speak the protocol"),
            ("+1\r\n+2\r\n", "It sent an answer to nothing."),
            ("$100000\r\n" + String(repeating: "a", count: 1100), "It sent an answer of more than 1000 bytes."),
            ("*1000\r\n" + String(repeating: ":1\r\n", count: 300), "It sent an answer of more than 1000 bytes."),
            ("+" + String(repeating: "a", count: 70_000), "It sent an"),
        ])
    func rubbish(answer: String, reason: String) throws {
        var limits = RedisUser.patient
        limits.replyBytes = 1000
        let (server, user) = try makePair(limits: limits)
        defer { user.loop.close() }
        defer { server.close() }
        server.onCommand = { client, _ in client.send(answer) }
        let first = try user.ask("ECHO", "x")
        #expect(first == .failure(.connectionLost) || first == .success(.status("1")))
        try user.until { user.log.count > 1 }
        #expect(user.log[1].contains(reason), "\(user.log)")
        server.onCommand = { client, _ in client.send(":1\r\n") }
        try user.until { server.clients.count == 2 && user.connection.isReady }
        #expect(try user.ask("ECHO", "x") == .success(.integer(1)))
        #expect(server.clients[0].isAtEnd)
    }

    // MARK: Limits

    @Test("no more commands wait for answers than may; those that have timed out count")
    func outstandingLimit() throws {
        var limits = RedisUser.patient
        limits.outstandingRequests = 3
        let (server, user) = try makePair(limits: limits)
        defer { user.loop.close() }
        defer { server.close() }
        server.onCommand = { _, _ in }
        let answers = Answers()
        for number in 0..<3 {
            user.connection.send(["ECHO", .integer(Int64(number))], budget: .milliseconds(10), reply: answers.take)
        }
        #expect(try user.ask("ECHO", "x") == .failure(.overloaded))
        try user.until { answers.all.count == 3 }
        #expect(try user.ask("ECHO", "x") == .failure(.overloaded))
        server.clients[0].send("+0\r\n")
        try user.until { user.connection.outstandingRequests == 2 }
        server.onCommand = { client, _ in client.send("+1\r\n+2\r\n+3\r\n") }
        #expect(try user.ask("ECHO", "x") == .success(.status("3")))
    }

    @Test("no more bytes wait for a server that does not read than may; all are sent in order when it does")
    func outputLimit() throws {
        var limits = RedisUser.patient
        limits.outputBytes = 1 << 20
        let (server, user) = try makePair(limits: limits)
        defer { user.loop.close() }
        defer { server.close() }
        #expect(
            try user.ask("ECHO", .bytes([UInt8](repeating: 0, count: 1 << 20))) == .failure(.overloaded))
        server.clients[0].reads = false
        server.onCommand = { client, words in client.send("$\(words[1].utf8.count)\r\n\(words[1])\r\n") }
        let filler = String(repeating: "x", count: 10_000)
        let answers = Answers()
        var refused = 0
        var sent = 0
        while refused == 0, sent < 8000 {
            user.connection.send(["SET", .integer(Int64(sent)), .text(filler)], budget: .seconds(20)) { answer in
                if answer == .failure(.overloaded) { refused += 1 } else { answers.take(answer) }
            }
            sent += 1
            try user.loop.turn(timeout: .zero)
        }
        #expect(refused == 1 && sent > 100)
        server.clients[0].reads = true
        try user.until { answers.all.count == sent - 1 }
        #expect(answers.all == (0..<(sent - 1)).map { .success(.text("\($0)")) })
        #expect(try user.ask("ECHO", "x") == .success(.text("x")))
    }

    @Test("answers that come at once, each with work to do, are told in several turns, in order, before the end")
    func manyAnswers() throws {
        let (server, user) = try makePair()
        defer { user.loop.close() }
        defer { server.close() }
        let count = 24
        server.onCommand = { client, words in
            guard words[1] == "\(count)" else { return }
            client.send((0..<count).map { "+\($0)\r\n" }.joined())
            client.close()
        }
        let answers = Answers()
        var turns: [Instant] = []
        for number in 0...count {
            user.connection.send(["ECHO", .integer(Int64(number))], budget: .seconds(10)) { answer in
                answers.take(answer)
                if turns.last != user.loop.now.instant { turns.append(user.loop.now.instant) }
                // Works, as far as the clock is concerned.
                let end = SystemClock.instant + .microseconds(700)
                while SystemClock.instant < end {}
            }
        }
        try user.until { answers.all.count == count + 1 }
        #expect(answers.all == (0..<count).map { .success(.status("\($0)")) } + [.failure(.connectionLost)])
        #expect(turns.count > 2)
    }
}
