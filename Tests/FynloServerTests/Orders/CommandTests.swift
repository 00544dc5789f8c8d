import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Commands")
struct CommandTests {
    // MARK: The effect

    @Test("changes the order, answers, and tells every tablet of the restaurant, and nobody else")
    func statusUpdate() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let elsewhere = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let sender = try server.authenticatedTablet(user, at: restaurant)
        let others = [
            try server.authenticatedTablet(user, at: restaurant), try server.staffTablet(at: restaurant, .manager),
        ]
        let stranger = try server.staffTablet(at: elsewhere)
        let unauthenticated = try server.tablet(at: restaurant)
        sender.update(order, to: .confirmed, id: "c1")
        try server.wait(for: "answer and events") {
            sender.messages.count == 3 && others.allSatisfy { $0.messages.count == 2 }
        }
        let answer = try #require(sender.answers(to: "c1").first)
        #expect(answer["type"].string == "ack")
        #expect(answer["data"].members.keys.sorted() == ["id", "seq"])
        // The first event is the order's creation.
        #expect(answer["data"]["seq"].integer == 2)
        let number = try server.database.value("select order_number from orders where id = '\(order)'")
        for tablet in others + [sender] {
            let event = try #require(tablet.messages("order.status_changed").first)
            #expect(event.members.keys.sorted() == ["data", "id", "restaurant_id", "seq", "timestamp", "type"])
            #expect(event["seq"].integer == 2)
            #expect(event["restaurant_id"].string == restaurant.description)
            let data = event["data"]
            #expect(data["order_id"].string == order.description)
            #expect(data["order_number"].string == number)
            #expect(data["status"].string == "confirmed")
            #expect(data["old_status"].string == "draft")
            #expect(data["version"].integer == 2)
            #expect(data["updated_by"].string == user.id.description)
            #expect(data["timestamp"].string == event["timestamp"].string)
            #expect(data.members.count == 7)
        }
        #expect(Set((others + [sender]).compactMap { $0.events.first?["id"].string }).count == 1)
        try server.settle()
        #expect(stranger.messages.count == 1)
        #expect(unauthenticated.messages.isEmpty)
    }

    @Test("commits the order, its event, the counter and the answer in one transaction, before it answers")
    func transaction() throws {
        let server = try TestServer()
        let database = server.database
        let restaurant = try database.addRestaurant()
        let order = try database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        tablet.update(order, to: .ready, id: "c1")
        try server.wait(for: "an answer") { !tablet.answers.isEmpty }
        let row = try #require(
            try database.run(
                """
                select o.status, o.version, e.type, e.seq, e.message_id, s.head,
                    o.xmin::text = all (array[e.xmin::text, s.xmin::text, c.xmin::text])
                from orders o
                join restaurant_events e on e.data ->> 'order_id' = o.id::text and e.type = 'order.status_changed'
                join restaurant_streams s on s.restaurant_id = o.restaurant_id
                join processed_commands c on c.restaurant_id = o.restaurant_id
                where o.id = '\(order)'
                """
            ).first)
        #expect(row.string(0) == "ready")
        #expect(row.integer(1) == 2)
        #expect(row.string(2) == "order.status_changed")
        #expect(row.integer(3) == Int64(tablet.answers[0]["data"]["seq"].integer ?? -1))
        #expect(row.string(4) == "c1")
        #expect(row.integer(5) == row.integer(3))
        #expect(row.boolean(6) == true)
    }

    @Test("leaves nothing behind of a command whose transaction fails")
    func rollback() throws {
        let server = try TestServer()
        let database = server.database
        let restaurant = try database.addRestaurant()
        let order = try database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        // The last thing written is the remembered answer.
        try database.run("alter table processed_commands add constraint no_ready check (message_id <> 'c1')")
        tablet.update(order, to: .ready, id: "c1")
        try server.wait(for: "an answer") { !tablet.answers.isEmpty }
        #expect(tablet.answers[0]["type"].string == "error")
        #expect(tablet.answers[0]["data"]["code"].string == "internal_error")
        #expect(try database.value("select status from orders") == "draft")
        #expect(try database.value("select count(*) from restaurant_events where type <> 'order.created'") == "0")
        #expect(try database.value("select count(*) from processed_commands") == "0")
        #expect(try database.value("select count(*) from pending_changes") == "0")
    }

    @Test("answers a command without an id by its event alone")
    func withoutID() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        tablet.update(order, to: .ready)
        try server.wait(for: "the event") { tablet.events.count == 1 }
        try server.settle()
        #expect(tablet.messages.count == 2)
        #expect(try server.database.value("select count(*) from processed_commands") == "0")
    }

    @Test("acknowledges the status that an order has already without an event")
    func sameStatus() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant, status: .ready)
        let tablet = try server.staffTablet(at: restaurant)
        tablet.update(order, to: .ready, id: "c1")
        try server.wait(for: "an answer") { !tablet.answers.isEmpty }
        #expect(tablet.answers[0]["type"].string == "ack")
        #expect(tablet.answers[0]["data"].members.keys.sorted() == ["id"])
        try server.settle()
        #expect(tablet.messages.count == 2)
        #expect(try server.database.value("select version from orders") == "1")
    }

    @Test("takes nothing from a client that names itself, its restaurant or a number")
    func forgedEnvelope() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let victim = try server.database.addRestaurant()
        let owner = try server.database.addUser(.restaurantOwner, at: victim)
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        let victims = try server.authenticatedTablet(owner, at: victim)
        let forged = """
            "restaurant_id":"\(victim)","user_id":"\(owner.id)","seq":99,"timestamp":"1999-01-01T00:00:00.000Z"
            """
        tablet.say(
            """
            {"type":"order.status_update","id":"c1",\(forged),"data":{"order_id":"\(order)","status":"ready",\
            \(forged),"updated_by":"\(owner.id)"}}
            """)
        tablet.say("{\"type\":\"table.occupied\",\"id\":\"c2\",\(forged),\"data\":{\"table\":\"7\"}}")
        try server.wait(for: "answers and events") { tablet.messages.count == 5 }
        let event = try #require(tablet.events.first)
        #expect(event["seq"].integer == 2)
        #expect(event["restaurant_id"].string == restaurant.description)
        #expect(event["data"]["updated_by"].string == user.id.description)
        let relayed = try #require(tablet.messages("table.occupied").first)
        #expect(relayed["restaurant_id"].string == restaurant.description)
        #expect(relayed["user_id"].string == user.id.description)
        #expect(relayed.members["seq"] == nil)
        #expect(relayed["timestamp"].string?.hasPrefix("1999") == false)
        try server.settle()
        #expect(victims.messages.count == 1)
        #expect(try server.database.value("select actor from restaurant_events where seq = 2") == user.id.description)
    }

    // MARK: Refusals

    static let invalid: [(String, String)] = [
        ("no data", #""type":"order.status_update""#),
        ("data that is no object", #""type":"order.status_update","data":["a"]"#),
        ("no order", #""type":"order.status_update","data":{"status":"ready"}"#),
        ("an order that is no UUID", #""type":"order.status_update","data":{"order_id":"7","status":"ready"}"#),
        ("no status", #""type":"order.status_update","data":{"order_id":"ORDER"}"#),
        ("an unknown status", #""type":"order.status_update","data":{"order_id":"ORDER","status":"eaten"}"#),
        ("a status in capitals", #""type":"order.status_update","data":{"order_id":"ORDER","status":"READY"}"#),
        (
            "version 0",
            #""type":"order.status_update","data":{"order_id":"ORDER","status":"ready","expected_version":0}"#
        ),
        (
            "a version as text",
            #""type":"order.status_update","data":{"order_id":"ORDER","status":"ready","expected_version":"1"}"#
        ),
        (
            "half a version",
            #""type":"order.status_update","data":{"order_id":"ORDER","status":"ready","expected_version":1.5}"#
        ),
        (
            "a version beyond all numbers",
            #""type":"order.status_update","data":{"order_id":"ORDER","status":"ready","expected_version":9e99}"#
        ),
        ("a transient event without data", #""type":"table.occupied""#),
        ("a transient event with text as data", #""type":"table.occupied","data":"7""#),
        (
            "a transient event that is too large",
            #""type":"table.occupied","data":{"a":""# + String(repeating: "x", count: 16_377) + #""}"#
        ),
        ("a second authentication", #""type":"authenticate","data":{}"#),
    ]

    @Test("refuses what is wrong with a command under its id")
    func invalidCommands() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        for (number, row) in CommandTests.invalid.enumerated() {
            let (name, members) = row
            tablet.say("{\"id\":\"c\(number)\",\(members.replacing("ORDER", with: order.description))}")
            try server.wait(for: "an answer to \(name)") { tablet.answers.count > number }
            let answer = tablet.answers[number]
            #expect(answer["type"].string == "error", "\(name)")
            #expect(answer["data"]["id"].string == "c\(number)", "\(name)")
            #expect(answer["data"]["code"].string == "invalid_message", "\(name)")
            #expect(answer["data"]["error"].string?.hasSuffix(".") == true, "\(name)")
        }
        #expect(try server.database.value("select version from orders") == "1")
    }

    @Test("refuses unknown types by name")
    func unknownType() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let other = try server.staffTablet(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let types = ["order.created", "kitchen.burnt", "PING", "", "menu.updated", "ack"]
        for type in types { tablet.say(type: type, id: "c-\(type)") }
        try server.wait(for: "answers") { tablet.answers.count == types.count }
        #expect(tablet.answers.allSatisfy { $0["data"]["code"].string == "unknown_type" })
        #expect(tablet.answers.map { $0["data"]["id"].string } == types.map { "c-\($0)" })
        try server.settle()
        #expect(other.messages.count == 1)
    }

    @Test("takes ids of 1 to 128 bytes")
    func ids() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let rows: [(json: String, answered: String?)] = [
            ("\"\"", nil), ("17", nil), ("{}", nil), ("\"a\\u0000b\"", nil),
            ("\"\(String(repeating: "x", count: 129))\"", nil), ("\"\(String(repeating: "é", count: 65))\"", nil),
            ("\"\(String(repeating: "x", count: 128))\"", String(repeating: "x", count: 128)),
            ("\"x\"", "x"), ("\"\\u00e9 \\\"<\\\\\"", "é \"<\\"),
        ]
        for (number, row) in rows.enumerated() {
            tablet.say(
                """
                {"type":"order.status_update","id":\(row.json),"data":{"order_id":"\(order)","status":"draft"}}
                """)
            try server.wait(for: "an answer to \(row.json)") { tablet.answers.count > number }
            let answer = tablet.answers[number]
            #expect(answer["type"].string == (row.answered == nil ? "error" : "ack"), "\(row.json)")
            #expect(answer["data"]["id"].string == row.answered, "\(row.json)")
            if row.answered == nil { #expect(answer["data"]["code"].string == "invalid_message", "\(row.json)") }
        }
    }

    @Test("does not find orders that are not there, nor those of another restaurant")
    func orderNotFound() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let elsewhere = try server.database.addRestaurant()
        let foreign = try server.database.addOrder(at: elsewhere)
        let tablet = try server.staffTablet(at: restaurant, .platformOwner)
        let stranger = try server.staffTablet(at: elsewhere)
        tablet.update(foreign, to: .ready, id: "c1")
        tablet.update(OrderID(TestDatabase.randomUUID()), to: .ready, id: "c2")
        try server.wait(for: "two answers") { tablet.answers.count == 2 }
        for (answer, id) in zip(tablet.answers, ["c1", "c2"]) {
            #expect(answer["data"].members.keys.sorted() == ["code", "error", "id"])
            #expect(answer["data"]["code"].string == "order_not_found")
            #expect(answer["data"]["id"].string == id)
        }
        // One cannot be told from the other.
        #expect(tablet.answers[0]["data"]["error"] == tablet.answers[1]["data"]["error"])
        #expect(try server.database.value("select status from orders") == "draft")
        try server.settle()
        #expect(stranger.messages.count == 1)
    }

    @Test("moves an order forwards only, and cancels it until it is completed")
    func transitions() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let steps: [OrderStatus] = [.draft, .pending, .confirmed, .preparing, .ready, .served, .completed]
        for status in OrderStatus.allCases {
            let tablet = try server.staffTablet(at: restaurant)
            for next in OrderStatus.allCases {
                let order = try server.database.addOrder(at: restaurant, status: status)
                tablet.update(order, to: next, id: next.rawValue)
                try server.wait(for: "an answer") { tablet.answers(to: next.rawValue).count == 1 }
                let answer = tablet.answers(to: next.rawValue)[0]
                let isAllowed =
                    switch (steps.firstIndex(of: status), steps.firstIndex(of: next)) {
                    case _ where next == status: true
                    case (let from?, let to?): to > from
                    case (_?, nil): status != .completed
                    case (nil, _): false
                    }
                #expect(answer["type"].string == (isAllowed ? "ack" : "error"), "\(status) to \(next)")
                guard !isAllowed else { continue }
                #expect(answer["data"]["code"].string == "invalid_transition")
                #expect(answer["data"]["order"]["id"].string == order.description)
                #expect(answer["data"]["order"]["status"].string == status.rawValue)
            }
        }
    }

    @Test("checks the version it is told to expect, and shows the order as it is")
    func versionConflict() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        try server.database.run(
            """
            insert into order_items (order_id, product_name, quantity, unit_price) values ('\(order)', 'Paella', 2, 14.50);
            update orders set total_amount = 29.00
            """)
        let version = try #require(try server.database.value("select version from orders").flatMap { Int($0) })
        let tablet = try server.staffTablet(at: restaurant)
        tablet.update(order, to: .confirmed, id: "c1", expecting: version + 1)
        tablet.update(order, to: .draft, id: "c2", expecting: version + 1)
        tablet.update(order, to: .confirmed, id: "c3", expecting: version)
        tablet.update(order, to: .preparing, id: "c4", expecting: version)
        try server.wait(for: "four answers") { tablet.answers.count == 4 }
        #expect(tablet.answers.map { $0["type"].string } == ["error", "error", "ack", "error"])
        let codes = tablet.answers.map { $0["data"]["code"].string }
        #expect(codes == ["version_conflict", "version_conflict", nil, "version_conflict"])
        let before = tablet.answers[0]["data"]["order"]
        #expect(before["status"].string == "draft")
        #expect(before["version"].integer == version)
        #expect(before["total_amount"] == (try Document(json: "29")))
        #expect(before["items"].elements.count == 1)
        #expect(before["items"][0]["product_name"].string == "Paella")
        #expect(before["items"][0]["unit_price"] == (try Document(json: "14.5")))
        #expect(before["items"][0]["total_price"] == (try Document(json: "29")))
        #expect(tablet.answers[3]["data"]["order"]["status"].string == "confirmed")
        #expect(tablet.answers[3]["data"]["order"]["version"].integer == version + 1)
        // Errors are not remembered: the same id has its effect once it can.
        tablet.update(order, to: .preparing, id: "c4", expecting: version + 1)
        try server.wait(for: "the fifth answer") { tablet.answers.count == 5 }
        #expect(tablet.answers[4]["type"].string == "ack")
    }

    // MARK: Order

    @Test("does one connection's commands one at a time, in order")
    func inOrder() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let second = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let other = try server.staffTablet(at: restaurant)
        let lock = try RowLock(on: order, in: server.database)
        tablet.update(order, to: .confirmed, id: "c1")
        tablet.update(second, to: .confirmed, id: "c2")
        tablet.say(type: "kitchen.item_ready", id: "c3")
        tablet.update(order, to: .preparing, id: "c4")
        tablet.update(order, to: .ready, id: "c5")
        try server.wait(for: "the first to meet the lock") { lock.isInTheWay }
        // Somebody else's commands are not behind them.
        other.update(second, to: .pending, id: "d1")
        try server.wait(for: "the other's answer") { other.answers.count == 1 && tablet.events.count == 1 }
        #expect(tablet.answers.isEmpty)
        #expect(tablet.messages("kitchen.item_ready").isEmpty)
        lock.release()
        try server.wait(for: "all answers and events") { tablet.answers.count == 5 && other.events.count == 5 }
        #expect(tablet.answers.map { $0["data"]["id"].string } == ["c1", "c2", "c3", "c4", "c5"])
        #expect(tablet.answers.map { $0["data"]["seq"].integer } == [4, 5, nil, 6, 7])
        for listener in [tablet, other] {
            #expect(listener.events.map { $0["seq"].integer } == [3, 4, 5, 6, 7])
            #expect(
                listener.events.map { $0["data"]["status"].string }
                    == ["pending", "confirmed", "confirmed", "preparing", "ready"])
        }
    }

    @Test("takes what a tablet sends right behind its authentication, large messages too")
    func behindAuthentication() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.tablet(at: restaurant)
        tablet.authenticate(user, at: restaurant)
        tablet.update(order, to: .confirmed, id: "c1")
        tablet.say(type: "ping", data: "\"\(String(repeating: "x", count: 60_000))\"")
        tablet.say(type: "table.occupied", id: "c2")
        tablet.sendFrame(.ping, [])
        try server.wait(for: "everything") { tablet.messages.count == 6 && tablet.pongs == 1 }
        #expect(tablet.messages[0]["type"].string == "authenticated")
        #expect(tablet.answers.map { $0["type"].string } == ["ack", "ack"])
        #expect(tablet.messages("pong")[0]["data"]["echo"].string?.utf8.count == 60_000)
        #expect(tablet.events.map { $0["data"]["status"].string } == ["confirmed"])
    }

    @Test("lets 64 commands wait, and refuses the next")
    func waiting() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let lock = try RowLock(on: order, in: server.database)
        for number in 0..<66 { tablet.update(order, to: .pending, id: "c\(number)") }
        try server.wait(for: "a refusal") { !tablet.answers.isEmpty }
        let refusal = tablet.answers[0]
        #expect(refusal["type"].string == "error")
        #expect(refusal["data"]["code"].string == "rate_limited")
        #expect(refusal["data"]["id"].string == "c65")
        #expect((refusal["data"]["retry_after_ms"].integer ?? 0) > 0)
        lock.release()
        try server.wait(for: "65 more answers") { tablet.answers.count == 66 }
        #expect(tablet.answers.dropFirst().map { $0["data"]["id"].string } == (0..<65).map { "c\($0)" })
        #expect(tablet.answers.dropFirst().allSatisfy { $0["type"].string == "ack" })
        #expect(tablet.events.count == 1)
    }

    // MARK: Transient events

    @Test("relays a transient event to the restaurant as it is, but safe to put into a page")
    func transient() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let elsewhere = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let sender = try server.authenticatedTablet(user, at: restaurant)
        let other = try server.staffTablet(at: restaurant)
        let stranger = try server.staffTablet(at: elsewhere)
        let data = #"{"note":"<b>R&D\u2028</b>\u2029 é \" \\ \ud83c\udf72","table":7,"n":[1.50,-0,1e3,null,true]}"#
        for type in TransientEventType.allCases.map(\.name.description) {
            sender.say(type: type, id: type, data: data)
            try server.wait(for: "the event and the answer") {
                [sender, other].allSatisfy { $0.messages(type).count == 1 } && sender.answers(to: type).count == 1
            }
            #expect(sender.answers(to: type)[0]["type"].string == "ack")
            #expect(sender.answers(to: type)[0]["data"].members.keys.sorted() == ["id"])
            for tablet in [sender, other] {
                let event = try #require(tablet.messages(type).first)
                #expect(event.members.keys.sorted() == ["data", "id", "restaurant_id", "timestamp", "type", "user_id"])
                #expect(event["data"] == (try Document(json: data)))
                #expect(event["user_id"].string == user.id.description)
                #expect(event["restaurant_id"].string == restaurant.description)
            }
            let text = try #require(other.texts.last)
            #expect(!text.contains { "<>&\u{2028}\u{2029}".contains($0) })
            #expect(text.contains("1.50") && text.contains("1e3"))
        }
        try server.settle(.milliseconds(50))
        #expect(stranger.messages.count == 1)
        #expect(try server.database.value("select count(*) from restaurant_events") == "0")
        #expect(try server.database.value("select count(*) from processed_commands") == "0")
    }

    @Test("relays a transient event each time it is sent, and acknowledges it only if it has an id")
    func transientRepeated() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        for _ in 0..<2 { tablet.say(type: "table.cleaned", id: "c1") }
        tablet.say(type: "table.cleaned")
        try server.wait(for: "three events") { tablet.messages("table.cleaned").count == 3 }
        try server.settle(.milliseconds(50))
        #expect(tablet.answers(to: "c1").count == 2)
        #expect(tablet.messages.count == 6)
        #expect(Set(tablet.messages.compactMap { $0["id"].string }).count == 6)
    }
}
