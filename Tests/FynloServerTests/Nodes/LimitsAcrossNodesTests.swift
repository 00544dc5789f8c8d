import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// Nodes on one loop that share a database and a Redis.
private final class Nodes {
    let loop: EventLoop
    let database: TestDatabase
    let servers: [TestServer]
    let redis: RedisUser
    let restaurant: RestaurantID
    let names: RedisKeys

    init(
        _ count: Int, redis url: String, _ variables: [String: String] = [:], isRedisThere: Bool = true,
        adjust: (Int, inout Config) -> Void = { _, _ in }
    ) throws {
        let loop = try EventLoop()
        let database = try TestDatabase()
        (self.loop, self.database) = (loop, database)
        restaurant = try database.addRestaurant()
        redis = try RedisUser(loop, url)
        names = RedisKeys(prefix: "fynlo:1:\(database.name):")
        servers = try (0..<count).map { number in
            try TestServer(variables.merging(["REDIS_URL": url]) { $1 }, database: database, loop: loop) { config in
                // As patient as the machine is slow.
                config.redisBudget = .seconds(30)
                adjust(number, &config)
            }
        }
        if isRedisThere {
            try redis.open()
            try untilShared()
        }
    }

    deinit {
        for server in servers { server.server.stop() }
        redis.connection.close()
        loop.close()
    }

    func wait(
        for what: String, atMost limit: Duration = .seconds(20), sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () -> Bool
    ) throws {
        try servers[0].wait(for: what, atMost: limit, sourceLocation: sourceLocation, condition)
    }

    func untilShared(sourceLocation: SourceLocation = #_sourceLocation) throws {
        try wait(for: "the limits to be shared", sourceLocation: sourceLocation) {
            servers.allSatisfy { $0.server.leases.isShared }
        }
    }

    /// Connections in the table.
    func slots() throws -> Int {
        guard case .success(.integer(let count)) = try redis.ask("HLEN", names.slots(restaurant)) else {
            return -1
        }
        return Int(count)
    }

    func untilSlots(_ count: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let deadline = loop.now.instant + Duration.seconds(15).patient
        var found = try slots()
        while found != count {
            try #require(loop.now.instant < deadline, "\(found) slots", sourceLocation: sourceLocation)
            found = try slots()
        }
    }

    func limits(of number: Int) throws -> String? {
        try Document(servers[number].request(.get, "/health").body)["limits"].string
    }

    func tablet(_ user: TestUser, on number: Int, device: String? = nil) throws -> TestTablet {
        let tablet = try servers[number].tablet(at: restaurant)
        tablet.authenticate(user, at: restaurant, device: device)
        return tablet
    }

    /// A tablet that has its answer.
    func answered(_ user: TestUser, on number: Int, device: String? = nil) throws -> TestTablet {
        let tablet = try tablet(user, on: number, device: device)
        try wait(for: "an answer") { !tablet.messages.isEmpty }
        return tablet
    }

    func addUsers(_ count: Int) throws -> [TestUser] {
        try (0..<count).map { _ in try database.addUser(.employee, at: restaurant) }
    }
}

extension TestTablet {
    fileprivate var isIn: Bool { messages.first?["type"].string == "authenticated" }

    fileprivate var refusal: String? {
        messages.first { $0["type"].string == "auth_error" }.flatMap { $0["data"]["code"].string }
    }
}

