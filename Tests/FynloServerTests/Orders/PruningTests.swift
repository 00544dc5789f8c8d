import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("What is old enough")
struct PruningTests {
    private func count(_ database: TestDatabase, _ table: String) throws -> Int {
        try #require(try database.value("select count(*) from \(table)").flatMap { Int($0) })
    }

    /// A restaurant with events and answers: `old` ones of eight days ago, and `fresh` ones of six.
    private func restaurant(_ database: TestDatabase, old: Int, fresh: Int) throws -> RestaurantID {
        let restaurant = try database.addRestaurant()
        try database.run(
            """
            insert into restaurant_events (restaurant_id, seq, type, data, created_at)
            select '\(restaurant)', n, 'menu.updated', json_build_object('version', n),
                now() - case when n <= \(old) then '8 d' else '6 d' end::interval
            from generate_series(1, \(old + fresh)) n;
            update restaurant_streams set head = \(old + fresh) where restaurant_id = '\(restaurant)';
            insert into processed_commands (restaurant_id, user_id, message_id, created_at)
            select '\(restaurant)', gen_random_uuid(), n::text,
                now() - case when n <= \(old) then '8 d' else '6 d' end::interval
            from generate_series(1, \(old + fresh)) n
            """)
        return restaurant
    }

    @Test("is forgotten in batches, by nodes that do not get in each other's way; what is younger stays")
    func forgotten() throws {
        let database = try TestDatabase()
        let restaurant = try restaurant(database, old: 1_300, fresh: 20)
        let server = try TestServer(database: database)
        let node = try TestServer(database: database, loop: server.loop)
        try server.wait(for: "the old ones to go") {
            (try? count(database, "restaurant_events")) == 20 && (try? count(database, "processed_commands")) == 20
        }
        let first = try database.value("select min(seq) from restaurant_events")
        #expect(first == "1301")
        // Who has seen the last that went resumes; who has not reloads.
        let user = try database.addUser(.employee, at: restaurant)
        for (seen, isResumed) in [(1_300, true), (1_299, false)] {
            let tablet = try node.tablet(at: restaurant)
            tablet.authenticate(user, at: restaurant, lastSequence: seen)
            try node.wait(for: "an answer") { !tablet.messages.isEmpty }
            #expect(tablet.messages[0]["data"]["resumed"].boolean == isResumed)
        }
    }

    @Test("and held by another program is left where it is, and nobody waits for it")
    func held() throws {
        let database = try TestDatabase()
        let restaurant = try restaurant(database, old: 30, fresh: 5)
        let lock = try RowLock("select from restaurant_events where seq = 7 for update", in: database)
        let server = try TestServer(database: database)
        let tablet = try server.staffTablet(at: restaurant)
        let order = try database.addOrder(at: restaurant)
        try server.wait(for: "the others to go") { (try? count(database, "restaurant_events")) == 7 }
        #expect(!lock.isInTheWay)
        tablet.update(order, to: .ready, id: "meanwhile")
        try server.wait(for: "an answer") { tablet.answers(to: "meanwhile").count == 1 }
        lock.release()
    }

    @Test("is what the operator says", arguments: [true, false])
    func configured(isShort: Bool) throws {
        let database = try TestDatabase()
        _ = try restaurant(database, old: 10, fresh: 10)
        let age = isShort ? "5d" : "30d"
        let server = try TestServer(
            ["FYNLO_EVENT_RETENTION": age, "FYNLO_IDEMPOTENCY_WINDOW": age], database: database)
        if isShort {
            try server.wait(for: "all to go") {
                (try? count(database, "restaurant_events")) == 0 && (try? count(database, "processed_commands")) == 0
            }
        } else {
            try server.settle(.milliseconds(600))
            #expect(try count(database, "restaurant_events") == 20)
            #expect(try count(database, "processed_commands") == 20)
        }
    }
}
