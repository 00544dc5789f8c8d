// Both sides of the HTTP upgrade (RFC 6455 §4), by plain look-ups of header fields, so that any HTTP layer can ask.
// Extensions are never negotiated: none is offered, and those offered are ignored.

/// What the server's 101 response says.
public struct WebSocketUpgrade: Hashable, Sendable {
    /// The value of `Sec-WebSocket-Accept`.
    public var acceptKey: String
    /// The value of `Sec-WebSocket-Protocol`; `nil` when nothing both sides know was offered.
    public var selectedProtocol: String?

    public init(acceptKey: String, selectedProtocol: String?) {
        self.acceptKey = acceptKey
        self.selectedProtocol = selectedProtocol
    }

    /// The header fields of the 101 response.
    public var responseHeaders: [(name: String, value: String)] {
        var headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", acceptKey)]
        if let selectedProtocol { headers.append(("Sec-WebSocket-Protocol", selectedProtocol)) }
        return headers
    }
}

/// The rules of the handshake. `headers` gives all field values of a name in lower case, in order, without the white
/// space around them; none is an empty array.
public enum WebSocketHandshake {
    // MARK: Server

    /// Checks a client's request (RFC 6455 §4.2.1) and gives what the answer must say.
    ///
    /// - Parameters:
    ///   - isHTTP11OrLater: of the request; HTTP/1.0 knows no upgrades.
    ///   - protocols: the subprotocols spoken here; the first one the client offers of them is selected.
    /// - Throws: with the `status`, `responseHeaders` and `sentence` of the refusal.
    public static func accept(
        _ headers: (String) -> [String], method: String, isHTTP11OrLater: Bool, protocols: [String]
    ) throws(WebSocketError) -> WebSocketUpgrade {
        guard method == "GET" else { throw .methodNotGet }
        guard isHTTP11OrLater else { throw .httpVersionTooOld }
        guard hasToken("websocket", in: headers("upgrade")) else { throw .upgradeMissing }
        guard hasToken("upgrade", in: headers("connection")) else { throw .connectionUpgradeMissing }
        guard headers("sec-websocket-version") == ["13"] else { throw .versionUnsupported }
        let keys = headers("sec-websocket-key")
        guard keys.count == 1, let key = keys.first, Base64.decode(key, as: .standard)?.count == 16 else {
            throw .keyInvalid
        }
        let offered = tokens(in: headers("sec-websocket-protocol"))
        return WebSocketUpgrade(
            acceptKey: acceptKey(for: key), selectedProtocol: offered.first { protocols.contains($0) })
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
        _ headers: (String) -> [String], status: Int, key: String, protocols: [String]
    ) throws(WebSocketError) -> String? {
        guard status == 101 else { throw .statusNotSwitchingProtocols(status) }
        let upgrade = headers("upgrade")
        guard upgrade.count == 1, hasToken("websocket", in: upgrade), hasToken("upgrade", in: headers("connection"))
        else { throw .responseUpgradeMissing }
        guard headers("sec-websocket-accept") == [acceptKey(for: key)] else { throw .acceptKeyWrong }
        guard tokens(in: headers("sec-websocket-extensions")).isEmpty else { throw .extensionNotOffered }
        let selected = headers("sec-websocket-protocol")
        guard let choice = selected.first else { return nil }
        guard selected.count == 1, protocols.contains(choice) else { throw .protocolNotOffered }
        return choice
    }

    // MARK: Both

    /// RFC 6455 §4.2.2, 5.4: SHA-1 of the key as it was sent and a fixed text, in base64.
    static func acceptKey(for key: String) -> String {
        Base64.encode(SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8).span), as: .standard)
    }

    /// The elements of a comma-separated list, spread over any number of fields; empty elements do not count.
    private static func tokens(in values: [String]) -> [String] {
        var tokens: [String] = []
        for value in values {
            for part in value.utf8.split(separator: UInt8(ascii: ",")) {
                var token = part[...]
                while let first = token.first, first == 0x20 || first == 0x09 { token.removeFirst() }
                while let last = token.last, last == 0x20 || last == 0x09 { token.removeLast() }
                if !token.isEmpty { tokens.append(String(Substring(token))) }
            }
        }
        return tokens
    }

    /// True if the list has `token`, which is in lower case; the list may have it in any case of ASCII.
    private static func hasToken(_ token: String, in values: [String]) -> Bool {
        tokens(in: values).contains { candidate in
            candidate.utf8.elementsEqual(token.utf8) { byte, lower in
                (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 == lower : byte == lower
            }
        }
    }
}
