import FynloCore
import Testing

@Suite("WebSocket handshake")
struct WebSocketHandshakeTests {
    /// The request of RFC 6455 §1.2, with some fields replaced: by other values, or by none.
    static func request(
        _ changes: [String: [String]] = [:], method: HTTPMethod = .get, version: HTTPVersion = .http11
    ) -> HTTPRequest {
        var fields: [String: [String]] = [
            "host": ["server.example.com"], "upgrade": ["websocket"], "connection": ["Upgrade"],
            "sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZQ=="], "sec-websocket-version": ["13"],
        ]
        for (name, values) in changes { fields[name] = values }
        return HTTPRequest(method: method, path: "/chat", version: version, headers: headers(fields))
    }

    private static func headers(_ fields: [String: [String]]) -> HTTPHeaders {
        HTTPHeaders(fields.flatMap { name, values in values.map { (name: name, value: $0) } })
    }

    static func accept(_ changes: [String: [String]]) throws(WebSocketError) -> WebSocketUpgrade {
        try WebSocketHandshake.accept(request(changes), protocols: ["fynlo.v1"])
    }

    @Test("gives the answer of RFC 6455's example")
    func example() throws {
        let upgrade = try WebSocketHandshake.accept(
            Self.request(["sec-websocket-protocol": ["chat, superchat"]]), protocols: ["superchat"])
        #expect(upgrade.acceptKey == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(upgrade.selectedProtocol == "superchat")
        #expect(upgrade.response.status == 101)
        #expect(
            upgrade.response.headers == [
                "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                "Sec-WebSocket-Protocol": "superchat",
            ])
    }

    static let accepted: [(changes: [String: [String]], selected: String?)] = [
        ([:], nil),
        (["upgrade": ["WebSocket"], "connection": ["keep-alive, uPGRADE"]], nil),
        (["upgrade": ["h2c", "websocket"], "connection": ["keep-alive", "Upgrade"]], nil),
        (["upgrade": ["h2c , ,\twebsocket "]], nil),
        (["sec-websocket-extensions": ["permessage-deflate; client_max_window_bits"]], nil),
        (["sec-websocket-protocol": ["fynlo.v1"]], "fynlo.v1"),
        (["sec-websocket-protocol": ["other, fynlo.v1"]], "fynlo.v1"),
        (["sec-websocket-protocol": ["other", "fynlo.v1"]], "fynlo.v1"),
        (["sec-websocket-protocol": ["other"]], nil),
        (["sec-websocket-protocol": ["FYNLO.V1"]], nil),
        (["sec-websocket-protocol": [""]], nil),
    ]

    @Test("accepts what clients and proxies send", arguments: accepted)
    func accepts(changes: [String: [String]], selected: String?) throws {
        let upgrade = try Self.accept(changes)
        #expect(upgrade == WebSocketUpgrade(acceptKey: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", selectedProtocol: selected))
    }

    static let refused: [(changes: [String: [String]], error: WebSocketError)] = [
        (["upgrade": []], .upgradeMissing),
        (["upgrade": ["h2c"]], .upgradeMissing),
        (["upgrade": ["websockets"]], .upgradeMissing),
        (["upgrade": ["websoc\u{212A}et"]], .upgradeMissing),
        (["connection": []], .connectionUpgradeMissing),
        (["connection": ["keep-alive"]], .connectionUpgradeMissing),
        (["sec-websocket-version": []], .versionUnsupported),
        (["sec-websocket-version": ["8"]], .versionUnsupported),
        (["sec-websocket-version": ["013"]], .versionUnsupported),
        (["sec-websocket-version": ["13", "8"]], .versionUnsupported),
        (["sec-websocket-key": []], .keyInvalid),
        (["sec-websocket-key": [""]], .keyInvalid),
        (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZQ"]], .keyInvalid),
        (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZR=="]], .keyInvalid),
        (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25j"]], .keyInvalid),
        (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZWQ="]], .keyInvalid),
        (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="]], .keyInvalid),
        (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="]], .keyInvalid),
    ]

    @Test("refuses what RFC 6455 forbids", arguments: refused)
    func refuses(changes: [String: [String]], error: WebSocketError) {
        #expect(throws: error) { try Self.accept(changes) }
    }

    @Test("refuses other methods and HTTP/1.0")
    func requestLine() {
        #expect(throws: WebSocketError.methodNotGet) {
            try WebSocketHandshake.accept(Self.request(method: .post), protocols: [])
        }
        #expect(throws: WebSocketError.httpVersionTooOld) {
            try WebSocketHandshake.accept(Self.request(version: .http10), protocols: [])
        }
    }

    @Test("a refusal has its status")
    func refusal() {
        #expect(WebSocketError.versionUnsupported.status == 426)
        #expect(WebSocketError.keyInvalid.status == 400)
        #expect(WebSocketError.methodNotGet.status == 405)
    }

    // MARK: Client

    @Test("client and server agree")
    func agreement() throws {
        let key = WebSocketHandshake.makeKey(random: Array(0..<16))
        #expect(key == "AAECAwQFBgcICQoLDA0ODw==")
        let headers = HTTPHeaders(WebSocketHandshake.requestHeaders(key: key, protocols: ["fynlo.v1"]))
        let upgrade = try WebSocketHandshake.accept(
            HTTPRequest(method: .get, path: "/", headers: headers), protocols: ["fynlo.v1"])
        let selected = try WebSocketHandshake.verify(upgrade.response, key: key, protocols: ["fynlo.v1"])
        #expect(selected == "fynlo.v1")
    }

    static let responses: [(changes: [String: [String]], status: Int, error: WebSocketError?)] = [
        ([:], 101, nil),
        (["upgrade": ["WebSocket"], "connection": ["keep-alive, upgrade"]], 101, nil),
        (["sec-websocket-protocol": ["fynlo.v1"]], 101, nil),
        ([:], 200, .statusNotSwitchingProtocols(200)),
        ([:], 403, .statusNotSwitchingProtocols(403)),
        (["upgrade": []], 101, .responseUpgradeMissing),
        (["upgrade": ["websocket", "h2c"]], 101, .responseUpgradeMissing),
        (["connection": ["close"]], 101, .responseUpgradeMissing),
        (["sec-websocket-accept": []], 101, .acceptKeyWrong),
        (["sec-websocket-accept": ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo"]], 101, .acceptKeyWrong),
        (["sec-websocket-accept": ["S3pPLMBiTxaQ9kYGzzhZRbK+xOo="]], 101, .acceptKeyWrong),
        (["sec-websocket-extensions": ["permessage-deflate"]], 101, .extensionNotOffered),
        (["sec-websocket-protocol": ["other"]], 101, .protocolNotOffered),
        (["sec-websocket-protocol": ["fynlo.v1", "fynlo.v1"]], 101, .protocolNotOffered),
    ]

    @Test("a client checks the response", arguments: responses)
    func response(changes: [String: [String]], status: Int, error: WebSocketError?) {
        var fields: [String: [String]] = [
            "upgrade": ["websocket"], "connection": ["Upgrade"],
            "sec-websocket-accept": ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
        ]
        for (name, values) in changes { fields[name] = values }
        var thrown: WebSocketError?
        do throws(WebSocketError) {
            let selected = try WebSocketHandshake.verify(
                HTTPResponse(status: status, headers: Self.headers(fields)), key: "dGhlIHNhbXBsZSBub25jZQ==",
                protocols: ["fynlo.v1"])
            #expect(selected == fields["sec-websocket-protocol"]?.first)
        } catch {
            thrown = error
        }
        #expect(thrown == error)
    }
}
