import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Errors of the HTTP API")
struct HTTPErrorTests {
    /// Every endpoint that wants a token, with a restaurant's UUID in place of RESTAURANT.
    static let endpoints: [(HTTPMethod, String)] = [
        (.get, "/api/v1/menu?restaurant_id=RESTAURANT"),
        (.get, "/api/v1/menu/categories?restaurant_id=RESTAURANT"),
        (.post, "/api/v1/menu/cache/invalidate?restaurant_id=RESTAURANT"),
        (.get, "/api/v1/orders?restaurant_id=RESTAURANT"),
        (.get, "/api/v1/events?restaurant_id=RESTAURANT"),
    ]

    // MARK: 401

    /// An Authorization field, or none, made for a user.
    struct Credentials {
        let name: String
        let isKnown: Bool
        let values: @Sendable (TestUser, TestUser) -> [String]

        init(_ name: String, isKnown: Bool = false, _ values: @escaping @Sendable (TestUser, TestUser) -> [String]) {
            self.name = name
            self.isKnown = isKnown
            self.values = values
        }
    }

    static let credentials = [
        Credentials("no field") { _, _ in [] },
        Credentials("an empty field") { _, _ in [""] },
        Credentials("another scheme") { user, _ in ["Basic \(user.token())"] },
        Credentials("no token") { _, _ in ["Bearer"] },
        Credentials("no scheme") { user, _ in [user.token()] },
        Credentials("two fields") { user, _ in ["Bearer \(user.token())", "Bearer \(user.token())"] },
        Credentials("no JWT") { _, _ in ["Bearer abc"] },
        Credentials("a JWT of nothing") { _, _ in ["Bearer .."] },
        Credentials("a long token") { _, _ in ["Bearer \(String(repeating: "x", count: 8_000))"] },
        Credentials("another key") { user, _ in ["Bearer \(user.token(secret: Array(repeating: 7, count: 32)))"] },
        Credentials("an expired token") { user, _ in ["Bearer \(user.token(expiresIn: -31))"] },
        Credentials("a token without a signature") { user, _ in
            ["Bearer \(user.token().split(separator: ".").dropLast().joined(separator: "."))."]
        },
        Credentials("an unknown user") { _, _ in
            ["Bearer \(TestUser(id: UserID(TestDatabase.randomUUID())).token())"]
        },
        Credentials("an inactive user") { _, inactive in ["Bearer \(inactive.token())"] },
        Credentials("a token", isKnown: true) { user, _ in ["Bearer \(user.token())"] },
        Credentials("a scheme in small letters", isKnown: true) { user, _ in ["bearer   \(user.token())"] },
        Credentials("a token within the leeway", isKnown: true) { user, _ in ["Bearer \(user.token(expiresIn: -20))"] },
    ]

