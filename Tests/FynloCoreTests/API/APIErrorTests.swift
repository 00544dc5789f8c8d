import FynloCore
import Testing

@Suite("APIError")
struct APIErrorTests {
    @Test(
        "each code has its status",
        arguments: [
            ("invalid_message", 400), ("unknown_type", 400), ("invalid_request", 400), ("invalid_parameter", 422),
            ("authentication_required", 401), ("invalid_token", 401), ("access_denied", 403),
            ("permission_denied", 403),
            ("origin_refused", 403), ("not_found", 404), ("method_not_allowed", 405), ("upgrade_required", 426),
            ("order_not_found", 404), ("invalid_transition", 409), ("version_conflict", 409), ("id_reused", 409),
            ("resync_required", 410),
            ("rate_limited", 429), ("connection_limit", 429), ("unavailable", 503), ("query_timeout", 504),
            ("internal_error", 500),
        ])
    func statuses(name: String, status: Int) throws {
        let code = try #require(APIError.Code(rawValue: name))
        #expect(APIError(code, "x").status == status)
        #expect(APIError(code, "x", status: 418).status == 418)
    }

    @Test(
        "every code is an application/problem+json with its status, its sentence and its name",
        arguments: APIError.Code.allCases)
    func problem(code: APIError.Code) throws {
        let error = APIError(code, "Say \"please\" <now>.")
        let response = error.response
        #expect(response.status == error.status)
        #expect(response.headers.values("content-type") == ["application/problem+json"])
        #expect(response.headers.values("cache-control") == ["no-store"])
        let body = try #require(JSONTree(response.body))
        #expect(body.names == ["code", "detail", "status", "title", "type"])
        #expect(body["type"]?.text == "urn:fynlo:error:\(code.rawValue)")
        #expect(body["title"]?.text?.isEmpty == false)
        #expect(body["status"] == .number(Double(error.status)))
        #expect(body["detail"]?.text == "Say \"please\" <now>.")
        #expect(body["code"]?.text == code.rawValue)
        #expect(response.headers.count("www-authenticate") == (error.status == 401 ? 1 : 0))
        #expect(response.headers.count("retry-after") == 0 && response.headers.count("allow") == 0)
        #expect(response.headers.count("upgrade") == (error.status == 426 ? 1 : 0))
    }

    @Test("the bytes of a problem")
    func exact() {
        let response = APIError(.notFound, "There is nothing at this path.").response
        #expect(
            String(decoding: response.body, as: UTF8.self) == """
                {"type":"urn:fynlo:error:not_found","title":"Not Found","status":404,\
                "detail":"There is nothing at this path.","code":"not_found"}
                """)
    }

    @Test("401 names the scheme, and whether a token was there")
    func challenges() {
        #expect(
            APIError(.authenticationRequired, "x").response.headers.values("www-authenticate")
                == ["Bearer realm=\"fynlo\""])
        #expect(
            APIError(.invalidToken, "x").response.headers.values("www-authenticate")
                == ["Bearer realm=\"fynlo\", error=\"invalid_token\""])
    }

    @Test("426 names the protocol, its version, and that both concern this connection (RFC 9110 §7.8)")
    func upgrade() {
        let headers = APIError(.upgradeRequired, "x").response.headers
        #expect(headers.values("upgrade") == ["websocket"])
        #expect(headers.values("sec-websocket-version") == ["13"])
        #expect(headers.hasToken("upgrade", in: "connection"))
    }

    @Test("405 says what is allowed")
    func allow() {
        let error = APIError(.methodNotAllowed, "x", allowedMethods: "GET, HEAD")
        #expect(error.response.headers.values("allow") == ["GET, HEAD"])
    }

    @Test(
        "an error that passes says when: in whole seconds, never too early",
        arguments: [
            (Duration.seconds(1), "1"), (.seconds(5), "5"), (.zero, "1"), (.milliseconds(10), "1"),
            (.milliseconds(1_500), "2"),
            (.milliseconds(2_001), "3"), (.seconds(-1), "1"),
        ])
    func retryAfter(wait: Duration, seconds: String) {
        let error = APIError(.rateLimited, "x", retryAfter: wait)
        #expect(error.response.headers.values("retry-after") == [seconds])
    }

    @Test("an order's conflict shows the order as it is")
    func order() throws {
        let error = APIError(.versionConflict, "x", order: Array("{\"id\":\"a\",\"total\":1.50}".utf8))
        let body = try #require(JSONTree(error.response.body))
        #expect(body["order"]?["id"]?.text == "a" && body["status"] == 409)
    }

    @Test("the words of the contract")
    func words() {
        #expect(APIError.queryTimeout.detail == "Database query timeout - please try again")
        #expect(APIError.queryTimeout.status == 504)
        #expect(APIError.unavailable.status == 503)
        #expect(APIError.unavailable.response.headers.count("retry-after") == 1)
    }

    @Test("what is wrong with a request's HTTP keeps its own status")
    func http() {
        let error = APIError(HTTPError.headerTooLarge(limitBytes: 7))
        #expect(
            error.status == 431 && error.code == .invalidRequest
                && error.detail == HTTPError.headerTooLarge(limitBytes: 7).detail)
        #expect(JSONTree(error.response.body)?["status"] == 431)
    }
}
