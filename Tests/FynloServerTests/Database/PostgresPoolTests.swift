import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The pool of connections to Postgres")
struct PostgresPoolTests {
    /// A pool on a loop of its own, and the replies to each request.
    private final class User {
        let loop: EventLoop
        let pool: PostgresPool
        private let ownsLoop: Bool
        private(set) var replies: [Int: [Result<PostgresResult, PostgresError>]] = [:]

        init(
            url: String, loop: EventLoop? = nil, queryTimeout: Duration = .seconds(5),
            limits: PostgresPool.Limits = PostgresPool.Limits()
        ) throws {
            ownsLoop = loop == nil
            self.loop = try loop ?? EventLoop()
            pool = PostgresPool(
                loop: self.loop, settings: try PostgresSettings(url: url, queryTimeout: queryTimeout),
                log: Logger(level: .error, format: .text), limits: limits)
            pool.start()
        }

        deinit {
            pool.close()
            if ownsLoop { loop.close() }
        }

        /// Sends a statement under a number.
        func send(
            _ sql: String, _ parameters: [PostgresValue] = [], as number: Int,
            _ sharing: PostgresPool.Sharing = .exclusive
        ) {
            pool.send(PostgresStatement(name: sql, sql: sql), parameters, sharing) { [weak self] result in
                self?.replies[number, default: []].append(result)
            }
        }

        func wait(
            for what: String, atMost limit: Duration = .seconds(10),
            sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool
        ) throws {
            let deadline = SystemClock.instant + limit.patient
            // Looks often: what happens in the database wakes no loop.
            while !condition(), SystemClock.instant < deadline { try loop.turn(timeout: .milliseconds(10)) }
            try #require(condition(), "waited \(limit) for \(what)", sourceLocation: sourceLocation)
        }

        /// What the first reply to a number was an answer with.
        func value(_ number: Int) -> String? {
            guard case .success(let rows) = replies[number]?.first else { return nil }
            return rows.first?.string(0)
        }
    }

    /// Keeps a transaction-level advisory lock, to have a statement wait.
    private static func lock(_ key: Int, in database: TestDatabase) throws -> RowLock {
        try RowLock("select pg_advisory_xact_lock(\(key))", in: database)
    }

    private static func waiting(_ key: Int) -> String { "select pg_advisory_xact_lock(\(key))" }

    /// A key nobody else uses; advisory locks are the whole database's.
    private static func key() -> Int { Int(TestDatabase.randomUUID().high & 0x3fff_ffff) }

