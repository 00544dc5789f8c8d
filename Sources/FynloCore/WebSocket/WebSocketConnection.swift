// One end of a WebSocket connection after its handshake, as a value: the peer's bytes and the time go in, events and
// bytes to send come out. Pings and closes are answered here.
//
//     open ── close() ─────────────────────> closing ── peer's close frame ─> closed
//       ├──── peer's close frame, answered ───────────────────────────────────> │
//       └──── violation, close frame sent ────── (also while closing) ────────> │

/// A server's or a client's end. 32 bytes, and no memory beside them unless a message is partly received: nearly all
/// connections are idle nearly always.
///
/// The owner calls `next` until it gives `nil`, after each read. It closes the socket once `isFinished` and the output is
/// written, and resets it when `tick` says so. A peer that sends pings and does not read makes the output grow by less
/// than it sends; bounding that is the owner's back-pressure, which stops reading while much is unsent.
public struct WebSocketConnection: Sendable {
    /// RFC 6455 §5.1: a client masks its frames, a server does not, and each insists on the other doing so.
    public enum Role: Sendable {
        case server
        /// The seed of the masking keys, fresh from the system's random source.
        case client(maskSeed: UInt64)
    }

    public enum State: Sendable {
        case open
        /// Our close frame is sent, the peer's has not come.
        case closing
        /// Nothing more is sent, and what still arrives is dropped.
        case closed
    }

    /// What the end of the peer's bytes means.
    public enum EndOfInput: Sendable {
        /// It came after the close handshake or a violation.
        case expected
        /// The peer went away without a close frame: code 1006.
        case abnormal
    }

    /// A data frame whose header is consumed and whose payload is arriving.
    private struct PartialFrame: Sendable {
        var missingBytes: Int
        var mask: WebSocketMask?
        var isFinal: Bool
    }

    /// A message that has not wholly arrived, or came in several frames.
    private struct PartialMessage: Sendable {
        var assembler = MessageAssembler()
        var frame: PartialFrame?
        /// For a client, which always has one of these.
        var masks: WebSocketMaskGenerator?

        /// Nothing has been kept of it, as its frames so far were empty.
        var isEmpty: Bool { frame == nil && assembler.isEmpty }
    }

    // In the order that packs best.
    private var partial = OutOfLine<PartialMessage>()
    /// When the socket is reset if it is still there: while closing, and usually when closed.
    private var deadline = Instant.never
    private var limitBytes: UInt32
    private var closeTimeoutMilliseconds: UInt16
    public private(set) var state = State.open
    private let isServer: Bool

    /// A connection that just switched protocols.
    ///
    /// - Parameters:
    ///   - maximumMessageBytes: of one message, all its fragments together; a bigger one fails with 1009.
    ///   - closeTimeout: how long the peer and the network get to finish, from the first close frame on; a minute at most.
    public init(role: Role, maximumMessageBytes: Int, closeTimeout: Duration) {
        switch role {
        case .server:
            isServer = true
        case .client(let seed):
            isServer = false
            partial = OutOfLine(PartialMessage(masks: WebSocketMaskGenerator(seed: seed)))
        }
        limitBytes = UInt32(clamping: maximumMessageBytes)
        closeTimeoutMilliseconds = UInt16(clamping: closeTimeout.inMilliseconds)
    }

    /// The key of the next frame; `nil` for a server's.
    private mutating func nextMask() -> UInt32? {
        isServer ? nil : partial.change { $0.masks?.next() } ?? nil
    }

    /// Nothing is under way any more.
    private mutating func endPartial() {
        if isServer {
            partial.clear()
        } else {
            partial.change { $0 = PartialMessage(masks: $0.masks) }
        }
    }

    /// The limit for messages; a change takes effect with the next frame.
    public var maximumMessageBytes: Int {
        get { Int(limitBytes) }
        set { limitBytes = UInt32(clamping: newValue) }
    }

    /// True once there is nothing left to do but to write the output and close the socket: both close frames are
    /// there, or the peer broke the protocol, or the time was up. (A client leaves closing to the server: RFC 6455 §7.1.1.)
    public var isFinished: Bool { state == .closed }

    // MARK: Receiving

