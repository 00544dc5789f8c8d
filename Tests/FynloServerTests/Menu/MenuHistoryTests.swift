import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// What happened to one menu, in the order of the clock; and whether it may have been so.
private struct MenuHistory {
    struct Write {
        let version: Int64
        /// What the menu says from this version on.
        let marker: String
        /// It was committed by then.
        let committedAt: Instant
    }

    struct Read {
        let node: Int
        let reader: Int
        let begunAt: Instant
        let version: Int64
        let cache: String
        let marker: String
    }

    /// From then on a node gives nothing older.
    struct Promise {
        let node: Int
        let madeAt: Instant
        let version: Int64
    }

    var writes: [Write] = []
    var reads: [Read] = []
    var promises: [Promise] = []

    /// A sentence for each thing that should not have been.
    func faults() -> [String] {
        var faults: [String] = []
        var last: [Int: Int64] = [:]
        for read in reads {
            let what = "reader \(read.reader) of node \(read.node) was given version \(read.version) (\(read.cache))"
            let old = writes.last { $0.committedAt < read.begunAt + .seconds(-1) }
            if let old, read.version < old.version, read.cache != "STALE" {
                faults.append("\(what) more than a second after \(old.version) was committed")
            }
            let promise = promises.filter { $0.node == read.node && $0.madeAt < read.begunAt }.map(\.version).max()
            if let promise, read.version < promise { faults.append("\(what) after it had been told of \(promise)") }
            let marker = writes.last { $0.version <= read.version }?.marker
            if marker != read.marker { faults.append("\(what) with \(read.marker) instead of \(marker ?? "nothing")") }
            if let before = last[read.reader], read.version < before { faults.append("\(what) after \(before)") }
            last[read.reader] = read.version
        }
        return faults
    }
}

/// Reads one page after the other on one connection.
private final class MenuReader {
    let node: Int
    let number: Int
    private let server: TestServer
    private var exchange: TestExchange?
    private var begunAt = Instant(nanoseconds: 0)
    private var isWaiting = false

    init(_ number: Int, of node: Int, on server: TestServer) {
        self.number = number
        self.node = node
        self.server = server
    }

    func begin(_ menu: TestMenu, _ parameters: String) throws {
        guard !isWaiting else { return }
        if exchange?.isClosed ?? true { exchange = try TestExchange(loop: server.loop, address: server.address) }
        isWaiting = true
        begunAt = SystemClock.instant
        exchange?.send(
            .get, "/api/v1/menu?restaurant_id=\(menu.restaurant)\(parameters)",
            headers: ["Authorization": "Bearer \(menu.token)"])
    }

    /// The answer, once; `nil` while there is none.
    func answer() -> (response: HTTPResponse, begunAt: Instant)? {
        guard isWaiting, let response = exchange?.responses.last,
            exchange?.responses.count ?? 0 > answered
        else { return nil }
        answered += 1
        isWaiting = false
        if answered == 50 {
            exchange = nil
            answered = 0
        }
        return (response, begunAt)
    }

    private var answered = 0
}

