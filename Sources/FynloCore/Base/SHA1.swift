// SHA-1, where nothing depends on its strength: in the WebSocket handshake it proves that the server understood the request
// (RFC 6455 §1.3), and it makes entity tags of the server's own documents. Written for clarity, not speed.

/// SHA-1 (RFC 3174). Not for signatures or passwords.
public enum SHA1 {
    /// The digest of `message`: always 20 bytes.
    public static func digest(_ message: Span<UInt8>) -> [UInt8] {
        var state: [5 of UInt32] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]
        var words: [80 of UInt32] = InlineArray(repeating: 0)
        let whole = message.count / 64 * 64
        for block in stride(from: 0, to: whole, by: 64) {
            compress(message.extracting(block..<block + 64), by: &words, into: &state)
        }
        // The message is followed by a one bit, zeros, and its length in bits as 64 bits, up to a multiple of 64 bytes.
        var tail: [128 of UInt8] = InlineArray(repeating: 0)
        let rest = message.count - whole
        for index in 0..<rest { tail[index] = message[whole + index] }
        tail[rest] = 0x80
        let end = rest < 56 ? 64 : 128
        let bitCount = UInt64(message.count) &* 8
        for index in 0..<8 { tail[end - 1 - index] = UInt8(truncatingIfNeeded: bitCount >> UInt64(index * 8)) }
        for block in stride(from: 0, to: end, by: 64) {
            compress(tail.span.extracting(block..<block + 64), by: &words, into: &state)
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

    /// RFC 3174 §6.1 of a block of 64 bytes; `words` is scratch space.
    private static func compress(
        _ block: Span<UInt8>, by words: inout [80 of UInt32], into state: inout [5 of UInt32]
    ) {
        for index in 0..<16 {
            words[index] =
                UInt32(block[index * 4]) << 24 | UInt32(block[index * 4 + 1]) << 16 | UInt32(block[index * 4 + 2]) << 8
                | UInt32(block[index * 4 + 3])
        }
        for index in 16..<80 {
            let mixed = words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16]
            words[index] = rotateLeft(mixed, by: 1)
        }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        func step(_ function: UInt32, _ constant: UInt32, _ word: UInt32) {
            let next = rotateLeft(a, by: 5) &+ function &+ e &+ word &+ constant
            (a, b, c, d, e) = (next, a, rotateLeft(b, by: 30), c, d)
        }
        // One loop per function: choosing among them 80 times would cost as much as the functions themselves.
        for index in 0..<20 { step((b & c) | (~b & d), 0x5A82_7999, words[index]) }
        for index in 20..<40 { step(b ^ c ^ d, 0x6ED9_EBA1, words[index]) }
        for index in 40..<60 { step((b & c) | (b & d) | (c & d), 0x8F1B_BCDC, words[index]) }
        for index in 60..<80 { step(b ^ c ^ d, 0xCA62_C1D6, words[index]) }
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
