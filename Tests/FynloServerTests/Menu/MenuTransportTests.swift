import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("A page of the menu on its way")
struct MenuTransportTests {
    /// A menu whose page has about `bytes` bytes.
    private func menu(_ server: TestServer, bytes: Int) throws -> TestMenu {
        let menu = try TestMenu(on: server)
        for number in 0..<20 {
            try menu.addProduct("product \(number) \(String(repeating: "x", count: max(0, bytes / 20 - 350)))")
        }
        return menu
    }

    /// What is asked for, and what has to come, one after the other.
    private struct Exchange {
        let method: HTTPMethod
        let target: String
        var tag: String?
        let status: Int
        let body: [UInt8]
    }

    /// Pages, their heads, what has not changed, and small answers of several kinds.
    private func exchanges(_ menu: TestMenu) throws -> [Exchange] {
        let page = try menu.page()
        let tag = try #require(page.headers.first("etag"))
        let target = "/api/v1/menu?restaurant_id=\(menu.restaurant)"
        let all = [
            Exchange(method: .get, target: target, status: 200, body: page.body),
            Exchange(method: .head, target: target, status: 200, body: []),
            Exchange(method: .get, target: target, tag: tag, status: 304, body: []),
            Exchange(method: .get, target: target, tag: "\"another\"", status: 200, body: page.body),
            Exchange(method: .get, target: target + "&limit=0", status: 422, body: []),
            Exchange(method: .get, target: target, status: 200, body: page.body),
            Exchange(method: .get, target: "/nothing", status: 404, body: []),
        ]
        return (0..<8).flatMap { _ in all }
    }

    private func check(_ client: TestExchange, _ exchanges: [Exchange]) {
        for (response, exchange) in zip(client.responses, exchanges) {
            #expect(response.status == exchange.status)
            if exchange.status == 200 || exchange.status == 304 { #expect(response.body == exchange.body) }
            #expect(response.headers.values("x-request-id").count == 1)
        }
        let names = client.responses.compactMap { $0.headers.first("x-request-id") }
        #expect(Set(names).count == exchanges.count)
    }

    @Test(
        "comes whole and in order, to a client that asks for many at once, in whatever pieces it asks",
        arguments: [2_000, 30_000, 120_000], [Int.max, 7])
    func pipelined(bytes: Int, segmentBytes: Int) throws {
        let server = try TestServer()
        let menu = try menu(server, bytes: bytes)
        let exchanges = try exchanges(menu)
        let client = try TestExchange(loop: server.loop, address: server.address)
        client.segmentBytes = segmentBytes
        for exchange in exchanges.prefix(segmentBytes < 100 ? 7 : exchanges.count) {
            var headers: HTTPHeaders = ["Authorization": "Bearer \(menu.token)"]
            if let tag = exchange.tag { headers.append("If-None-Match", tag) }
            client.send(exchange.method, exchange.target, headers: headers)
        }
        let count = segmentBytes < 100 ? 7 : exchanges.count
        try server.wait(for: "all answers", atMost: .seconds(30)) { client.responses.count == count }
        check(client, Array(exchanges.prefix(count)))
    }

    @Test(
        "comes whole to a client that does not read for a while, and its like waits for it",
        arguments: [30_000, 120_000])
    func unread(bytes: Int) throws {
        let server = try TestServer()
        let menu = try menu(server, bytes: bytes)
        let exchanges = try exchanges(menu)
        let headers: HTTPHeaders = ["Authorization": "Bearer \(menu.token)"]
        let clients = try (0..<4).map { _ in
            try TestExchange(loop: server.loop, address: server.address, receiveBufferBytes: 16_384)
        }
        for client in clients {
            client.isReading = false
            for _ in 0..<200 { client.send(.get, exchanges[0].target, headers: headers) }
        }
        try server.wait(for: "queues that the kernel does not take", atMost: .seconds(20)) {
            server.server.hub.allConnections.count { $0.queuedBytes > 0 } == clients.count
        }
        // Others are served meanwhile, from the same buffers.
        #expect(try menu.page().body == exchanges[0].body)
        for client in clients { client.isReading = true }
        try server.wait(for: "all answers", atMost: .seconds(30)) {
            clients.allSatisfy { $0.responses.count == 200 }
        }
        for client in clients { #expect(client.responses.allSatisfy { $0.body == exchanges[0].body }) }
    }

    @Test(
        "comes to a client that says more, or that it will say nothing more, before it is there",
        arguments: [false, true])
    func meanwhile(ends: Bool) throws {
        let server = try TestServer()
        let menu = try menu(server, bytes: 30_000)
        let lock = try RowLock("lock table products in access exclusive mode", in: server.database)
        let client = try TestExchange(loop: server.loop, address: server.address)
        let headers: HTTPHeaders = ["Authorization": "Bearer \(menu.token)"]
        client.send(.get, "/api/v1/menu?restaurant_id=\(menu.restaurant)", headers: headers)
        try server.wait(for: "the statement") { lock.isInTheWay }
        if ends { client.shutdownWrite() } else { client.send(.get, "/health/live") }
        try server.settle(.milliseconds(20))
        #expect(client.responses.isEmpty && !client.isClosed)
        lock.release()
        try server.wait(for: "the answers") { client.responses.count == (ends ? 1 : 2) }
        #expect(client.responses.allSatisfy { $0.status == 200 })
        #expect(client.responses[0].body.count > 20_000)
        if ends {
            try server.wait(for: "the end") { client.isClosed }
            #expect(!client.wasReset)
        } else {
            client.send(.get, "/health/live")
            try server.wait(for: "one more answer") { client.responses.count == 3 }
        }
    }
}
