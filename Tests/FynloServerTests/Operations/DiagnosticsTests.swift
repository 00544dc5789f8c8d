import Foundation
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Diagnostics")
struct DiagnosticsTests {
    private static let path = "/api/v1/websocket/diagnostics"

    @Test("tell of each connection what it is and how it does")
    func connections() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let manager = try server.database.addUser(.manager, at: restaurant)
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.tablet(at: restaurant, as: "kitchen")
        tablet.say(
            """
            {"type":"authenticate","data":{"token":"\(manager.token())","user_id":"\(manager.id)",\
            "restaurant_id":"\(restaurant)","device_id":"kds \\"1\\"","client_version":"2.1.0"}}
            """)
        try server.wait(for: "authenticated") { tablet.messages.count == 1 }
        tablet.say(type: "ping", data: "{\"last_seq\":1,\"rtt_ms\":12.5}")
        tablet.update(order, to: .ready, id: "c")
        tablet.say(type: "nonsense")
        try server.wait(for: "answers") { tablet.answers.count == 2 && tablet.events.count == 1 }
        let answer = try server.request(.get, Self.path, token: manager.token())
        #expect(answer.status == 200 && answer.headers.first("content-type") == "application/json")
        let body = try Document(answer.body)
        #expect(body["restaurants"].elements.count == 1)
        let here = body["restaurants"][0]
        #expect(here["restaurant_id"].string == restaurant.description)
        #expect(here["head"].integer == 2 && here["connection_count"].integer == 1)
        let connection = here["connections"][0]
        let strings = [
            ("id", tablet.messages[0]["data"]["connection_id"].string), ("user_id", manager.id.description),
            ("role", "manager"), ("client_type", "kitchen"), ("device_id", "kds \"1\""), ("client_version", "2.1.0"),
            ("state", "connected"),
        ]
        for (name, value) in strings { #expect(connection[name].string == value, "\(name)") }
        let numbers = [
            ("pings_received", 1), ("told_round_trip_ms", 12), ("sent_seq", 2), ("last_seq", 1), ("events_behind", 1),
            ("queued_bytes", 0), ("messages", 4), ("errors", 1),
        ]
        for (name, value) in numbers { #expect(connection[name].number == .init(value), "\(name)") }
        #expect((connection["round_trip_ms"].number ?? 0) > 0)
        #expect(
            connection["last_events"].elements.prefix(5).compactMap { $0["event"].string } == [
                "upgrade", "authenticate", "authenticated", "ping", "command",
            ])
        let report = body["report"]
        #expect(report["connection_status"]["state"].string == "CONNECTED")
        #expect(report["health_metrics"]["errors_by_type"]["unknown_type"].integer == 1)
        #expect(report["health_metrics"]["connection_stability_percent"].number == 100)
    }

    @Test("count what tablets sent and where menus were read from, for each restaurant by itself and for all")
    func counters() throws {
        let server = try TestServer()
        let (here, there) = (try server.database.addRestaurant(), try server.database.addRestaurant())
        let manager = try server.database.addUser(.manager, at: here)
        let owner = try server.database.addUser(.platformOwner, at: nil)
        func counters(_ user: TestUser) throws -> [String: Int] {
            let counters = try Document(try server.request(.get, Self.path, token: user.token()).body)["counters"]
            return counters.members.merging(counters["menu_reads"].members) { $1 }.compactMapValues(\.integer)
        }
        let none = [
            "messages": 0, "heartbeats_received": 0, "heartbeats_expected": 0, "process": 0, "redis": 0, "database": 0,
            "bypass": 0, "stale": 0, "failed": 0,
        ]
        #expect(try counters(manager) == none)
        let tablets = [try server.staffTablet(at: here), try server.staffTablet(at: there)]
        for tablet in tablets { for _ in 0..<3 { tablet.say(type: "ping", data: "{}") } }
        try server.wait(for: "the pongs") { tablets.allSatisfy { $0.messages.count == 4 } }
        tablets[0].reset()
        for restaurant in [here, here, there] {
            let path = "/api/v1/menu?restaurant_id=\(restaurant)"
            #expect(try server.request(.get, path, token: owner.token()).status == 200)
        }
        try server.wait(for: "one to leave") { server.hub.tabletCount == 1 }
        let own = try counters(manager)
        let all = try counters(owner)
        #expect(own["heartbeats_received"] == 3 && all["heartbeats_received"] == 6)
        #expect(own["messages"] == 4 && all["messages"] == 8)
        #expect((own["process"], own["database"]) == (1, 1))
        #expect((all["process"], all["database"]) == (1, 2))
    }

