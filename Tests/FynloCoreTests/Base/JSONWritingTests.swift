import FynloCore
import Testing

private func written(_ write: (inout ByteBuffer) -> Void) -> String {
    var buffer = ByteBuffer()
    write(&buffer)
    return buffer.text
}

@Suite("JSON writing")
struct JSONWritingTests {
    @Test(
        "texts become strings, with what scripts and pages stumble over escaped",
        arguments: [
            ("", "\"\""), ("Ready", "\"Ready\""), ("é€🍽", "\"é€🍽\""), ("a\"b\\c", "\"a\\u0022b\\u005cc\""),
            ("\0\u{1f}\n\t\u{7f}", "\"\\u0000\\u001f\\u000a\\u0009\\u007f\""), ("/ '`", "\"/ '`\""),
            ("<b>&</b>", "\"\\u003cb\\u003e\\u0026\\u003c/b\\u003e\""),
            ("\u{2027}\u{2028}\u{2029}\u{202a}", "\"\u{2027}\\u2028\\u2029\u{202a}\""), ("\u{2028}", "\"\\u2028\""),
            ("a\u{2029}", "\"a\\u2029\""), ("\u{20a8}\u{e2}", "\"\u{20a8}\u{e2}\""),
        ])
    func strings(text: String, expected: String) {
        #expect(written { $0.append(jsonString: text) } == expected)
        #expect(JSONTree(expected) == .string(text))
    }

    @Test("an absent text is null")
    func absent() {
        #expect(written { $0.append(jsonString: nil) } == "null")
        #expect(written { $0.append(jsonString: "x" as String?) } == "\"x\"")
    }

    @Test("every text of awkward characters comes back as it was", arguments: 0..<4 as Range<UInt64>)
    func roundTrip(seed: UInt64) {
        var generator = SeededBytes(seed)
        let pieces = Array("ab\"\\/<>&\u{0}\u{1}\u{1f}\u{7f}\u{80}é€\u{2027}\u{2028}\u{2029}\u{202a}🍽\u{ffff}\n").map(
            String.init)
        for _ in 0..<500 {
            let text = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
                pieces.randomElement(using: &generator) ?? ""
            }
            .joined()
            let json = written { $0.append(jsonString: text) }
            let bytes = Array(json.utf8)
            let value = try? JSON.scan(bytes.span)
            #expect(value.flatMap { JSON.string($0, in: bytes.span) }.map { Array($0.utf8) } == Array(text.utf8))
            #expect(JSONTree(bytes)?.text == text, "\(json)")
            #expect(!json.contains { "<>&\u{2028}\u{2029}".contains($0) })
        }
    }

    @Test(
        "JSON is made safe without a change of meaning, and otherwise left as it is",
        arguments: [
            ("{}", "{}"), ("{ \"a\" : 1.50 }", "{ \"a\" : 1.50 }"),
            ("{\"<&>\":\"\u{2028}\u{2029}\"}", "{\"\\u003c\\u0026\\u003e\":\"\\u2028\\u2029\"}"),
            ("[\"\\u003c\\n\\\\\\\"\",\"\u{7f}é\"]", "[\"\\u003c\\n\\\\\\\"\",\"\u{7f}é\"]"),
            ("\"\\\\<\"", "\"\\\\\\u003c\""), ("[1,\n\t2]", "[1,\n\t2]"),
        ])
    func safe(json: String, expected: String) {
        let result = written { $0.append(safeJSON: Array(json.utf8).span) }
        #expect(result == expected)
        #expect(JSONTree(result) == JSONTree(json) && JSONTree(json) != nil)
    }

    @Test(
        "what is unsafe is found wherever it stands",
        arguments: [
            ("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029"),
        ])
    func anywhere(unsafe: String, escape: String) {
        for (before, after) in (0..<20).flatMap({ before in (0..<20).map { (before, $0) } }) {
            // Neighbours of what is looked for, and characters that begin as the separators do.
            let (left, right) = ("=;?%'\u{2027}\u{202a}€".prefix(before), "\u{2030}é=;?%'\u{7f}\"".prefix(after))
            let (start, end) = (String(repeating: "x", count: before), String(repeating: "y", count: after))
            let text = start + left + unsafe + right + end
            #expect(
                written { $0.append(safeJSON: text.utf8Span.span) } == text.replacing(unsafe, with: escape), "\(text)")
            let harmless = text.replacing(unsafe, with: "\u{2027}")
            #expect(written { $0.append(safeJSON: harmless.utf8Span.span) } == harmless)
        }
    }

    @Test(
        "bytes of a separator at the end of the text are left alone",
        arguments: [[0xe2], [0xe2, 0x80], [0x61, 0xe2, 0x80]] as [[UInt8]])
    func cutSeparator(bytes: [UInt8]) {
        var buffer = ByteBuffer()
        buffer.append(safeJSON: bytes.span)
        #expect(buffer.bytes() == bytes)
    }

    @Test("a UUID is written in lower case, in quotation marks")
    func uuid() {
        let uuid = UUID128(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)
        #expect(written { $0.append(json: uuid) } == "\"01234567-89ab-cdef-fedc-ba9876543210\"")
    }
}