    @Test("are 401 with WWW-Authenticate for whoever is not known")
    func unauthenticated() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let inactive = try server.database.addUser(.employee, at: restaurant, isActive: false)
        for row in HTTPErrorTests.credentials {
            for (method, target) in HTTPErrorTests.endpoints {
                var headers = HTTPHeaders()
                for value in row.values(user, inactive) { headers.append("Authorization", value) }
                let answer = try server.request(
                    method, target.replacing("RESTAURANT", with: restaurant.description), headers: headers)
                guard !row.isKnown else {
                    #expect(answer.status == 200, "\(row.name)")
                    continue
                }
                try expectProblem(answer, 401, "\(row.name)")
                let challenge = try #require(answer.headers.first("www-authenticate"), "\(row.name)")
                #expect(challenge.hasPrefix("Bearer realm="), "\(row.name)")
                #expect(!String(decoding: answer.body, as: UTF8.self).contains("subject-"), "\(row.name)")
            }
        }
    }

    // MARK: 422

    static let parameters: [(query: String, name: String)] = [
        ("", "restaurant_id"), ("restaurant_id=", "restaurant_id"), ("restaurant_id=7", "restaurant_id"),
        ("restaurant_id=RESTAURANTx", "restaurant_id"), ("restaurant_id={RESTAURANT}", "restaurant_id"),
        ("restaurant_id=RESTAURANT&restaurant_id=RESTAURANT", "restaurant_id"),
        ("Restaurant_id=RESTAURANT", "restaurant_id"),
    ]

    static let menuParameters: [(query: String, name: String)] = [
        ("page=0", "page"), ("page=-1", "page"), ("page=one", "page"), ("page=1.5", "page"), ("page=", "page"),
        ("page=%2B1", "page"), ("page=1&page=1", "page"), ("page=99999999999999999999", "page"), ("page=%201", "page"),
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=1e1", "limit"), ("limit=", "limit"),
        ("category=tapas", "category"), ("category=", "category"),
        ("include_inactive=yes", "include_inactive"), ("include_inactive=", "include_inactive"),
        ("include_inactive=2", "include_inactive"),
        ("include_inactive=true&include_inactive=false", "include_inactive"),
    ]

    @Test("are 422 and name the parameter that is missing or wrong")
    func parameters() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let token = try server.database.addUser(.manager, at: restaurant).token()
        var requests: [(HTTPMethod, String, String)] = []
        for (method, target) in HTTPErrorTests.endpoints {
            for (query, name) in HTTPErrorTests.parameters {
                // Braces have no place in a request target; encoded they have.
                let encoded = query.replacing("{", with: "%7B").replacing("}", with: "%7D")
                requests.append((method, target.split(separator: "?")[0] + "?" + encoded, name))
            }
        }
        for (query, name) in HTTPErrorTests.menuParameters {
            requests.append((.get, HTTPErrorTests.endpoints[0].1 + "&" + query, name))
        }
        for (method, target, name) in requests {
            let answer = try server.request(
                method, target.replacing("RESTAURANT", with: restaurant.description), token: token)
            let problem = try expectProblem(answer, 422, code: "invalid_parameter", "\(target)")
            #expect(problem["detail"].string?.hasPrefix("\(name) ") == true, "\(target)")
        }
        for query in ["%zz", "a=%ff", "a=%00"] {
            let target = "/api/v1/menu?restaurant_id=\(restaurant)&\(query)"
            try expectProblem(try server.request(.get, target, token: token), 422, "\(query)")
        }
        // What nobody asks for is nobody's fault.
        let target = "/api/v1/menu?restaurant_id=\(restaurant)&colour=blue&colour=red&&=&page"
        try expectProblem(try server.request(.get, target, token: token), 422)
        #expect(try server.request(.get, target.replacing("&page", with: ""), token: token).status == 200)
    }

    // MARK: 403

    @Test("are 403 for a restaurant that is not yours, whether it is there or not")
    func accessDenied() throws {
        let server = try TestServer()
        let database = server.database
        let home = try database.addRestaurant()
        let owner = try database.addUser(.restaurantOwner, at: home)
        let platform = try database.addUser(.platformOwner, at: nil)
        let closed = try database.addRestaurant(isActive: false)
        let nowhere = RestaurantID(TestDatabase.randomUUID())
        let closedOwner = try database.addUser(.restaurantOwner, at: closed)
        let rows = [
            (owner, try database.addRestaurant()), (owner, closed), (owner, nowhere), (platform, closed),
            (platform, nowhere), (closedOwner, closed),
        ]
        for (method, target) in HTTPErrorTests.endpoints {
            var details: Set<String> = []
            for (user, restaurant) in rows {
                let answer = try server.request(
                    method, target.replacing("RESTAURANT", with: restaurant.description), token: user.token())
                details.insert(try expectProblem(answer, 403)["detail"].string ?? "")
            }
            let isInvalidation = method == .post
            #expect(details == [isInvalidation ? "Permission denied" : "Access denied to this restaurant"])
        }
    }

    @Test("come in the order 401, 422, 403")
    func precedence() throws {
        let server = try TestServer()
        let user = try server.database.addUser(.employee, at: try server.database.addRestaurant())
        let other = try server.database.addRestaurant()
        let good = "/api/v1/menu?restaurant_id=\(other)"
        try expectProblem(try server.request(.get, good + "&page=0"), 401)
        try expectProblem(try server.request(.get, good + "&page=0", token: "bad"), 401)
        let unknown = TestUser(id: UserID(TestDatabase.randomUUID())).token()
        try expectProblem(try server.request(.get, good + "&page=0", token: unknown), 401)
        try expectProblem(try server.request(.get, "/api/v1/menu", token: unknown), 401)
        try expectProblem(try server.request(.get, good + "&page=0", token: user.token()), 422)
        try expectProblem(try server.request(.get, good, token: user.token()), 403)
    }

    // MARK: 404 and 405

    @Test("are 404 where there is nothing")
    func notFound() throws {
        let server = try TestServer()
        let token = try server.database.addUser(.platformOwner, at: nil).token()
        let paths = [
            "/index.html", "/api", "/api/v1/menu/", "/api/v1/Menu", "/api/v1/menu/categories/1", "//api/v1/menu",
            "/health/",
            "/debug/echo", "/debug/json", "/api/v1/websocket/ws", "/favicon.ico", "/api%20/v1",
        ]
        for path in paths {
            for method in [HTTPMethod.get, .post, .delete] {
                let answer = try server.request(method, path, token: token)
                try expectProblem(answer, 404, code: "not_found", "\(method.name) \(path)")
            }
        }
    }

    @Test("are 405 with Allow where the method is another")
    func methodNotAllowed() throws {
        let server = try TestServer()
        let rows: [(path: String, method: HTTPMethod, allowed: String)] = [
            ("/api/v1/menu", .post, "GET, HEAD"), ("/api/v1/menu/categories", .delete, "GET, HEAD"),
            ("/api/v1/menu/cache/invalidate", .get, "POST"), ("/api/v1/menu/cache/invalidate", .head, "POST"),
            ("/health", .put, "GET, HEAD"), ("/health/live", .patch, "GET, HEAD"),
            ("/api/v1/websocket/ws/pos/11111111-1111-4111-8111-111111111111", .post, "GET"),
        ]
        for row in rows {
            let answer = try server.request(row.method, row.path)
            if row.method == .head {
                #expect(answer.status == 405)
            } else {
                try expectProblem(answer, 405, code: "method_not_allowed", "\(row.method.name) \(row.path)")
            }
            #expect(answer.headers.first("allow") == row.allowed, "\(row.method.name) \(row.path)")
        }
        let strange = try server.answer(
            toRaw: "BREW /health HTTP/1.1\r\nHost: fynlo.test\r\nConnection: close\r\n\r\n")
        try expectProblem(strange, 405)
    }

    // MARK: Requests that cannot be read

    /// A request as it comes, and the status it gets.
    struct Malformed {
        let name: String
        let text: String
        let status: Int

        init(_ name: String, _ status: Int, _ text: String) {
            self.name = name
            self.status = status
            self.text = text
        }
    }

    private static let get = "GET /health/live HTTP/1.1\r\nHost: a\r\n"
    private static let post = "POST /debug/echo HTTP/1.1\r\nHost: a\r\n"

    static let malformed = [
        Malformed("no request", 400, "hello\r\n\r\n"),
        Malformed("two spaces", 400, "GET  /health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("a greeting of TLS", 400, "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n"),
        Malformed("no host", 400, "GET /health/live HTTP/1.1\r\n\r\n"),
        Malformed("two hosts", 400, get + "Host: b\r\n\r\n"),
        Malformed("a bare line feed", 400, "GET /health/live HTTP/1.1\nHost: a\n\n"),
        Malformed("a folded field", 400, get + "X-A: b\r\n c\r\n\r\n"),
        Malformed("a field without a name", 400, get + ": b\r\n\r\n"),
        Malformed("a space before the colon", 400, get + "X-A : b\r\n\r\n"),
        Malformed("a NUL", 400, get + "X-A: \u{0}\r\n\r\n"),
        Malformed("a path that climbs", 400, "GET /health/../health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("a slash in disguise", 400, "GET /health%2flive HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("half an escape", 400, "GET /health/live%2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("a length that is none", 400, post + "Content-Length: -1\r\n\r\n"),
        Malformed("two lengths", 400, post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        Malformed(
            "a length and chunks", 400, post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Malformed("a chunk size that is none", 400, post + "Transfer-Encoding: chunked\r\n\r\nx\r\n"),
        Malformed("a body that is too large", 413, post + "Content-Length: 2001\r\n\r\n"),
        Malformed(
            "chunks that are too large", 413,
            post + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + String(repeating: "x", count: 2_000) + "\r\n1\r\n"),
        Malformed(
            "a long target", 414, "GET /" + String(repeating: "x", count: 8_192) + " HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("a strange expectation", 417, get + "Expect: a-miracle\r\n\r\n"),
        Malformed("large fields", 431, get + "X-A: " + String(repeating: "x", count: 16_384) + "\r\n\r\n"),
        Malformed("many fields", 431, get + String(repeating: "X-A: b\r\n", count: 100) + "\r\n"),
        Malformed("another transfer coding", 501, post + "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        Malformed("a proxy's method", 501, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("HTTP/2 in plain text", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ]

    @Test("answer a request that cannot be read, and close the connection")
    func malformedRequests() throws {
        let server = try TestServer(["FYNLO_ECHO": "1", "FYNLO_MAX_BODY": "2000"])
        for row in HTTPErrorTests.malformed {
            let answer = try server.answer(toRaw: row.text)
            let problem = try expectProblem(answer, row.status, "\(row.name)")
            #expect(problem["detail"].string?.hasSuffix(".") == true, "\(row.name)")
            #expect(answer.headers.first("connection")?.lowercased() == "close", "\(row.name)")
        }
        try server.wait(for: "the socket to be let go") { server.server.hub.connectionCount == 0 }
    }

    @Test(
        "are 408 for a request that does not come to its end",
        arguments: [get, post + "Content-Length: 9\r\n\r\nabc"])
    func slowRequest(text: String) throws {
        let server = try TestServer(["FYNLO_ECHO": "1"]) { config in
            config.http.headTimeout = .milliseconds(200)
            config.http.bodyTimeout = .milliseconds(200)
        }
        let start = server.loop.now.instant
        let answer = try server.answer(toRaw: text)
        try expectProblem(answer, 408)
        #expect(server.loop.now.instant - start >= .milliseconds(150))
        #expect(answer.headers.first("connection")?.lowercased() == "close")
    }

    @Test("close a connection on which nothing is asked without a word")
    func silentConnection() throws {
        let server = try TestServer { config in
            config.http.headTimeout = .milliseconds(150)
            config.http.idleTimeout = .milliseconds(150)
        }
        #expect(try server.raw([]).isEmpty)
        let exchange = try TestExchange(loop: server.loop, address: server.address)
        exchange.send(.get, "/health/live")
        try server.wait(for: "the end") { exchange.isClosed }
        #expect(exchange.responses.count == 1)
        #expect(exchange.received.isEmpty)
        #expect(!exchange.wasReset)
    }

    // MARK: X-Request-ID

    @Test("carry the request's id if it is sane, else one of the server's")
    func requestID() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let token = try server.database.addUser(.employee, at: restaurant).token()
        let menu = "/api/v1/menu?restaurant_id=\(restaurant)"
        let rows: [(given: String, isKept: Bool)] = [
            ("abc-123_X.y", true), (String(repeating: "x", count: 64), true),
            (String(repeating: "x", count: 65), false), ("", false), ("a b", false), ("<script>", false),
            ("a,b", false), ("é", false), ("a\"b", false),
        ]
        for (given, isKept) in rows {
            let headers: HTTPHeaders = ["X-Request-ID": given]
            let answers = [
                try server.request(.get, "/health/live", headers: headers),
                try server.request(.get, "/nothing", headers: headers),
                try server.request(.get, "/api/v1/menu", headers: headers),
                try server.request(.get, menu, token: token, headers: headers),
                try server.request(.head, menu, token: token, headers: headers),
            ]
            let ids = answers.compactMap { $0.headers.first("x-request-id") }
            #expect(ids.count == answers.count, "\(given)")
            if isKept {
                #expect(ids.allSatisfy { $0 == given }, "\(given)")
            } else {
                #expect(Set(ids).count == answers.count, "\(given)")
                #expect(ids.allSatisfy { $0.wholeMatch(of: /[0-9a-f-]{20,64}/) != nil }, "\(given)")
            }
        }
    }

    // MARK: Connections

    @Test("leave the connection open for the next request")
    func keepAlive() throws {
        let server = try TestServer()
        let exchange = try TestExchange(loop: server.loop, address: server.address)
        for (number, target) in ["/nothing", "/api/v1/menu", "/health/live", "/health"].enumerated() {
            exchange.send(.get, target)
            try server.wait(for: "an answer") { exchange.responses.count == number + 1 }
        }
        #expect(exchange.responses.map(\.status) == [404, 401, 200, 200])
        #expect(!exchange.isClosed)
        exchange.send(.get, "/health/live", headers: ["Connection": "close"])
        try server.wait(for: "the end") { exchange.isClosed }
        #expect(exchange.responses.count == 5)
        #expect(exchange.responses[4].headers.first("connection")?.lowercased() == "close")
        #expect(try server.answer(toRaw: "GET /health/live HTTP/1.0\r\n\r\n").status == 200)
    }

    @Test("come in the order of the requests that were sent at once")
    func pipelining() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let token = try server.database.addUser(.employee, at: restaurant).token()
        let exchange = try TestExchange(loop: server.loop, address: server.address)
        let menu = "/api/v1/menu?restaurant_id=\(restaurant)"
        let authorization: HTTPHeaders = ["Authorization": "Bearer \(token)"]
        var statuses: [Int] = []
        for _ in 0..<10 {
            exchange.send(.get, menu, headers: authorization)
            exchange.send(.get, "/health/live")
            exchange.send(.head, menu, headers: authorization)
            exchange.send(.get, "/nothing")
            exchange.send(
                .post, "/api/v1/menu/cache/invalidate?restaurant_id=\(restaurant)", headers: authorization,
                body: Array("ignored".utf8))
            statuses += [200, 200, 200, 404, 200]
        }
        // The last one cannot be read, and is the end.
        exchange.send(Array("GET / HTTP/9.9\r\n\r\n".utf8))
        try server.wait(for: "all answers and the end") { exchange.isClosed }
        #expect(exchange.responses.map(\.status) == statuses)
        #expect(exchange.received.bytes().starts(with: Array("HTTP/1.1 505 ".utf8)))
    }

    @Test("are sent to a client that has closed its own side")
    func halfClosed() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let token = try server.database.addUser(.employee, at: restaurant).token()
        let exchange = try TestExchange(loop: server.loop, address: server.address)
        for _ in 0..<3 {
            exchange.send(
                .get, "/api/v1/menu?restaurant_id=\(restaurant)", headers: ["Authorization": "Bearer \(token)"])
        }
        try server.wait(for: "the requests to be on their way") { exchange.outbound.isEmpty }
        exchange.shutdownWrite()
        try server.wait(for: "the end") { exchange.isClosed }
        #expect(exchange.responses.map(\.status) == [200, 200, 200])
        #expect(!exchange.wasReset)
        try server.wait(for: "the socket to be let go") { server.server.hub.connectionCount == 0 }
    }
}
