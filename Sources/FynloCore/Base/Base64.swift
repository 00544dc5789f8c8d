// Base64 in its two dialects: with `+/=` for the WebSocket handshake, with `-_` and no padding for JWTs. Decoding is
// strict: for each sequence of bytes exactly one text is accepted, so that two different tokens never mean the same.

/// Base64 (RFC 4648).
public enum Base64 {
    /// Which of the two dialects.
    public enum Alphabet: Sendable {
        /// `A–Z a–z 0–9 + /`, padded with `=` to a multiple of four (RFC 4648 §4).
        case standard
        /// `A–Z a–z 0–9 - _`, never padded (RFC 4648 §5, as RFC 7515 §2 uses it).
        case url

        fileprivate var characters: StaticString {
            switch self {
            case .standard: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            case .url: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            }
        }

        /// The six bits a character stands for, or `nil` for one that is not of this alphabet.
        fileprivate func value(of character: UInt8) -> UInt32? {
            switch (character, self) {
            case (UInt8(ascii: "A")...UInt8(ascii: "Z"), _): UInt32(character) - 65
            case (UInt8(ascii: "a")...UInt8(ascii: "z"), _): UInt32(character) - 97 + 26
            case (UInt8(ascii: "0")...UInt8(ascii: "9"), _): UInt32(character) - 48 + 52
            case (UInt8(ascii: "+"), .standard), (UInt8(ascii: "-"), .url): 62
            case (UInt8(ascii: "/"), .standard), (UInt8(ascii: "_"), .url): 63
            default: nil
            }
        }
    }

    /// The text of `bytes`.
    public static func encode(_ bytes: Span<UInt8>, as alphabet: Alphabet) -> String {
        let characters = alphabet.characters
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var group: UInt32 = 0
            for index in 0..<3 {
                group = group << 8 | (index < count ? UInt32(bytes[start + index]) : 0)
            }
            // n bytes are n + 1 characters; six bits always index one of the 64 characters of the static string.
            for index in 0...count {
                unsafe text.append(characters.utf8Start[Int(group >> UInt32(18 - 6 * index) & 0x3F)])
            }
            if alphabet == .standard {
                text.append(contentsOf: repeatElement(UInt8(ascii: "="), count: 3 - count))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The text of `bytes`.
    public static func encode(_ bytes: [UInt8], as alphabet: Alphabet) -> String {
        encode(bytes.span, as: alphabet)
    }

    /// The bytes that `text` stands for, or `nil` unless `text` is exactly what `encode` makes of them: foreign
    /// characters, white space, missing or unexpected padding, and unused bits that are not zero are all refused.
    public static func decode(_ text: Span<UInt8>, as alphabet: Alphabet) -> [UInt8]? {
        var count = text.count
        if alphabet == .standard {
            guard count % 4 == 0 else { return nil }
            var padding = 0
            while padding < 2, count > 0, text[count - 1] == UInt8(ascii: "=") {
                count -= 1
                padding += 1
            }
        }
        guard count % 4 != 1 else { return nil }

        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * 3 / 4)
        var bits: UInt32 = 0
        var bitCount = 0
        for index in 0..<count {
            guard let value = alphabet.value(of: text[index]) else { return nil }
            bits = bits << 6 | value
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
                bits &= 1 << UInt32(bitCount) - 1
            }
        }
        return bits == 0 ? bytes : nil
    }

    /// The bytes that `text` stands for, or `nil`; as strict as the other form.
    public static func decode(_ text: String, as alphabet: Alphabet) -> [UInt8]? {
        decode(text.utf8Span.span, as: alphabet)
    }
}
