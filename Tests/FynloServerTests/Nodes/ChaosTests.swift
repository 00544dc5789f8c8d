import Foundation
import FynloClient
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// What can happen to two servers, their Redis and their PostgreSQL.
enum ClusterFault: String, CaseIterable, Sendable {
    case redisRestarted = "Redis killed and started again"
    case redisFlushed = "Redis emptied"
    case redisPaused = "Redis stopped (SIGSTOP)"
    case postgresRestarted = "PostgreSQL's connections cut, and refused for a while"
    case postgresPaused = "PostgreSQL silent"
    case nodeKilled = "a node killed"
    case nodePaused = "a node stopped (SIGSTOP)"
    case nodeCutOff = "a node cut off from PostgreSQL and Redis"
    case clockStepped = "a node's clock stepped"
}

/// Two real servers behind proxies of the test's own, with a Redis of its own.
private final class Cluster {
    let loop: EventLoop
    let database: TestDatabase
    let redis: RealRedis
    /// In front of the nodes, as a balancer.
    let fronts: [Proxy]
    private let databases: [DatabaseProxy]
    private let redises: [Proxy]
    private var nodes: [ServerProcess] = []
    private let clock: String

    /// libfaketime, of the distribution; `nil` where it is not installed.
    private static let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"].lazy
        .map { "/usr/lib/\($0)/faketime/libfaketime.so.1" }.first { FileManager.default.fileExists(atPath: $0) }
    /// It does not go together with a sanitizer.
    static var canStepClocks: Bool { CommandLine.environment["FYNLO_TEST_SANITIZER"] == nil }

    init(_ loop: EventLoop, folder: String) throws {
        self.loop = loop
        let database = try TestDatabase()
        let redis = try RealRedis()
        self.database = database
        self.redis = redis
        databases = try (0..<2).map { _ in try DatabaseProxy(loop: loop, to: database) }
        redises = try (0..<2).map { _ in try Proxy(loop: loop, to: .unix("\(redis.directory)/redis.sock")) }
        clock = folder + "/clock"
        try "+0".write(toFile: clock, atomically: true, encoding: .utf8)
        // Where the fronts lead is known once the nodes are there.
        let nowhere = try SocketAddress(parsing: "127.0.0.1:1")
        fronts = try (0..<2).map { _ in try Proxy(loop: loop, to: nowhere) }
        for number in 0..<2 { nodes.append(try makeNode(number)) }
        for number in 0..<2 { fronts[number].target = nodes[number].address }
    }

    private func makeNode(_ number: Int) throws -> ServerProcess {
        var variables = [
            "DATABASE_URL": databases[number].url, "REDIS_URL": "redis://\(redises[number].address)",
            "FYNLO_RATE_LIMIT": "1000", "FYNLO_RATE_BURST": "1000", "FYNLO_HEARTBEAT_INTERVAL": "500ms",
            "FYNLO_QUERY_TIMEOUT": "2s",
        ]
        if Cluster.canStepClocks, number == 0 {
            let library = try #require(Cluster.library, "libfaketime is installed")
            variables["LD_PRELOAD"] = library
            variables["FAKETIME_TIMESTAMP_FILE"] = clock
            variables["FAKETIME_NO_CACHE"] = "1"
            variables["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
        }
        return try ServerProcess(database, variables, turning: loop)
    }

    /// Brings a fault about.
    func begin(_ fault: ClusterFault) throws {
        switch fault {
        case .redisRestarted: redis.kill()
        case .redisFlushed:
            #expect(try RedisCommand.run(redis, "FLUSHALL"))
        case .redisPaused: redis.freeze()
        case .postgresRestarted:
            for proxy in databases {
                proxy.refuses = true
                proxy.hangUp()
            }
            try database.terminateServers()
        case .postgresPaused: for proxy in databases { proxy.isSilent = true }
        case .nodeKilled:
            nodes[0].kill()
            fronts[0].target = nodes[1].address
        case .nodePaused:
            nodes[0].freeze()
            fronts[0].target = nodes[1].address
        case .nodeCutOff:
            databases[0].isSilent = true
            redises[0].isSilent = true
        case .clockStepped: try "+20m".write(toFile: clock, atomically: false, encoding: .utf8)
        }
    }

    /// Takes it away.
    func end(_ fault: ClusterFault) throws {
        switch fault {
        case .redisRestarted: try redis.start()
        case .redisFlushed: break
        case .redisPaused: redis.proceed()
        case .postgresRestarted: for proxy in databases { proxy.refuses = false }
        case .postgresPaused: for proxy in databases { proxy.isSilent = false }
        case .nodeKilled:
            nodes[0] = try makeNode(0)
            fronts[0].target = nodes[0].address
        case .nodePaused:
            nodes[0].proceed()
            fronts[0].target = nodes[0].address
        case .nodeCutOff:
            databases[0].isSilent = false
            redises[0].isSilent = false
        case .clockStepped: try "-20m".write(toFile: clock, atomically: false, encoding: .utf8)
        }
    }

    func stop() {
        for proxy in fronts { proxy.close() }
        // Their databases' proxies are turned by this thread, which waits for them now.
        for node in nodes { node.kill() }
        for proxy in databases { proxy.close() }
        for proxy in redises { proxy.close() }
    }
}

/// One command to a Redis of the test's own.
private enum RedisCommand {
    static func run(_ redis: RealRedis, _ command: String) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/redis-cli")
        process.arguments = ["-s", "\(redis.directory)/redis.sock", command]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

/// A tablet with the client library that works without pause: each of its orders goes through all statuses.
private final class ChaosTablet {
    let till: Till
    let restaurant: RestaurantID
    private let name: String
    private var steps: [(order: OrderID, status: OrderStatus)]
    private(set) var given = 0
    private static let statuses: [OrderStatus] = [.pending, .confirmed, .preparing, .ready, .served, .completed]

