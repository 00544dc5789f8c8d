import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// The sums over a history of one node, or of several.
private struct HistorySums: Equatable {
    var messages = 0
    var received = 0
    var expected = 0
    var reads: [String: Int] = [:]
    var deliveries = 0

    init() {}

    /// Of the nodes of an answer, which are all of one shape.
    init(_ answer: Document) throws {
        for node in [answer] + answer["nodes"].elements {
            let history = node["history"]
            let columns = ["messages", "heartbeats_received", "heartbeats_expected", "deliveries"].map { history[$0] }
            let lengths = Set((columns + history["menu_reads"].members.values).map(\.elements.count))
            try #require(lengths.count == 1 && (0...60).contains(lengths.first ?? -1))
            try #require((history["start"] == .null) == (lengths == [0]))
            func sum(_ column: Document) -> Int { column.elements.reduce(0) { $0 + ($1.integer ?? 0) } }
            messages += sum(columns[0])
            received += sum(columns[1])
            expected += sum(columns[2])
            for (name, column) in history["menu_reads"].members { reads[name, default: 0] += sum(column) }
            for pairs in columns[3].elements {
                deliveries += pairs.elements.reduce(0) { $0 + ($1[1].integer ?? 0) }
            }
        }
    }
}

@Suite("The history in the diagnostics")
struct DiagnosticsHistoryTests {
    private static let path = "/api/v1/websocket/diagnostics?history=true"
    /// Half a minute is kept: longer than a test takes.
    private static let interval = Duration.milliseconds(500)

