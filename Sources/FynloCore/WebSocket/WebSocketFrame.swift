// The parts of a frame as values, and the masking of its payload.
//
//      0               1               2               3
//     +-+-+-+-+-------+-+-------------+-------------------------------+
//     |F|R|R|R| opcode|M| length      | 16 or 64 more bits of length,  |
//     |I|S|S|S|  (4)  |A|  (7)        | if length is 126 or 127        |
//     |N|V|V|V|       |S|             |                                |
//     | |1|2|3|       |K|             |                                |
//     +-+-+-+-+-------+-+-------------+-------------------------------+
//     | masking key, 4 bytes, if MASK | payload ...                    |
//     +-------------------------------+-------------------------------+

/// RFC 6455 §5.2. Every other number is reserved.
public enum WebSocketOpcode: UInt8, Sendable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    /// Control frames are never fragmented, are at most 125 bytes long, and may come between the parts of a message.
    public var isControl: Bool { rawValue & 0x8 != 0 }
}

/// What a frame's header says.
public struct WebSocketFrameHeader: Hashable, Sendable {
    /// True in the last (or only) frame of a message.
    public var isFinal: Bool
    public var opcode: WebSocketOpcode
    /// The masking key, its first byte on the wire in the most significant place; `nil` in an unmasked frame.
    public var mask: UInt32?
    public var payloadBytes: Int
    /// The size of the header itself: 2 to 14 bytes.
    public var headerBytes: Int

    public init(isFinal: Bool, opcode: WebSocketOpcode, mask: UInt32?, payloadBytes: Int, headerBytes: Int) {
        self.isFinal = isFinal
        self.opcode = opcode
        self.mask = mask
        self.payloadBytes = payloadBytes
        self.headerBytes = headerBytes
    }
}

/// The masking of one payload (RFC 6455 §5.3). It may be applied piece by piece, since it remembers its position in the key.
/// Masking twice restores the bytes.
struct WebSocketMask: Sendable {
    /// The key, rotated so that the least significant byte is the one for the next byte of the payload.
    private var key: UInt32

    /// `key` as in `WebSocketFrameHeader.mask`.
    init(key: UInt32) {
        self.key = key.byteSwapped
    }

    /// Masks or unmasks the next bytes of the payload in place, eight at a time.
    mutating func apply(to bytes: inout MutableSpan<UInt8>) {
        let key = self.key
        let pattern = (UInt64(key) << 32 | UInt64(key)).littleEndian
        let count = bytes.count
        // All offsets stay below `count`; the pointer does not leave the closure.
        unsafe bytes.withUnsafeMutableBytes { payload in
            var index = 0
            while index &+ 8 <= count {
                let word = unsafe payload.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                unsafe payload.storeBytes(of: word ^ pattern, toByteOffset: index, as: UInt64.self)
                index &+= 8
            }
            while index < count {
                unsafe payload[index] ^= UInt8(truncatingIfNeeded: key >> UInt32(index & 3 &* 8))
                index &+= 1
            }
        }
        let turned = UInt32(count & 3) * 8
        self.key = key >> turned | key << ((32 - turned) & 31)
    }
}

/// The masking keys of a client, one per frame, from a seed: equal seeds give equal bytes.
///
/// RFC 6455 §10.3 requires keys that the author of the payload cannot predict. So the seed must come from the system's random
/// source, one per connection. The sequence itself (SplitMix64) need not be secret, because this client sends only its own
/// messages.
struct WebSocketMaskGenerator: Sendable {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt32 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return UInt32(truncatingIfNeeded: (mixed ^ mixed >> 31) >> 32)
    }
}
