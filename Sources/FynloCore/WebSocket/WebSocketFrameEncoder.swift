// Frames -> bytes, always unfragmented and with the shortest form of the length. A payload is written straight into the output
// and its header is corrected afterwards, so that a message is never built elsewhere and then copied.

/// Appends whole frames to an output buffer. `mask` is the key of a client's frame, or `nil` for a server's.
public enum WebSocketFrameEncoder {
    /// Appends a text frame whose payload `writePayload` appends; it must only append, and only valid UTF-8.
    public static func appendTextFrame(
        to output: inout ByteBuffer, mask: UInt32?, _ writePayload: (inout ByteBuffer) -> Void
    ) {
        appendFrame(.text, mask: mask, to: &output, writePayload)
    }

    /// Appends a server's text frame of at most `count` bytes of payload, which `writePayload` writes; only valid UTF-8.
    @inline(__always)
    public static func appendTextFrame(
        to output: inout ByteBuffer, payloadAtMost count: Int, _ writePayload: (inout ByteWriter) -> Void
    ) {
        // Nearly all payloads need the two-byte length, so room for it is always reserved.
        output.write(atMost: count + 10) { frame in
            frame.append(halfWord: 126 << 8 | UInt32(0x80 | WebSocketOpcode.text.rawValue))
            writePayload(&frame)
            finishTextFrame(&frame)
        }
    }

    /// Corrects the header of a frame whose payload was written after four bytes.
    @inline(__always)
    private static func finishTextFrame(_ frame: inout ByteWriter) {
        let payloadBytes = frame.count - 4
        if payloadBytes > 125, payloadBytes <= 0xFFFF {
            frame.replace(at: 2, with: UInt8(truncatingIfNeeded: payloadBytes >> 8))
            frame.replace(at: 3, with: UInt8(truncatingIfNeeded: payloadBytes))
        } else {
            finishUnusualTextFrame(&frame, payloadBytes)
        }
    }

    private static func finishUnusualTextFrame(_ frame: inout ByteWriter, _ payloadBytes: Int) {
        let extended = extendedLengthBytes(payloadBytes)
        frame.move(from: 4, by: extended - 2)
        frame.replace(at: 1, with: lengthField(payloadBytes))
        for index in 0..<extended { frame.replace(at: 2 + index, with: byte(index, of: extended, in: payloadBytes)) }
    }

    /// Appends a frame with a copy of `payload`; at most 125 bytes in a control frame.
    public static func appendFrame(
        _ opcode: WebSocketOpcode, payload: Span<UInt8>, mask: UInt32?, to output: inout ByteBuffer
    ) {
        precondition(payload.count <= 125 || !opcode.isControl, "control payloads are at most 125 bytes")
        output.append(0x80 | opcode.rawValue)
        output.append((mask == nil ? 0 : 0x80) | lengthField(payload.count))
        let extended = extendedLengthBytes(payload.count)
        for index in 0..<extended { output.append(byte(index, of: extended, in: payload.count)) }
        appendKey(mask, to: &output)
        let start = output.count
        output.append(payload)
        applyMask(mask, from: start, in: &output)
    }

    /// Appends a close frame: empty without a `code`; otherwise with the code, which must be one that may be sent, and
    /// as much of `reason` as fits into 123 bytes, cut between characters.
    public static func appendClose(code: UInt16?, reason: String, mask: UInt32?, to output: inout ByteBuffer) {
        appendFrame(.close, mask: mask, to: &output) { output in
            guard let code else { return }
            precondition(WebSocketCloseCode.isAllowedOnWire(code), "the close code may be sent")
            output.append(UInt8(code >> 8))
            output.append(UInt8(code & 0xFF))
            let text = Array(reason.utf8)
            var end = min(text.count, 123)
            if end < text.count {
                // A continuation byte after the cut would mean that its character is cut in two.
                while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
            }
            output.append(text.span.extracting(0..<end))
        }
    }

    /// Writes the header of an empty frame, then the payload, then corrects the header.
    private static func appendFrame(
        _ opcode: WebSocketOpcode, mask: UInt32?, to output: inout ByteBuffer,
        _ writePayload: (inout ByteBuffer) -> Void
    ) {
        let start = output.count
        output.append(0x80 | opcode.rawValue)
        output.append(0)
        appendKey(mask, to: &output)
        var payloadStart = output.count
        writePayload(&output)
        let payloadBytes = output.count - payloadStart
        precondition(payloadBytes >= 0, "writing a payload only appends")

        let extended = extendedLengthBytes(payloadBytes)
        if extended > 0 {
            output.insertZeros(extended, at: output.readPosition + start + 2)
            payloadStart += extended
            for index in 0..<extended {
                output.replace(at: start + 2 + index, with: byte(index, of: extended, in: payloadBytes))
            }
        }
        output.replace(at: start + 1, with: (mask == nil ? 0 : 0x80) | lengthField(payloadBytes))
        applyMask(mask, from: payloadStart, in: &output)
    }

    /// The seven bits of the second byte.
    private static func lengthField(_ payloadBytes: Int) -> UInt8 {
        switch payloadBytes {
        case ...125: UInt8(payloadBytes)
        case ...0xFFFF: 126
        default: 127
        }
    }

    /// How many bytes of length follow the first two bytes of the header.
    private static func extendedLengthBytes(_ payloadBytes: Int) -> Int {
        switch payloadBytes {
        case ...125: 0
        case ...0xFFFF: 2
        default: 8
        }
    }

    private static func appendKey(_ mask: UInt32?, to output: inout ByteBuffer) {
        guard let mask else { return }
        for index in 0..<4 { output.append(byte(index, of: 4, in: Int(mask))) }
    }

    /// One byte of a number written in network order with `count` bytes.
    private static func byte(_ index: Int, of count: Int, in number: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: number >> ((count - 1 - index) * 8))
    }

    /// Masks everything from `start`, counted from the front of the readable bytes.
    private static func applyMask(_ key: UInt32?, from start: Int, in output: inout ByteBuffer) {
        guard let key else { return }
        var mask = WebSocketMask(key: key)
        let positions = output.readablePositions
        output.withMutableBytes(at: positions.lowerBound + start..<positions.upperBound) { mask.apply(to: &$0) }
    }
}

extension WebSocketFrameEncoder {
    /// The end of the frame that covers the byte before `position`, in a queue of frames as the server sends them
    /// (unmasked). Both count bytes from the front of the queue; a frame begins at `start`. At the boundary between two
    /// frames, that is `position` itself.
    public static func frameBoundary(in queue: ByteBuffer, startingAt start: Int, atOrAfter position: Int) -> Int {
        var boundary = start
        while boundary < position, boundary + 2 <= queue.count {
            let length = queue[boundary + 1] & 0x7f
            let extended = length == 126 ? 2 : length == 127 ? 8 : 0
            guard boundary + 2 + extended <= queue.count else { break }
            var payload = extended == 0 ? Int(length) : 0
            for index in 0..<extended { payload = payload << 8 | Int(queue[boundary + 2 + index]) }
            boundary += 2 + extended + payload
        }
        return boundary
    }
}
