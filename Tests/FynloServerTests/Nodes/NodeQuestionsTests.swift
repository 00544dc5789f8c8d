import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A node of the test's own that says and does only what it is told to.
private final class FakeNode {
    let user: RedisUser
    let node = ConnectionID.node(random: TestDatabase.randomUUID().high)
    private let prefix: String

    init(_ nodes: TestNodes, redis: String) throws {
        prefix = try #require(nodes[0].server.bus).keys.prefix
        user = try RedisUser(nodes[0].loop, redis)
        user.connection.pushHandler = { _ in }
        try user.open()
    }

    convenience init(_ nodes: TestNodes) throws {
        try self.init(nodes, redis: try TestDatabase.variable("FYNLO_TEST_REDIS_URL"))
    }

    var name: String { ConnectionID.nodeName(node) }
    var registry: RedisArgument { .text(prefix + "nodes") }
    var channel: RedisArgument { .text("\(prefix)n:\(name)") }
    var lease: RedisArgument { .text("\(prefix)node:\(name)") }

    /// Says something to one node.
    func say(_ content: NodeMessage.Content, to server: TestServer) throws {
        var bytes = ByteBuffer()
        bytes.append(NodeMessage(node: node, content))
        let channel = "\(prefix)n:\(ConnectionID.nodeName(server.hub.node))"
        #expect(try user.ask("PUBLISH", .text(channel), .bytes(bytes.bytes())) == .success(.integer(1)))
    }
}

@Suite("What nodes ask one another")
struct NodeQuestionsTests {
    private static let diagnostics = "/api/v1/websocket/diagnostics"

    private func path(_ tablet: TestTablet) throws -> String {
        let id = try #require(tablet.messages.first?["data"]["connection_id"].string)
        return "/api/v1/websocket/connections/\(id)"
    }

    private func path(_ connection: ConnectionID) -> String { "/api/v1/websocket/connections/\(connection.uuid)" }

    // MARK: Closing

    @Test("managers close a connection of their restaurant on another node; others may not, or do not see it")
    func closing() throws {
        let nodes = try TestNodes(2)
        let database = nodes.database
        let restaurant = try database.addRestaurant()
        let foreign = try database.addRestaurant()
        let bystander = try nodes[1].staffTablet(at: restaurant)
        for (role, home, status) in [
            (Role.manager, restaurant, 204), (.platformOwner, nil, 204), (.employee, restaurant, 403),
            (.manager, foreign, 404), (.employee, foreign, 404),
        ] as [(Role, RestaurantID?, Int)] {
            let tablet = try nodes[1].staffTablet(at: restaurant)
            let token = try database.addUser(role, at: home).token()
            let path = try path(tablet)
            #expect(try nodes[0].request(.delete, path, token: token).status == status, "\(role)")
            #expect(try nodes[0].request(.delete, path).status == 401)
            if status == 204 {
                try nodes[0].wait(for: "its end") { tablet.isClosed }
                #expect(tablet.closeCode == 4006)
                #expect(try nodes[0].request(.delete, path, token: token).status == 404, "it is gone")
            } else {
                tablet.say(type: "ping")
                try nodes[0].wait(for: "a pong") { tablet.messages("pong").count == 1 }
            }
        }
        // Let in is what a connection has to be, on another node as here.
        let waiting = try nodes[1].tablet(at: restaurant)
        try nodes[0].wait(for: "the upgrade") { waiting.isUpgraded }
        let owner = try database.addUser(.platformOwner, at: nil).token()
        for connection in nodes[1].hub.allConnections where connection.user == nil {
            #expect(try nodes[0].request(.delete, path(connection.id), token: owner).status == 404)
        }
        #expect(!bystander.isClosed && !waiting.isClosed)
    }

    @Test("a node that is gone had its connections; one that is there and does not answer is named after a second")
    func silence() throws {
        let nodes = try TestNodes(2)
        let owner = try nodes.database.addUser(.platformOwner, at: nil).token()
        let fake = try FakeNode(nodes)
        let path = path(ConnectionID(node: fake.node, number: 1))
        #expect(try nodes[0].request(.delete, path, token: owner).status == 404)
        // It listens, and says nothing.
        let listener = try FakeNode(nodes)
        _ = try listener.user.ask("SUBSCRIBE", fake.channel)
        func expectSilence() throws -> Duration {
            let start = SystemClock.instant
            let problem = try expectProblem(
                try nodes[0].request(.delete, path, token: owner), 503, code: "unavailable")
            #expect(problem["detail"].string?.contains("Node \(fake.name),") == true)
            return SystemClock.instant - start
        }
        let duration = try expectSilence()
        #expect(duration >= .seconds(1) && duration < .seconds(3).patient)
        #expect(try nodes[0].request(.delete, path, token: "nonsense").status == 401)
        // It does not listen at the moment, but has not ended.
        _ = try listener.user.ask("UNSUBSCRIBE", fake.channel)
        _ = try fake.user.ask("SET", fake.lease, "1")
        #expect(try expectSilence() < .seconds(1))
        _ = try fake.user.ask("DEL", fake.lease)
        #expect(try nodes[0].request(.delete, path, token: owner).status == 404)
    }