    @Test("calls each reply once, also when a request cannot even be sent")
    func unsendable() throws {
        let database = try TestDatabase()
        var limits = PostgresPool.Limits()
        limits.exclusiveConnections = 1
        let user = try User(url: database.url, limits: limits)
        user.send("select 0", as: 0)
        try user.wait(for: "the first answer") { user.value(0) == "0" }
        // libpq takes no more than 65,535 parameters, and says so at once.
        for number in 1...2 {
            user.send("select 1", [PostgresValue](repeating: .null, count: 70_000), as: number)
        }
        for number in 3...5 { user.send("select \(number)", as: number) }
        try user.wait(for: "all answers") { (1...5).allSatisfy { user.replies[$0] != nil } }
        _ = try user.loop.run(until: { false }, for: .milliseconds(100))
        for number in 0...5 { #expect(user.replies[number]?.count == 1, "request \(number)") }
        for number in 1...2 { #expect(user.value(number) == nil) }
    }

    @Test("gives up a connection that talks nonsense")
    func nonsense() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let postgres = try FakePostgres(loop)
        // A message of no known type and of a length that cannot be.
        postgres.onRequest = { $0.send(Array(repeating: UInt8(ascii: "x"), count: 64)) }
        let user = try User(url: postgres.url(), loop: loop)
        user.send("select 1", as: 1)
        user.send("select 2", as: 2, .shortRead)
        try user.wait(for: "the replies") { user.replies.count == 2 }
        for number in 1...2 {
            guard case .failure(let error) = user.replies[number]?.first else {
                Issue.record("nonsense was taken for an answer")
                continue
            }
            #expect(error.isTemporary)
        }
        try user.wait(for: "the end of the connections") { postgres.clients.prefix(2).allSatisfy(\.isAtEnd) }
        user.pool.close()
        postgres.close()
    }

    @Test("keeps no timers for requests that have been answered")
    func timers() throws {
        let database = try TestDatabase()
        let user = try User(url: database.url)
        for number in 0..<200 {
            user.send("select 1", as: number)
            try user.wait(for: "the answer") { user.replies[number] != nil }
        }
        #expect(user.loop.timerCount < 20)
    }

    @Test("refuses what waited too long for a connection, and only that")
    func late() throws {
        let database = try TestDatabase()
        let key = Self.key()
        var limits = PostgresPool.Limits()
        limits.exclusiveConnections = 1
        let user = try User(url: database.url, queryTimeout: .milliseconds(1_500), limits: limits)
        let lock = try Self.lock(key, in: database)
        user.send(Self.waiting(key), as: 0)
        try user.wait(for: "the lock to be waited for") { lock.isInTheWay }
        user.send("select 1", as: 1)
        // The first gives way by its lock_timeout, a little before the second has waited too long.
        try user.wait(for: "both") { user.replies.count == 2 }
        #expect(user.value(1) == "1")
        // Nobody gives way to the third but its own time.
        user.send("select pg_sleep(1.2) is null", as: 2)
        user.send("select 3", as: 3)
        user.send("select pg_sleep(1.2) is null", as: 4)
        user.send("select 5", as: 5)
        try user.wait(for: "the others") { user.replies.count == 6 }
        #expect(user.value(3) == "3")
        guard case .failure(.overloaded) = user.replies[5]?.first else {
            Issue.record("the last one did not wait too long: \(user.replies[5] ?? [])")
            return
        }
        guard case .failure(let error) = user.replies[0]?.first else {
            Issue.record("the lock let it through")
            return
        }
        #expect(error.isTemporary)
        lock.release()
    }

    @Test("serves those who wait by a new connection while the others are busy, also after several were lost")
    func lostBesideBusy() throws {
        let database = try TestDatabase()
        let (first, second) = (Self.key(), Self.key())
        var limits = PostgresPool.Limits()
        limits.exclusiveConnections = 2
        let user = try User(url: database.url, queryTimeout: .seconds(20), limits: limits)
        let longLock = try Self.lock(first, in: database)
        let lock = try Self.lock(second, in: database)
        user.send(Self.waiting(first), as: 0)
        try user.wait(for: "the long lock to be waited for") { longLock.isInTheWay }
        for number in 1...2 {
            user.send(Self.waiting(second), as: number)
            try user.wait(for: "the lock to be waited for") { lock.isInTheWay }
            if number == 2 { user.send("select 3", as: 3) }
            try lock.terminateWaiting()
            try user.wait(for: "the loss") { user.replies[number] != nil }
        }
        try user.wait(for: "the one that waits", atMost: .seconds(5)) { user.replies[3] != nil }
        #expect(user.value(3) == "3")
        #expect(user.replies[0] == nil)
        longLock.release()
        lock.release()
        try user.wait(for: "the first") { user.replies[0] != nil }
        #expect(user.replies.values.allSatisfy { $0.count == 1 })
    }

    @Test("tries every address of a host that is a name, and every host")
    func addresses() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let postgres = try FakePostgres(loop)
        let nobody = try #require(SocketAddress(host: "127.0.0.2", port: 0))
        let somebody = try #require(SocketAddress(host: "127.0.0.1", port: 0))
        let rows: [(host: String, names: [String], found: [String: [SocketAddress]])] = [
            ("db.example", ["db.example"], ["db.example": [nobody, somebody]]),
            ("a.example,b.example", ["a.example", "b.example"], ["a.example": [nobody], "b.example": [somebody]]),
            ("gone.example,b.example", ["gone.example", "b.example"], ["gone.example": [], "b.example": [somebody]]),
            ("gone.example,127.0.0.1", ["gone.example"], ["gone.example": []]),
        ]
        for row in rows {
            let port = postgres.address.port
            let url = "host=\(row.host) port=\(port) user=x dbname=x sslmode=disable gssencmode=disable"
            let settings = try PostgresSettings(url: url, queryTimeout: .seconds(1))
            #expect(settings.hostsToResolve == row.names)
            for attempt in 0...2 {
                let resolved = try #require(settings.resolved(to: row.found, startingAt: attempt))
                #expect(resolved.hostsToResolve.isEmpty)
                let connection = PostgresConnection(loop: loop, settings: resolved)
                var isReady = false
                connection.whenReady = { isReady = true }
                connection.open()
                let came = try loop.run(until: { isReady }, for: .seconds(5))
                #expect(came, "\(row.host), attempt \(attempt)")
                connection.close(.overloaded)
            }
        }
        let nowhere = try PostgresSettings(url: "host=gone.example user=x dbname=x", queryTimeout: .seconds(1))
        #expect(nowhere.resolved(to: ["gone.example": []]) == nil)
        postgres.close()
    }

