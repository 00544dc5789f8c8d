// Everything a peer can do wrong, as values. A refused handshake is answered with an HTTP status, a violation on an open connection
// with a close code; both carry one sentence.

/// What was wrong with the peer's handshake, frame or message.
public enum WebSocketError: Error, Hashable, Sendable {
    // Handshake, as the server sees it (RFC 6455 §4.2.1)
    case methodNotGet
    case httpVersionTooOld
    case upgradeMissing
    case connectionUpgradeMissing
    case keyInvalid
    case versionUnsupported

    // Handshake, as the client sees it (RFC 6455 §4.1)
    case statusNotSwitchingProtocols(Int)
    case responseUpgradeMissing
    case acceptKeyWrong
    case extensionNotOffered
    case protocolNotOffered

    // Frames (RFC 6455 §5)
    case reservedBitSet
    case opcodeReserved(UInt8)
    case maskMissing
    case maskUnexpected
    case lengthNotMinimal
    case lengthTooLarge
    case controlFrameFragmented
    case controlFrameTooLong
    case continuationUnexpected
    case continuationExpected
    case closePayloadTooShort
    case closeCodeInvalid(UInt16)

    // Messages
    case textNotUTF8
    case messageTooBig(limitBytes: Int)

    /// The HTTP status that refuses a handshake: 405, 426 or 400.
    public var status: Int {
        switch self {
        case .methodNotGet: 405
        case .upgradeMissing, .connectionUpgradeMissing, .versionUnsupported: 426
        default: 400
        }
    }

    /// Every value of `closeCode`.
    public static let closeCodes = [
        WebSocketCloseCode.protocolError, WebSocketCloseCode.invalidPayload, WebSocketCloseCode.messageTooBig,
    ]

    /// The code of the close frame that answers a violation on an open connection; one of `closeCodes`.
    public var closeCode: UInt16 {
        switch self {
        case .textNotUTF8: WebSocketCloseCode.invalidPayload
        case .messageTooBig: WebSocketCloseCode.messageTooBig
        default: WebSocketCloseCode.protocolError
        }
    }

    /// One sentence for a person; short enough (at most 123 bytes) to be the reason in a close frame.
    public var sentence: String {
        switch self {
        case .methodNotGet: "A WebSocket handshake is a GET request."
        case .httpVersionTooOld: "A WebSocket handshake needs HTTP/1.1."
        case .upgradeMissing: "This address speaks WebSocket: send Upgrade: websocket."
        case .connectionUpgradeMissing: "This address speaks WebSocket: send Connection: Upgrade."
        case .keyInvalid: "Send exactly one Sec-WebSocket-Key, 16 bytes in base64."
        case .versionUnsupported: "Only WebSocket version 13 is supported: send Sec-WebSocket-Version: 13."
        case .statusNotSwitchingProtocols(let status):
            "The server answered the WebSocket handshake with status \(status) instead of 101."
        case .responseUpgradeMissing: "The server's answer lacks Upgrade: websocket or Connection: Upgrade."
        case .acceptKeyWrong: "The server's Sec-WebSocket-Accept does not belong to this handshake."
        case .extensionNotOffered: "The server chose a WebSocket extension that was not offered."
        case .protocolNotOffered: "The server chose a WebSocket subprotocol that was not offered."
        case .reservedBitSet: "A reserved bit is set, and no extension was negotiated."
        case .opcodeReserved(let opcode): "Opcode \(opcode) is reserved."
        case .maskMissing: "Frames from a client must be masked."
        case .maskUnexpected: "Frames from a server must not be masked."
        case .lengthNotMinimal: "The payload length is not in its shortest form."
        case .lengthTooLarge: "The top bit of a 64-bit payload length must be zero."
        case .controlFrameFragmented: "Control frames must not be fragmented."
        case .controlFrameTooLong: "Control frames carry at most 125 bytes."
        case .continuationUnexpected: "A continuation frame came without a message to continue."
        case .continuationExpected: "A new message began before the last one was complete."
        case .closePayloadTooShort: "A close frame carries nothing or at least a two-byte code."
        case .closeCodeInvalid(let code): "Close code \(code) must not be sent."
        case .textNotUTF8: "The text is not valid UTF-8."
        case .messageTooBig(let limit): "A message is at most \(limit) bytes."
        }
    }
}
