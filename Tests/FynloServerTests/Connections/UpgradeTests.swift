import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The upgrade to a WebSocket")
struct UpgradeTests {
    private static let path = "/api/v1/websocket/ws/pos/11111111-1111-4111-8111-111111111111"

    /// A handshake that is accepted, but for what is replaced.
    private static func handshake(
        _ path: String = path, method: String = "GET", version: String = "HTTP/1.1",
        without: String? = nil, adding: [String] = []
    ) -> String {
        let fields = [
            "Host: fynlo.test", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        let kept = fields.filter { field in without.map { !field.hasPrefix($0 + ":") } ?? true }
        return (["\(method) \(path) \(version)"] + kept + adding + ["", ""]).joined(separator: "\r\n")
    }

    /// A handshake, and the status that refuses it.
    struct Refusal {
        let name: String
        let status: Int
        let text: String

        init(_ name: String, _ status: Int, _ text: String) {
            self.name = name
            self.status = status
            self.text = text
        }
    }

    private static let refusals = [
        Refusal("an unknown client", 404, handshake(path.replacing("/pos/", with: "/bar/"))),
        Refusal("a client in capitals", 404, handshake(path.replacing("/pos/", with: "/POS/"))),
        Refusal("no restaurant", 404, handshake("/api/v1/websocket/ws/pos")),
        Refusal("an empty restaurant", 400, handshake("/api/v1/websocket/ws/pos/")),
        Refusal("a longer path", 404, handshake(path + "/x")),
        Refusal("a restaurant that is no UUID", 400, handshake("/api/v1/websocket/ws/pos/7")),
        Refusal("half a UUID", 400, handshake(String(path.dropLast()))),
        Refusal("no upgrade", 426, handshake(without: "Upgrade")),
        Refusal("another upgrade", 426, handshake(without: "Upgrade", adding: ["Upgrade: h2c"])),
        Refusal("no connection field", 426, handshake(without: "Connection")),
        Refusal("no version", 426, handshake(without: "Sec-WebSocket-Version")),
        Refusal("version 8", 426, handshake(without: "Sec-WebSocket-Version", adding: ["Sec-WebSocket-Version: 8"])),
        Refusal("no key", 400, handshake(without: "Sec-WebSocket-Key")),
        Refusal("a short key", 400, handshake(without: "Sec-WebSocket-Key", adding: ["Sec-WebSocket-Key: AAAA"])),
        Refusal("two keys", 400, handshake(adding: ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])),
        Refusal("HTTP/1.0", 400, handshake(version: "HTTP/1.0")),
        Refusal("a page of somebody else", 403, handshake(adding: ["Origin: https://evil.example"])),
    ]

    @Test("is refused with the status that says why")
    func refused() throws {
        let server = try TestServer()
        for row in UpgradeTests.refusals {
            let text = row.text.replacing("\r\n\r\n", with: "\r\nX-Request-ID: r1\r\n\r\n")
            let exchange = try TestExchange(loop: server.loop, address: server.address)
            defer { exchange.close() }
            exchange.send(raw: text)
            try server.wait(for: "an answer to \(row.name)") { !exchange.responses.isEmpty }
            let answer = exchange.responses[0]
            try expectProblem(answer, row.status, "\(row.name)")
            #expect(answer.headers.first("x-request-id") == "r1", "\(row.name)")
            if row.status == 426 {
                #expect(answer.headers.first("upgrade")?.lowercased() == "websocket", "\(row.name)")
                #expect(answer.headers.first("sec-websocket-version") == "13", "\(row.name)")
            }
            guard !row.text.contains("HTTP/1.0") else { continue }
            // It was a request like any other: the next one is answered too.
            exchange.send(.get, "/health/live")
            try server.wait(for: "the next answer") { exchange.responses.count == 2 }
            #expect(exchange.responses[1].status == 200, "\(row.name)")
        }
    }

    @Test("is accepted as RFC 6455 wants it")
    func accepted() throws {
        let server = try TestServer()
        for client in ["pos", "kitchen", "management", "platform"] {
            let text = UpgradeTests.handshake(
                UpgradeTests.path.replacing("/pos/", with: "/\(client)/"),
                adding: ["Sec-WebSocket-Protocol: chat, fynlo.v1", "Sec-WebSocket-Extensions: permessage-deflate"])
            let exchange = try TestExchange(loop: server.loop, address: server.address)
            defer { exchange.close() }
            exchange.send(raw: text)
            try server.wait(for: "an answer") { !exchange.responses.isEmpty }
            let answer = exchange.responses[0]
            #expect(answer.status == 101)
            #expect(answer.headers.first("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            #expect(answer.headers.first("sec-websocket-protocol") == "fynlo.v1")
            #expect(answer.headers.first("sec-websocket-extensions") == nil)
            #expect(answer.headers.first("x-request-id") != nil)
        }
    }

    @Test("selects no subprotocol that was not offered")
    func subprotocol() throws {
        let server = try TestServer()
        for field in [[], ["Sec-WebSocket-Protocol: chat"], ["Sec-WebSocket-Protocol: fynlo.v2"]] {
            let exchange = try TestExchange(loop: server.loop, address: server.address)
            defer { exchange.close() }
            exchange.send(raw: UpgradeTests.handshake(adding: field))
            try server.wait(for: "an answer") { !exchange.responses.isEmpty }
            #expect(exchange.responses[0].status == 101)
            #expect(exchange.responses[0].headers.first("sec-websocket-protocol") == nil)
        }
    }