    /// Reads on, up to the next event. `nil` when all that can be used has been: at most the beginning of a header or of
    /// a control frame (under 140 bytes) stays in `input`.
    ///
    /// The bytes of a message may be lent as positions in `input`: use them before anything is appended to it.
    public mutating func next(
        _ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer
    ) -> WebSocketEvent? {
        do {
            while true {
                if state == .closed {
                    input.consume(input.count)
                    return nil
                }
                if !partial.isEmpty {
                    if let message = try receivePayload(&input) { return .message(message) }
                    if partial.read({ $0.frame != nil }) == true { return nil }
                }
                let masking: WebSocketFrameDecoder.Masking = isServer ? .required : .forbidden
                let decoded = try input.withReadable { (bytes) throws(WebSocketError) in
                    try WebSocketFrameDecoder.header(of: bytes, masking: masking)
                }
                guard let header = decoded else { return nil }
                if header.opcode.isControl {
                    guard input.count >= header.headerBytes + header.payloadBytes else { return nil }
                    if let event = try receiveControl(header, &input, now: now, output: &output) { return event }
                } else {
                    if let message = try receiveData(header, &input) { return .message(message) }
                }
            }
        } catch {
            return fail(error, now: now, output: &output)
        }
    }

    /// Starts a data frame, or takes it at once: the whole message in one frame that is already here is the usual case,
    /// and is neither copied nor kept.
    private mutating func receiveData(
        _ header: WebSocketFrameHeader, _ input: inout ByteBuffer
    ) throws(WebSocketError) -> WebSocketMessage? {
        if state == .open, header.isFinal, partial.read({ $0.isEmpty }) ?? true,
            // Subtracted on the side of the small numbers: the announced length may be close to the largest Int.
            input.count - header.headerBytes >= header.payloadBytes
        {
            var assembler = partial.value?.assembler ?? MessageAssembler()
            endPartial()
            try assembler.begin(header, limitBytes: Int(limitBytes))
            input.consume(header.headerBytes)
            let positions = takePayload(header, &input)
            return try assembler.finish(input, at: positions)
        }
        return try partial.change(orFrom: PartialMessage()) { (message) throws(WebSocketError) in
            if state == .open { try message.assembler.begin(header, limitBytes: Int(limitBytes)) }
            input.consume(header.headerBytes)
            let mask = header.mask.map { WebSocketMask(key: $0) }
            message.frame = PartialFrame(missingBytes: header.payloadBytes, mask: mask, isFinal: header.isFinal)
            return nil
        }
    }

    /// Takes what has arrived of the frame under way. After our close frame it is skipped, of whatever size.
    private mutating func receivePayload(_ input: inout ByteBuffer) throws(WebSocketError) -> WebSocketMessage? {
        let isOpen = state == .open
        let received = try partial.change { (message) throws(WebSocketError) -> WebSocketMessage? in
            guard var frame = message.frame else { return nil }
            let count = min(frame.missingBytes, input.count)
            let positions = input.readPosition..<(input.readPosition + count)
            if isOpen, count > 0 {
                if var mask = frame.mask {
                    input.withMutableBytes(at: positions) { mask.apply(to: &$0) }
                    frame.mask = mask
                }
                try input.withBytes(at: positions) { (bytes) throws(WebSocketError) in
                    try message.assembler.append(bytes)
                }
            }
            input.consume(count)
            frame.missingBytes -= count
            guard frame.missingBytes == 0 else {
                message.frame = frame
                return nil
            }
            message.frame = nil
            guard isOpen, frame.isFinal else { return nil }
            return try message.assembler.finish()
        }
        let message = received ?? nil
        // Nothing is kept between messages, nor of what is skipped.
        if message != nil || !isOpen && partial.read({ $0.frame == nil }) == true { endPartial() }
        return message
    }

    /// Answers a control frame that lies whole at the front of `input`.
    private mutating func receiveControl(
        _ header: WebSocketFrameHeader, _ input: inout ByteBuffer, now: Moment, output: inout ByteBuffer
    ) throws(WebSocketError) -> WebSocketEvent? {
        input.consume(header.headerBytes)
        let positions = takePayload(header, &input)
        switch header.opcode {
        case .ping:
            // RFC 6455 §5.5.1: nothing follows our close frame, not even a pong.
            guard state == .open else { return nil }
            let mask = nextMask()
            input.withBytes(at: positions) { payload in
                WebSocketFrameEncoder.appendFrame(.pong, payload: payload, mask: mask, to: &output)
            }
            return .ping
        case .pong:
            guard state == .open else { return nil }
            return .pong
        case .close:
            let (code, reason) = try input.withBytes(at: positions) { (payload) throws(WebSocketError) in
                try Self.closePayload(payload)
            }
            if state == .open {
                WebSocketFrameEncoder.appendClose(code: code, reason: "", mask: nextMask(), to: &output)
                finish(by: endOfClosing(from: now))
            } else {
                finish(by: deadline)
            }
            return .closing(code: code, reason: reason)
        case .continuation, .text, .binary:
            return nil
        }
    }

