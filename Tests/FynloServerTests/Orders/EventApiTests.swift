import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Events over HTTP")
struct EventApiTests {
    private func sequences(_ answer: HTTPResponse) throws -> [Int] {
        try Document(answer.body).elements.compactMap { $0["seq"].integer }
    }

    @Test("are what the tablets get, to the byte, in order, from where one asks on")
    func sameAsTablets() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server, .manager)
        let foreign = try TestOrders(on: server)
        let tablet = try orders.tablet()
        #expect(try orders.events().body == Array("[]".utf8))
        let order = try orders.created()
        _ = try foreign.created()
        #expect(try orders.patch(order, "{\"status\":\"ready\"}").status == 200)
        let notification = """
            {"restaurant_id":"\(orders.restaurant)","title":"<b>","message":"m","data":{"a":[1,"&"]}}
            """
        #expect(try orders.post("/api/v1/notifications", notification).status == 202)
        try server.wait(for: "the events") { tablet.events.count == 3 }
        let answer = try orders.events("&after=0")
        #expect(answer.status == 200)
        #expect(answer.headers.first("content-type") == "application/json")
        #expect(answer.headers.first("cache-control") == "no-store")
        #expect(answer.eventSequence == 3)
        let frames = tablet.texts.filter { $0.contains("\"seq\":") && !$0.contains("\"authenticated\"") }
        #expect(String(decoding: answer.body, as: UTF8.self) == "[\(frames.joined(separator: ","))]")
        for event in try Document(answer.body).elements {
            #expect(Set(event.members.keys) == ["id", "type", "data", "restaurant_id", "timestamp", "seq"])
        }
        #expect(try sequences(orders.events("&after=1&limit=1")) == [2])
        #expect(try orders.events("&after=1&limit=1").eventSequence == 3)
        #expect(try sequences(orders.events("&after=2")) == [3])
        #expect(try orders.events("&after=3").body == Array("[]".utf8))
        let head = try server.request(
            .head, "/api/v1/events?restaurant_id=\(orders.restaurant)", token: orders.token)
        #expect(head.status == 200 && head.body.isEmpty && head.eventSequence == 3)
    }

    @Test("come a hundred at a time, and at most a thousand")
    func limits() throws {
        let orders = try TestOrders(on: try TestServer())
        try orders.server.database.run(
            """
            insert into restaurant_events (restaurant_id, seq, type, data)
            select '\(orders.restaurant)', n, 'order.updated', '{}' from generate_series(1, 1100) n;
            update restaurant_streams set head = 1100
            """)
        #expect(try sequences(orders.events()) == Array(1...100))
        #expect(try sequences(orders.events("&limit=1000&after=50")) == Array(51...1050))
        var after = 0
        while true {
            let answer = try orders.events("&limit=500&after=\(after)")
            after = try sequences(answer).last ?? after
            if after == answer.eventSequence { break }
        }
        #expect(after == 1100)
    }

    @Test("are 410 resync_required where they are no longer kept, and beyond the newest")
    func gone() throws {
        let orders = try TestOrders(on: try TestServer())
        for _ in 0..<4 { _ = try orders.created() }
        try orders.server.database.run("delete from restaurant_events where seq <= 2")
        for (after, isThere) in [(0, false), (1, false), (2, true), (3, true), (4, true), (5, false), (Int.max, false)]
        {
            let answer = try orders.events("&after=\(after)")
            if isThere {
                #expect(try sequences(answer) == Array((after + 1)..<5), "\(after)")
            } else {
                try expectProblem(answer, 410, code: "resync_required", "\(after)")
            }
        }
        try orders.server.database.run("delete from restaurant_events")
        try expectProblem(try orders.events("&after=3"), 410)
        #expect(try orders.events("&after=4").body == Array("[]".utf8))
    }

    @Test("that were made over HTTP do not wait for the pulse to reach the tablets")
    func atOnce() throws {
        let server = try TestServer()
        let orders = try TestOrders(on: server, .manager)
        let tablet = try orders.tablet()
        let notification = "{\"restaurant_id\":\"\(orders.restaurant)\",\"title\":\"x\",\"message\":\"y\"}"
        let start = SystemClock.instant
        let rounds = 4
        var count = 0
        func expectNext() throws {
            count += 1
            try server.wait(for: "event \(count)") { tablet.events.count == count }
        }
        for _ in 0..<rounds {
            let order = try orders.created()
            try expectNext()
            #expect(try orders.patch(order, "{\"status\":\"ready\"}").status == 200)
            try expectNext()
            #expect(try orders.post("/api/v1/notifications", notification).status == 202)
            try expectNext()
        }
        // By the pulse alone each would come when the one before had come and an interval was over.
        #expect(SystemClock.instant - start < Config.pulseInterval * (count - 1) / 2)
    }
}
