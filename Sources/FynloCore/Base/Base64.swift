// Base64 in two alphabets: with `+/=` for the WebSocket handshake, with `-_` and no padding for JWTs. Decoding is strict: it
// accepts exactly one text for each sequence of bytes, so that two different tokens never mean the same.

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

        /// The six bits that each byte encodes; a larger value for bytes outside the alphabet.
        fileprivate var values: [UInt8] {
            switch self {
            case .standard: Alphabet.standardValues
            case .url: Alphabet.urlValues
            }
        }

        private static let standardValues = values(of: Alphabet.standard.characters)
        private static let urlValues = values(of: Alphabet.url.characters)

        private static func values(of characters: StaticString) -> [UInt8] {
            var values = [UInt8](repeating: 0xff, count: 256)
            // The static string has 64 characters.
            for value in 0..<64 { unsafe values[Int(characters.utf8Start[value])] = UInt8(value) }
            return values
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

    /// The bytes that `text` encodes; `nil` unless `text` is exactly what `encode` makes of them. Characters outside the
    /// alphabet, white space, wrong padding and non-zero unused bits are all refused.
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

        let values = alphabet.values
        func bits(_ index: Int) -> UInt32 { UInt32(values[Int(text[index])]) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * 3 / 4)
        // Four characters are three bytes; two are one, and three are two.
        var index = 0
        while index + 4 <= count {
            let (a, b, c, d) = (bits(index), bits(index + 1), bits(index + 2), bits(index + 3))
            guard (a | b | c | d) < 64 else { return nil }
            bytes.append(UInt8(truncatingIfNeeded: a << 2 | b >> 4))
            bytes.append(UInt8(truncatingIfNeeded: b << 4 | c >> 2))
            bytes.append(UInt8(truncatingIfNeeded: c << 6 | d))
            index += 4
        }
        guard index < count else { return bytes }
        let (a, b, c) = (bits(index), bits(index + 1), index + 2 < count ? bits(index + 2) : 0)
        guard (a | b | c) < 64 else { return nil }
        bytes.append(UInt8(truncatingIfNeeded: a << 2 | b >> 4))
        guard index + 2 < count else { return b & 0xf == 0 ? bytes : nil }
        bytes.append(UInt8(truncatingIfNeeded: b << 4 | c >> 2))
        return c & 0x3 == 0 ? bytes : nil
    }

    /// The bytes that `text` encodes, or `nil`, checked as strictly as a span.
    public static func decode(_ text: String, as alphabet: Alphabet) -> [UInt8]? {
        decode(text.utf8Span.span, as: alphabet)
    }
}