    /// Consumes the payload at the front of `input` and unmasks it where it lies.
    private func takePayload(_ header: WebSocketFrameHeader, _ input: inout ByteBuffer) -> Range<Int> {
        let positions = input.readPosition..<(input.readPosition + header.payloadBytes)
        if let key = header.mask {
            var mask = WebSocketMask(key: key)
            input.withMutableBytes(at: positions) { mask.apply(to: &$0) }
        }
        input.consume(header.payloadBytes)
        return positions
    }

    /// RFC 6455 §5.5.1: nothing at all, or a code and then a reason in UTF-8.
    private static func closePayload(_ payload: Span<UInt8>) throws(WebSocketError) -> (code: UInt16?, reason: String) {
        if payload.isEmpty { return (nil, "") }
        guard payload.count >= 2 else { throw .closePayloadTooShort }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        guard WebSocketCloseCode.isAllowedOnWire(code) else { throw .closeCodeInvalid(code) }
        guard let reason = String(validating: payload.extracting(droppingFirst: 2)) else { throw .textNotUTF8 }
        return (code, reason)
    }

    /// RFC 6455 §7.1.7.
    private mutating func fail(
        _ error: WebSocketError, now: Moment, output: inout ByteBuffer
    ) -> WebSocketEvent {
        if state == .open {
            WebSocketFrameEncoder.appendClose(
                code: error.closeCode, reason: error.sentence, mask: nextMask(), to: &output)
            finish(by: endOfClosing(from: now))
        } else {
            finish(by: deadline)
        }
        return .failed(code: error.closeCode, reason: error.sentence)
    }

    /// The peer will send nothing more. Says whether that was to be expected.
    public mutating func endOfInput() -> EndOfInput {
        let end: EndOfInput = isFinished ? .expected : .abnormal
        finish(by: .never)
        return end
    }

    // MARK: Sending

    /// Sends a text message whose UTF-8 `writePayload` appends. Does nothing once closing.
    public mutating func sendText(to output: inout ByteBuffer, _ writePayload: (inout ByteBuffer) -> Void) {
        guard state == .open else { return }
        WebSocketFrameEncoder.appendTextFrame(to: &output, mask: nextMask(), writePayload)
    }

    /// Sends a whole text or binary message, a ping or a pong. Does nothing once closing; `close` sends close frames.
    public mutating func sendFrame(_ opcode: WebSocketOpcode, payload: Span<UInt8>, to output: inout ByteBuffer) {
        precondition(opcode != .close && opcode != .continuation, "only whole messages, pings and pongs are sent")
        guard state == .open else { return }
        WebSocketFrameEncoder.appendFrame(opcode, payload: payload, mask: nextMask(), to: &output)
    }

    /// Starts the close handshake; does nothing if either side has. From here on messages are no longer delivered, and
    /// `next` only looks for the peer's close frame.
    ///
    /// - Parameters:
    ///   - code: one that may be sent (`WebSocketCloseCode.isAllowedOnWire`).
    ///   - reason: cut to 123 bytes.
    public mutating func close(code: UInt16, reason: String, now: Moment, output: inout ByteBuffer) {
        guard state == .open else { return }
        let mask = nextMask()
        WebSocketFrameEncoder.appendClose(code: code, reason: reason, mask: mask, to: &output)
        state = .closing
        deadline = endOfClosing(from: now)
        // What has arrived of a message is let go; the rest of its frame is still to be skipped.
        let isInFrame = partial.change { message in
            message.assembler.reset()
            return message.frame != nil
        }
        if isInFrame == false { endPartial() }
    }

    // MARK: Time

    /// When `tick` has something to do; `nil` while open.
    public var nextDeadline: Instant? { deadline == .never ? nil : deadline }

    /// True, once, when closing took longer than the close timeout: the peer did not answer our close frame, or the
    /// socket is still there because it does not read or does not hang up. Reset it.
    public mutating func tick(now: Moment) -> Bool {
        guard now.instant >= deadline else { return false }
        finish(by: .never)
        return true
    }

    private func endOfClosing(from now: Moment) -> Instant {
        Instant(nanoseconds: now.instant.nanoseconds + Int64(closeTimeoutMilliseconds) * 1_000_000)
    }

    private mutating func finish(by deadline: Instant) {
        state = .closed
        self.deadline = deadline
        endPartial()
    }
}
