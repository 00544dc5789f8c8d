// What the session says, as text frames at the end of the output.
//
// These frames never follow a close frame: whatever closes the WebSocket ends the session in the same call, and a session
// that is over writes nothing. ProtocolStack asserts it.

extension ServerSession {
    mutating func nextMessageID() -> MessageID {
        sentLow &+= 1
        if sentLow == 0 { sentHigh &+= 1 }
        return .direct(connection, number: UInt64(sentHigh) << 32 | UInt64(sentLow))
    }

    mutating func send(_ message: ServerMessage, _ context: inout SessionContext) {
        let id = nextMessageID()
        let now = context.now.unixTime
        WebSocketFrameEncoder.appendTextFrame(to: &context.output, mask: nil) { payload in
            MessageEncoder.append(message, id: id, restaurant: restaurant, at: now, to: &payload)
        }
    }

    mutating func sendError(
        _ error: APIError, id: String?, _ context: inout SessionContext
    ) {
        context.note(.error)
        send(.error(error, id: id), &context)
        context.effects.append(.refused(error.code))
    }

    mutating func pong(echo: Span<UInt8>?, _ context: inout SessionContext) {
        let id = nextMessageID()
        let now = context.now.unixTime
        WebSocketFrameEncoder.appendTextFrame(
            to: &context.output, payloadAtMost: MessageEncoder.pongBytes + (echo?.count ?? 0)
        ) { payload in
            MessageEncoder.appendPong(echo: echo, id: id, restaurant: restaurant, at: now, to: &payload)
        }
    }
}
