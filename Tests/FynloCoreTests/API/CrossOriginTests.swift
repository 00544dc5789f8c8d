import Testing

@testable import FynloCore

@Suite("Pages of other origins")
struct CrossOriginTests {
    private static let listed = SessionSettings(
        hasEcho: true, allowedOrigins: ["https://pos.example.com", "http://localhost:3000"])

    /// The head of the answer to one request; the routes are answered as the handlers would.
    private func answer(
        _ method: String, _ path: String, _ fields: [String] = [], settings: SessionSettings = listed
    ) throws -> HTTPResponse {
        var tablet = Tablet(settings)
        tablet.sendHTTP(
            "\(method) \(path) HTTP/1.1\r\nHost: api.example.com\r\n\(fields.map { $0 + "\r\n" }.joined())\r\n")
        if tablet.takeEffects().contains(where: { $0.endpoint != nil }) {
            tablet.deliver(HTTPResponse(status: 200, headers: ["ETag": "\"1\""], body: [91, 93]))
        }
        var buffer = ByteBuffer(tablet.takeOutput())
        var parser = HTTPResponseParser(limits: HTTPLimits())
        return try #require(try parser.next(&buffer, requestMethod: HTTPMethod(token: method.utf8Span.span)))
    }

    private func crossOriginFields(_ response: HTTPResponse) -> [String] {
        (0..<response.headers.count).map { response.headers[$0].name.lowercased() }
            .filter { $0.hasPrefix("access-control-") }.sorted()
    }

    @Test(
        "lets pages of listed origins read any answer, and its fields",
        arguments: [
            ("GET", "/api/v1/menu", 200), ("POST", "/api/v1/menu/cache/invalidate", 200), ("GET", "/health/live", 200),
            ("GET", "/nowhere", 404), ("DELETE", "/api/v1/menu", 405), ("POST", "/debug/echo", 200),
            ("GET", "/api/v1/websocket/ws/pos/1", 400),
        ])
    func listed(method: String, path: String, status: Int) throws {
        for origin in ["https://pos.example.com", "http://localhost:3000", "HTTPS://POS.example.com"] {
            let response = try answer(method, path, ["Origin: \(origin)"])
            #expect(response.status == status)
            #expect(response.headers.values("access-control-allow-origin") == [origin])
            #expect(response.headers.values("vary") == ["Origin"])
            #expect(response.headers.values("access-control-allow-credentials") == [])
            for name in [
                "ETag", "Link", "X-Total-Count", "X-Cache", "X-Menu-Version", "X-Event-Seq", "X-Request-ID", "Location",
                "Retry-After",
            ] {
                #expect(response.headers.hasToken(name, in: "access-control-expose-headers"), "\(name)")
            }
        }
    }

    @Test(
        "says nothing to other origins",
        arguments: [
            ["Origin: https://evil.example.com"], ["Origin: http://pos.example.com"],
            ["Origin: https://pos.example.com:8443"], ["Origin: https://pos.example.com.evil.com"], ["Origin: null"],
            ["Origin: *"], ["Origin:"], ["Origin: https://pos.example.com", "Origin: https://pos.example.com"], [],
        ])
    func unlisted(fields: [String]) throws {
        for preflight in [[], ["Access-Control-Request-Method: GET"]] {
            for method in ["GET", "OPTIONS"] {
                let response = try answer(method, "/api/v1/menu", fields + preflight)
                #expect(response.status == (method == "GET" ? 200 : 204))
                #expect(crossOriginFields(response) == [])
                // A cache must not give a listed origin the answer that it keeps for others.
                #expect(response.headers.values("vary") == ["Origin"])
            }
        }
    }

    @Test("says nothing to anyone when no origin is listed: a page of the server's own needs nothing")
    func noList() throws {
        for origin in ["https://api.example.com", "https://pos.example.com"] {
            for (method, status) in [("GET", 200), ("OPTIONS", 204)] {
                let response = try answer(
                    method, "/api/v1/menu", ["Origin: \(origin)", "Access-Control-Request-Method: GET"],
                    settings: SessionSettings())
                #expect(response.status == status)
                #expect(crossOriginFields(response) == [])
                #expect(response.headers.count("vary") == 0)
            }
        }
    }

    @Test(
        "tells a preflight what the path takes",
        arguments: [
            ("/api/v1/menu", "GET, HEAD"), ("/api/v1/menu/cache/invalidate", "POST"), ("/debug/echo", "GET, POST"),
            ("/api/v1/orders", "GET, HEAD, POST"), ("/api/v1/orders/\(Sample.order)/status", "PATCH"),
        ])
    func preflight(path: String, methods: String) throws {
        let response = try answer(
            "OPTIONS", path,
            [
                "Origin: https://pos.example.com", "Access-Control-Request-Method: GET",
                "Access-Control-Request-Headers: authorization,if-none-match",
            ])
        #expect(response.status == 204)
        #expect(response.headers.first("access-control-allow-origin") == "https://pos.example.com")
        #expect(response.headers.first("access-control-allow-methods") == methods)
        #expect(
            response.headers.tokens("access-control-allow-headers")
                == ["authorization", "content-type", "idempotency-key", "if-none-match", "x-request-id"])
        #expect(response.headers.first("access-control-max-age") == "600")
        #expect(response.headers.first("allow") == methods + ", OPTIONS")
        #expect(response.headers.values("vary") == ["Origin"])
        #expect(response.body.isEmpty)
    }

    @Test(
        "answers an OPTIONS that is no preflight with Allow",
        arguments: [
            ("/api/v1/menu", 204, "GET, HEAD, OPTIONS"), ("/nowhere", 404, nil), ("*", 204, nil),
            ("/api/v1/websocket/ws/pos/\(Sample.restaurant)", 204, "GET, OPTIONS"),
            ("/api/v1/websocket/ws/pos/1", 400, nil),
        ] as [(String, Int, String?)])
    func options(path: String, status: Int, allow: String?) throws {
        for fields in [[], ["Origin: https://pos.example.com"]] {
            let response = try answer("OPTIONS", path, fields)
            #expect(response.status == status)
            #expect(response.headers.first("allow") == allow)
            #expect(response.headers.count("access-control-allow-methods") == 0)
        }
    }

    @Test("keeps what one request said about its page from the next one's answer")
    func keepAlive() throws {
        var tablet = Tablet(Self.listed)
        tablet.sendHTTP(
            "GET /a HTTP/1.1\r\nHost: h\r\nOrigin: https://pos.example.com\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n")
        let heads = tablet.takeText().split(separator: "HTTP/1.1 404")
        #expect(heads.map { $0.contains("Access-Control-Allow-Origin: https://pos.example.com") } == [true, false])
    }

    @Test("leaves upgrades alone")
    func upgrade() throws {
        var tablet = Tablet(Self.listed)
        tablet.sendHTTP(Tablet.handshake(fields: "Origin: https://pos.example.com\r\n"))
        let text = tablet.takeText()
        #expect(text.hasPrefix("HTTP/1.1 101 ") && !text.contains("Vary") && !text.contains("Access-Control"))
    }
}
