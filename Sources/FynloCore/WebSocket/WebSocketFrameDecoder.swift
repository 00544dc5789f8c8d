// Bytes -> frame header. Payloads are not touched here: they stay in place until the header has been read.

/// Reads the header at the front of the input.
public enum WebSocketFrameDecoder {
    /// Whether the peer's frames must be masked: those of a client must, those of a server must not (RFC 6455 §5.1).
    public enum Masking: Sendable {
        case required, forbidden
    }

    /// The header at the start of `bytes`, or `nil` until it has arrived whole. A violation is reported at the first byte that
    /// shows it.
    public static func header(
        of bytes: Span<UInt8>, masking: Masking
    ) throws(WebSocketError) -> WebSocketFrameHeader? {
        guard bytes.count >= 1 else { return nil }
        let first = bytes[0]
        guard first & 0x70 == 0 else { throw .reservedBitSet }
        guard let opcode = WebSocketOpcode(rawValue: first & 0x0F) else { throw .opcodeReserved(first & 0x0F) }
        let isFinal = first & 0x80 != 0
        guard isFinal || !opcode.isControl else { throw .controlFrameFragmented }

        guard bytes.count >= 2 else { return nil }
        let isMasked = bytes[1] & 0x80 != 0
        switch masking {
        case .required: guard isMasked else { throw .maskMissing }
        case .forbidden: guard !isMasked else { throw .maskUnexpected }
        }

        var payloadBytes = UInt64(bytes[1] & 0x7F)
        guard payloadBytes <= 125 || !opcode.isControl else { throw .controlFrameTooLong }
        var headerBytes = 2
        switch payloadBytes {
        case 126:
            guard let length = bigEndian(bytes, from: 2, count: 2) else { return nil }
            guard length > 125 else { throw .lengthNotMinimal }
            payloadBytes = length
            headerBytes += 2
        case 127:
            guard let length = bigEndian(bytes, from: 2, count: 8) else { return nil }
            guard length > 0xFFFF else { throw .lengthNotMinimal }
            payloadBytes = length
            headerBytes += 8
        default:
            break
        }
        guard let payloadBytes = Int(exactly: payloadBytes) else { throw .lengthTooLarge }

        var mask: UInt32?
        if isMasked {
            guard let key = bigEndian(bytes, from: headerBytes, count: 4) else { return nil }
            mask = UInt32(truncatingIfNeeded: key)
            headerBytes += 4
        }
        return WebSocketFrameHeader(
            isFinal: isFinal, opcode: opcode, mask: mask, payloadBytes: payloadBytes, headerBytes: headerBytes)
    }

    /// A number in network byte order, or `nil` until it has arrived whole.
    private static func bigEndian(_ bytes: Span<UInt8>, from start: Int, count: Int) -> UInt64? {
        guard bytes.count >= start + count else { return nil }
        var number: UInt64 = 0
        for index in start..<(start + count) { number = number << 8 | UInt64(bytes[index]) }
        return number
    }
}