    @Test(
        "are a text for people who ask for one",
        arguments: [
            ("text/plain", true), ("text/plain;q=0.9, application/json;q=0.5", true), ("text/*", true), ("*/*", false),
            ("application/json", false), ("text/plain;q=0.5, application/json", false), ("text/html", false),
            ("text/plain;q=0", false),
        ])
    func text(accept: String, isText: Bool) throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let owner = try server.database.addUser(.restaurantOwner, at: restaurant)
        let answer = try server.request(.get, Self.path, token: owner.token(), headers: ["Accept": accept])
        #expect(answer.status == 200)
        #expect((answer.headers.first("content-type") == "text/plain; charset=utf-8") == isText)
        let text = String(decoding: answer.body, as: UTF8.self)
        #expect(text.hasPrefix("WebSocket Diagnostic Report\nConnection Status:\n- State: DISCONNECTED\n") == isText)
    }

    @Test("are for those who manage the restaurant, and of that one only")
    func access() throws {
        let server = try TestServer()
        let database = server.database
        let restaurant = try database.addRestaurant()
        let foreign = try database.addRestaurant()
        let closed = try database.addRestaurant(isActive: false)
        let staff = try server.staffTablet(at: restaurant)
        let others = try server.staffTablet(at: foreign)
        func status(_ role: Role, home: RestaurantID?, asking named: RestaurantID? = nil) throws -> (Int, Int) {
            let token = try database.addUser(role, at: home).token()
            let query = named.map { "?restaurant_id=\($0)" } ?? ""
            let answer = try server.request(.get, Self.path + query, token: token)
            let text = String(decoding: answer.body, as: UTF8.self)
            return (answer.status, text.matches(of: /"user_id"/).count)
        }
        #expect(try status(.manager, home: restaurant) == (200, 1))
        #expect(try status(.restaurantOwner, home: restaurant) == (200, 1))
        #expect(try status(.manager, home: restaurant, asking: restaurant) == (200, 1))
        #expect(try status(.manager, home: restaurant, asking: foreign) == (403, 0))
        #expect(try status(.restaurantOwner, home: restaurant, asking: foreign) == (403, 0))
        #expect(try status(.employee, home: restaurant) == (403, 0))
        #expect(try status(.employee, home: restaurant, asking: restaurant) == (403, 0))
        #expect(try status(.manager, home: closed) == (403, 0))
        #expect(try status(.manager, home: nil) == (422, 0))
        #expect(try status(.platformOwner, home: nil) == (200, 2))
        #expect(try status(.platformOwner, home: nil, asking: foreign) == (200, 1))
        #expect(try server.request(.get, Self.path).status == 401)
        _ = (staff, others)
    }

    @Test("tell what happened in the restaurant, what was done about it, and nothing of another one's")
    func report() throws {
        let server = try TestServer([
            "FYNLO_IDLE_PING": "200ms", "FYNLO_STALE_AFTER": "400ms", "FYNLO_SWEEP_INTERVAL": "30ms",
        ])
        let restaurant = try server.database.addRestaurant()
        let foreign = try server.database.addRestaurant()
        let manager = try server.database.addUser(.manager, at: restaurant)
        let other = try server.database.addUser(.manager, at: foreign)
        let order = try server.database.addOrder(at: restaurant)
        let first = try server.authenticatedTablet(manager, at: restaurant, device: "a")
        first.update(order, to: .ready, id: "c")
        try server.wait(for: "the event") { first.events.count == 1 }
        let second = try server.tablet(at: restaurant)
        second.authenticate(manager, at: restaurant, device: "a", lastSequence: 1)
        try server.wait(for: "the replacement, and its end") { first.isClosed && second.isClosed }
        #expect(first.closeCode == 4011 && second.closeCode == 4004)
        let wrong = try server.tablet(at: restaurant)
        wrong.authenticate(manager, at: restaurant, token: "nonsense")
        let cut = try server.authenticatedTablet(manager, at: restaurant, device: "a")
        cut.reset()
        try server.wait(for: "nobody") { wrong.isClosed && server.hub.tabletCount == 0 }
        let answer = try server.request(.get, Self.path, token: manager.token(), headers: ["Accept": "text/plain"])
        let lines = String(decoding: answer.body, as: UTF8.self).split(separator: "\n").map(String.init)
        for line in [
            "- State: DISCONNECTED", "- Reconnect attempts: 2",
            "1. 1 tablet reconnected again and again: three connections in a row or more were short.",
            "2. 1 token refused as invalid or expired.", "3. 1 connection lost without a close frame.",
            "- 1 silent connection closed (4004).", "- 1 connection replaced by a newer one of the same device (4011).",
            "- 1 event sent again to tablets that had missed them.",
        ] {
            #expect(lines.contains(line), "\(line) in \(lines)")
        }
        let foreignAnswer = try server.request(.get, Self.path, token: other.token(), headers: ["Accept": "text/plain"])
        let text = String(decoding: foreignAnswer.body, as: UTF8.self)
        #expect(text.contains("Issues Found:\nNone.\nFixes Applied:\nNone.\n"))
    }

    // MARK: Closing a connection

    @Test("managers close a connection of their restaurant with 4006; others may not, or do not see it")
    func closing() throws {
        let server = try TestServer()
        let database = server.database
        let restaurant = try database.addRestaurant()
        let foreign = try database.addRestaurant()
        let bystander = try server.staffTablet(at: restaurant)
        func close(_ id: String, as role: Role, home: RestaurantID?) throws -> Int {
            let token = try database.addUser(role, at: home).token()
            return try server.request(.delete, "/api/v1/websocket/connections/\(id)", token: token).status
        }
        for (role, home, status) in [
            (Role.manager, restaurant, 204), (.restaurantOwner, restaurant, 204), (.platformOwner, nil, 204),
            (.employee, restaurant, 403), (.manager, foreign, 404), (.restaurantOwner, foreign, 404),
            (.employee, foreign, 404),
        ] as [(Role, RestaurantID?, Int)] {
            let tablet = try server.staffTablet(at: restaurant)
            let id = try #require(tablet.messages.first?["data"]["connection_id"].string)
            #expect(try close(id, as: role, home: home) == status, "\(role)")
            if status == 204 {
                try server.wait(for: "its end") { tablet.isClosed }
                #expect(tablet.closeCode == 4006)
                #expect(try close(id, as: role, home: home) == 404, "it is gone")
            } else {
                tablet.say(type: "ping")
                try server.wait(for: "a pong") { tablet.messages("pong").count == 1 }
            }
        }
        #expect(!bystander.isClosed)
    }

    @Test("a connection that is nobody's, not let in yet, or of another process, is not there")
    func unknown() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let owner = try server.database.addUser(.platformOwner, at: nil).token()
        let waiting = try server.tablet(at: restaurant)
        try server.wait(for: "the upgrade, and Redis") { waiting.isUpgraded && server.server.isRedisReady }
        let number = try #require(server.hub.allConnections.map(\.id.number).max())
        let ids = [
            TestDatabase.randomUUID(), ConnectionID(node: server.hub.node, number: number).uuid,
            ConnectionID(node: server.hub.node &+ 0x10000, number: number).uuid,
            UUID128(high: .max, low: .max), UUID128(high: 0, low: 0),
        ]
        for id in ids {
            let path = "/api/v1/websocket/connections/\(id)"
            let answer = try server.request(.delete, path, token: owner)
            #expect(answer.status == 404)
            #expect(try Document(answer.body)["code"].string == "connection_not_found")
            #expect(try server.request(.delete, path).status == 401)
        }
        #expect(try server.request(.delete, "/api/v1/websocket/connections/7", token: owner).status == 400)
        #expect(try server.request(.get, "/api/v1/websocket/connections/\(ids[0])", token: owner).status == 405)
        #expect(!waiting.isClosed)
    }

    // MARK: The log

    @Test("one that ends abnormally leaves a line with its last events; one that leaves as it should, none")
    func log() throws {
        var numbers: [Int32] = [0, 0]
        try #require(pipe(&numbers) == 0)
        let reader = FileDescriptor(owning: numbers[0])
        let writer = FileDescriptor(owning: numbers[1])
        _ = fcntl(reader.rawValue, F_SETFL, O_NONBLOCK)
        let server = try TestServer(
            [
                "FYNLO_IDLE_PING": "200ms", "FYNLO_STALE_AFTER": "400ms", "FYNLO_SWEEP_INTERVAL": "30ms",
            ], log: Logger(level: .info, format: .json, descriptor: writer.rawValue))
        let restaurant = try server.database.addRestaurant()
        let good = try server.staffTablet(at: restaurant)
        good.closeWebSocket()
        let silent = try server.staffTablet(at: restaurant)
        silent.say(type: "ping", data: "{\"secret\":\"salsa\"}")
        try server.wait(for: "their ends") { good.isClosed && silent.isClosed }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = read(reader.rawValue, &bytes, bytes.count)
        let all = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let lines = try all.split(separator: "\n").map { try Document(json: String($0)) }
        let ends = lines.filter { $0["event"].string == "connection_ended" }
        #expect(ends.count == 1)
        #expect(ends.first?["code"].string == "4004")
        #expect(ends.first?["connection"].string == silent.messages.first?["data"]["connection_id"].string)
        #expect(ends.first?["restaurant"].string == restaurant.description)
        let events = ends.first?["last_events"].string ?? ""
        let names = events.split(separator: ", ").map { $0.prefix { $0 != " " } }
        #expect(names == ["upgrade", "authenticate", "authenticated", "ping", "server_ping", "close_sent"])
        #expect(!all.contains("salsa"))
    }
}