    @Test(
        "is open to pages of the listed origins, or of the server's own, and to programs",
        arguments: [
            "": [
                nil: 101, "https://fynlo.test": 101, "http://fynlo.test": 101, "HTTPS://FYNLO.TEST": 101,
                "https://fynlo.test:8443": 403, "https://fynlo.test.evil.example": 403, "https://evil.example": 403,
                "null": 403, "": 403, "fynlo.test": 403, "https://fynlo.test/": 403,
            ],
            "https://pos.example.com, http://localhost:3000": [
                nil: 101, "https://pos.example.com": 101, "https://POS.example.com": 101, "http://localhost:3000": 101,
                "http://pos.example.com": 403, "https://fynlo.test": 403, "http://localhost": 403, "null": 403,
                "https://pos.example.com.evil.example": 403, "https://sub.pos.example.com": 403,
            ],
        ] as [String: [String?: Int]])
    func origins(list: String, expected: [String?: Int]) throws {
        let server = try TestServer(["FYNLO_ALLOWED_ORIGINS": list])
        for (origin, status) in expected {
            let exchange = try TestExchange(loop: server.loop, address: server.address)
            defer { exchange.close() }
            exchange.send(raw: UpgradeTests.handshake(adding: origin.map { ["Origin: \($0)"] } ?? []))
            try server.wait(for: "an answer") { !exchange.responses.isEmpty }
            #expect(exchange.responses[0].status == status, "\(origin ?? "no origin")")
        }
    }

    // MARK: Tokens in the query

    @Test("takes no token from the query")
    func queryTokenOff() throws {
        let server = try TestServer(["FYNLO_AUTH_TIMEOUT": "200ms"])
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.tablet(at: restaurant, query: "?token=\(user.token())")
        try server.wait(for: "the end") { tablet.isClosed }
        #expect(tablet.isUpgraded)
        #expect(tablet.messages.map { $0["data"]["code"].string } == ["authentication_timeout"])
        #expect(tablet.closeCode == 4002)
    }

    @Test("takes a token from the query with FYNLO_ALLOW_QUERY_TOKEN=1")
    func queryTokenOn() throws {
        let server = try TestServer(["FYNLO_ALLOW_QUERY_TOKEN": "1", "FYNLO_AUTH_TIMEOUT": "200ms"])
        let restaurant = try server.database.addRestaurant()
        let order = try server.database.addOrder(at: restaurant)
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.tablet(at: restaurant, query: "?v=1&token=\(user.token())")
        tablet.update(order, to: .ready, id: "c1")
        try server.wait(for: "authenticated, an answer and an event") { tablet.messages.count == 3 }
        #expect(tablet.messages[0]["type"].string == "authenticated")
        #expect(tablet.messages[0]["data"]["user_id"].string == user.id.description)
        #expect(tablet.answers(to: "c1").count == 1)

        let stranger = try server.database.addUser(.restaurantOwner, at: try server.database.addRestaurant())
        for (token, code) in [
            ("nonsense", "invalid_token"), (user.token(expiresIn: -31), "invalid_token"),
            (stranger.token(), "access_denied"),
        ] {
            let refused = try server.tablet(at: restaurant, query: "?token=\(token)")
            try server.wait(for: "the end") { refused.isClosed }
            #expect(refused.isUpgraded)
            #expect(refused.messages.map { $0["type"].string } == ["auth_error"])
            #expect(refused.messages[0]["data"]["code"].string == code)
            #expect(refused.closeCode == 4003)
        }
        // Without one, the first message is waited for.
        for query in ["", "?token=", "?tokens=x"] {
            let late = try server.authenticatedTablet(user, at: restaurant, query: query)
            #expect(!late.isClosed)
        }
        #expect(!tablet.isClosed)
    }

    @Test("writes no token to the log, good or bad, whichever way it came")
    func logged() throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.employee, at: restaurant)
        let server = try ServerProcess(database, ["FYNLO_ALLOW_QUERY_TOKEN": "1", "FYNLO_LOG": "debug"])
        let loop = try EventLoop()
        defer { loop.close() }
        let tokens = [
            user.token(), user.token(expiresIn: -31), user.token(secret: Array(repeating: 7, count: 32)),
            "not-a-token-at-all", TestUser(id: UserID(TestDatabase.randomUUID())).token(),
        ]
        for token in tokens {
            let path = "/api/v1/websocket/ws/pos/\(restaurant)"
            let byQuery = try TestTablet(loop: loop, address: server.address, target: path + "?token=\(token)")
            let byMessage = try TestTablet(loop: loop, address: server.address, target: path)
            byMessage.authenticate(user, at: restaurant, token: token)
            let exchange = try TestExchange(loop: loop, address: server.address)
            exchange.send(
                .get, "/api/v1/menu?restaurant_id=\(restaurant)&token=\(token)",
                headers: ["Authorization": "Bearer \(token)"])
            exchange.send(.get, "/nowhere?token=\(token)")
            exchange.send(raw: "GET /?token=\(token) HTTP/9.9\r\n\r\n")
            let isDone = try loop.run(
                until: {
                    !byQuery.messages.isEmpty && !byMessage.messages.isEmpty && exchange.responses.count == 3
                }, for: .seconds(20))
            try #require(isDone)
        }
        let log = server.stop()
        #expect(log.contains("token_refused"))
        for token in tokens {
            for part in token.split(separator: ".").dropFirst(token.contains(".") ? 1 : 0) {
                #expect(!log.contains(part))
            }
        }
        #expect(!log.contains("token="))
    }
}
