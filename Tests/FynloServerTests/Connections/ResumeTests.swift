import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("A tablet that comes back")
struct ResumeTests {
    private func numbers(_ tablet: TestTablet) -> [Int] {
        tablet.events.compactMap { $0["seq"].integer }
    }

    /// A tablet that has seen everything up to `sequence`.
    private func returning(
        _ server: TestServer, _ user: TestUser, at restaurant: RestaurantID, after sequence: Int,
        receiveBufferBytes: Int32? = nil
    ) throws -> TestTablet {
        let tablet = try server.tablet(at: restaurant, receiveBufferBytes: receiveBufferBytes)
        tablet.authenticate(user, at: restaurant, lastSequence: sequence)
        return tablet
    }

    /// A restaurant with events 1 to `count`.
    private func restaurant(_ database: TestDatabase, events count: Int) throws -> RestaurantID {
        let restaurant = try database.addRestaurant()
        if count > 0 {
            try database.run(
                "insert into orders (restaurant_id) select '\(restaurant)' from generate_series(1, \(count))")
        }
        return restaurant
    }

    @Test(
        "is sent what it missed right after it is told so, or told that it has to load everything anew",
        arguments: [
            (head: 0, seen: 0, missed: 0, isResumed: true), (head: 5, seen: 5, missed: 0, isResumed: true),
            (head: 5, seen: 4, missed: 1, isResumed: true), (head: 5, seen: 0, missed: 5, isResumed: true),
            (head: 1_000, seen: 0, missed: 1_000, isResumed: true),
            (head: 1_001, seen: 1, missed: 1_000, isResumed: true),
            (head: 1_001, seen: 0, missed: 0, isResumed: false), (head: 5, seen: 6, missed: 0, isResumed: false),
            (head: 0, seen: 1, missed: 0, isResumed: false), (head: 5, seen: Int.max, missed: 0, isResumed: false),
        ])
    func missed(row: (head: Int, seen: Int, missed: Int, isResumed: Bool)) throws {
        let server = try TestServer()
        let restaurant = try restaurant(server.database, events: row.head)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try returning(server, user, at: restaurant, after: row.seen)
        try server.wait(for: "all of it") { tablet.messages.count >= 1 + (row.isResumed ? row.missed : 1) }
        let first = tablet.messages[0]
        #expect(first["type"].string == "authenticated")
        #expect(first["data"]["resumed"].boolean == row.isResumed)
        #expect(first["data"]["seq"].integer == row.head)
        if row.isResumed {
            #expect(numbers(tablet) == Array(row.seen..<row.head).map { $0 + 1 })
        } else {
            #expect(tablet.messages[1]["type"].string == "resync_required")
            #expect(tablet.messages[1]["data"]["seq"].integer == row.head)
            #expect(numbers(tablet) == [])
        }
        // And what happens now follows.
        _ = try server.database.addOrder(at: restaurant)
        try server.wait(for: "the next event") { numbers(tablet).last == row.head + 1 }
        #expect(tablet.messages.count == 1 + (row.isResumed ? row.missed : 1) + 1)
    }

    @Test("is told to load everything anew when what it missed is no longer kept")
    func pruned() throws {
        let server = try TestServer()
        let restaurant = try restaurant(server.database, events: 20)
        let user = try server.database.addUser(.employee, at: restaurant)
        try server.database.run("delete from restaurant_events where seq <= 10")
        let early = try returning(server, user, at: restaurant, after: 9)
        let exact = try returning(server, user, at: restaurant, after: 10)
        try server.wait(for: "both") { early.messages.count == 2 && numbers(exact).count == 10 }
        #expect(early.messages[1]["type"].string == "resync_required")
        #expect(numbers(exact) == Array(11...20))
        try server.database.run("delete from restaurant_events")
        let late = try returning(server, user, at: restaurant, after: 19)
        try server.wait(for: "the last") { late.messages.count == 2 }
        #expect(late.messages[1]["data"]["seq"].integer == 20)
    }

