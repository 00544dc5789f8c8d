import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A bus that counts nobody, as many do: its answers are what the test gives.
private final class UncountingBus: NodeBus {
    var received: (NodeMessage.Content, UInt64) -> Void = { _, _ in }
    var whenCaughtUp: () -> Void = {}
    /// What was said to all nodes, and to one.
    private(set) var saidToAll: [NodeMessage.Content] = []
    private(set) var said: [NodeMessage.Content] = []
    let nodes: [UInt64]
    let isListening = true
    let channelCount = 0
    let figures = NodeBusFigures()

    init(nodes: [UInt64]) {
        self.nodes = nodes
    }

    func open() {}
    func close() {}
    func want(_ restaurant: RestaurantID, _ isWanted: Bool) {}
    func announce(_ restaurant: RestaurantID, head: EventSequence) {}
    func relay(_ frame: ByteBuffer, to restaurant: RestaurantID) {}

    func tell(_ node: UInt64, _ content: NodeMessage.Content, then: @escaping (NodeBusReceipt) -> Void) {
        said.append(content)
        then(.sent(receivers: nil))
    }

    func tellAll(_ content: NodeMessage.Content, then: @escaping (NodeBusReceipt) -> Void) {
        saidToAll.append(content)
        then(.sent(receivers: nil))
    }

    func others(reply: @escaping ([UInt64]?) -> Void) { reply(nodes) }
    func exists(_ node: UInt64, reply: @escaping (Bool?) -> Void) { reply(nodes.contains(node)) }
}

@Suite("A bus that does not count who hears it")
struct NodeBusTests {
    private let server: TestServer
    private let bus = UncountingBus(nodes: [7, 8])
    private let handler: NodeHandler

    init() throws {
        server = try TestServer()
        let pool = PostgresPool(
            loop: server.loop,
            settings: try PostgresSettings(url: server.database.url, queryTimeout: .seconds(20), role: .server),
            log: server.server.log)
        handler = NodeHandler(
            loop: server.loop, hub: server.hub,
            feeds: FeedHandler(
                loop: server.loop, hub: server.hub, events: EventLog(pool: pool), log: server.server.log),
            known: AccessLookup(users: UserRepository(pool: pool), limits: Limits()), bus: bus,
            log: server.server.log)
    }

    @Test("gathers reports until every node that it knows has answered")
    func gathers() throws {
        var reports: NodeHandler.Reports?
        handler.gather(nil, .text) { reports = $0 }
        guard case .gather(_, _, let request) = try #require(bus.saidToAll.first) else {
            Issue.record("nothing was asked")
            return
        }
        handler.receive(.report(body: Array("seven".utf8), request: request), from: 7)
        #expect(reports == nil)
        handler.receive(.report(body: Array("eight".utf8), request: request), from: 8)
        #expect(reports?.bodies.map(\.node) == [7, 8])
        #expect(reports?.silent == [])
    }

    @Test("waits for the answer of one node, and gives up after a second")
    func asks() throws {
        let connection = ConnectionID(node: 7, number: 1)
        let restaurant = RestaurantID(TestDatabase.randomUUID())
        var found: Result<RestaurantID?, APIError>?
        handler.locate(connection) { found = $0 }
        guard case .locate(_, let request) = try #require(bus.said.first) else {
            Issue.record("nothing was asked")
            return
        }
        #expect(found == nil)
        handler.receive(.located(restaurant, request: request), from: 7)
        #expect(try found?.get() == restaurant)

        found = nil
        handler.locate(connection) { found = $0 }
        try server.wait(for: "the end of patience") { found != nil }
        #expect(throws: APIError.self) { try found?.get() }
    }
}
