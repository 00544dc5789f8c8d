import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Redis connection to a real server")
struct RedisServerTests {
    @Test("values of any size and any bytes come back as they were")
    func roundTrips() throws {
        let redis = try SharedRedis()
        let user = try RedisUser(EventLoop(), redis.url)
        defer { user.loop.close() }
        try user.open()
        let values: [[UInt8]] = [
            [], [0], [13, 10], Array("Crème brûlée".utf8), Array(0...255),
            (0..<1_500_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 2) },
        ]
        for (number, value) in values.enumerated() {
            let key = RedisArgument.text("\(redis.prefix)\(number)")
            #expect(try user.ask("SET", key, .bytes(value), "PX", 60_000) == .success(.status("OK")))
            #expect(try user.ask("GET", key) == .success(.string(value)))
            #expect(try user.ask("STRLEN", key) == .success(.integer(Int64(value.count))))
            #expect(try user.ask("DEL", key) == .success(.integer(1)))
            #expect(try user.ask("GET", key) == .success(.null), "\(user.log)")
        }
    }

    @Test("every kind of answer arrives as what it is")
    func kinds() throws {
        let redis = try SharedRedis()
        let user = try RedisUser(EventLoop(), redis.url)
        defer { user.loop.close() }
        try user.open()
        #expect(try user.ask("ECHO", "hello") == .success(.text("hello")))
        #expect(try user.ask("EVAL", "return -7", 0) == .success(.integer(-7)))
        #expect(
            try user.ask("EVAL", "return {1, {'a', false}, {ok = 'fine'}, {err = 'BAD thing'}}", 0)
                == .success(
                    .array([.integer(1), .array([.text("a"), .null]), .status("fine"), .error("BAD thing")])))
        let refusal = try user.ask("NOSUCHCOMMAND")
        guard case .success(.error(let text)) = refusal else {
            Issue.record("\(refusal)")
            return
        }
        #expect(text.hasPrefix("ERR unknown command"))
        #expect(try user.ask("ECHO", "still in step") == .success(.text("still in step")))
    }

    @Test("many commands of one turn are answered in their order")
    func pipelining() throws {
        let redis = try SharedRedis()
        let user = try RedisUser(EventLoop(), redis.url)
        defer { user.loop.close() }
        try user.open()
        let answers = Answers()
        let filler = String(repeating: "x", count: 500)
        for number in 0..<5000 {
            user.connection.send(["ECHO", .text("\(number)\(filler)")], budget: .seconds(20), reply: answers.take)
        }
        #expect(user.connection.outstandingRequests == 5000)
        try user.until { answers.all.count == 5000 }
        #expect(answers.all == (0..<5000).map { .success(.text("\($0)\(filler)")) })
        #expect(user.connection.outstandingRequests == 0)
    }

    @Test("messages of a channel go to their handler, answers to their commands")
    func subscriptions() throws {
        let redis = try SharedRedis()
        let loop = try EventLoop()
        defer { loop.close() }
        let publisher = try RedisUser(loop, redis.url)
        let subscriber = try RedisUser(loop, redis.url)
        let channel = "\(redis.prefix)events"
        var messages: [RedisReply] = []
        let answers = Answers()
        subscriber.connection.pushHandler = { messages.append($0) }
        subscriber.connection.whenReady = { [unowned connection = subscriber.connection] in
            connection.send(["SUBSCRIBE", .text(channel)], budget: .seconds(10), reply: answers.take)
        }
        try publisher.open()
        try subscriber.open()
        try subscriber.until { answers.all.count == 1 }
        #expect(answers.all == [.success(.array([.text("subscribe"), .text(channel), .integer(1)]))])

        for number in 0..<3 {
            #expect(try publisher.ask("PUBLISH", .text(channel), .integer(Int64(number))) == .success(.integer(1)))
            subscriber.connection.send(["PING"], budget: .seconds(10), reply: answers.take)
        }
        try subscriber.until { messages.count == 3 && answers.all.count == 4 }
        #expect(messages == (0..<3).map { .array([.text("message"), .text(channel), .text("\($0)")]) })
        #expect(answers.all.dropFirst().allSatisfy { $0 == .success(.array([.text("pong"), .text("")])) })
    }

    @Test("a frozen server costs a caller his budget once, then nothing; when it thaws everything is in step")
    func frozen() throws {
        let redis = try RealRedis()
        var limits = RedisUser.patient
        limits.silence = .seconds(1)
        let user = try RedisUser(EventLoop(), redis.url, limits: limits)
        defer { user.loop.close() }
        try user.open()
        #expect(try user.ask("SET", "key", "value") == .success(.status("OK")))

        redis.freeze()
        defer { redis.proceed() }
        for _ in 0..<2 {
            let start = SystemClock.instant
            #expect(try user.ask("GET", "key", budget: .milliseconds(50)) == .failure(.timeout))
            let taken = SystemClock.instant - start
            #expect(taken >= .milliseconds(50) && taken < .milliseconds(500), "\(taken)")
        }
        try user.until { !user.connection.isReady }
        #expect(user.log.last?.hasSuffix("It has been silent for 1000 ms with answers due.") == true)
        // It takes connections while frozen, but does not answer the greeting: nobody waits for it any more.
        for _ in 0..<3 { #expect(try user.askWithinOneTurn("GET", "key") == .failure(.notConnected)) }

        redis.proceed()
        try user.untilReady()
        for number in 0..<10 {
            #expect(try user.ask("ECHO", .integer(Int64(number))) == .success(.text("\(number)")))
        }
        #expect(try user.ask("GET", "key") == .success(.text("value")))
    }

    @Test("a server that thaws before the connection is given up goes on in step")
    func thawed() throws {
        let redis = try RealRedis()
        let user = try RedisUser(EventLoop(), redis.url)
        defer { user.loop.close() }
        try user.open()
        let lines = user.log.count
        redis.freeze()
        defer { redis.proceed() }
        #expect(try user.ask("ECHO", "late", budget: .milliseconds(20)) == .failure(.timeout))
        #expect(user.connection.outstandingRequests == 1)
        redis.proceed()
        #expect(try user.ask("ECHO", "next") == .success(.text("next")))
        #expect(user.connection.outstandingRequests == 0)
        #expect(user.log.count == lines)
    }

    @Test("a server that is killed and started again is found by itself")
    func restart() throws {
        let redis = try RealRedis()
        let user = try RedisUser(EventLoop(), redis.url)
        defer { user.loop.close() }
        try user.open()
        for _ in 0..<2 {
            redis.freeze()
            let answers = Answers()
            for number in 0..<10 {
                user.connection.send(["ECHO", .integer(Int64(number))], budget: .seconds(10), reply: answers.take)
            }
            _ = try user.loop.run(until: { false }, for: .milliseconds(20))
            #expect(answers.all.isEmpty)
            redis.kill()
            try user.until { answers.all.count == 10 }
            #expect(answers.all.allSatisfy { $0 == .failure(.connectionLost) })
            #expect(try user.ask("ECHO", "x") == .failure(.notConnected))
            // Several attempts fail in the meantime, and are logged as one.
            _ = try user.loop.run(until: { false }, for: .milliseconds(200))
            try redis.start()
            try user.untilReady()
            #expect(try user.ask("ECHO", "again") == .success(.text("again")))
        }
        #expect(user.log.filter { $0.hasPrefix("info: ") }.count == 3)
        #expect((2...10).contains(user.log.filter { $0.hasPrefix("warning: ") }.count), "\(user.log)")
    }

    @Test(
        "a password or user that Redis refuses is one line in the log, without them",
        arguments: [
            (":wrongsecret", "It refuses the user or password of REDIS_URL."),
            ("nobody:rightsecret", "It refuses the user or password of REDIS_URL."),
            ("", "It wants a password, and REDIS_URL has none."),
        ])
    func refusedPassword(credentials: String, reason: String) throws {
        let redis = try RealRedis("--requirepass", "rightsecret")
        let loop = try EventLoop()
        defer { loop.close() }
        let good = try RedisUser(loop, redis.url(":rightsecret"))
        try good.open()
        let user = try RedisUser(loop, credentials.isEmpty ? redis.url : redis.url(credentials))
        user.connection.open()
        try user.until { !user.log.isEmpty }
        _ = try loop.run(until: { false }, for: .milliseconds(200))
        #expect(!user.connection.isReady)
        #expect(user.log.count == 1 && user.log[0].hasSuffix(reason), "\(user.log)")
        #expect(!user.log.joined().contains("secret") && !user.log.joined().contains("nobody"))
        #expect(try user.ask("ECHO", "x") == .failure(.notConnected))

        // Once the password is right for Redis, it is used without anybody's help.
        if credentials == ":wrongsecret" {
            #expect(try good.ask("CONFIG", "SET", "requirepass", "wrongsecret") == .success(.status("OK")))
            try user.untilReady()
            #expect(try user.ask("ECHO", "in") == .success(.text("in")))
        }
    }

    @Test("users of the access list get in, also those who may not PING")
    func accessList() throws {
        let redis = try RealRedis("--user", "fynlo", "on", ">p@ss", "~*", "+@all", "-ping")
        let user = try RedisUser(EventLoop(), redis.url("fynlo:p%40ss"))
        defer { user.loop.close() }
        try user.open()
        #expect(try user.ask("ACL", "WHOAMI") == .success(.text("fynlo")))
        guard case .success(.error) = try user.ask("PING") else {
            Issue.record("this user may PING")
            return
        }
    }

    @Test("works in the database asked for, and says when there is none of that number")
    func database() throws {
        let redis = try RealRedis()
        let loop = try EventLoop()
        defer { loop.close() }
        let user = try RedisUser(loop, redis.url + "?db=5")
        try user.open()
        #expect(try user.ask("SET", "key", "value") == .success(.status("OK")))
        #expect(
            try user.ask("INFO", "keyspace")
                == .success(.text("# Keyspace\r\ndb5:keys=1,expires=0,avg_ttl=0\r\n")))
        let other = try RedisUser(loop, redis.url + "?db=16")
        other.connection.open()
        try other.until { !other.log.isEmpty }
        #expect(other.log[0].hasSuffix("It refuses the database: ERR DB index is out of range."))
    }

    @Test("a server with too many clients says why, and is used when there is room")
    func tooManyClients() throws {
        let redis = try RealRedis("--maxclients", "1")
        let loop = try EventLoop()
        defer { loop.close() }
        let first = try RedisUser(loop, redis.url)
        try first.open()
        let second = try RedisUser(loop, redis.url)
        second.connection.open()
        try second.until { !second.log.isEmpty }
        #expect(second.log[0].hasSuffix("It refuses us: ERR max number of clients reached."))
        first.connection.close()
        try second.untilReady()
    }
}
