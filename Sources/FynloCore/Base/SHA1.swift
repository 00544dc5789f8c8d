// SHA-1, for what it is still right for, since it protects nothing there: the WebSocket handshake, where it proves that the
// server understood the request (RFC 6455 §1.3), and the tags of what we wrote ourselves. Written to be read.

/// SHA-1 (RFC 3174). Not for signatures or passwords.
public enum SHA1 {
    /// The digest of `message`: always 20 bytes.
    public static func digest(_ message: Span<UInt8>) -> [UInt8] {
        // The message is followed by a one bit, zeros, and its length in bits as 64 bits, up to a multiple of 64 bytes.
        let paddedCount = ((message.count + 8) / 64 + 1) * 64
        let bitCount = UInt64(message.count) &* 8
        func byte(at index: Int) -> UInt8 {
            if index < message.count { return message[index] }
            if index == message.count { return 0x80 }
            let fromEnd = paddedCount - index
            return fromEnd <= 8 ? UInt8(truncatingIfNeeded: bitCount >> UInt64((fromEnd - 1) * 8)) : 0
        }

        var state: [5 of UInt32] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]
        var words: [80 of UInt32] = InlineArray(repeating: 0)
        for block in stride(from: 0, to: paddedCount, by: 64) {
            let isWhole = block + 64 <= message.count
            for index in 0..<16 {
                let start = block + index * 4
                words[index] =
                    isWhole
                    ? UInt32(message[start]) << 24 | UInt32(message[start + 1]) << 16
                        | UInt32(message[start + 2]) << 8 | UInt32(message[start + 3])
                    : UInt32(byte(at: start)) << 24 | UInt32(byte(at: start + 1)) << 16
                        | UInt32(byte(at: start + 2)) << 8 | UInt32(byte(at: start + 3))
            }
            compress(&words, into: &state)
        }

        var digest: [UInt8] = []
        digest.reserveCapacity(20)
        for index in 0..<5 {
            for shift in [24, 16, 8, 0] as [UInt32] {
                digest.append(UInt8(truncatingIfNeeded: state[index] >> shift))
            }
        }
        return digest
    }

    /// RFC 3174 §6.1, steps b to e. The first 16 of `words` are the block; the others are computed here.
    private static func compress(_ words: inout [80 of UInt32], into state: inout [5 of UInt32]) {
        for index in 16..<80 {
            let mixed = words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16]
            words[index] = rotateLeft(mixed, by: 1)
        }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for index in 0..<80 {
            let (function, constant): (UInt32, UInt32) =
                switch index {
                case 0..<20: ((b & c) | (~b & d), 0x5A82_7999)
                case 20..<40: (b ^ c ^ d, 0x6ED9_EBA1)
                case 40..<60: ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC)
                default: (b ^ c ^ d, 0xCA62_C1D6)
                }
            let next = rotateLeft(a, by: 5) &+ function &+ e &+ words[index] &+ constant
            (a, b, c, d, e) = (next, a, rotateLeft(b, by: 30), c, d)
        }
        state[0] &+= a
        state[1] &+= b
        state[2] &+= c
        state[3] &+= d
        state[4] &+= e
    }

    private static func rotateLeft(_ word: UInt32, by count: UInt32) -> UInt32 {
        word << count | word >> (32 - count)
    }
}