    @Test("nobody answers for another node, and an order to close is carried out for connections that are there")
    func orders() throws {
        let nodes = try TestNodes(1)
        let restaurant = try nodes.database.addRestaurant()
        let user = try nodes.database.addUser(.employee, at: restaurant)
        let tablet = try nodes[0].authenticatedTablet(user, at: restaurant, device: "till")
        let other = try nodes[0].staffTablet(at: restaurant)
        let fake = try FakeNode(nodes)
        let connection = try #require(nodes[0].hub.allConnections.first { $0.user == user.id }?.id)
        try fake.say(.closed(wasThere: true, request: 1), to: nodes[0])
        try fake.say(.report(body: [], request: 0), to: nodes[0])
        // The same number on another node.
        let elsewhere = ConnectionID(node: fake.node, number: connection.number)
        try fake.say(.close(elsewhere, .revoked, request: 1), to: nodes[0])
        tablet.say(type: "ping")
        try nodes[0].wait(for: "a pong") { tablet.messages("pong").count == 1 }
        try fake.say(.close(connection, .replaced, request: 2), to: nodes[0])
        try nodes[0].wait(for: "the end") { tablet.isClosed }
        #expect(tablet.closeCode == 4011)
        #expect(!other.isClosed)
        let figures = try #require(nodes[0].server.bus?.figures)
        #expect(figures.received[.close] == 2 && figures.sent[.closed] == 2)
    }

    // MARK: Diagnostics

    private func connections(_ document: Document) -> Set<String> {
        Set(
            document["restaurants"].elements.flatMap { $0["connections"].elements.compactMap { $0["id"].string } })
    }

