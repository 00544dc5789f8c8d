// Both sides of the HTTP upgrade (RFC 6455 §4). Extensions are never negotiated: none is offered, and those offered are
// ignored.

/// What the server's 101 response says.
public struct WebSocketUpgrade: Hashable, Sendable {
    /// The value of `Sec-WebSocket-Accept`.
    public var acceptKey: String
    /// The value of `Sec-WebSocket-Protocol`; `nil` if the client offered no subprotocol that the server supports.
    public var selectedProtocol: String?

    public init(acceptKey: String, selectedProtocol: String?) {
        self.acceptKey = acceptKey
        self.selectedProtocol = selectedProtocol
    }

    /// The 101 response.
    public var response: HTTPResponse {
        var response = HTTPResponse(status: 101)
        response.headers.reserve(bytes: 160)
        response.headers.append("Upgrade", "websocket")
        response.headers.append("Connection", "Upgrade")
        response.headers.append("Sec-WebSocket-Accept", acceptKey)
        if let selectedProtocol { response.headers.append("Sec-WebSocket-Protocol", selectedProtocol) }
        return response
    }
}

/// The rules of the handshake.
public enum WebSocketHandshake {
    // MARK: Server

    /// Checks a client's request (RFC 6455 §4.2.1) and returns what the response must contain. `protocols` are the supported
    /// subprotocols; the first of them that the client offers is selected.
    ///
    /// - Throws: with the `status` and `sentence` of the refusal.
    public static func accept(
        _ request: HTTPRequest, protocols: [String]
    ) throws(WebSocketError) -> WebSocketUpgrade {
        let headers = request.headers
        guard request.method == .get else { throw .methodNotGet }
        guard request.version == .http11 else { throw .httpVersionTooOld }
        guard headers.hasToken("websocket", in: "upgrade") else { throw .upgradeMissing }
        guard headers.hasToken("upgrade", in: "connection") else { throw .connectionUpgradeMissing }
        guard headers.withOnlyValue(of: "sec-websocket-version", { $0.equals("13") }) == true else {
            throw .versionUnsupported
        }
        let accepted = headers.withOnlyValue(of: "sec-websocket-key") { key in
            Base64.decode(key, as: .standard)?.count == 16 ? acceptKey(for: key) : nil
        }
        guard let acceptKey = accepted ?? nil else { throw .keyInvalid }
        var selected: String?
        headers.forEachElement(of: "sec-websocket-protocol") { offered in
            if selected == nil { selected = protocols.first { offered.equals($0.utf8Span.span) } }
        }
        return WebSocketUpgrade(acceptKey: acceptKey, selectedProtocol: selected)
    }

    // MARK: Client

    /// The `Sec-WebSocket-Key` made of 16 random bytes.
    public static func makeKey(random: [UInt8]) -> String {
        precondition(random.count == 16, "a key is made of 16 bytes")
        return Base64.encode(random, as: .standard)
    }

    /// The header fields of a client's request, besides `Host`.
    public static func requestHeaders(key: String, protocols: [String]) -> [(name: String, value: String)] {
        var headers = [
            ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13"),
        ]
        if !protocols.isEmpty { headers.append(("Sec-WebSocket-Protocol", protocols.joined(separator: ", "))) }
        return headers
    }

    /// Checks a server's response to the request with `key` and `protocols` (RFC 6455 §4.1).
    ///
    /// - Returns: the subprotocol the server selected, or `nil` for none.
    public static func verify(
        _ response: HTTPResponse, key: String, protocols: [String]
    ) throws(WebSocketError) -> String? {
        let headers = response.headers
        guard response.status == 101 else { throw .statusNotSwitchingProtocols(response.status) }
        guard headers.count("upgrade") == 1, headers.hasToken("websocket", in: "upgrade"),
            headers.hasToken("upgrade", in: "connection")
        else { throw .responseUpgradeMissing }
        guard headers.values("sec-websocket-accept") == [acceptKey(for: key.utf8Span.span)] else {
            throw .acceptKeyWrong
        }
        guard headers.tokens("sec-websocket-extensions").isEmpty else { throw .extensionNotOffered }
        let selected = headers.values("sec-websocket-protocol")
        guard let choice = selected.first else { return nil }
        guard selected.count == 1, protocols.contains(choice) else { throw .protocolNotOffered }
        return choice
    }

    // MARK: Both

    /// RFC 6455 §4.2.2, 5.4: SHA-1 of the key as it was sent and a fixed text, in base64.
    static func acceptKey(for key: Span<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(60)
        text.append(copying: key)
        text.append(contentsOf: "258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)
        return Base64.encode(SHA1.digest(text.span), as: .standard)
    }
}