    @Test("misses nothing and gets nothing twice while changes go on, on two nodes, by programs of all kinds")
    func whileChangesGoOn() throws {
        let server = try TestServer()
        let node = try TestServer(database: server.database, loop: server.loop)
        let restaurant = try restaurant(server.database, events: 300)
        let order = try server.database.addOrder(at: restaurant)
        let writer = try server.staffTablet(at: restaurant)
        let users = try (0..<10).map { _ in try server.database.addUser(.employee, at: restaurant) }
        var tablets: [(tablet: TestTablet, seen: Int)] = []
        for (number, user) in users.enumerated() {
            for seen in [number * 30, 300 - number] {
                tablets.append(
                    (try returning(number % 2 == 0 ? server : node, user, at: restaurant, after: seen), seen))
            }
            try server.database.run("update orders set notes = '\(number)' where id = '\(order)'")
            let fresh = try server.database.addOrder(at: restaurant)
            writer.update(fresh, to: .ready, id: "c\(number)")
            try server.wait(for: "an answer") { writer.answers(to: "c\(number)").count == 1 }
        }
        let head = 331
        try server.wait(for: "everybody to have the last one") {
            tablets.allSatisfy { numbers($0.tablet).last == head }
        }
        for (tablet, seen) in tablets { #expect(numbers(tablet) == Array(seen + 1...head)) }
    }

    @Test("that many do at the same time is read from the database once for all of them")
    func storm() throws {
        let database = try TestDatabase()
        let restaurant = try restaurant(database, events: 150)
        // A log that counts how often it is read.
        try database.run(
            """
            create sequence readings;
            alter table restaurant_events rename to log;
            create function read_log() returns setof log language plpgsql volatile as $$
            begin
                perform nextval('readings');
                return query table log;
            end
            $$;
            create view restaurant_events as select * from read_log()
            """)
        let server = try TestServer(database: database)
        let users = try (0..<10).map { _ in try database.addUser(.employee, at: restaurant) }
        var tablets: [TestTablet] = []
        for user in users {
            for _ in 0..<5 { tablets.append(try returning(server, user, at: restaurant, after: 100)) }
        }
        try server.wait(for: "all") { tablets.allSatisfy { numbers($0).count == 50 } }
        #expect(tablets.allSatisfy { numbers($0) == Array(101...150) })
        let readings = try #require(try database.value("select last_value from readings").flatMap { Int($0) })
        // The look-ups of who they are, many in one statement, ask how far back the log goes; if each tablet had what it
        // missed read for itself, it would be 50 more.
        #expect((2..<50).contains(readings))
    }

    @Test("and reads slowly is sent what it missed no faster than it reads, and keeps its connection")
    func slowReader() throws {
        let server = try TestServer(["FYNLO_SEND_QUEUE": "200000"])
        let restaurant = try server.database.addRestaurant()
        try server.database.run(
            """
            insert into restaurant_events (restaurant_id, seq, type, data)
            select '\(restaurant)', n, 'system.notification',
                json_build_object('title', 'Long', 'message', repeat('x', 4000), 'data', '{}'::json)
            from generate_series(1, 1000) n;
            update restaurant_streams set head = 1000 where restaurant_id = '\(restaurant)'
            """)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.tablet(at: restaurant, receiveBufferBytes: 65_536)
        try server.wait(for: "the upgrade") { tablet.isUpgraded }
        tablet.authenticate(user, at: restaurant, lastSequence: 0)
        tablet.isReading = false
        let other = try server.staffTablet(at: restaurant)
        for number in 0..<3 {
            try server.database.run("insert into orders (restaurant_id, notes) values ('\(restaurant)', '\(number)')")
        }
        try server.wait(for: "the other to have it") { numbers(other).count == 3 }
        tablet.isReading = true
        try server.wait(for: "everything") { numbers(tablet).count == 1_003 }
        #expect(numbers(tablet) == Array(1...1_003))
        #expect(!tablet.isClosed)
    }

    @Test("resumes after the server was restarted")
    func restart() throws {
        let database = try TestDatabase()
        let restaurant = try restaurant(database, events: 3)
        let user = try database.addUser(.employee, at: restaurant)
        var server: TestServer? = try TestServer(database: database)
        let tablet = try #require(server).authenticatedTablet(user, at: restaurant)
        _ = try database.addOrder(at: restaurant)
        try #require(server).wait(for: "an event") { numbers(tablet) == [4] }
        server = nil
        for _ in 0..<3 { _ = try database.addOrder(at: restaurant) }
        let again = try TestServer(database: database)
        let back = try returning(again, user, at: restaurant, after: 4)
        try again.wait(for: "the rest") { numbers(back) == [5, 6, 7] }
        #expect(back.messages.first?["data"]["resumed"].boolean == true)
    }
}
