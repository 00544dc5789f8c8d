import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

@Suite("Proxies, pages and crowds")
struct ProxyTests {
    /// A server that trusts proxies on this machine, and lets two connections of one address in.
    private static func server(_ variables: [String: String] = [:]) throws -> TestServer {
        try TestServer(
            ["FYNLO_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1", "FYNLO_MAX_CONNECTIONS_PER_IP": "2"].merging(variables) {
                $1
            })
    }

    private static func from(_ client: String) -> HTTPHeaders { ["X-Forwarded-For": client] }

    @Test("counts tablets by the address their proxy names, and takes them off when they go")
    func tablets() throws {
        let server = try Self.server()
        let restaurant = try server.database.addRestaurant()
        func tablet(_ client: String) throws -> TestTablet {
            let tablet = try server.tablet(at: restaurant, headers: Self.from(client))
            try server.wait(for: "an answer") { tablet.upgrade != nil }
            return tablet
        }
        let first = try tablet("203.0.113.9")
        let second = try tablet("6.6.6.6, 203.0.113.9, 10.0.0.3")
        #expect(first.isUpgraded && second.isUpgraded)
        let third = try tablet("203.0.113.9")
        #expect(third.upgrade?.status == 429)
        #expect(third.upgrade?.headers.first("retry-after") != nil)
        #expect(try Document(third.upgrade?.body ?? [])["code"].string == "connection_limit")
        #expect(try tablet("203.0.113.10").isUpgraded)
        // The refused connection is the proxy's and stays open; it counts for nobody.
        #expect(!third.isClosed)
        first.close()
        try server.wait(for: "the slot") { server.server.hub.connectionCount == 3 }
        #expect(try tablet("203.0.113.9").isUpgraded)
        #expect(try tablet("203.0.113.9").upgrade?.status == 429)
    }

    @Test("counts a kept connection of the proxy for nobody between requests, and has no limit for the proxy itself")
    func requests() throws {
        let server = try Self.server()
        let kept = try (0..<6).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        for round in 1...3 {
            for exchange in kept {
                exchange.send(.get, "/health/live", headers: round == 2 ? [:] : Self.from("203.0.113.9"))
                try server.wait(for: "an answer") { exchange.responses.count == round }
                #expect(exchange.responses.last?.status == 200)
            }
        }
        #expect(server.server.hub.connectionCount == 6)
    }

    @Test("refuses requests above the limit while others of that client are under way")
    func concurrent() throws {
        let server = try Self.server()
        let menu = try TestMenu(on: server)
        try menu.addProduct("Croquetas")
        let lock = try menu.observeReads()
        let target = "/api/v1/menu?restaurant_id=\(menu.restaurant)"
        func send(page: Int) throws -> TestExchange {
            let exchange = try TestExchange(loop: server.loop, address: server.address)
            exchange.send(
                .get, "\(target)&page=\(page)",
                headers: ["Authorization": "Bearer \(menu.token)", "X-Forwarded-For": "203.0.113.9"])
            return exchange
        }
        let waiting = [try send(page: 1), try send(page: 1)]
        try server.wait(for: "the statement to wait") { lock.isInTheWay }
        let late = try send(page: 1)
        try server.wait(for: "the refusal") { !late.responses.isEmpty }
        #expect(late.responses[0].status == 429)
        #expect(waiting.allSatisfy { $0.responses.isEmpty })
        lock.release()
        try server.wait(for: "the others") { waiting.allSatisfy { !$0.responses.isEmpty } }
        #expect(waiting.allSatisfy { $0.responses[0].status == 200 })
        late.send(.get, "/health/live", headers: Self.from("203.0.113.9"))
        try server.wait(for: "an answer") { late.responses.count == 2 }
        #expect(late.responses[1].status == 200)
    }

    @Test("believes no forwarded address of a peer that is not trusted")
    func untrusted() throws {
        let server = try Self.server(["FYNLO_TRUSTED_PROXIES": "10.0.0.0/8"])
        let restaurant = try server.database.addRestaurant()
        let tablets = try (1...3).map { try server.tablet(at: restaurant, headers: Self.from("203.0.113.\($0)")) }
        try server.wait(for: "answers") { tablets.allSatisfy { $0.upgrade != nil } }
        #expect(tablets.map { $0.upgrade?.status } == [101, 101, 429])
    }

    @Test(
        "refuses lists that cannot be read",
        arguments: [
            ("FYNLO_TRUSTED_PROXIES", "proxy.example.com"), ("FYNLO_TRUSTED_PROXIES", "10.0.0.1/8"),
            ("FYNLO_TRUSTED_PROXIES", "10.0.0.0/33"), ("FYNLO_TRUSTED_PROXIES", "10.0.0.1;10.0.0.2"),
            ("FYNLO_ALLOWED_ORIGINS", "https://pos.example.com/"), ("FYNLO_ALLOWED_ORIGINS", "https://"),
            ("FYNLO_ALLOWED_ORIGINS", "https://pos.example.com:443"), ("FYNLO_ALLOWED_ORIGINS", "*"),
        ])
    func refused(name: String, value: String) throws {
        let error = #expect(throws: ConfigError.self) { _ = try TestServer([name: value]) }
        #expect(error?.description.hasPrefix(name) == true)
    }