    init(
        _ cluster: Cluster, _ front: Proxy, name: String, at restaurant: RestaurantID, orders: [OrderID],
        outbox: String, after head: EventSequence
    ) throws {
        self.name = name
        self.restaurant = restaurant
        steps = ChaosTablet.statuses.flatMap { status in orders.map { ($0, status) } }.reversed()
        till = try Till(
            cluster.loop, try ServerURL("ws://\(front.address)"),
            try cluster.database.addUser(.employee, at: restaurant), at: restaurant, outbox: outbox,
            after: head, firstToken: 86_400, device: name)
    }

    /// The next command, unless some wait already.
    func work() throws {
        guard till.client.outbox.waiting.count < 2, let next = steps.popLast() else { return }
        try till.update(next.order, to: next.status, id: "\(name) \(given)")
        given += 1
    }
}

@Suite("Two nodes among all that can happen", .serialized)
struct ChaosTests {
    /// `scripts/test --chaos` asks for longer faults, more than once.
    private static let isLong = CommandLine.environment["FYNLO_TEST_CHAOS"] != nil
    /// Longer than the lease of a node, where it is the long form.
    private static let faultLasts = Duration.seconds(isLong ? 13 : 3)
    private static let rounds = isLong ? 3 : 1

    @Test(
        "lose no acknowledged command, do none twice, tell every tablet what the log says, and recover by themselves",
        arguments: ClusterFault.allCases)
    func fault(_ fault: ClusterFault) throws {
        if fault == .clockStepped, !Cluster.canStepClocks { return }
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let loop = try EventLoop()
        defer { loop.close() }
        let cluster = try Cluster(loop, folder: folder.path)
        let database = cluster.database
        defer { cluster.stop() }

        var tablets: [ChaosTablet] = []
        var foreign: [OrderID] = []
        for number in 0..<2 {
            let restaurant = try database.addRestaurant()
            foreign.append(try database.addOrder(at: restaurant))
            let orders = try (0..<4).map { _ in
                try database.run(
                    """
                    insert into orders (restaurant_id) select '\(restaurant)' from generate_series(1, \(150 * Self.rounds))
                    returning id
                    """
                ).rows.compactMap { $0.uuid(0).map(OrderID.init) }
            }
            let head = try database.value("select head from restaurant_streams where restaurant_id = '\(restaurant)'")
            for place in 0..<4 {
                tablets.append(
                    try ChaosTablet(
                        cluster, cluster.fronts[place % 2], name: "tablet \(number)-\(place)", at: restaurant,
                        orders: orders[place], outbox: folder.path + "/\(number)-\(place)",
                        after: head.flatMap { Int64($0) } ?? 0))
            }
        }
        defer { for tablet in tablets { tablet.till.close() } }
        var failures: [String] = []
        var isOver = false
        func tick() {
            guard !isOver else { return }
            do {
                for tablet in tablets { try tablet.work() }
            } catch {
                failures.append("\(error)")
            }
            loop.after(.milliseconds(25), tick)
        }
        func wait(
            _ what: String, _ limit: Duration, sourceLocation: SourceLocation = #_sourceLocation,
            _ condition: () -> Bool
        ) throws {
            let came = try loop.run(until: condition, for: limit.patient)
            let states = tablets.map { "\($0.till.client.state) \($0.till.client.outbox.waiting.count)" }
            try #require(came, "\(fault.rawValue): \(what): \(states)", sourceLocation: sourceLocation)
        }
        for tablet in tablets { tablet.till.client.connect() }
        try wait("all connected", .seconds(20)) { tablets.allSatisfy { $0.till.client.state == .connected } }
        tick()
        try wait("work", .seconds(20)) { tablets.allSatisfy { $0.till.acknowledged.count > 10 } }

        var recoveries: [Duration] = []
        for _ in 0..<Self.rounds {
            try cluster.begin(fault)
            let begun = SystemClock.instant
            var changes = 0
            // Other programs go on as well.
            while SystemClock.instant - begun < Self.faultLasts {
                for order in foreign {
                    try database.run("update orders set notes = 'change \(changes)' where id = '\(order)'")
                }
                changes += 1
                _ = try loop.run(until: { false }, for: .milliseconds(200))
            }
            try cluster.end(fault)
            let ended = SystemClock.instant
            let before = tablets.map { $0.till.acknowledged.count }
            try wait("the way back", .seconds(40)) {
                zip(tablets, before).allSatisfy {
                    $0.till.client.state == .connected && $0.till.acknowledged.count > $1 + 5
                }
            }
            recoveries.append(SystemClock.instant - ended)
        }
        isOver = true
        try wait("the last answers", .seconds(30)) { tablets.allSatisfy { $0.till.client.outbox.waiting.isEmpty } }
        for tablet in tablets {
            let head = try database.value(
                "select head from restaurant_streams where restaurant_id = '\(tablet.restaurant)'")
            try wait("the last event", .seconds(20)) { tablet.till.client.lastSequence.map(String.init) == head }
            #expect(tablet.till.acknowledged.count == tablet.given)
            #expect(tablet.till.surprises.isEmpty)
            try tablet.till.compare(with: database, others: tablets.map(\.till))
        }
        #expect(failures.isEmpty)
        let longest = recoveries.max() ?? .zero
        print("chaos: \(fault.rawValue): back \(longest.inMilliseconds) ms after its end, at most")
    }
}
