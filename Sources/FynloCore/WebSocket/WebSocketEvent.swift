// What a connection tells its owner.

/// One thing that happened on a connection.
public enum WebSocketEvent: Sendable {
    /// A whole message.
    case message(WebSocketMessage)
    /// The peer sent a ping; its pong is already in the output.
    case ping
    /// The peer sent a pong.
    case pong
    /// The peer's close frame. Ours, in answer or sent before, ends the output. `code` is `nil` and `reason` is empty if the
    /// frame had none.
    case closing(code: UInt16?, reason: String)
    /// The peer violated the protocol. A close frame with this code and reason ends the output, unless one was sent before.
    /// Anything the peer sends after this is dropped.
    case failed(code: UInt16, reason: String)
}

/// A whole message, unmasked; valid UTF-8 if it is text.
public struct WebSocketMessage: Sendable {
    public enum Kind: Sendable {
        case text, binary
    }

    /// Where the payload is.
    public enum Body: Sendable {
        /// Still in the input: absolute positions, readable until bytes are appended to it.
        case input(Range<Int>)
        /// It came in pieces and was assembled.
        case assembled(ByteBuffer)
    }

    public var kind: Kind
    public var body: Body

    public init(kind: Kind, body: Body) {
        self.kind = kind
        self.body = body
    }

    /// Lends the payload, wherever it is; `input` is the buffer the message was read from.
    public func withPayload<Result, Failure: Error>(
        in input: borrowing ByteBuffer, _ body: (Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        switch self.body {
        case .input(let positions): try input.withBytes(at: positions, body)
        case .assembled(let buffer): try buffer.withReadable(body)
        }
    }
}
