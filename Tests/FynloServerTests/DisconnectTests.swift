import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

@Suite("Tablets that vanish")
struct DisconnectTests {
    /// How far a tablet comes before it is gone.
    enum Moment: String, CaseIterable {
        case connected, halfUpgrade, upgraded, authenticating, authenticated, commandInFlight, closing
    }

    enum Way: String, CaseIterable {
        case close, reset, halfClose
    }

    @Test("leave nothing behind, whenever and however they go", arguments: Moment.allCases, Way.allCases)
    func vanish(moment: Moment, way: Way) throws {
        let server = try TestServer()
        let hub = server.server.hub
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.manager, at: restaurant)
        let order = try server.database.addOrder(at: restaurant)
        // What takes the database a while is held up by a lock.
        let locker = try server.database.anotherSession()

        weak var connection: ClientConnection?
        var tablet: TestSocket
        switch moment {
        case .connected, .halfUpgrade:
            tablet = try TestSocket(loop: server.loop, address: server.address)
            if moment == .halfUpgrade { tablet.send(Array("GET /api/v1/webso".utf8)) }
        case .upgraded, .authenticating:
            let upgraded = try server.tablet(at: restaurant)
            try server.wait(for: "the upgrade") { upgraded.upgrade != nil }
            if moment == .authenticating {
                _ = try locker.execute("begin; lock table users in access exclusive mode").get()
                upgraded.authenticate(user, at: restaurant)
                try server.wait(for: "the look-up") { hub.connection(1)?.isAuthenticating == true }
            }
            tablet = upgraded
        case .authenticated, .commandInFlight, .closing:
            let authenticated = try server.authenticatedTablet(user, at: restaurant)
            if moment == .commandInFlight {
                _ = try locker.execute("begin; select 1 from orders where id = '\(order)' for update").get()
                authenticated.say(
                    #"{"type":"order.status_update","id":"c","data":{"order_id":"\#(order)","status":"ready"}}"#)
                authenticated.say(#"{"type":"ping"}"#)
                try server.wait(for: "the ping behind it") { !authenticated.messages("pong").isEmpty }
            }
            if moment == .closing { hub.connection(1)?.close(.accessRevoked) }
            tablet = authenticated
        }
        try server.wait(for: "the connection") { hub.connectionCount == 1 }
        connection = hub.connection(1)
        #expect(connection != nil)

        switch way {
        case .close: tablet.close()
        case .reset: tablet.reset()
        case .halfClose: tablet.shutdownWrite()
        }
        // A request under way is still answered after a half-close; so that it can be, the lock goes first.
        _ = try locker.execute("rollback").get()
        try server.wait(for: "the end of \(moment.rawValue) by \(way.rawValue)") { hub.connectionCount == 0 }
        try server.wait(for: "the statements' end") { connection == nil }
        #expect(hub.tabletCount == 0)
        #expect(hub.unauthenticatedCount == 0)
        #expect(hub.restaurants.isEmpty)
        if moment == .commandInFlight {
            try server.wait(for: "the command, which was on its way") {
                (try? server.database.value("select status from orders where id = '\(order)'")) == "ready"
            }
        }
        tablet.close()
    }

    @Test("a server that is stopped is freed, with all that it held")
    func freed() throws {
        weak var freed: Server?
        weak var hub: Hub?
        do {
            let server = try TestServer()
            freed = server.server
            hub = server.server.hub
            let restaurant = try server.database.addRestaurant()
            let tablet = try server.authenticatedTablet(
                try server.database.addUser(.employee, at: restaurant), at: restaurant)
            #expect(!tablet.isClosed)
            server.server.stop()
            try server.settle(.milliseconds(20))
        }
        #expect(freed == nil)
        #expect(hub == nil)
    }

    @Test("hundreds of connections give their descriptors back")
    func descriptors() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        for _ in 0..<3 {
            var tablets: [TestTablet] = []
            for _ in 0..<100 { tablets.append(try server.tablet(at: restaurant)) }
            try server.wait(for: "the upgrades") { tablets.allSatisfy { $0.upgrade != nil } }
            #expect(server.server.hub.unauthenticatedCount == 100)
            for (index, tablet) in tablets.enumerated() {
                if index % 2 == 0 { tablet.reset() } else { tablet.close() }
            }
            try server.wait(for: "their end") { server.server.hub.connectionCount == 0 }
            #expect(server.server.hub.unauthenticatedCount == 0)
        }
    }
}
