// Writing JSON as bytes, straight into the buffer that goes out.

extension ByteBuffer {
    /// Appends `text` as a JSON string, quotation marks included. `<`, `>`, `&`, U+2028 and U+2029 are escaped, so that
    /// the text stays text wherever a page or a script embeds it.
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

    /// Appends a JSON text that equals `json`, with `<`, `>`, `&`, U+2028 and U+2029 escaped. In valid JSON these stand
    /// in strings only, where an escape means the same.
    public mutating func append(safeJSON json: Span<UInt8>) {
        append(escaping: json, of: .json)
    }

    private enum Source { case plainText, json }

    private mutating func append(escaping text: Span<UInt8>, of source: Source) {
        var copied = 0
        var index = 0
        while index < text.count {
            let byte = text[index]
            var length = 1
            var code: UInt64? = nil
            switch byte {
            case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"):
                code = UInt64(byte)
            case 0xe2 where index + 2 < text.count && text[index + 1] == 0x80 && text[index + 2] & 0xfe == 0xa8:
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