    @Test("lets a listed origin's page use the API, and its WebSocket")
    func pages() throws {
        let server = try TestServer(["FYNLO_ALLOWED_ORIGINS": "https://pos.example.com, https://kds.example.com"])
        let menu = try TestMenu(on: server)
        let origin: HTTPHeaders = ["Origin": "https://kds.example.com"]
        let target = "/api/v1/menu?restaurant_id=\(menu.restaurant)"
        let preflight = try server.request(
            .options, target,
            headers: [
                "Origin": "https://kds.example.com", "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization",
            ])
        #expect(preflight.status == 204)
        #expect(preflight.headers.first("access-control-allow-methods") == "GET, HEAD")
        let answer = try menu.page(headers: origin)
        #expect(answer.status == 200)
        #expect(answer.headers.first("access-control-allow-origin") == "https://kds.example.com")
        let unchanged = try menu.page(
            headers: ["Origin": "https://kds.example.com", "If-None-Match": answer.headers.first("etag") ?? ""])
        #expect(unchanged.status == 304)
        #expect(unchanged.headers.first("access-control-allow-origin") == "https://kds.example.com")
        #expect(try server.request(.get, target, headers: origin).headers.count("access-control-allow-origin") == 1)
        #expect(
            try menu.page(headers: ["Origin": "https://evil.example.com"]).headers.count("access-control-allow-origin")
                == 0)
        let tablet = try server.tablet(at: menu.restaurant, headers: origin)
        try server.wait(for: "the upgrade") { tablet.isUpgraded }
    }

    // MARK: Crowds

    @Test("makes room for newcomers when strangers have taken all places, the oldest first, and touches no tablet")
    func room() throws {
        let server = try TestServer(["FYNLO_MAX_CONNECTIONS": "8", "FYNLO_MAX_UNAUTHENTICATED": "2"]) { config in
            config.limits.strangerGrace = .seconds(1)
        }
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        let idle = try (0..<6).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        let silent = try server.tablet(at: restaurant)
        try server.wait(for: "the upgrade") { silent.isUpgraded }
        idle[0].send(.get, "/health/live")
        try server.wait(for: "an answer") { !idle[0].responses.isEmpty && server.server.hub.connectionCount == 8 }
        // Too young to go: the newcomer is refused.
        let early = try server.request(.get, "/health/live")
        #expect(early.status == 503)
        try server.settle(.milliseconds(1_200))
        let newcomer = try server.staffTablet(at: restaurant)
        try server.wait(for: "one to go") { idle.contains(where: \.isClosed) }
        #expect(idle.map(\.isClosed) == [true, false, false, false, false, false])
        #expect(try server.request(.get, "/health/live").status == 200)
        try server.wait(for: "the next to go") { idle[1].isClosed }
        #expect(idle.count(where: \.isClosed) == 2)
        #expect(!tablet.isClosed && !newcomer.isClosed && !silent.isClosed)
    }

    @Test("makes room by WebSockets that do not authenticate, but not by those whose token is being looked at")
    func roomInWebSockets() throws {
        let server = try TestServer(["FYNLO_MAX_CONNECTIONS": "5", "FYNLO_MAX_UNAUTHENTICATED": "4"]) { config in
            config.limits.strangerGrace = .milliseconds(100)
        }
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.staffTablet(at: restaurant)
        let lock = try RowLock("lock table users in access exclusive mode", in: server.database)
        let asking = try server.tablet(at: restaurant)
        asking.authenticate(user, at: restaurant)
        try server.wait(for: "the look-up") { lock.isInTheWay }
        let silent = try (0..<3).map { _ in try server.tablet(at: restaurant) }
        try server.wait(for: "the upgrades") { silent.allSatisfy(\.isUpgraded) }
        try server.settle(.milliseconds(250))
        var newcomers: [TestTablet] = []
        for gone in 1...3 {
            #expect(try server.request(.get, "/health/live").status == 200)
            try server.wait(for: "the oldest to go") { silent[gone - 1].isClosed }
            #expect(silent.count(where: \.isClosed) == gone)
            try server.wait(for: "the request's end") { server.server.hub.connectionCount == 4 }
            // Another one takes its place.
            let newcomer = try server.tablet(at: restaurant)
            try server.wait(for: "the upgrade") { newcomer.isUpgraded }
            newcomers.append(newcomer)
        }
        #expect(newcomers.allSatisfy { !$0.isClosed } && !asking.isClosed && !tablet.isClosed)
        lock.release()
        try server.wait(for: "authenticated") { !asking.messages.isEmpty }
        #expect(asking.messages[0]["type"].string == "authenticated")
    }

    @Test("makes room by an unfinished TLS handshake too")
    func roomInTLS() throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("a")
        let server = try TestServer([
            "FYNLO_MAX_CONNECTIONS": "3", "FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": paths.key,
        ]) { $0.limits.strangerGrace = .milliseconds(50) }
        let idle = try (0..<3).map { _ in try TestExchange(loop: server.loop, address: server.address) }
        try server.wait(for: "all to be in") { server.server.hub.connectionCount == 3 }
        try server.settle(.milliseconds(150))
        server.tls = try TLSContext(authorityPath: paths.certificate)
        #expect(try server.request(.get, "/health/live").status == 200)
        #expect(idle[0].isClosed && !idle[1].isClosed && !idle[2].isClosed)
    }
}
