import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Heartbeat")
struct HeartbeatTests {
    static let pings: [(ping: String, echo: String?)] = [
        (#"{"type":"ping"}"#, nil),
        (#"{"type":"ping","data":null}"#, nil),
        (#"{"type":"ping","data":{}}"#, "{}"),
        (#"{"type":"ping","id":"p1","data":{"sent":17,"last_seq":3}}"#, #"{"sent":17,"last_seq":3}"#),
        (#"{"type":"ping","data":["a",{"b":[1.50,true,null]}]}"#, #"["a",{"b":[1.50,true,null]}]"#),
        (#"{"type":"ping","data":"as text"}"#, #""as text""#),
        (#"{"data":{"n":1e3},"timestamp":"2026-01-31T18:04:05.123Z","type":"ping"}"#, #"{"n":1e3}"#),
    ]

    @Test("answers a ping with the server's time and the ping's data")
    func pong() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        for (ping, echo) in HeartbeatTests.pings {
            let count = tablet.messages.count
            let before = SystemClock.now.unixTime
            tablet.say(ping)
            try server.wait(for: "a pong to \(ping)") { tablet.messages.count > count }
            let pong = tablet.messages[count]
            #expect(pong["type"].string == "pong", "\(ping)")
            #expect(pong.members.keys.sorted() == ["data", "id", "restaurant_id", "timestamp", "type"], "\(ping)")
            #expect(pong["restaurant_id"].string == restaurant.description, "\(ping)")
            let time = try #require(pong["data"]["timestamp"].string.flatMap { unixTime($0) }, "\(ping)")
            #expect(time.milliseconds >= before.milliseconds, "\(ping)")
            #expect(time.milliseconds <= SystemClock.now.unixTime.milliseconds, "\(ping)")
            #expect(pong["timestamp"].string.flatMap { unixTime($0) } != nil, "\(ping)")
            #expect(pong["data"].members["echo"] == (try echo.map { try Document(json: $0) }), "\(ping)")
        }
        #expect(Set(tablet.messages.compactMap { $0["id"].string }).count == tablet.messages.count)
    }

    @Test("takes a tablet's own pong in silence")
    func ownPong() throws {
        let server = try TestServer()
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        tablet.say(type: "pong", id: "p1")
        tablet.say(type: "ping")
        try server.wait(for: "a pong") { tablet.messages.count == 2 }
        #expect(tablet.messages[1]["type"].string == "pong")
    }

    @Test("answers RFC 6455 pings, before authentication too", arguments: [true, false])
    func controlPing(isAuthenticated: Bool) throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let tablet = try isAuthenticated ? server.staffTablet(at: restaurant) : server.tablet(at: restaurant)
        try server.wait(for: "the upgrade") { tablet.isUpgraded }
        tablet.sendFrame(.ping, Array("are you there".utf8))
        try server.wait(for: "a pong") { tablet.pongs == 1 }
        #expect(!tablet.isClosed)
    }

    @Test("pings a silent tablet once per silence")
    func idlePing() throws {
        let server = try TestServer([
            "FYNLO_IDLE_PING": "150ms", "FYNLO_STALE_AFTER": "60s", "FYNLO_SWEEP_INTERVAL": "30ms",
        ])
        let tablet = try server.staffTablet(at: try server.database.addRestaurant())
        let start = server.loop.now.instant
        try server.wait(for: "a ping") { !tablet.messages("ping").isEmpty }
        #expect(server.loop.now.instant - start >= .milliseconds(100))
        #expect(tablet.messages("ping")[0]["data"]["timestamp"].string.flatMap { unixTime($0) } != nil)
        try server.settle(.milliseconds(450))
        #expect(tablet.messages("ping").count == 1)
        tablet.say(type: "pong")
        try server.wait(for: "the ping of the next silence") { tablet.messages("ping").count == 2 }
    }

    @Test("closes a tablet that stays silent, with 4004, after it was asked")
    func stale() throws {
        let server = try TestServer([
            "FYNLO_IDLE_PING": "100ms", "FYNLO_STALE_AFTER": "300ms", "FYNLO_SWEEP_INTERVAL": "30ms",
        ])
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        let start = server.loop.now.instant
        try server.wait(for: "the end") { tablet.isClosed }
        #expect(server.loop.now.instant - start >= .milliseconds(250))
        #expect(tablet.messages.map { $0["type"].string } == ["authenticated", "ping"])
        #expect(tablet.closeCode == 4004)
        #expect(tablet.closeReason == "Heartbeat timeout")
        #expect(server.server.hub.tabletCount == 0)
        try server.wait(for: "the socket to be let go") { server.server.hub.connectionCount == 0 }
    }

    /// What a tablet may send to be counted as there.
    static let signsOfLife: [(String, [UInt8])] = [
        ("a message", ClientFrame.text(#"{"type":"ping"}"#).bytes),
        ("a message with an error", ClientFrame.text("{}").bytes),
        ("a part of a message", ClientFrame.continuation("x", isFinal: false).bytes),
        ("a control ping", ClientFrame(opcode: 9).bytes),
        ("a control pong", ClientFrame(opcode: 10).bytes),
    ]

    @Test("takes any frame for a sign of life")
    func anyFrame() throws {
        let server = try TestServer([
            "FYNLO_IDLE_PING": "500ms", "FYNLO_STALE_AFTER": "800ms", "FYNLO_SWEEP_INTERVAL": "30ms",
        ])
        let restaurant = try server.database.addRestaurant()
        let tablets = try HeartbeatTests.signsOfLife.map { sign in
            (sign.0, sign.1, try server.staffTablet(at: restaurant))
        }
        tablets[2].2.send(ClientFrame.text("{", isFinal: false).bytes)
        for _ in 0..<11 {
            for (_, frame, tablet) in tablets { tablet.send(frame) }
            try server.settle(.milliseconds(100))
        }
        for (name, _, tablet) in tablets {
            #expect(!tablet.isClosed, "\(name)")
            #expect(tablet.messages("ping").isEmpty, "\(name)")
        }
        try server.wait(for: "the end, once they are silent") { tablets.allSatisfy(\.2.isClosed) }
        #expect(tablets.allSatisfy { $0.2.closeCode == 4004 })
    }

    @Test("does not keep a tablet alive by what it is sent")
    func broadcastsAreNoLife() throws {
        let server = try TestServer([
            "FYNLO_IDLE_PING": "300ms", "FYNLO_STALE_AFTER": "600ms", "FYNLO_SWEEP_INTERVAL": "30ms",
        ])
        let restaurant = try server.database.addRestaurant()
        let silent = try server.staffTablet(at: restaurant)
        let busy = try server.staffTablet(at: restaurant)
        let deadline = server.loop.now.instant + .seconds(5)
        while !silent.isClosed, server.loop.now.instant < deadline {
            busy.say(type: "table.occupied")
            try server.settle(.milliseconds(50))
        }
        #expect(silent.closeCode == 4004)
        #expect(silent.messages("table.occupied").count > 3)
        #expect(!busy.isClosed)
    }

    @Test("sends a pong at once while a command waits for the database")
    func pongOvertakesCommand() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let holder = try RowLock(on: order, in: server.database)
        tablet.update(order, to: .confirmed, id: "c1")
        try server.wait(for: "the command to meet the lock") { holder.isInTheWay }
        tablet.say(type: "ping", data: #"{"n":1}"#)
        tablet.sendFrame(.ping, [])
        try server.wait(for: "the pongs") { tablet.messages("pong").count == 1 && tablet.pongs == 1 }
        #expect(tablet.answers.isEmpty)
        holder.release()
        try server.wait(for: "the answer and the event") { tablet.messages.count == 4 }
        #expect(tablet.answers(to: "c1").map { $0["type"].string } == ["ack"])
        #expect(tablet.messages("order.status_changed").count == 1)
    }

    /// Reads RFC 3339 in UTC with milliseconds, and nothing else.
    private func unixTime(_ text: String) -> UnixTime? {
        let pattern = /(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z/
        guard let match = text.wholeMatch(of: pattern) else { return nil }
        let parts = [match.1, match.2, match.3, match.4, match.5, match.6, match.7].compactMap { Int64($0) }
        // Days since 1970 (Howard Hinnant's algorithm).
        let year = parts[1] <= 2 ? parts[0] - 1 : parts[0]
        let dayOfYear = (153 * (parts[1] + (parts[1] > 2 ? -3 : 9)) + 2) / 5 + parts[2] - 1
        let yearOfEra = year % 400
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = year / 400 * 146_097 + dayOfEra - 719_468
        let seconds = ((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]
        return UnixTime(milliseconds: seconds * 1_000 + parts[6])
    }
}
