import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// Servers of one database and one Redis, on one loop.
struct TestNodes {
    let all: [TestServer]

    subscript(place: Int) -> TestServer { all[place] }
    var database: TestDatabase { all[0].database }

    /// With a pulse so slow that it helps nobody, unless told otherwise.
    init(
        _ count: Int, _ variables: [String: String] = [:], pulse: Duration = .seconds(3_600),
        adjust: (inout Config) -> Void = { _ in }
    ) throws {
        func node(_ first: TestServer?) throws -> TestServer {
            try TestServer(variables, database: first?.database, loop: first?.loop) {
                $0.pulseInterval = pulse
                adjust(&$0)
            }
        }
        let first = try node(nil)
        all = try [first] + (1..<count).map { _ in try node(first) }
        try listen()
    }

    /// Waits until all of them hear what the others say, those with tablets of a restaurant also what is said of it.
    func listen(to restaurant: RestaurantID? = nil) throws {
        try all[0].wait(for: "the nodes to listen", atMost: .seconds(20)) {
            all.allSatisfy { node in
                guard let bus = node.server.bus, bus.isListening, node.server.isRedisReady else { return false }
                return restaurant.map { !node.hub.hasListeners($0) || bus.isSubscribed(to: $0) } ?? true
            }
        }
    }

    /// A tablet on each of the first `count` nodes, which then hear what is said of the restaurant.
    func tablets(_ count: Int, at restaurant: RestaurantID) throws -> [TestTablet] {
        let tablets = try all.prefix(count).map { try $0.staffTablet(at: restaurant) }
        try listen(to: restaurant)
        return tablets
    }

    /// Every node's bus has been given the chance to hear what was said before: a later message has come everywhere.
    func flush(_ tablets: [TestTablet]) throws {
        let marker = "\(TestDatabase.randomUUID())"
        for tablet in tablets { tablet.say(type: "table.cleaned", data: "{\"marker\":\"\(marker)\"}") }
        try all[0].wait(for: "the markers") {
            tablets.allSatisfy { tablet in
                tablet.messages.count { $0["data"]["marker"].string == marker } >= tablets.count
            }
        }
    }
}

@Suite("Several nodes")
struct SeveralNodesTests {
    private func numbers(_ tablet: TestTablet) -> [Int] {
        tablet.events.compactMap { $0["seq"].integer }
    }