    /// Asks until the answer is what is waited for; what was counted is in the history as soon as the interval is over.
    private func wait(
        _ server: TestServer, _ user: TestUser, for what: String, _ condition: (Document, HistorySums) -> Bool,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Document {
        let deadline = SystemClock.instant + Duration.seconds(10).patient
        while SystemClock.instant < deadline {
            let answer = try Document(try server.request(.get, Self.path, token: user.token()).body)
            if condition(answer, try HistorySums(answer)) { return answer }
        }
        Issue.record("waited for \(what)", sourceLocation: sourceLocation)
        throw CancellationError()
    }

    @Test("has all that was counted, of each restaurant by itself and of all, also of connections that have ended")
    func sums() throws {
        let server = try TestServer(["FYNLO_HEARTBEAT_INTERVAL": "100ms"]) { $0.activityInterval = Self.interval }
        let (here, there) = (try server.database.addRestaurant(), try server.database.addRestaurant())
        let manager = try server.database.addUser(.manager, at: here)
        let owner = try server.database.addUser(.platformOwner, at: nil)
        let order = try server.database.addOrder(at: here)
        let tablets = [
            try server.staffTablet(at: here), try server.staffTablet(at: here), try server.staffTablet(at: there),
        ]
        for tablet in tablets { for _ in 0..<3 { tablet.say(type: "ping", data: "{}") } }
        tablets[0].update(order, to: .pending, id: "a")
        tablets[0].update(order, to: .ready, id: "b")
        try server.wait(for: "the events") { tablets[0...1].allSatisfy { $0.events.count == 2 } }
        for restaurant in [here, here, there] {
            let path = "/api/v1/menu?restaurant_id=\(restaurant)"
            #expect(try server.request(.get, path, token: owner.token()).status == 200)
        }
        let first = try wait(server, owner, for: "samples of the living") { $1.messages == 14 && $1.deliveries == 2 }
        tablets[0].say(type: "ping", data: "{}")
        try server.wait(for: "the pong") { tablets[0].messages("pong").count == 4 }
        tablets[0].reset()
        tablets[2].closeWebSocket()
        try server.wait(for: "them to leave") { server.hub.tabletCount == 1 }

        let all = try wait(server, owner, for: "all of it") { $1.messages == 15 }
        let own = try wait(server, manager, for: "the restaurant's part") { $1.messages == 11 }
        let (ofAll, ofOne) = (try HistorySums(all), try HistorySums(own))
        #expect(ofAll.received == 10 && ofOne.received == 7)
        #expect(ofAll.reads == ["process": 1, "database": 2] && ofOne.reads == ["process": 1, "database": 1])
        #expect(ofAll.deliveries == 2 && ofOne.deliveries == 2)
        // Those that are due go on being counted.
        let due = try #require(first["counters"]["heartbeats_expected"].integer)
        let after = try wait(server, owner, for: "the heartbeats") { $1.expected >= due }
        #expect(try HistorySums(after).expected <= (after["counters"]["heartbeats_expected"].integer ?? 0))
        for answer in [all, own] {
            let counters = answer["counters"]
            let sums = try HistorySums(answer)
            #expect(sums.messages == counters["messages"].integer)
            #expect(sums.received == counters["heartbeats_received"].integer)
            #expect(answer["history"]["interval_ms"].integer == 500)
            let start = try #require(answer["history"]["start"].string.flatMap { UnixTime(rfc3339: $0) })
            #expect(start.milliseconds.isMultiple(of: 500))
        }
        #expect(try server.metrics()["fynlo_event_delivery_seconds_count"] == 2)
        // Of a restaurant in which nothing ever happened: that it did not.
        let quiet = try server.database.addUser(.manager, at: try server.database.addRestaurant())
        let nothing = try wait(server, quiet, for: "an interval") { answer, _ in answer["history"]["start"] != .null }
        #expect(try HistorySums(nothing) == HistorySums())
    }

    @Test("counts what a tablet sent once, on however many connections, and readers of a menu where no tablet is")
    func replaced() throws {
        let server = try TestServer { $0.activityInterval = Self.interval }
        let (here, there) = (try server.database.addRestaurant(), try server.database.addRestaurant())
        let manager = try server.database.addUser(.manager, at: here)
        let reader = try server.database.addUser(.manager, at: there)
        for number in 1...5 {
            let tablet = try server.authenticatedTablet(manager, at: here, device: "till")
            for _ in 0..<number { tablet.say(type: "ping", data: "{}") }
            try server.wait(for: "the pongs") { tablet.messages("pong").count == number }
        }
        let answer = try wait(server, manager, for: "all of it") { $1.messages >= 20 }
        let sums = try HistorySums(answer)
        #expect(sums.messages == 20 && sums.received == 15)
        #expect(answer["counters"]["messages"].integer == 20)
        #expect(try server.request(.get, "/api/v1/menu?restaurant_id=\(there)", token: reader.token()).status == 200)
        let read = try wait(server, reader, for: "the menu's reader") { !$1.reads.isEmpty }
        #expect(try HistorySums(read).reads == ["database": 1])
    }

    @Test("lets go of a restaurant when its tablets have left and nothing of what they did is kept any more")
    func forgotten() throws {
        let server = try TestServer { $0.activityInterval = .milliseconds(5) }
        let (here, there) = (try server.database.addRestaurant(), try server.database.addRestaurant())
        let staying = try server.staffTablet(at: here)
        let leaving = try server.staffTablet(at: there)
        try server.wait(for: "both") { server.server.activity.restaurantCount == 2 }
        leaving.closeWebSocket()
        try server.wait(for: "one of them to go") { server.server.activity.restaurantCount == 1 }
        // It is idle, but its tablets may be heard any time.
        let idle = server.server.activity.history(of: here)
        try server.wait(for: "more intervals") { server.server.activity.history(of: here).newest > idle.newest + 60 }
        #expect(server.server.activity.history(of: here).isIdle && server.server.activity.restaurantCount == 1)
        #expect(server.server.activity.history(of: there).isIdle)
        staying.say(type: "ping", data: "{}")
        try server.wait(for: "the ping") { !server.server.activity.history(of: here).isIdle }
        #expect(!server.server.activity.history(of: nil).isIdle)
    }

    @Test("is there only for those who ask, and may")
    func access() throws {
        let server = try TestServer()
        let database = server.database
        let restaurant = try database.addRestaurant()
        let manager = try database.addUser(.manager, at: restaurant).token()
        func ask(_ query: String, _ token: String, accept: String = "application/json") throws -> HTTPResponse {
            let path = "/api/v1/websocket/diagnostics?\(query)"
            return try server.request(.get, path, token: token, headers: ["Accept": accept])
        }
        for (query, isThere) in [
            ("", false), ("history=false", false), ("history=0", false), ("history=true", true), ("history=1", true),
            ("history=TRUE&restaurant_id=\(restaurant)", true),
        ] {
            let answer = try ask(query, manager)
            #expect(answer.status == 200)
            #expect(try Document(answer.body).members.keys.contains("history") == isThere, "\(query)")
        }
        let text = try ask("history=true", manager, accept: "text/plain")
        #expect(String(decoding: text.body, as: UTF8.self).hasPrefix("WebSocket Diagnostic Report\n"))
        for query in ["history=", "history=yes", "history=2", "history=true&history=true"] {
            let problem = try expectProblem(try ask(query, manager), 422, code: "invalid_parameter")
            #expect(problem["detail"].string?.hasPrefix("history ") == true, "\(query)")
        }
        let foreign = try database.addUser(.manager, at: try database.addRestaurant()).token()
        for token in [try database.addUser(.employee, at: restaurant).token(), foreign] {
            #expect(try ask("history=true&restaurant_id=\(restaurant)", token).status == 403)
        }
        #expect(try ask("history=maybe", "nonsense").status == 401)
    }

    @Test("tells of each node by itself, of the same times")
    func nodes() throws {
        let nodes = try TestNodes(2) { $0.activityInterval = Self.interval }
        let restaurant = try nodes.database.addRestaurant()
        let manager = try nodes.database.addUser(.manager, at: restaurant)
        let owner = try nodes.database.addUser(.platformOwner, at: nil)
        let order = try nodes.database.addOrder(at: restaurant)
        let tablets = try nodes.tablets(2, at: restaurant)
        for _ in 0..<5 { tablets[1].say(type: "ping", data: "{}") }
        tablets[0].update(order, to: .ready, id: "a")
        try nodes[0].wait(for: "the pongs, and the event on both") {
            tablets[1].messages("pong").count == 5 && tablets.allSatisfy { $0.events.count == 1 }
        }
        for user in [manager, owner] {
            // Two that authenticated, five pings, and a command; the event was handed out by each of them.
            let answer = try wait(nodes[0], user, for: "both") { $1.messages == 8 && $1.deliveries == 2 }
            let other = try Document.object(["history": #require(answer["nodes"][0].members["history"])])
            let sums = try HistorySums(other)
            #expect(sums.messages == 6 && sums.received == 5 && sums.deliveries == 1)
            for history in [answer["history"], other["history"]] {
                let start = try #require(history["start"].string.flatMap { UnixTime(rfc3339: $0) })
                #expect(start.milliseconds.isMultiple(of: 500))
            }
        }
        // Who does not ask for it is not told it by the other one either.
        let path = "/api/v1/websocket/diagnostics"
        let plain = try Document(try nodes[0].request(.get, path, token: owner.token()).body)
        #expect(plain["nodes"].elements.count == 1 && plain["nodes"][0].members["history"] == nil)
    }
}
