import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Rights that are taken away")
struct RevocationTests {
    /// Who is concerned by what.
    private static let changes: [(name: String, sql: String)] = [
        ("deactivated", "update users set is_active = false where id = USER"),
        ("deleted", "delete from users where id = USER"),
        ("of another role", "update users set role = 'manager' where id = USER"),
        ("of another restaurant", "update users set restaurant_id = null where id = USER"),
        ("restaurant closed", "update restaurants set is_active = false where id = RESTAURANT"),
        ("restaurant deleted", "delete from restaurants where id = RESTAURANT"),
        (
            "by a program that says nothing",
            "set fynlo.server = 'on'; update users set is_active = false where id = USER"
        ),
    ]

    @Test(
        "in the database, by whatever program, close the connections of whom they concern, and nobody else's",
        arguments: changes)
    func closed(change: (name: String, sql: String)) throws {
        let server = try TestServer()
        let database = server.database
        let restaurant = try database.addRestaurant()
        let elsewhere = try database.addRestaurant()
        let user = try database.addUser(.employee, at: restaurant)
        let concerned = [
            try server.authenticatedTablet(user, at: restaurant), try server.authenticatedTablet(user, at: restaurant),
        ]
        let colleague = try server.staffTablet(at: restaurant, .manager)
        let stranger = try server.staffTablet(at: elsewhere)
        // What changes nobody's rights closes nobody.
        try database.run("update users set full_name = 'Ana', is_active = is_active")
        try server.settle()
        #expect(concerned.allSatisfy { !$0.isClosed })

        let start = server.loop.now.instant
        try database.run(
            change.sql.replacing("USER", with: "'\(user.id)'").replacing("RESTAURANT", with: "'\(restaurant)'"))
        try server.wait(for: "4006") { concerned.allSatisfy(\.isClosed) }
        // Two seconds by contract, and some patience with a busy machine.
        #expect(server.loop.now.instant - start < .milliseconds(3_000))
        #expect(concerned.allSatisfy { $0.closeCode == 4006 })
        if change.name.hasPrefix("restaurant") {
            try server.wait(for: "everybody's end") { colleague.isClosed }
        } else {
            #expect(!colleague.isClosed)
        }
        #expect(!stranger.isClosed)
        stranger.say(type: "ping")
        try server.wait(for: "a pong") { stranger.messages("pong").count == 1 }
    }

    @Test("of a platform owner are noticed in every restaurant")
    func platformOwner() throws {
        let server = try TestServer()
        let owner = try server.database.addUser(.platformOwner, at: nil)
        let restaurants = try (0..<3).map { _ in try server.database.addRestaurant() }
        let tablets = try restaurants.map { try server.authenticatedTablet(owner, at: $0) }
        try server.database.run("update users set role = 'employee' where id = '\(owner.id)'")
        try server.wait(for: "4006") { tablets.allSatisfy(\.isClosed) }
        #expect(tablets.allSatisfy { $0.closeCode == 4006 })
    }

    @Test("by a second employment that ends are noticed there, and not at home")
    func membership() throws {
        let server = try TestServer()
        let home = try server.database.addRestaurant()
        let second = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: home)
        try server.database.run("insert into user_restaurants values ('\(user.id)', '\(second)')")
        let tablets = [
            try server.authenticatedTablet(user, at: home), try server.authenticatedTablet(user, at: second),
        ]
        try server.database.run("delete from user_restaurants")
        try server.wait(for: "4006") { tablets[1].isClosed }
        #expect(tablets[1].closeCode == 4006)
        try server.settle()
        #expect(!tablets[0].isClosed)
    }

    @Test("are followed by HTTP within two seconds, be it by a program that says nothing", arguments: ["", "on"])
    func overHTTP(_ setting: String) throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let (menu, orders) = ("/api/v1/menu?restaurant_id=\(restaurant)", "/api/v1/orders?restaurant_id=\(restaurant)")
        func status(_ target: String) throws -> Int { try server.request(.get, target, token: user.token()).status }
        for _ in 0..<2 { #expect(try status(menu) == 200 && status(orders) == 200) }
        for (change, expected) in [("restaurant_id = null", 403), ("is_active = false", 401)] {
            try server.database.run(
                "set fynlo.server = '\(setting)'; update users set \(change) where id = '\(user.id)'")
            let start = SystemClock.instant
            #expect(try status(orders) == expected)
            while try status(menu) != expected {
                try #require(SystemClock.instant - start < .seconds(2).patient)
                try server.settle(.milliseconds(20))
            }
        }
    }

    @Test("are noticed when the database is back, if it was away in between")
    func databaseAway() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        try server.database.terminateServers()
        try server.database.run("set fynlo.server = 'on'; update users set is_active = false where id = '\(user.id)'")
        try server.wait(for: "4006") { tablet.isClosed }
        #expect(tablet.closeCode == 4006)
    }
}