    @Test("looks names up, and says which one there is not", arguments: ["localhost", "localhost,localhost"])
    func names(host: String) throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let postgres = try FakePostgres(loop)
        for host in [host, "nowhere.invalid"] {
            let port = postgres.address.port
            let url = "host=\(host) port=\(port) user=x dbname=x sslmode=disable gssencmode=disable"
            let connection = PostgresConnection(
                loop: loop, settings: try PostgresSettings(url: url, queryTimeout: .seconds(1)))
            var isReady = false
            var end: PostgresError?
            connection.whenReady = { isReady = true }
            connection.whenClosed = { end = $0 }
            connection.open()
            _ = try loop.run(until: { isReady || end != nil }, for: .seconds(10))
            #expect(isReady == (host != "nowhere.invalid"))
            if !isReady { #expect(end?.description.contains(host) == true) }
            connection.close(.overloaded)
        }
        postgres.close()
    }

    @Test("calls each reply once, however often the connections are cut", arguments: 1...4 as ClosedRange<UInt64>)
    func cuts(seed: UInt64) throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let proxy = try DatabaseProxy(loop: loop, to: database)
        var limits = PostgresPool.Limits()
        limits.shortReadsInFlight = 8
        limits.exclusiveConnections = 3
        let user = try User(url: proxy.url, loop: loop, limits: limits)
        var random = SeededRandom(seed: seed)
        var count = 0
        for _ in 0..<40 {
            for _ in 0..<random.below(20) {
                user.send("select \(random.below(5))", as: count, random.pick([.exclusive, .shortRead]))
                count += 1
            }
            for _ in 0..<random.below(6) { try loop.turn(timeout: .milliseconds(5)) }
            switch random.below(4) {
            case 0: proxy.hangUp()
            case 1: proxy.holdsAnswers.toggle()
            default: break
            }
        }
        proxy.holdsAnswers = false
        try user.wait(for: "all replies", atMost: .seconds(20)) { user.replies.count == count }
        try user.wait(for: "an answer", atMost: .seconds(20)) {
            user.send("select 'well'", as: count)
            _ = try? loop.run(until: { user.replies[count] != nil }, for: .seconds(10))
            count += 1
            return user.value(count - 1) == "well"
        }
        #expect(user.replies.count == count)
        #expect(user.replies.values.allSatisfy { $0.count == 1 })
        // The end of a short read may come after its answer.
        try user.wait(for: "nothing left to do") { user.pool.requestCount == 0 }
        proxy.close()
    }
}
