import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Tablets that all come at once")
struct StormTests {
    private static let settings = [
        "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "1000", "FYNLO_MAX_CONNECTIONS_PER_USER": "1000",
        "FYNLO_MAX_UNAUTHENTICATED": "1000",
    ]

    /// Tablets that are connected and have not said who they are.
    private func crowd(_ count: Int, on server: TestServer, at restaurant: RestaurantID) throws -> [TestTablet] {
        let tablets = try (0..<count).map { _ in try server.tablet(at: restaurant) }
        try server.wait(for: "the upgrades") { tablets.allSatisfy(\.isUpgraded) }
        return tablets
    }

    private func isIn(_ tablet: TestTablet) -> Bool {
        tablet.messages.first?["type"].string == "authenticated"
    }

    @Test("do not make those of another restaurant wait for all of them")
    func fair() throws {
        let server = try TestServer(Self.settings)
        let large = try server.database.addRestaurant()
        let small = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: large)
        let other = try server.database.addUser(.employee, at: small)
        let tablets = try crowd(600, on: server, at: large)
        let late = try crowd(3, on: server, at: small)
        for tablet in tablets { tablet.authenticate(user, at: large) }
        try server.wait(for: "the first of them") { tablets.contains(where: isIn) }
        for tablet in late { tablet.authenticate(other, at: small) }
        try server.wait(for: "everybody") { (tablets + late).allSatisfy(isIn) }
        func time(_ tablet: TestTablet) -> String { tablet.messages[0]["timestamp"].string ?? "" }
        let last = late.map(time).max() ?? ""
        #expect(tablets.count { time($0) > last } > 100)
    }

    @Test("while the database does not know them are told to come back, and those who are in notice nothing")
    func slowDatabase() throws {
        let server = try TestServer(Self.settings.merging(["FYNLO_QUERY_TIMEOUT": "500ms"]) { $1 })
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let order = try server.database.addOrder(at: restaurant)
        let tablets = try crowd(100, on: server, at: restaurant)
        let lock = try RowLock("lock table user_restaurants in access exclusive mode", in: server.database)
        for tablet in tablets { tablet.authenticate(user, at: restaurant) }
        try server.wait(for: "a look-up to hang") { lock.isInTheWay }

        // Commands, events of other programs and pongs go their own ways.
        tablet.say(type: "ping")
        tablet.update(order, to: .pending, id: "meanwhile")
        try server.database.run("update orders set notes = 'by another program' where id = '\(order)'")
        try server.wait(for: "a pong, an answer and both events") {
            tablet.messages("pong").count == 1 && tablet.answers(to: "meanwhile").count == 1
                && tablet.events.count == 3
        }
        #expect(tablets.allSatisfy { !self.isIn($0) })

        try server.wait(for: "everybody to be told", atMost: .seconds(30)) { tablets.allSatisfy(\.isClosed) }
        for tablet in tablets {
            #expect(tablet.messages.last?["data"]["code"].string == "unavailable")
            #expect(tablet.messages.last?["data"]["retryable"].boolean == true)
            #expect(tablet.closeCode == 4000)
        }
        lock.release()
        let back = try crowd(20, on: server, at: restaurant)
        for tablet in back { tablet.authenticate(user, at: restaurant) }
        try server.wait(for: "those who came back") { back.allSatisfy(isIn) }
    }

    @Test("and leave again while they wait are not looked up")
    func leaving() throws {
        let server = try TestServer(Self.settings.merging(["FYNLO_QUERY_TIMEOUT": "10s"]) { $1 })
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablets = try crowd(100, on: server, at: restaurant)
        let lock = try RowLock("lock table user_restaurants in access exclusive mode", in: server.database)
        for tablet in tablets { tablet.authenticate(user, at: restaurant) }
        try server.wait(for: "a look-up to hang") { lock.isInTheWay }
        for tablet in tablets { tablet.close() }
        let stays = try server.tablet(at: restaurant)
        try server.wait(for: "the upgrade") { stays.isUpgraded }
        stays.authenticate(user, at: restaurant)
        try server.settle()
        lock.release()
        try server.wait(for: "the one who stays") { isIn(stays) }
        try server.wait(for: "the others to be forgotten") { server.server.hub.connectionCount == 1 }
        #expect(server.server.hub.tabletCount == 1)
    }
}