@Suite("Limits across nodes")
struct LimitsAcrossNodesTests {
    @Test("let in exactly 100 of 500 who come to three nodes at once")
    func exact() throws {
        let shared = try SharedRedis()
        let nodes = try Nodes(3, redis: shared.url)
        let users = try nodes.addUsers(125)
        let tablets = try (0..<500).map { try nodes.tablet(users[$0 % 125], on: $0 % 3) }
        try nodes.wait(for: "all answers", atMost: .seconds(60)) { tablets.allSatisfy { !$0.messages.isEmpty } }
        let inside = tablets.filter(\.isIn)
        #expect(inside.count == 100)
        #expect(tablets.count { $0.refusal == "connection_limit" } == 400)
        #expect(try nodes.slots() == 100)
        #expect(nodes.servers.map(\.hub.tabletCount).reduce(0, +) == 100)
        try nodes.wait(for: "the refused to be closed") { tablets.allSatisfy { $0.isIn || $0.isClosed } }
        #expect(tablets.allSatisfy { $0.isIn || $0.closeCode == 4003 })
        // Every way to leave makes room for one more, on any node.
        inside[0].closeWebSocket()
        inside[1].close()
        inside[2].reset()
        try nodes.database.run("update users set is_active = false where id = '\(users[124].id)'")
        let next = try nodes.addUsers(1)[0]
        try nodes.wait(for: "three to be gone, and those of one who may not be there any more") {
            nodes.servers.map(\.hub.tabletCount).reduce(0, +) == 97 - inside.dropFirst(3).count { $0.closeCode == 4006 }
        }
        try nodes.untilSlots(nodes.servers.map(\.hub.tabletCount).reduce(0, +))
        for number in 0..<3 { #expect(try nodes.answered(next, on: number).isIn) }
        #expect(nodes.servers.allSatisfy { $0.server.leases.figures.decidedAlone == 0 })
    }

    @Test("count the connections of one user on all nodes, and free them one by one")
    func user() throws {
        let shared = try SharedRedis()
        let nodes = try Nodes(3, redis: shared.url)
        let user = try nodes.addUsers(1)[0]
        let tablets = try (0..<9).map { try nodes.tablet(user, on: $0 % 3) }
        try nodes.wait(for: "all answers") { tablets.allSatisfy { !$0.messages.isEmpty } }
        #expect(tablets.count { $0.isIn } == 5)
        let colleague = try nodes.answered(try nodes.addUsers(1)[0], on: 0)
        #expect(colleague.isIn)
        tablets.first(where: \.isIn)?.closeWebSocket()
        try nodes.untilSlots(5)
        #expect(try nodes.answered(user, on: 1).isIn)
        #expect(try nodes.answered(user, on: 2).refusal == "connection_limit")
    }

    @Test("do not count a node that has not renewed its lease, and which closes its newest when it is back")
    func expired() throws {
        let shared = try SharedRedis()
        let nodes = try Nodes(2, redis: shared.url, ["FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "3"]) { number, config in
            if number == 0 {
                config.leaseTerms.lifetime = .milliseconds(300)
                config.leaseTerms.renewalInterval = .seconds(3_600)
            }
        }
        let users = try nodes.addUsers(5)
        let lost = try (0..<2).map { try nodes.answered(users[$0], on: 0) }
        #expect(try nodes.answered(users[2], on: 1).isIn)
        let deadline = nodes.loop.now.instant + Duration.seconds(10).patient
        var tablet = try nodes.answered(users[3], on: 1)
        while !tablet.isIn, nodes.loop.now.instant < deadline { tablet = try nodes.answered(users[3], on: 1) }
        #expect(tablet.isIn)
        #expect(try nodes.slots() == 2)
        #expect(try nodes.limits(of: 0) == "node")
        #expect(try nodes.limits(of: 1) == "shared")
        #expect(lost.allSatisfy { !$0.isClosed })
        // It finds out with its next question, which its own count answers.
        let newest = try nodes.answered(users[4], on: 0)
        #expect(newest.isIn)
        try nodes.wait(for: "its newest to be closed") { lost[1].isClosed && newest.isClosed }
        #expect(lost[1].closeCode == 1001 && newest.closeCode == 1001)
        #expect(!lost[0].isClosed && !tablet.isClosed)
        try nodes.untilSlots(3)
        #expect(nodes.servers[0].server.leases.figures.lapsed == 1)
    }

    @Test("are known again 5 s after Redis was emptied or restarted, and nobody is closed", arguments: [false, true])
    func emptied(isRestarted: Bool) throws {
        let own = try RealRedis()
        let nodes = try Nodes(3, redis: own.url)
        let users = try nodes.addUsers(30)
        let tablets = try (0..<30).map { try nodes.tablet(users[$0], on: $0 % 3) }
        try nodes.wait(for: "all answers") { tablets.allSatisfy(\.isIn) }
        #expect(try nodes.slots() == 30)
        if isRestarted {
            own.kill()
            try nodes.wait(for: "the loss to be noticed") { !nodes.servers[0].server.leases.isShared }
            #expect(try nodes.limits(of: 0) == "node")
            try own.start()
            try nodes.redis.untilReady()
        } else {
            _ = try nodes.redis.ask("FLUSHALL")
            #expect(try nodes.slots() == 0)
        }
        let start = SystemClock.instant
        try nodes.untilSlots(30)
        #expect(SystemClock.instant - start < Duration.seconds(5).patient)
        try nodes.untilShared()
        #expect(tablets.allSatisfy { !$0.isClosed })
        #expect(try nodes.answered(users[0], on: 1).isIn)
        #expect(try nodes.slots() == 31)
    }

    @Test("are each node's own without Redis, which is told of its tablets when it comes, and has the newest closed")
    func without() throws {
        let own = try RealRedis()
        own.kill()
        let nodes = try Nodes(
            2, redis: own.url, ["FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "3"], isRedisThere: false)
        let users = try nodes.addUsers(8)
        var tablets: [[TestTablet]] = []
        for number in 0..<2 {
            tablets.append(try (0..<3).map { try nodes.answered(users[3 * number + $0], on: number) })
            #expect(tablets[number].allSatisfy { $0.isIn })
            #expect(try nodes.answered(users[6], on: number).refusal == "connection_limit")
            #expect(try nodes.limits(of: number) == "node")
        }
        // One has left that Redis never knew.
        tablets[1][0].closeWebSocket()
        try nodes.wait(for: "its end") { nodes.servers[1].hub.tabletCount == 2 }
        try own.start()
        try nodes.redis.open()
        try nodes.untilShared()
        // Whoever was first has kept all of his.
        try nodes.wait(for: "those above the limit to be closed") {
            nodes.servers.map(\.hub.tabletCount).reduce(0, +) == 3
        }
        #expect(try nodes.slots() == 3)
        let closed = tablets.map { $0.map(\.closeCode) }
        let first: [[UInt16?]] = [[nil, nil, nil], [1000, 1001, 1001]]
        let second: [[UInt16?]] = [[nil, 1001, 1001], [1000, nil, nil]]
        #expect(closed == first || closed == second)
        #expect(try nodes.limits(of: 0) == "shared")
        #expect(try nodes.answered(users[6], on: 0).refusal == "connection_limit")
    }

    @Test("cost a frozen Redis' budget at most; who was let in meanwhile is counted when it thaws")
    func frozen() throws {
        let own = try RealRedis()
        let nodes = try Nodes(1, redis: own.url) { $1.redisBudget = .milliseconds(50) }
        let users = try nodes.addUsers(6)
        #expect(try nodes.answered(users[0], on: 0).isIn)
        own.freeze()
        defer { own.proceed() }
        var shortest = Duration.seconds(10)
        let tablets = try (1..<6).map { number in
            let start = SystemClock.instant
            let tablet = try nodes.answered(users[number], on: 0)
            shortest = min(shortest, SystemClock.instant - start)
            return tablet
        }
        #expect(tablets.allSatisfy { $0.isIn })
        // The rest is the look-up's, and the machine's.
        #expect(shortest < .milliseconds(250))
        #expect(try nodes.limits(of: 0) == "node")
        own.proceed()
        try nodes.untilShared()
        try nodes.untilSlots(nodes.servers[0].hub.tabletCount)
        #expect(tablets.allSatisfy { !$0.isClosed })
    }

    @Test("do not keep a slot for a tablet that is gone when the answer comes")
    func gone() throws {
        let own = try RealRedis()
        let nodes = try Nodes(1, redis: own.url)
        let users = try nodes.addUsers(2)
        let leases = nodes.servers[0].server.leases
        own.freeze()
        defer { own.proceed() }
        let tablet = try nodes.tablet(users[0], on: 0)
        try nodes.wait(for: "the question") { leases.applicants == 1 }
        tablet.close()
        try nodes.wait(for: "its end") { nodes.servers[0].hub.connectionCount == 0 }
        own.proceed()
        try nodes.wait(for: "the answer") { leases.applicants == 0 }
        try nodes.untilShared()
        try nodes.untilSlots(0)
        #expect(try nodes.answered(users[1], on: 0).isIn)
    }

    @Test("are not touched by a device that comes back on another node: its older connection there is closed with 4011")
    func device() throws {
        let shared = try SharedRedis()
        let nodes = try Nodes(2, redis: shared.url, ["FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "2"])
        let users = try nodes.addUsers(2)
        let colleague = try nodes.answered(users[1], on: 0, device: "till")
        var tablet = try nodes.answered(users[0], on: 0, device: "till")
        #expect(tablet.isIn && colleague.isIn)
        try nodes.wait(for: "both to hear each other") {
            nodes.servers.allSatisfy { $0.server.bus?.isListening == true }
        }
        for place in [1, 0, 0, 1] {
            let next = try nodes.answered(users[0], on: place, device: "till")
            #expect(next.isIn)
            try nodes.wait(for: "the older one's end") { tablet.isClosed }
            #expect(tablet.closeCode == 4011)
            tablet = next
        }
        #expect(!tablet.isClosed && !colleague.isClosed)
        try nodes.untilSlots(2)
        #expect(nodes.servers.map(\.hub.tabletCount) == [1, 1])
    }

    @Test("find a device's older connection on another node within a review, if nobody has told that node")
    func reviewed() throws {
        let shared = try SharedRedis()
        let nodes = try Nodes(2, redis: shared.url) { _, config in
            config.leaseTerms.renewalInterval = .milliseconds(100)
            config.leaseTerms.reviewPeriod = .milliseconds(300)
        }
        for server in nodes.servers { server.server.leases.$whenReplacedElsewhere.clear() }
        let user = try nodes.addUsers(1)[0]
        let older = try nodes.answered(user, on: 0, device: "till")
        let newer = try nodes.answered(user, on: 1, device: "till")
        try nodes.wait(for: "the older one's end") { older.isClosed }
        #expect(older.closeCode == 4011)
        #expect(newer.isIn && !newer.isClosed)
        try nodes.untilSlots(1)
    }

    @Test("are a node's own as long as Redis refuses what it is asked", arguments: ["full", "something else"])
    func refused(reason: String) throws {
        let own = try RealRedis()
        let nodes = try Nodes(1, redis: own.url, ["FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "2"]) { _, config in
            config.leaseTerms.renewalInterval = .milliseconds(100)
        }
        let users = try nodes.addUsers(3)
        if reason == "full" {
            _ = try nodes.redis.ask("CONFIG", "SET", "maxmemory", "1")
        } else {
            _ = try nodes.redis.ask("SET", nodes.names.slots(nodes.restaurant), "not a table")
        }
        #expect(try nodes.answered(users[0], on: 0).isIn)
        #expect(try nodes.answered(users[1], on: 0).isIn)
        #expect(try nodes.limits(of: 0) == "node")
        #expect(try nodes.answered(users[2], on: 0).refusal == "connection_limit")
        #expect(nodes.servers[0].server.leases.figures.decidedAlone == 2)
        _ = try nodes.redis.ask("CONFIG", "SET", "maxmemory", "0")
        _ = try nodes.redis.ask("DEL", nodes.names.slots(nodes.restaurant))
        try nodes.untilShared()
        #expect(try nodes.slots() == 2)
    }

    @Test("are not the business of a server without Redis")
    func notConfigured() throws {
        let server = try TestServer(["REDIS_URL": ""])
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        #expect(tablet.messages.count == 1)
        #expect(try Document(server.request(.get, "/health").body)["limits"].string == "node")
        #expect(server.server.leases.figures.decidedAlone == 0)
    }
}

@Suite("Limits across programs")
struct LimitsAcrossProgramsTests {
    /// Two programs with a Redis of their own, and room for three at a restaurant.
    private final class Programs {
        let loop: EventLoop
        let database: TestDatabase
        let own: RealRedis
        let redis: RedisUser
        var programs: [ServerProcess]
        let restaurant: RestaurantID

        init() throws {
            loop = try EventLoop()
            (database, own) = (try TestDatabase(), try RealRedis())
            restaurant = try database.addRestaurant()
            redis = try RedisUser(loop, own.url)
            try redis.open()
            let variables = ["REDIS_URL": own.url, "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "3"]
            programs = [try ServerProcess(database, variables), try ServerProcess(database, variables)]
            try until("both to be there") { try leases() == 2 }
        }

        deinit {
            programs = []
            redis.connection.close()
            loop.close()
        }

        func until(
            _ what: String, atMost limit: Duration = .seconds(15), sourceLocation: SourceLocation = #_sourceLocation,
            _ condition: () throws -> Bool
        ) throws {
            let deadline = SystemClock.instant + limit.patient
            while try !condition() {
                try #require(SystemClock.instant < deadline, "waited for \(what)", sourceLocation: sourceLocation)
                try loop.turn(timeout: .milliseconds(20))
            }
        }

        /// Nodes that have a lease.
        func leases() throws -> Int {
            guard case .success(.array(let keys)) = try redis.ask("KEYS", "fynlo:1:node:*") else { return -1 }
            return keys.count
        }

        /// A tablet that has its answer.
        func tablet(
            _ user: TestUser, on number: Int, device: String? = nil, sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> TestTablet {
            let tablet = try TestTablet(
                loop: loop, address: programs[number].address, target: "/api/v1/websocket/ws/pos/\(restaurant)")
            tablet.authenticate(user, at: restaurant, device: device)
            try until("an answer", sourceLocation: sourceLocation) { !tablet.messages.isEmpty }
            return tablet
        }
    }

    @Test("free the slots of a program that was killed within 15 s")
    func killed() throws {
        let nodes = try Programs()
        let users = try (0..<4).map { _ in try nodes.database.addUser(.employee, at: nodes.restaurant) }
        for user in users.prefix(3) { #expect(try nodes.tablet(user, on: 0).isIn) }
        #expect(try nodes.tablet(users[3], on: 1).refusal == "connection_limit")
        nodes.programs[0].kill()
        try nodes.until("a slot to be free") { try nodes.tablet(users[3], on: 1).isIn }
        for user in users.prefix(2) { #expect(try nodes.tablet(user, on: 1).isIn) }
    }

    @Test("have a program that stood still close its newest above the limit, and a device that is elsewhere by now")
    func paused() throws {
        let nodes = try Programs()
        let users = try (0..<4).map { _ in try nodes.database.addUser(.employee, at: nodes.restaurant) }
        let there = [
            try nodes.tablet(users[0], on: 0, device: "till"), try nodes.tablet(users[1], on: 0),
            try nodes.tablet(users[2], on: 0),
        ]
        #expect(there.allSatisfy { $0.isIn })
        nodes.programs[0].freeze()
        defer { nodes.programs[0].proceed() }
        try nodes.until("its lease to run out") { try nodes.leases() == 1 }
        let here = [try nodes.tablet(users[0], on: 1, device: "till"), try nodes.tablet(users[3], on: 1)]
        #expect(here.allSatisfy { $0.isIn })
        nodes.programs[0].proceed()
        try nodes.until("two to be closed") { there[0].isClosed && there[2].isClosed }
        #expect(there[0].closeCode == 4011)
        #expect(there[2].closeCode == 1001)
        #expect(!there[1].isClosed && here.allSatisfy { !$0.isClosed })
        there[1].say(type: "ping")
        try nodes.until("a pong") { there[1].messages("pong").count == 1 }
    }
}