    @Test("bring what is committed on one to the tablets of all, by the hint alone")
    func hints() throws {
        let nodes = try TestNodes(3)
        let orders = try TestOrders(on: nodes[2], .manager)
        let restaurant = orders.restaurant
        // The third has no tablets.
        let tablets = try nodes.tablets(2, at: restaurant)
        #expect(nodes[2].server.bus?.isSubscribed(to: restaurant) == false)
        let order = try orders.created()
        try nodes[0].wait(for: "the order") { tablets.allSatisfy { $0.events.count == 1 } }
        tablets[0].update(order, to: .confirmed, id: "c1")
        try nodes[0].wait(for: "its change") { tablets.allSatisfy { $0.events.count == 2 } }
        tablets[1].update(order, to: .ready, id: "c2")
        try nodes[0].wait(for: "the other's change") { tablets.allSatisfy { $0.events.count == 3 } }
        #expect(try TestOrders(orders, on: nodes[1]).patch(order, "{\"status\":\"served\"}").status == 200)
        let notification = "{\"restaurant_id\":\"\(restaurant)\",\"title\":\"Bar\",\"message\":\"No ice\"}"
        #expect(try orders.post("/api/v1/notifications", notification).status == 202)
        let head = try orders.head()
        try nodes[0].wait(for: "the last one") { tablets.allSatisfy { numbers($0).last == head } }
        for tablet in tablets { #expect(numbers(tablet) == Array(1...head)) }
        #expect(tablets[0].events == tablets[1].events)
        #expect(tablets[0].events.last?["type"].string == "system.notification")
        #expect((nodes[0].server.bus?.figures.received[.head] ?? 0) >= 3)
    }

    @Test("bring an event to a tablet of another node long before the pulse would")
    func speed() throws {
        let nodes = try TestNodes(2, pulse: Config.pulseInterval)
        let restaurant = try nodes.database.addRestaurant()
        let orders = try (0..<20).map { _ in try nodes.database.addOrder(at: restaurant) }
        let tablets = try nodes.tablets(2, at: restaurant)
        let start = SystemClock.instant
        for (number, order) in orders.enumerated() {
            tablets[number % 2].update(order, to: .ready, id: "c\(number)")
            try nodes[0].wait(for: "the event") { tablets.allSatisfy { $0.events.count == number + 1 } }
        }
        // One after another: by the pulse each of them would have waited for half an interval.
        #expect(SystemClock.instant - start < (Config.pulseInterval * 5).patient)
    }

    @Test("pass on what nobody keeps once to every tablet of the restaurant, and to no other restaurant")
    func transients() throws {
        let nodes = try TestNodes(3)
        let restaurant = try nodes.database.addRestaurant()
        let elsewhere = try nodes.database.addRestaurant()
        let tablets = try nodes.tablets(3, at: restaurant) + [try nodes[1].staffTablet(at: restaurant)]
        let others = try nodes.tablets(3, at: elsewhere)
        try nodes.listen(to: restaurant)
        for number in 0..<20 {
            tablets[number % 4].say(
                type: "kitchen.item_ready", id: "k\(number)",
                data: "{\"number\":\(number),\"text\":\"<Jalapeño> \\u2028 \\\"\(number)\\\"\"}")
        }
        others[0].say(type: "table.occupied", data: "{\"table\":\"7\"}")
        try nodes.flush(tablets)
        try nodes.flush(others)
        for (place, tablet) in tablets.enumerated() {
            let heard = tablet.messages("kitchen.item_ready")
            #expect(heard.compactMap { $0["data"]["number"].integer }.sorted() == Array(0..<20), "tablet \(place)")
            #expect(heard.allSatisfy { $0["restaurant_id"].string == restaurant.description })
            #expect(heard.allSatisfy { $0["seq"].integer == nil && $0["user_id"].string != nil })
            // What one tablet says stays in its order.
            for sender in 0..<4 {
                let own = heard.compactMap { $0["data"]["number"].integer }.filter { $0 % 4 == sender }
                #expect(own == own.sorted())
            }
            #expect(tablet.messages("table.occupied").isEmpty)
        }
        // The same bytes everywhere.
        let texts = tablets.map { tablet in Set(tablet.texts.filter { $0.contains("kitchen.item_ready") }) }
        #expect(texts.allSatisfy { $0 == texts[0] && $0.count == 20 })
        #expect(others.allSatisfy { $0.messages("kitchen.item_ready").isEmpty })
        #expect(others.allSatisfy { $0.messages("table.occupied").count == 1 })
    }

    @Test("believe no old menu when one of them has invalidated it")
    func menus() throws {
        let nodes = try TestNodes(3) { $0.limits.accessCacheLifetime = .seconds(3_600) }
        let menu = try TestMenu(on: nodes[0])
        try menu.addProduct("water")
        let readers = nodes.all.map { TestMenu(menu, on: $0) }
        for reader in readers {
            _ = try reader.page()
            #expect(try reader.page().headers.first("x-cache") == "HIT")
        }
        // One of them has a tablet, too.
        let tablet = try nodes.tablets(1, at: menu.restaurant)[0]
        let before = try #require(try menu.page().headers.first("x-menu-version").flatMap { Int($0) })
        #expect(try readers[2].invalidate().status == 200)
        for reader in readers {
            var version = before
            try reader.server.wait(for: "its hint") {
                version = (try? reader.page().headers.first("x-menu-version").flatMap { Int($0) }) ?? before
                return version > before
            }
            #expect(version == before + 1)
        }
        try nodes[0].wait(for: "the tablet to be told") { tablet.messages("menu.updated").count == 1 }
        #expect(tablet.messages("menu.updated")[0]["data"]["version"].integer == before + 1)
    }

    @Test("listen for a restaurant as long as it has tablets there")
    func channels() throws {
        let nodes = try TestNodes(2)
        let restaurant = try nodes.database.addRestaurant()
        let bus = try #require(nodes[0].server.bus)
        let listener = try RedisUser(nodes[0].loop, try TestDatabase.variable("FYNLO_TEST_REDIS_URL"))
        try listener.open()
        func subscribers() throws -> RedisReply? {
            let answer = try listener.ask("PUBSUB", "NUMSUB", .text("\(bus.keys.prefix)r:\(restaurant)")).get()
            guard case .array(let parts) = answer else { return nil }
            return parts.last
        }
        #expect(bus.channelCount == 2)
        #expect(try subscribers() == .integer(0))
        let first = try nodes.tablets(2, at: restaurant)
        let second = try nodes[0].staffTablet(at: restaurant)
        #expect(bus.channelCount == 3)
        #expect(try subscribers() == .integer(2))
        first[0].close()
        try nodes[0].wait(for: "one to be left") { nodes[0].hub.tabletCount == 1 }
        #expect(bus.channelCount == 3)
        second.closeWebSocket()
        try nodes[0].wait(for: "none to be left") { bus.channelCount == 2 }
        try nodes[0].wait(for: "Redis to know") { (try? subscribers()) == .integer(1) }
        // Coming back is enough.
        let back = try nodes[0].staffTablet(at: restaurant)
        try nodes.listen(to: restaurant)
        try nodes.flush([back, first[1]])
    }

    @Test("lose none of the durable events when Redis is killed, and none of anything when it is back")
    func redisKilled() throws {
        let redis = try RealRedis()
        let nodes = try TestNodes(2, ["REDIS_URL": redis.url], pulse: Config.pulseInterval)
        let restaurant = try nodes.database.addRestaurant()
        let orders = try (0..<3).map { _ in try nodes.database.addOrder(at: restaurant) }
        let tablets = try nodes.tablets(2, at: restaurant)
        for (round, status) in [OrderStatus.pending, .confirmed].enumerated() {
            redis.kill()
            try nodes[0].wait(for: "the loss") {
                nodes.all.allSatisfy { !$0.server.isRedisReady && $0.server.bus?.isListening == false }
            }
            let start = SystemClock.instant
            for order in orders { tablets[0].update(order, to: status, id: "\(status) \(order)") }
            tablets[0].say(type: "kitchen.item_ready", id: "t\(round)")
            try nodes[0].wait(for: "the pulse") { tablets.allSatisfy { $0.events.count == 3 * (round + 1) } }
            #expect(SystemClock.instant - start < .milliseconds(2_000).patient)
            try nodes[0].wait(for: "its own") { tablets[0].messages("kitchen.item_ready").count == round + 1 }
            try redis.start()
            try nodes.listen(to: restaurant)
            try nodes.flush(tablets)
        }
        for tablet in tablets { #expect(numbers(tablet) == Array(4...9)) }
        #expect(tablets[1].messages("kitchen.item_ready").isEmpty, "said while nobody could hear it")
        #expect(nodes.all.allSatisfy { ($0.server.bus?.figures.losses ?? 0) >= 2 })
        #expect((nodes[0].server.bus?.figures.unsent ?? 0) >= 4)
    }

    @Test("ask what they have missed as soon as they hear one another again")
    func catchingUp() throws {
        let redis = try RealRedis()
        let nodes = try TestNodes(2, ["REDIS_URL": redis.url])
        let restaurant = try nodes.database.addRestaurant()
        let order = try nodes.database.addOrder(at: restaurant)
        let tablets = try nodes.tablets(2, at: restaurant)
        redis.kill()
        try nodes[0].wait(for: "the loss") { nodes.all.allSatisfy { !$0.server.isRedisReady } }
        tablets[0].update(order, to: .ready, id: "c")
        try nodes[0].wait(for: "the event on its own node") { tablets[0].events.count == 1 }
        #expect(tablets[1].events.isEmpty)
        try redis.start()
        try nodes[0].wait(for: "the event on the other", atMost: .seconds(20)) { tablets[1].events.count == 1 }
        #expect(tablets[0].events == tablets[1].events)
    }

    @Test("notice a Redis that falls silent, and hear what is said after it has come to itself")
    func redisFrozen() throws {
        let redis = try RealRedis()
        let nodes = try TestNodes(2, ["REDIS_URL": redis.url], pulse: Config.pulseInterval)
        let restaurant = try nodes.database.addRestaurant()
        let order = try nodes.database.addOrder(at: restaurant)
        let tablets = try nodes.tablets(2, at: restaurant)
        redis.freeze()
        tablets[0].update(order, to: .ready, id: "c")
        try nodes[0].wait(for: "the pulse") { tablets.allSatisfy { $0.events.count == 1 } }
        try nodes[0].wait(for: "the loss") { nodes.all.allSatisfy { $0.server.bus?.isListening == false } }
        redis.proceed()
        try nodes.listen(to: restaurant)
        try nodes.flush(tablets)
        #expect(tablets.allSatisfy { numbers($0) == [2] })
    }

    @Test("pass over what other versions say, and nonsense, and what is said in the wrong place")
    func strangers() throws {
        let nodes = try TestNodes(2)
        let restaurant = try nodes.database.addRestaurant()
        let elsewhere = try nodes.database.addRestaurant()
        let tablet = try nodes.tablets(1, at: restaurant)[0]
        let bus = try #require(nodes[0].server.bus)
        let stranger = try RedisUser(nodes[0].loop, try TestDatabase.variable("FYNLO_TEST_REDIS_URL"))
        try stranger.open()
        let channel = "\(bus.keys.prefix)r:\(restaurant)"
        let node = "\"node\":\"0123456789ab8def\""
        let here = "\"restaurant\":\"\(restaurant)\""
        let relayed = "{\"type\":\"table.reserved\",\"data\":{}}"
        let whole = """
            {"id":"1-1-1","type":"table.available","data":{},"restaurant_id":"\(restaurant)",\
            "timestamp":"2026-01-31T18:04:05.123Z","user_id":"\(elsewhere)"}
            """
        let rows: [(channel: String, text: String)] = [
            (channel, "{\"v\":2,\(node),\"kind\":\"transient\",\(here)}\n\(relayed)"),
            (channel, "{\"v\":2,\"shape\":\"of things to come\"}"), (channel, "nonsense"), (channel, ""),
            (channel, "{\"v\":1,\(node),\"kind\":\"novelty\",\(here)}"),
            (channel, "{\"v\":1,\(node),\"kind\":\"transient\",\(here)}\nnonsense"),
            (channel, "{\"v\":1,\(node),\"kind\":\"transient\",\"restaurant\":\"\(elsewhere)\"}\n\(relayed)"),
            ("\(bus.keys.prefix)all", "{\"v\":1,\(node),\"kind\":\"transient\",\(here)}\n\(relayed)"),
            ("\(bus.keys.prefix)all", "{\"v\":1,\(node),\"kind\":\"head\",\(here),\"head\":9}"),
            // Its own words come back to nobody.
            (
                channel,
                "{\"v\":1,\"node\":\"\(ConnectionID.nodeName(nodes[0].hub.node))\",\"kind\":\"transient\",\(here)}\n\(relayed)"
            ),
            // A promise that the database does not keep.
            (channel, "{\"v\":1,\(node),\"kind\":\"head\",\(here),\"head\":9223372036854775807}"),
            (channel, "{\"v\":1,\(node),\"kind\":\"transient\",\(here)}\n\(whole)"),
        ]
        for row in rows { _ = try stranger.ask("PUBLISH", .text(row.channel), .text(row.text)) }
        try nodes[0].wait(for: "what is understood") { tablet.messages("table.available").count == 1 }
        #expect(tablet.messages("table.reserved").isEmpty)
        let metrics = try nodes[0].metrics()
        #expect(metrics["fynlo_bus_passed_over_total", ["reason": "other_version"]] == 2)
        #expect(metrics["fynlo_bus_passed_over_total", ["reason": "unreadable"]] == 7)
        #expect(metrics["fynlo_bus_received_total", ["kind": "transient"]] == 1)
        #expect(metrics["fynlo_bus_received_total", ["kind": "head"]] == 1)
        #expect(metrics["fynlo_bus_up"] == 1 && metrics["fynlo_bus_channels"] == 3)
        // It goes on as before.
        let order = try nodes.database.addOrder(at: restaurant)
        tablet.update(order, to: .ready, id: "c")
        try nodes[0].wait(for: "its events") { numbers(tablet) == [1, 2] }
        #expect(!tablet.isClosed)
    }

    @Test("are one another's concern only with Redis: without it events come with the pulse")
    func withoutRedis() throws {
        let nodes = try (0..<2).reduce(into: [TestServer]()) { servers, _ in
            servers.append(
                try TestServer(["REDIS_URL": ""], database: servers.first?.database, loop: servers.first?.loop))
        }
        let restaurant = try nodes[0].database.addRestaurant()
        let order = try nodes[0].database.addOrder(at: restaurant)
        let tablets = try nodes.map { try $0.staffTablet(at: restaurant) }
        tablets[0].update(order, to: .ready, id: "c")
        tablets[0].say(type: "kitchen.item_ready")
        try nodes[0].wait(for: "the event") { tablets.allSatisfy { numbers($0) == [2] } }
        #expect(tablets[0].messages("kitchen.item_ready").count == 1)
        #expect(tablets[1].messages("kitchen.item_ready").isEmpty)
        #expect(try nodes[0].metrics()["fynlo_bus_up"] == 0)
    }
}