@Suite("The history of a menu")
struct MenuHistoryTests {
    @Test(
        "read on two nodes while it is written, Redis comes and goes, and so does Postgres, has nothing in it that is too old",
        arguments: [1, 2] as [UInt64])
    func history(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let loop = try EventLoop()
        defer { loop.close() }
        let database = try TestDatabase()
        let redis = try RealRedis()
        let proxy = try DatabaseProxy(loop: loop, to: database)
        defer { proxy.close() }
        let nodes = [
            // One with room for a page or two of its own.
            try TestServer(
                ["REDIS_URL": redis.url, "FYNLO_QUERY_TIMEOUT": "400ms"], database: database, loop: loop
            ) {
                $0.redisBudget = .milliseconds(50)
                $0.limits.menuCopiesBytes = 6_000
            },
            // One that is cut off from Postgres at times.
            try TestServer(
                ["REDIS_URL": redis.url, "FYNLO_QUERY_TIMEOUT": "400ms", "DATABASE_URL": proxy.url],
                database: database, loop: loop
            ) {
                $0.redisBudget = .milliseconds(50)
            },
        ]
        let menu = try TestMenu(on: nodes[0])
        let product = try menu.addProduct("m0")
        let tablets = try nodes.map { try $0.staffTablet(at: menu.restaurant) }
        let readers = (0..<8).map { MenuReader($0, of: $0 % 2, on: nodes[$0 % 2]) }
        let flusher = try RedisUser(loop, redis.url)

        var history = MenuHistory()
        func version() throws -> Int64 {
            let text = try database.value(
                "select menu_version from restaurant_streams where restaurant_id = '\(menu.restaurant)'")
            return try #require(text.flatMap { Int64($0) })
        }
        history.writes.append(
            MenuHistory.Write(version: try version(), marker: "m0", committedAt: SystemClock.instant))

        /// A change that wakes the servers, or one that does not.
        func write() throws {
            let marker = "m\(history.writes.count)"
            let found = try database.run(
                """
                begin; set local fynlo.server = '\(random.below(2) == 0 ? "on" : "off")';
                update products set name = '\(marker)' where id = '\(product)';
                set constraints all immediate;
                select menu_version from restaurant_streams where restaurant_id = '\(menu.restaurant)'
                """
            ).first?.integer(0)
            try database.run("commit")
            history.writes.append(
                MenuHistory.Write(
                    version: try #require(found), marker: marker, committedAt: SystemClock.instant))
        }

        var invalidations: [(exchange: TestExchange, node: Int, version: Int64)] = []
        func invalidate(_ node: Int) throws {
            let exchange = try TestExchange(loop: loop, address: nodes[node].address)
            let before = try version()
            exchange.send(
                .post, "/api/v1/menu/cache/invalidate?restaurant_id=\(menu.restaurant)",
                headers: ["Authorization": "Bearer \(menu.token)"])
            invalidations.append((exchange, node, before + 1))
        }

        var isRedisAway = false
        var nextFault = SystemClock.instant + .milliseconds(500)
        func disturb() throws {
            switch random.below(9) {
            case 0 where !isRedisAway:
                redis.kill()
                isRedisAway = true
            case 1 where !isRedisAway:
                redis.freeze()
                isRedisAway = true
            case 0...3 where isRedisAway:
                redis.proceed()
                redis.kill()
                try redis.start()
                isRedisAway = false
            case 2, 3: flusher.connection.send(["FLUSHALL"]) { _ in }
            case 4: try database.terminateServers()
            case 5: proxy.hangUp()
            case 6, 7:
                proxy.isSilent = true
                nextFault = nextFault + .milliseconds(random.below(1_500))
            default:
                proxy.isSilent = false
                proxy.hangUp()
            }
        }

        var heard = [0, 0]
        var nextWrite = SystemClock.instant
        flusher.connection.open()
        func step() throws {
            try loop.turn(timeout: .milliseconds(2))
            // What a node has told by now binds whatever is asked for from now on.
            for (node, tablet) in tablets.enumerated() {
                let told = tablet.messages("menu.updated").compactMap { $0["data"]["version"].integer }
                for version in told[heard[node]...] {
                    history.promises.append(
                        MenuHistory.Promise(node: node, madeAt: SystemClock.instant, version: Int64(version)))
                }
                heard[node] = told.count
            }
            for (exchange, node, version) in invalidations where exchange.responses.first?.status == 200 {
                history.promises.append(
                    MenuHistory.Promise(node: node, madeAt: SystemClock.instant, version: version))
            }
            invalidations.removeAll { !$0.exchange.responses.isEmpty || $0.exchange.isClosed }
            for reader in readers {
                guard let (response, begunAt) = reader.answer() else { continue }
                guard response.status == 200 else {
                    #expect([503, 504].contains(response.status))
                    #expect(response.headers.first("retry-after") != nil)
                    continue
                }
                history.reads.append(
                    MenuHistory.Read(
                        node: reader.node, reader: reader.number, begunAt: begunAt,
                        version: try #require(response.headers.first("x-menu-version").flatMap { Int64($0) }),
                        cache: response.headers.first("x-cache") ?? "",
                        marker: try Document(response.body)[0]["name"].string ?? ""))
            }
        }

        // Longer on a machine that is so busy that little happens.
        let (end, latest) = (SystemClock.instant + .seconds(5), SystemClock.instant + .seconds(60))
        func isEnough() -> Bool { history.writes.count > 5 && history.promises.count > 5 }
        while SystemClock.instant < end || !isEnough() && SystemClock.instant < latest {
            try step()
            let now = SystemClock.instant
            for reader in readers where random.below(3) == 0 {
                try reader.begin(menu, random.pick(["", "&limit=1", "&limit=2", "&limit=3&include_inactive=true"]))
            }
            if now >= nextWrite {
                nextWrite = now + .milliseconds(20 + random.below(random.pick([30, 1_500])))
                if random.below(4) == 0 { try invalidate(random.below(2)) } else { try write() }
            }
            if now >= nextFault {
                nextFault = now + .milliseconds(100 + random.below(400))
                try disturb()
            }
        }
        // When all is well again, everybody has the last word within a second of it.
        redis.proceed()
        redis.kill()
        try redis.start()
        proxy.isSilent = false
        proxy.hangUp()
        try nodes[1].wait(for: "Postgres", atMost: .seconds(20)) {
            (try? nodes[1].request(.get, "/health/ready").status) == 200
        }
        let quiet = SystemClock.instant + .milliseconds(1_100)
        while SystemClock.instant < quiet { try step() }
        for reader in readers { try reader.begin(menu, "") }
        let count = history.reads.count
        let deadline = SystemClock.instant + Duration.seconds(5).patient
        while history.reads.count < count + readers.count, SystemClock.instant < deadline {
            try step()
            for reader in readers { try reader.begin(menu, "") }
        }
        let last = try #require(history.writes.last)
        for read in history.reads.suffix(readers.count) { #expect(read.marker == last.marker) }

        let faults = history.faults()
        #expect(faults.isEmpty, "seed \(seed): \(faults.prefix(20).joined(separator: "\n"))")
        let states = Dictionary(grouping: history.reads, by: \.cache).mapValues(\.count)
        #expect(states["HIT"] ?? 0 > 0 && states["MISS"] ?? 0 > 0, "\(states)")
        #expect(isEnough())
    }

    @Test("is told from one that has something too old in it")
    func checker() {
        func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
        func read(_ time: Int64, _ version: Int64, _ marker: String, _ cache: String = "HIT") -> MenuHistory.Read {
            MenuHistory.Read(
                node: 0, reader: 0, begunAt: at(time), version: version, cache: cache, marker: marker)
        }
        let writes = [
            MenuHistory.Write(version: 1, marker: "a", committedAt: at(0)),
            MenuHistory.Write(version: 3, marker: "b", committedAt: at(5_000)),
        ]
        let promise = MenuHistory.Promise(node: 0, madeAt: at(5_500), version: 3)
        let rows: [([MenuHistory.Read], [MenuHistory.Promise], Int)] = [
            ([read(100, 1, "a"), read(5_900, 1, "a"), read(6_100, 3, "b"), read(6_200, 4, "b")], [], 0),
            ([read(6_100, 1, "a")], [], 1), ([read(6_100, 1, "a", "STALE")], [], 0),
            ([read(5_600, 1, "a")], [promise], 1), ([read(5_600, 1, "a", "STALE")], [promise], 1),
            ([read(5_400, 1, "a")], [promise], 0), ([read(5_100, 3, "a")], [], 1), ([read(5_100, 2, "a")], [], 0),
            ([read(5_100, 3, "b"), read(5_200, 2, "a")], [], 1),
        ]
        for (index, (reads, promises, faults)) in rows.enumerated() {
            let history = MenuHistory(writes: writes, reads: reads, promises: promises)
            #expect(history.faults().count == faults, "row \(index): \(history.faults())")
        }
    }
}
