import FynloCore
import Testing

@Suite("Base64")
struct Base64Tests {
    /// RFC 4648 §10, and bytes that use the last two characters of the alphabets.
    static let vectors: [(bytes: [UInt8], standard: String, url: String)] = [
        ([], "", ""),
        (Array("f".utf8), "Zg==", "Zg"),
        (Array("fo".utf8), "Zm8=", "Zm8"),
        (Array("foo".utf8), "Zm9v", "Zm9v"),
        (Array("foob".utf8), "Zm9vYg==", "Zm9vYg"),
        (Array("fooba".utf8), "Zm9vYmE=", "Zm9vYmE"),
        (Array("foobar".utf8), "Zm9vYmFy", "Zm9vYmFy"),
        ([0xFB, 0xEF, 0xFF], "++//", "--__"),
        ([0xFF], "/w==", "_w"),
        (Array("the sample nonce".utf8), "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"),
    ]

    @Test("writes and reads both dialects", arguments: vectors)
    func vector(bytes: [UInt8], standard: String, url: String) {
        #expect(Base64.encode(bytes, as: .standard) == standard)
        #expect(Base64.encode(bytes, as: .url) == url)
        #expect(Base64.decode(standard, as: .standard) == bytes)
        #expect(Base64.decode(url, as: .url) == bytes)
    }

    @Test(
        "refuses everything in base64 that encoding would not write",
        arguments: [
            "Zg", "Zg=", "Zg===", "Zg== ", " Zg==", "Zm9v\n", "Zm9vYg=", "Zm8==", "=", "==", "===", "====", "Z===", "Z",
            "Zm=v", "Zg==Zg==", "--__", "Zh==", "Zm9=", "Zm9vYh==", "Zé==", "Zg=\u{0}",
        ])
    func refusedStandard(text: String) {
        #expect(Base64.decode(text, as: .standard) == nil)
    }

    @Test(
        "refuses everything in base64url that encoding would not write",
        arguments: ["Z", "Zg==", "Zm8=", "Zm9vY", "Zh", "Zm9", "Zm9vYh", "++//", "Zm 9v", "Zm9v.", "Zm9v\n", "="])
    func refusedURL(text: String) {
        #expect(Base64.decode(text, as: .url) == nil)
    }

    @Test("reads back what it writes, at every length", arguments: 0..<70)
    func roundTrip(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ count) }
        #expect(Base64.decode(Base64.encode(bytes, as: .standard), as: .standard) == bytes)
        #expect(Base64.decode(Base64.encode(bytes, as: .url), as: .url) == bytes)
    }

    @Test("accepts exactly one text for each sequence of bytes", arguments: [Base64.Alphabet.standard, .url])
    func canonical(alphabet: Base64.Alphabet) {
        // Every text of two characters (and padding) either is refused or is what encoding writes.
        let padding = alphabet == .standard ? Array("==".utf8) : []
        var accepted = 0
        for first in UInt8.min...UInt8.max {
            for second in UInt8.min...UInt8.max {
                let text = [first, second] + padding
                guard let bytes = Base64.decode(text.span, as: alphabet) else { continue }
                accepted += 1
                if Array(Base64.encode(bytes, as: alphabet).utf8) != text {
                    Issue.record("\(text) is not canonical")
                }
            }
        }
        #expect(accepted == 256)
    }
}
