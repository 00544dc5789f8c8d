import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The menu when Redis is lost")
struct RedisLossTests {
    private static func state(_ response: HTTPResponse) -> String? { response.headers.first("x-cache") }

    /// Asks until the menu comes from where it should; every answer on the way is a good one.
    private static func ask(_ menu: TestMenu, until wanted: String) throws -> HTTPResponse {
        let deadline = SystemClock.instant + .seconds(15)
        while true {
            let answer = try menu.page()
            #expect(answer.status == 200)
            if state(answer) == wanted { return answer }
            try #require(SystemClock.instant < deadline, "waited for \(wanted), got \(state(answer) ?? "nothing")")
            try menu.server.settle(.milliseconds(20))
        }
    }

    /// One that has to ask Redis each time, unless it keeps copies of its own.
    private static func server(_ redis: RealRedis, keepsCopies: Bool = false) throws -> TestMenu {
        let server = try TestServer(["REDIS_URL": redis.url]) {
            $0.redisBudget = .milliseconds(50)
            if !keepsCopies { $0.limits.menuCopiesBytes = 0 }
        }
        let menu = try TestMenu(on: server)
        try menu.addProduct("water")
        return menu
    }

    @Test("comes from Postgres while Redis is away at the start, and from Redis as soon as it is there")
    func awayAtStart() throws {
        let redis = try RealRedis()
        redis.kill()
        let menu = try Self.server(redis)
        let first = try menu.page()
        #expect(first.status == 200)
        #expect(Self.state(first) == "BYPASS")
        #expect(try menu.server.request(.get, "/health/ready").status == 200)
        try redis.start()
        let miss = try Self.ask(menu, until: "MISS")
        let hit = try Self.ask(menu, until: "HIT")
        #expect(miss.body == first.body && hit.body == first.body)
    }

    @Test("goes on without a pause when Redis is killed, and is a miss and then a hit when it is back")
    func killed() throws {
        let redis = try RealRedis()
        let menu = try Self.server(redis)
        _ = try Self.ask(menu, until: "MISS")
        let hit = try Self.ask(menu, until: "HIT")
        for _ in 0..<2 {
            redis.kill()
            let bypass = try Self.ask(menu, until: "BYPASS")
            #expect(bypass.body == hit.body)
            try redis.start()
            let miss = try Self.ask(menu, until: "MISS")
            #expect(miss.body == hit.body)
            #expect(try Self.ask(menu, until: "HIT").body == hit.body)
        }
    }

    @Test("costs a frozen Redis' 50 ms and no more, then nothing, and shows no old menu when it thaws")
    func frozen() throws {
        let redis = try RealRedis()
        let menu = try Self.server(redis)
        _ = try Self.ask(menu, until: "MISS")
        let hit = try Self.ask(menu, until: "HIT")
        redis.freeze()
        defer { redis.proceed() }
        var shortest = Duration.seconds(10)
        for _ in 0..<5 {
            let start = SystemClock.instant
            let answer = try menu.page()
            shortest = min(shortest, SystemClock.instant - start)
            #expect(Self.state(answer) == "BYPASS")
            #expect(answer.body == hit.body)
        }
        // The rest is the query's, and the machine's.
        #expect(shortest < .milliseconds(250))
        // A change while it is frozen, with the old copy in it.
        try menu.addProduct("wine")
        #expect(try menu.invalidate().status == 200)
        let changed = try menu.page()
        #expect(changed.body != hit.body)
        redis.proceed()
        for wanted in ["MISS", "HIT"] {
            let answer = try Self.ask(menu, until: wanted)
            #expect(answer.body == changed.body)
        }
    }

    @Test("is served from the process' own copy while Redis is frozen, and from Postgres when it is known to be lost")
    func ownCopies() throws {
        let redis = try RealRedis()
        let menu = try Self.server(redis, keepsCopies: true)
        _ = try Self.ask(menu, until: "MISS")
        redis.freeze()
        for _ in 0..<3 { #expect(Self.state(try menu.page()) == "HIT") }
        redis.kill()
        let bypass = try Self.ask(menu, until: "BYPASS")
        try menu.addProduct("wine")
        #expect(try menu.invalidate().status == 200)
        let changed = try menu.page()
        #expect(changed.body != bypass.body)
        try redis.start()
        #expect(try Self.ask(menu, until: "HIT").body == changed.body)
    }

    @Test("says BYPASS when a full Redis takes no copies, and is served all the same")
    func full() throws {
        let redis = try RealRedis("--maxmemory", "1", "--maxmemory-policy", "noeviction")
        let menu = try Self.server(redis)
        let first = try Self.ask(menu, until: "MISS")
        for _ in 0..<3 {
            let answer = try Self.ask(menu, until: "BYPASS")
            #expect(answer.body == first.body)
        }
        let redisUser = try RedisUser(menu.server.loop, redis.url)
        try redisUser.open()
        _ = try redisUser.ask("CONFIG", "SET", "maxmemory", "100mb")
        #expect(try Self.ask(menu, until: "HIT").body == first.body)
    }

    @Test("is served to many at once while Redis is frozen, each within its time")
    func frozenForMany() throws {
        let redis = try RealRedis()
        let menu = try Self.server(redis)
        _ = try Self.ask(menu, until: "HIT")
        redis.freeze()
        defer { redis.proceed() }
        let clients = try (0..<40).map { _ in
            try TestExchange(loop: menu.server.loop, address: menu.server.address)
        }
        for (index, client) in clients.enumerated() {
            client.send(
                .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)&page=\(1 + index % 4)",
                headers: ["Authorization": "Bearer \(menu.token)"])
        }
        try menu.server.wait(for: "all answers", atMost: .seconds(5)) { clients.allSatisfy { !$0.responses.isEmpty } }
        #expect(clients.allSatisfy { $0.responses[0].status == 200 && Self.state($0.responses[0]) == "BYPASS" })
    }
}