    @Test("diagnostics tell of the tablets of all nodes, each node of its own")
    func gathering() throws {
        let nodes = try TestNodes(3)
        let database = nodes.database
        let restaurant = try database.addRestaurant()
        let foreign = try database.addRestaurant()
        let tablets = try nodes.tablets(3, at: restaurant)
        let others = try nodes.tablets(2, at: foreign)
        func ids(_ tablets: [TestTablet]) -> Set<String> {
            Set(tablets.compactMap { $0.messages.first?["data"]["connection_id"].string })
        }
        let manager = try database.addUser(.manager, at: restaurant).token()
        let owner = try database.addUser(.platformOwner, at: nil).token()
        for (token, expected) in [(manager, ids(tablets)), (owner, ids(tablets + others))] {
            let answer = try nodes[2].request(.get, Self.diagnostics, token: token)
            #expect(answer.status == 200)
            let body = try Document(answer.body)
            #expect(body["node"].string == ConnectionID.nodeName(nodes[2].hub.node))
            #expect(
                body["nodes"].elements.compactMap { $0["node"].string }
                    == [nodes[0], nodes[1]].map { ConnectionID.nodeName($0.hub.node) }.sorted())
            #expect(body["silent_nodes"] == .array([]))
            let all = body["nodes"].elements + [body]
            #expect(all.reduce(into: Set()) { $0.formUnion(connections($1)) } == expected)
            #expect(all.allSatisfy { $0["report"]["connection_status"]["state"].string == "CONNECTED" })
        }
        let text = String(
            decoding: try nodes[0].request(
                .get, Self.diagnostics, token: manager, headers: ["Accept": "text/plain"]
            ).body, as: UTF8.self)
        #expect(text.hasPrefix("WebSocket Diagnostic Report\n"))
        for node in [nodes[1], nodes[2]] {
            #expect(
                text.contains("\nOn node \(ConnectionID.nodeName(node.hub.node)):\nWebSocket Diagnostic Report\n"))
        }
        #expect(!text.contains("did not answer"))
        // Alone, there is nobody to name.
        let alone = try TestNodes(1)
        let other = try alone.database.addUser(.platformOwner, at: nil).token()
        let body = try Document(try alone[0].request(.get, Self.diagnostics, token: other).body)
        #expect(body["nodes"] == .array([]) && body["silent_nodes"] == .array([]))
    }

    @Test("diagnostics name the nodes that do not answer within a second, and none that are gone")
    func silentNodes() throws {
        let nodes = try TestNodes(2)
        let owner = try nodes.database.addUser(.platformOwner, at: nil).token()
        let fake = try FakeNode(nodes)
        let listener = try FakeNode(nodes)
        _ = try listener.user.ask("SUBSCRIBE", fake.channel)
        _ = try fake.user.ask("SET", fake.lease, "1")
        _ = try fake.user.ask("HSET", fake.registry, .text(fake.name), "{}")
        _ = try fake.user.ask("HSET", fake.registry, "nonsense", "{}")
        let start = SystemClock.instant
        let body = try Document(try nodes[0].request(.get, Self.diagnostics, token: owner).body)
        let duration = SystemClock.instant - start
        #expect(duration >= .seconds(1) && duration < .seconds(3).patient)
        #expect(body["silent_nodes"] == .array([.string(fake.name)]))
        #expect(body["nodes"].elements.count == 1)
        let text = String(
            decoding: try nodes[0].request(
                .get, Self.diagnostics, token: owner, headers: ["Accept": "text/plain"]
            ).body, as: UTF8.self)
        #expect(text.contains("\nNode \(fake.name) did not answer within a second.\n"))
        // Gone without a word: its key runs out.
        _ = try fake.user.ask("DEL", fake.lease)
        _ = try listener.user.ask("UNSUBSCRIBE", fake.channel)
        let after = try Document(try nodes[0].request(.get, Self.diagnostics, token: owner).body)
        #expect(after["silent_nodes"] == .array([]))
        try nodes[0].wait(for: "it to be struck off") {
            (try? fake.user.ask("HEXISTS", fake.registry, .text(fake.name))) == .success(.integer(0))
        }
    }

    @Test("a node stands in the registry from its start to its end")
    func registry() throws {
        let nodes = try TestNodes(1)
        let fake = try FakeNode(nodes)
        func isRegistered(_ node: UInt64) -> Bool {
            (try? fake.user.ask("HEXISTS", fake.registry, .text(ConnectionID.nodeName(node)))) == .success(.integer(1))
        }
        let node = nodes[0].hub.node
        try nodes[0].wait(for: "the registry") { isRegistered(node) }
        // Whoever empties Redis.
        _ = try fake.user.ask("DEL", fake.registry)
        try nodes[0].wait(for: "the registry") { isRegistered(node) }
        nodes[0].server.stop()
        try nodes[0].wait(for: "its end") { !isRegistered(node) }
    }

    @Test("without Redis they tell of themselves, and say so")
    func redisAway() throws {
        let redis = try RealRedis()
        let nodes = try TestNodes(2, ["REDIS_URL": redis.url])
        let restaurant = try nodes.database.addRestaurant()
        let manager = try nodes.database.addUser(.manager, at: restaurant).token()
        let tablets = try nodes.tablets(2, at: restaurant)
        redis.kill()
        try nodes[0].wait(for: "the loss") {
            nodes.all.allSatisfy { !$0.server.isRedisReady && $0.server.bus?.isListening == false }
        }
        let body = try Document(try nodes[0].request(.get, Self.diagnostics, token: manager).body)
        #expect(body["silent_nodes"] == .null && body["nodes"] == .array([]))
        #expect(connections(body).count == 1)
        let text = String(
            decoding: try nodes[0].request(
                .get, Self.diagnostics, token: manager, headers: ["Accept": "text/plain"]
            ).body, as: UTF8.self)
        #expect(text.hasSuffix("could not be asked: Redis is not connected.\n"))
        let problem = try expectProblem(
            try nodes[0].request(.delete, try path(tablets[1]), token: manager), 503, code: "unavailable")
        #expect(problem["detail"].string?.contains(ConnectionID.nodeName(nodes[1].hub.node)) == true)
        // Its own it closes all the same.
        #expect(try nodes[0].request(.delete, try path(tablets[0]), token: manager).status == 204)
        try nodes[0].wait(for: "its end") { tablets[0].isClosed }
    }

    @Test("a node with more tablets than a message holds tells of as many as fit")
    func manyTablets() throws {
        let nodes = try TestNodes(
            2, ["FYNLO_MAX_CONNECTIONS_PER_USER": "200", "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "200"])
        let restaurant = try nodes.database.addRestaurant()
        let user = try nodes.database.addUser(.manager, at: restaurant)
        let tablets = try (0..<160).map { _ in try nodes[1].tablet(at: restaurant) }
        for tablet in tablets { tablet.authenticate(user, at: restaurant) }
        try nodes[0].wait(for: "all of them", atMost: .seconds(20)) { nodes[1].hub.tabletCount == 160 }
        let body = try Document(try nodes[0].request(.get, Self.diagnostics, token: user.token()).body)
        let there = body["nodes"][0]["restaurants"][0]
        #expect(there["connection_count"].integer == 160)
        #expect([25, 150].contains(there["connections"].elements.count))
    }
}
