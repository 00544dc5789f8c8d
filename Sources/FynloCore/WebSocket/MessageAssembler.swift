// Frames -> messages: fragmentation, the size limit, and UTF-8 across the boundaries of frames and reads.

/// The current message. Holds memory only while a message is partly received.
///
///     begin(header) ── append(bytes)* ── finish() ──> message       for its last frame
///          └────────── append(bytes)* ── begin(header) …            for the others
struct MessageAssembler: Sendable {
    private var buffer = ByteBuffer()
    /// `nil` between messages.
    private var kind: WebSocketMessage.Kind?
    private var validator = UTF8Validator()

    /// True while nothing of the current message is stored here, so that its last frame may be used in place.
    var isEmpty: Bool { buffer.isEmpty }

    /// Checks the header of a data frame against the current message, and its announced size against `limitBytes`: a message
    /// that would be too big is refused before any of it is stored.
    mutating func begin(_ header: WebSocketFrameHeader, limitBytes: Int) throws(WebSocketError) {
        switch (header.opcode, kind) {
        case (.continuation, nil): throw .continuationUnexpected
        case (.text, nil): kind = .text
        case (.binary, nil): kind = .binary
        case (.text, _), (.binary, _): throw .continuationExpected
        case (.continuation, _), (.close, _), (.ping, _), (.pong, _): break
        }
        // The subtraction is on the side that cannot overflow: the announced length may be close to Int.max.
        guard header.payloadBytes <= limitBytes - buffer.count else { throw .messageTooBig(limitBytes: limitBytes) }
    }

    /// Appends unmasked bytes. Text fails at the first byte that makes it invalid UTF-8.
    mutating func append(_ bytes: Span<UInt8>) throws(WebSocketError) {
        if kind == .text {
            guard validator.accept(bytes) else { throw .textNotUTF8 }
        }
        buffer.append(bytes)
    }

    /// Ends the message and returns it, with its memory.
    mutating func finish() throws(WebSocketError) -> WebSocketMessage {
        guard validator.isAtBoundary else { throw .textNotUTF8 }
        let message = WebSocketMessage(kind: kind ?? .binary, body: .assembled(buffer))
        reset()
        return message
    }

    /// Ends a message of which nothing is stored here, and whose unmasked last frame is whole at `positions` of `input`.
    mutating func finish(
        _ input: borrowing ByteBuffer, at positions: Range<Int>
    ) throws(WebSocketError) -> WebSocketMessage {
        let kind = kind ?? .binary
        if kind == .text {
            let isValid = input.withBytes(at: positions) { (try? UTF8Span(validating: $0)) != nil }
            guard isValid else { throw .textNotUTF8 }
        }
        reset()
        return WebSocketMessage(kind: kind, body: .input(positions))
    }

    /// Drops the current message and its memory.
    mutating func reset() {
        self = MessageAssembler()
    }
}
