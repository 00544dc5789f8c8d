import Foundation
import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

@Suite("A database that was restored from a back-up")
struct RestoreTests {
    @Test("has every tablet load anew, whatever it has seen; what happens then comes as ever")
    func resync() throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.employee, at: restaurant)
        let order = try database.addOrder(at: restaurant)
        func change(_ count: Int) throws {
            for number in 0..<count {
                try database.run("update orders set notes = 'note \(UUID()) \(number)' where id = '\(order)'")
            }
        }
        try change(29)
        let version = try database.value(
            "select menu_version from restaurant_streams where restaurant_id = '\(restaurant)'")

        // The back-up knew of 20 events, and a tablet has seen 30.
        try database.run(
            """
            delete from restaurant_events where restaurant_id = '\(restaurant)' and seq > 20;
            update restaurant_streams set head = 20 where restaurant_id = '\(restaurant)';
            """)
        try database.run(try Repository.text("deploy/after-restore.sql"))
        let server = try TestServer(database: database)
        // More events than the tablet is ahead: its number would be one of them.
        try change(15)

        let tablet = try server.tablet(at: restaurant)
        tablet.authenticate(user, at: restaurant, lastSequence: 30)
        try server.wait(for: "the answer") { tablet.messages.count >= 2 }
        #expect(tablet.messages[0]["data"]["resumed"].boolean == false)
        #expect(tablet.messages[1]["type"].string == "resync_required")
        #expect(tablet.messages[1]["data"]["seq"].integer == 1_000_035)
        try change(1)
        try server.wait(for: "the next event") { tablet.events.count == 1 }
        #expect(tablet.events[0]["seq"].integer == 1_000_036)

        let events = try server.request(
            .get, "/api/v1/events?restaurant_id=\(restaurant)&after=30", token: user.token())
        #expect(events.status == 410)
        let menu = try server.request(.get, "/api/v1/menu?restaurant_id=\(restaurant)", token: user.token())
        let newVersion = menu.headers.first("x-menu-version").flatMap { Int($0) } ?? 0
        #expect(newVersion == (version.flatMap { Int($0) } ?? 0) + 1_000_000)
    }
}
