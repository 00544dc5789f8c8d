import FynloCore
import Testing

@Suite("SHA-1")
struct SHA1Tests {
    /// FIPS 180-4 and RFC 3174 vectors, and lengths around the borders of blocks (checked against sha1sum).
    static let vectors: [(message: [UInt8], digest: String)] = [
        ([], "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        (Array("abc".utf8), "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        ),
        (
            Array(
                ("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                    + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu").utf8),
            "a49b2446a02c645bf419f995b67091253a04a259"
        ),
        (Array(repeating: UInt8(ascii: "a"), count: 55), "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
        (Array(repeating: UInt8(ascii: "a"), count: 56), "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
        (Array(repeating: UInt8(ascii: "a"), count: 63), "03f09f5b158a7a8cdad920bddc29b81c18a551f5"),
        (Array(repeating: UInt8(ascii: "a"), count: 64), "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
        (Array(repeating: UInt8(ascii: "a"), count: 65), "11655326c708d70319be2610e8a57d9a5b959d3b"),
        (Array(repeating: UInt8(ascii: "a"), count: 1_000_000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    ]

    @Test("gives the published digests", arguments: vectors.filter { $0.message.count < 10_000 })
    func vector(message: [UInt8], digest: String) {
        #expect(SHA1.digest(message.span) == bytes(hex: digest))
    }

    @Test("takes messages of many blocks")
    func manyBlocks() throws {
        let (message, digest) = try #require(Self.vectors.last)
        #expect(SHA1.digest(message.span) == bytes(hex: digest))
    }

    private func bytes(hex: String) -> [UInt8] {
        let digits = hex.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
    }
}
