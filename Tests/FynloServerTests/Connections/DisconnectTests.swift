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

    /// What clients were in the middle of.
    enum Middle: String, CaseIterable {
        case requestBody, awaitedResponse, unreadResponses, headerOfFrame, payloadOfFrame, fragments, unreadEvents,
            reauthentication, closingOfServer, closingOfBoth, lingering
    }

    @Test("leave nothing behind, whatever they were in the middle of", arguments: Middle.allCases, Way.allCases)
    func vanish(middle: Middle, way: Way) throws {
        // One connection in all, and one of this address: whoever comes later finds out what is still counted.
        let server = try TestServer([
            "FYNLO_ECHO": "1", "FYNLO_MAX_CONNECTIONS": "1", "FYNLO_MAX_CONNECTIONS_PER_IP": "1",
            "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "1", "FYNLO_MAX_UNAUTHENTICATED": "1",
        ])
        let hub = server.server.hub
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.manager, at: restaurant)
        var lock: RowLock?
        let client: TestSocket
        switch middle {
        case .requestBody, .awaitedResponse, .unreadResponses, .lingering:
            let exchange = try TestExchange(loop: server.loop, address: server.address, receiveBufferBytes: 65_536)
            client = exchange
            switch middle {
            case .requestBody:
                exchange.send(Array("POST /debug/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf".utf8))
            case .awaitedResponse:
                lock = try RowLock("lock table users in access exclusive mode", in: server.database)
                exchange.send(
                    .get, "/api/v1/menu?restaurant_id=\(restaurant)",
                    headers: ["Authorization": "Bearer \(user.token())"])
                try server.wait(for: "the look-up") { lock?.isInTheWay == true }
            case .unreadResponses:
                exchange.isReading = false
                for _ in 0..<20 { exchange.send(.post, "/debug/echo", body: Array(repeating: 1, count: 1_000_000)) }
                try server.wait(for: "a queue") { (hub.connection(1)?.queuedBytes ?? 0) > 0 }
            default:
                exchange.send(.get, "/health/live", headers: ["Connection": "close"])
                try server.wait(for: "the answer") { !exchange.responses.isEmpty }
            }
        case .headerOfFrame, .payloadOfFrame, .fragments, .unreadEvents, .reauthentication, .closingOfServer,
            .closingOfBoth:
            let tablet = try server.authenticatedTablet(user, at: restaurant, receiveBufferBytes: 65_536)
            client = tablet
            let frame = ClientFrame.text(#"{"type":"ping"}"#).bytes
            switch middle {
            case .headerOfFrame: tablet.send(Array(frame.prefix(3)))
            case .payloadOfFrame: tablet.send(Array(frame.dropLast()))
            case .fragments: tablet.send(ClientFrame.text(#"{"type":"#, isFinal: false).bytes)
            case .unreadEvents:
                tablet.isReading = false
                let data = "{\"note\":\"\(String(repeating: "x", count: 16_000))\"}"
                for _ in 0..<90 { tablet.say(type: "kitchen.item_ready", data: data) }
                try server.settle(.milliseconds(50))
            case .reauthentication:
                lock = try RowLock("lock table users in access exclusive mode", in: server.database)
                tablet.say(type: "reauth", data: "{\"token\":\"\(user.token())\"}")
                try server.wait(for: "the look-up") { lock?.isInTheWay == true }
            case .closingOfServer:
                tablet.isReading = false
                hub.connection(1)?.close(.accessRevoked)
                try server.settle(.milliseconds(10))
            default:
                hub.connection(1)?.close(.accessRevoked)
                try server.wait(for: "the close frame") { tablet.closeCode == 4006 }
            }
        }
        try server.settle(.milliseconds(10))
        weak let connection = hub.connection(1)
        switch way {
        case .close: client.close()
        case .reset: client.reset()
        case .halfClose: client.shutdownWrite()
        }
        try server.settle(.milliseconds(10))
        lock?.release()
        client.isReading = true
        try server.wait(for: "the end of \(middle.rawValue) by \(way.rawValue)") { hub.connectionCount == 0 }
        try server.wait(for: "the connection to be freed") { connection == nil }
        #expect(hub.tabletCount == 0 && hub.unauthenticatedCount == 0 && hub.restaurants.isEmpty)
        client.close()
        let next = try server.authenticatedTablet(user, at: restaurant)
        next.say(type: "ping")
        try server.wait(for: "a pong") { next.messages("pong").count == 1 }
    }

    @Test("are let go at once when they are gone for good, also when an answer is awaited", arguments: [true, false])
    func goneForGood(isTablet: Bool) throws {
        let server = try TestServer()
        let hub = server.server.hub
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.manager, at: restaurant)
        let lock = try RowLock("lock table users in access exclusive mode", in: server.database)
        let client: TestSocket
        if isTablet {
            let tablet = try server.tablet(at: restaurant)
            tablet.authenticate(user, at: restaurant)
            client = tablet
        } else {
            let exchange = try TestExchange(loop: server.loop, address: server.address)
            exchange.send(
                .get, "/api/v1/menu?restaurant_id=\(restaurant)", headers: ["Authorization": "Bearer \(user.token())"])
            client = exchange
        }
        try server.wait(for: "the look-up") { lock.isInTheWay }
        // Half a close is no reason to go: the other half may still want its answer.
        client.shutdownWrite()
        try server.settle(.milliseconds(50))
        #expect(hub.connectionCount == 1)
        client.reset()
        try server.wait(for: "its end", atMost: .seconds(2)) { hub.connectionCount == 0 }
        #expect(lock.isInTheWay)
        lock.release()
        try server.wait(for: "the end of the look-up") { hub.unauthenticatedCount == 0 }
        #expect(hub.tabletCount == 0)
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
