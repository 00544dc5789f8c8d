// Writing JSON as bytes, straight into the buffer that goes out.

extension ByteBuffer {
    /// Appends `text` as a JSON string with its quotation marks. `<`, `>`, `&`, U+2028 and U+2029 are escaped, so that the text
    /// stays text wherever a page or a script embeds it.
    public mutating func append(jsonString text: String) {
        append(UInt8(ascii: "\""))
        append(escaping: text.utf8Span.span, of: .plainText)
        append(UInt8(ascii: "\""))
    }

    /// Appends a JSON string, or `null`.
    public mutating func append(jsonString text: String?) {
        if let text { append(jsonString: text) } else { append("null") }
    }

    /// Appends a UUID as a JSON string.
    public mutating func append(json uuid: UUID128) {
        append(UInt8(ascii: "\""))
        append(uuid)
        append(UInt8(ascii: "\""))
    }

    /// Appends a JSON text equal to `json`, with `<`, `>`, `&`, U+2028 and U+2029 escaped. In valid JSON these occur only in
    /// strings, where an escape means the same.
    public mutating func append(safeJSON json: Span<UInt8>) {
        append(escaping: json, of: .json)
    }

    private enum Source { case plainText, json }

    private mutating func append(escaping text: Span<UInt8>, of source: Source) {
        var copied = 0
        var index = 0
        while index < text.count {
            if source == .json {
                index = JSON.firstUnsafe(in: text, from: index)
                if index == text.count { break }
            }
            let byte = text[index]
            var length = 1
            var code: UInt64? = nil
            switch byte {
            case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"):
                code = UInt64(byte)
            case 0xe2 where JSON.isSeparator(text, at: index):
                code = 0x2028 + UInt64(text[index + 2] & 1)
                length = 3
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0..<0x20, 0x7f:
                if source == .plainText { code = UInt64(byte) }
            default:
                break
            }
            if let code {
                append(text.extracting(copied..<index))
                append("\\u")
                append(hexadecimal: code, digits: 4)
                copied = index + length
            }
            index += length
        }
        append(text.extracting(copied..<text.count))
    }
}

extension JSON {
    /// True if `append(safeJSON:)` would copy the text unchanged.
    static func isSafe(_ text: Span<UInt8>) -> Bool {
        var index = firstUnsafe(in: text, from: 0)
        // 0xe2 begins many characters: two of them are unsafe.
        while index < text.count {
            guard text[index] == 0xe2, !isSeparator(text, at: index) else { return false }
            index = firstUnsafe(in: text, from: index + 1)
        }
        return true
    }

    /// U+2028 or U+2029, which end a line of JavaScript.
    fileprivate static func isSeparator(_ text: Span<UInt8>, at index: Int) -> Bool {
        index + 2 < text.count && text[index] == 0xe2 && text[index + 1] == 0x80 && text[index + 2] & 0xfe == 0xa8
    }

    /// The first `<`, `>`, `&` or 0xe2 from `start` on, or the end: eight bytes at a time where it can.
    fileprivate static func firstUnsafe(in text: Span<UInt8>, from start: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        var index = start
        while index &+ 8 <= text.count {
            // Any eight bytes are a UInt64; the load is bounds-checked.
            let word = unsafe text.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self).littleEndian
            // `<` and `>` differ in one bit.
            let angles = (word | ones &* 2) ^ (ones &* UInt64(UInt8(ascii: ">")))
            let ampersands = word ^ (ones &* UInt64(UInt8(ascii: "&")))
            let leads = word ^ (ones &* 0xe2)
            // The classic "has a zero byte" test, with a bit for each byte; false alarms only after a true one, so the lowest
            // bit is right.
            let found =
                ((angles &- ones) & ~angles) | ((ampersands &- ones) & ~ampersands) | ((leads &- ones) & ~leads)
            if found & tops != 0 { return index &+ (found & tops).trailingZeroBitCount >> 3 }
            index &+= 8
        }
        while index < text.count {
            switch text[index] {
            case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"), 0xe2: return index
            default: index &+= 1
            }
        }
        return index
    }
}
