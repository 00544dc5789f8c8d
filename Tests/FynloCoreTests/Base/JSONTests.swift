import Foundation
import FynloCore
import Testing

private func scan(_ text: String) -> Result<JSONValue, JSONError> {
    scan(Array(text.utf8))
}

private func scan(_ bytes: [UInt8]) -> Result<JSONValue, JSONError> {
    Result { () throws(JSONError) in try JSON.scan(bytes.span) }
}

private func isJSON(_ bytes: [UInt8]) -> Bool {
    if case .success = scan(bytes) { true } else { false }
}

/// The text of a JSON string as the scanner decodes it; `nil` when it does not take it.
private func decoded(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    guard case .success(let value) = scan(bytes) else { return nil }
    return JSON.string(value, in: bytes.span)
}

private func integer(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    guard case .success(let value) = scan(bytes) else { return nil }
    return JSON.integer(value, in: bytes.span)
}

/// Why a text is not one object; `nil` when it is.
private func objectError(_ text: String) -> JSONError? {
    do {
        try JSON.scanObject(Array(text.utf8).span) { _, _ in }
        return nil
    } catch {
        return error
    }
}

@Suite("JSON")
struct JSONTests {
    @Test(
        "takes what RFC 8259 allows",
        arguments: [
            ("{}", .object), ("[]", .array), ("\"\"", .string), ("0", .number), ("true", .boolean), ("false", .boolean),
            ("null", .null),
            // Arrays and objects
            ("[1]", .array), ("[1,2]", .array), ("[[]   ]", .array), ("[null, 1, \"1\", {}]", .array),
            ("[1,null,null,null,2]", .array), ("[\"\"]", .array), ("[2] ", .array), (" [1] ", .array),
            ("{\"a\":1}", .object), ("{\"a\":1,\"a\":1}", .object), ("{\"\":0}", .object),
            ("{\"a\":{\"b\":[{}]}}", .object), ("{\"a\\u0000b\":1}", .object), ("{\"a\":[]}", .object),
            // White space
            (" \t\r\n{ \t\r\n\"a\" \t\r\n: \t\r\n1 \t\r\n, \t\r\n\"b\" : [ \t\r\n] \t\r\n} \t\r\n", .object),
            ("\n1\n", .number),
            // Numbers
            ("-0", .number), ("-1", .number), ("10", .number), ("123456789012345678901234567890", .number),
            ("0.5", .number), ("-0.5", .number), ("1.50", .number), ("1e5", .number), ("1E5", .number),
            ("1e+5", .number),
            ("1E-5", .number), ("0e1", .number), ("0e+1", .number), ("1.5e-10", .number), ("0.0e0", .number),
            ("1e999999999999", .number), ("-123123e100000", .number), ("20e1", .number),
            // Strings
            ("\"a\"", .string), ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", .string), ("\"\\u0000\"", .string),
            ("\"\\uD83C\\uDF7D\"", .string), ("\"\\ud83c\\udf7d\"", .string), ("\"\\uABCD\\uabcd\"", .string),
            ("\"\u{7f}\"", .string), ("\"é€🍽\"", .string), ("\"\u{2028}\u{2029}\"", .string), ("\"/\"", .string),
            ("\"\u{feff}\"", .string), ("\"\\uFFFE\\uFFFF\"", .string), ("\"\\uDBFF\\uDFFE\"", .string),
            ("\"[{,:}]\"", .string), ("\"\\\\u000\"", .string), ("\"a/*b*/c\"", .string),
        ] as [(String, JSONValue.Kind)])
    func valid(text: String, kind: JSONValue.Kind) throws {
        let value = try scan(text).get()
        #expect(value.kind == kind)
        let blank: [UInt8] = [0x20, 0x09, 0x0a, 0x0d]
        let bytes = Array(text.utf8)
        let start = bytes.firstIndex { !blank.contains($0) }
        let end = bytes.lastIndex { !blank.contains($0) }
        #expect(value.positions.lowerBound == start && value.positions.upperBound - 1 == end)
    }

    @Test(
        "refuses what RFC 8259 does not allow",
        arguments: [
            "", " ", "\n", "\u{feff}{}", "\u{feff}", "\u{a0}1", "1\u{c}", "\u{b}1",
            // Literals
            "nul", "tru", "fals", "True", "NULL", "nulll", "truee", "undefined", "NaN", "Infinity", "-Infinity", "inf",
            "n", "t", "f", "truE",
            // Arrays
            "[", "]", "[1", "[1,", "[,", "[,1]", "[1,]", "[1,,2]", "[1 2]", "[\"a\"", "[\"a\",\n4\n,1,", "[1}", "[1]]",
            "[1]x", "[x", "[*]", "[a", "[1:2]", "[][]", "[3[4]]", "[\"x\"]]", "[-]", "[,]", "[\u{a0}]",
            // Objects
            "{", "}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,\"a\":1}", "{\"a\" 1}",
            "{\"a\"::1}",
            "{\"a\",1}", "{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{\"a\":1 \"b\":2}", "{\"a\":1,,\"b\":2}", "{[:1}",
            "{\"a\":}", "{\"a\":1}}", "{\"a\":1}#", "{\"a\":1}/**/", "{\"a\":1}//", "{}{}", "{]", "{\"a\":1]",
            "{ \"a\":1;}",
            "{\"a\":\"a\" 123}", "{\"x\"}",
            // Numbers
            "-", "+1", "01", "-01", "00", "1.", ".1", "-.1", "1.e1", "1e", "1e+", "1E-", "1e1.5", "0x1", "1_000", "1a",
            "--1",
            "- 1", "1.5.2", "0.", "0e", "0e+", "0.3e", "9.e+", "2.e3", "1eE2", "1 000", "-foo", "-1x", "\u{ff11}", "1,",
            "0.1.2", "012", "-012", "1+2", "e1", "0E", ".2e-3", "1ee2",
            // Strings
            "\"", "\"a", "a\"", "'a'", "\"\\\"", "\"\\", "\"\\a\"", "\"\\x00\"", "\"\\u\"", "\"\\u0\"", "\"\\u00\"",
            "\"\\u000\"",
            "\"\\u000g\"", "\"\\U0000\"", "\"\\u 000\"", "\"\\u00\"a\"", "\"\\0\"", "\"\\'\"", "\"\\🌀\"", "\"\n\"",
            "\"\t\"",
            "\"\0\"", "\"\u{1f}\"", "\"\r\"", "\"a\"b", "\"\"\"", "\"\\\\\\\"", "\"\\u\\", "\"\\uD8\"",
            // Lone and swapped surrogates
            "\"\\uD83C\"", "\"\\uDF7D\"", "\"\\uD83Ca\"", "\"\\uD83C\\n\"", "\"\\uD83C\\u0061\"", "\"\\uDF7D\\uD83C\"",
            "\"\\uD83C\\uD83C\"", "\"\\uD83C\\\"", "\"\\uD83C\\u\"", "\"\\uD83C\\uDF7\"", "\"\\uD83C\\uD83C\\uDF7D\"",
            "\"\\uD83C \\uDF7D\"", "\"\\uD800\\", "\"\\uD800\\u", "\"\\uD800\\uD", "\"\\udc00",
            // Comments and the like
            "/**/1", "//\n1", "#1", "1;", "<null>", "(1)",
        ])
    func invalid(text: String) {
        let result = scan(text)
        guard case .failure(.malformed(let position)) = result else {
            Issue.record("\(text.debugDescription) gave \(result)")
            return
        }
        #expect((0...text.utf8.count).contains(position))
    }

    @Test(
        "names the byte where the text stops making sense",
        arguments: [
            ("{\"a\":1,}", 7), ("[1,]", 3), ("nul", 0), ("[1 2]", 3), ("\"a\u{1}b\"", 2), ("", 0), ("{\"a\" 1}", 5),
            ("1.x", 2), ("[]]", 2), ("\"abcdefghijk\u{1}\"", 12), ("{\"a\":tru}", 5),
        ] as [(String, Int)])
    func position(text: String, position: Int) {
        #expect(scan(text) == .failure(.malformed(position: position)))
    }

    @Test("every beginning of a text is refused, and so is every text with something behind it")
    func truncated() {
        let text = Array("{\"a\":[1.5e-3,\"x\\u00e9\\\\\",{\"b\":null}],\"c\":true,\"d\":\"\\ud83c\\udf7d\"}".utf8)
        #expect(isJSON(text))
        for count in text.indices { #expect(!isJSON(Array(text[..<count])), "the first \(count) bytes") }
        for more in [[0], [0x2c], [0x7d], [0x5d], [0x31], [0xff], Array("{}".utf8)] as [[UInt8]] {
            #expect(!isJSON(text + more))
        }
    }

    @Test(
        "takes 32 levels and no more, whatever they are made of",
        arguments: [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")])
    func depth(open: String, close: String) {
        let levels = open.filter { "[{".contains($0) }.count
        func nested(_ depth: Int) -> String {
            String(repeating: open, count: depth / levels) + (depth % levels == 1 ? "[]" : "0")
                + String(repeating: close, count: depth / levels)
        }
        #expect(isJSON(Array(nested(31).utf8)))
        #expect(isJSON(Array(nested(32).utf8)))
        #expect(scan(nested(33)) == .failure(.tooDeep(limit: 32)))
        #expect(scan(String(repeating: open, count: 100_000)) == .failure(.tooDeep(limit: 32)))
        // Many, one beside the other, are not deep.
        #expect(isJSON(Array(("[" + String(repeating: "[[]],", count: 1_000) + "[]]").utf8)))
    }

    @Test("an object's text is an object and nothing else")
    func wholeObject() throws {
        var names: [String] = []
        let text = Array(" {\"b\":1,\"a\":{\"c\":2},\"b\":[3]} ".utf8)
        let object = try JSON.scanObject(text.span) { key, value in
            names.append(
                String(decoding: text[key.content], as: UTF8.self) + "="
                    + String(decoding: text[value.positions], as: UTF8.self))
        }
        #expect(names == ["b=1", "a={\"c\":2}", "b=[3]"])
        #expect(object.positions == 1..<text.count - 1 && object.kind == .object)
        for (text, error) in [
            ("[]", .notAnObject), ("\"{}\"", .notAnObject), ("1", .notAnObject), ("null", .notAnObject),
            ("", .malformed(position: 0)), ("[", .malformed(position: 1)), ("{} {}", .malformed(position: 3)),
            ("[] []", .malformed(position: 3)),
        ] as [(String, JSONError)] {
            #expect(objectError(text) == error)
        }
    }

    @Test("counts the levels of an object's text from the object")
    func wholeObjectDepth() throws {
        let deepest = "{\"a\":" + String(repeating: "[", count: 31) + String(repeating: "]", count: 31) + "}"
        let deeper = "{\"a\":" + String(repeating: "[", count: 32) + String(repeating: "]", count: 32) + "}"
        #expect(objectError(deepest) == nil)
        #expect(objectError(deeper) == .tooDeep(limit: 32))
    }

    @Test("members and elements of a part are those of the whole, and of that part only")
    func parts() throws {
        let text = Array("{\"x\":{\"a\":1,\"b\":[10,[20],\"30\"]},\"y\":[]}".utf8)
        func written(_ value: JSONValue) -> String { String(decoding: text[value.positions], as: UTF8.self) }
        var inner: JSONValue?
        try JSON.scanObject(text.span) { key, value in if JSON.equals(key, "x", in: text.span) { inner = value } }
        let object = try #require(inner)
        var members: [String] = []
        var list: JSONValue?
        try JSON.scanMembers(of: object, in: text.span) { key, value in
            members.append(written(key) + written(value))
            if value.kind == .array { list = value }
        }
        #expect(members == ["\"a\"1", "\"b\"[10,[20],\"30\"]"])
        let array = try #require(list)
        var elements: [String] = []
        try JSON.scanElements(of: array, in: text.span) { elements.append(written($0)) }
        #expect(elements == ["10", "[20]", "\"30\""])
        #expect((try? JSON.scanMembers(of: array, in: text.span) { _, _ in }) == nil)
        #expect((try? JSON.scanElements(of: object, in: text.span) { _ in }) == nil)
    }

    @Test(
        "reads the text of a string",
        arguments: [
            ("\"\"", ""), ("\"plain\"", "plain"), ("\"\\u0041\\u00e9\\u20AC\"", "Aé€"), ("\"\\ud83c\\udf7d!\"", "🍽!"),
            ("\"\\uD800\\uDC00\"", "\u{10000}"), ("\"\\uDBFF\\uDFFF\"", "\u{10FFFF}"), ("\"\\u0000\"", "\0"),
            ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\u{8}\u{c}\n\r\t"), ("\"\\\\u0041\"", "\\u0041"),
            ("\"é\\u00e9🍽\\ud83c\\udf7d\"", "éé🍽🍽"), ("\"\\uFFFF\\uFEFF\"", "\u{ffff}\u{feff}"), ("\"a\\tb\"", "a\tb"),
        ])
    func strings(text: String, expected: String) {
        #expect(decoded(text).map { Array($0.utf8) } == Array(expected.utf8))
        // Foundation reads the same.
        if !text.contains("FEFF") { #expect(JSONTree(text)?.text == expected) }
    }

    @Test("other kinds have no text", arguments: ["1", "null", "true", "[\"a\"]", "{\"a\":\"b\"}"])
    func notStrings(text: String) {
        #expect(decoded(text) == nil)
    }

    @Test(
        "a string that is not UTF-8 has no text",
        arguments: [[0x22, 0xff, 0x22], [0x22, 0xc3, 0x22], [0x22, 0x5c, 0x6e, 0xc3, 0x22]] as [[UInt8]])
    func notUTF8(bytes: [UInt8]) throws {
        let value = try scan(bytes).get()
        #expect(JSON.string(value, in: bytes.span) == nil)
    }

    @Test(
        "names are compared as text, however they are written",
        arguments: [
            ("\"type\"", true), ("\"\\u0074ype\"", true), ("\"t\\u0079p\\u0065\"", true), ("\"Type\"", false),
            ("\"typ\"", false), ("\"types\"", false), ("\"type\\u0000\"", false), ("\"\"", false),
            ("\"\\\\type\"", false),
        ])
    func names(text: String, isEqual: Bool) throws {
        let bytes = Array(text.utf8)
        #expect(JSON.equals(try scan(bytes).get(), "type", in: bytes.span) == isEqual)
    }

    @Test(
        "whole numbers are read up to the limits of 64 bits, others are none",
        arguments: [
            ("0", 0), ("-0", 0), ("7", 7), ("-7", -7), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9223372036854775808", nil), ("-9223372036854775809", nil), ("9223372036854775810", nil),
            ("92233720368547758070", nil), ("-92233720368547758080", nil), ("18446744073709551616", nil),
            ("99999999999999999999999999", nil), ("1.0", nil), ("1e3", nil), ("-1.5", nil), ("0.0", nil), ("1E0", nil),
            ("\"1\"", nil), ("true", nil), ("null", nil), ("[1]", nil),
        ] as [(String, Int64?)])
    func integers(text: String, expected: Int64?) {
        #expect(integer(text) == expected)
    }

    @Test(
        "reads a number that is all of a text",
        arguments: [
            ("", nil), ("-", nil), ("+1", nil), (" 1", nil), ("1 ", nil), ("1-", nil), ("--1", nil), ("007", 7),
            ("-0", 0),
            ("9223372036854775807", .max), ("-9223372036854775808", .min), ("9223372036854775808", nil),
            ("-9223372036854775809", nil), ("99999999999999999999", nil),
        ] as [(String, Int64?)])
    func decimal(text: String, expected: Int64?) {
        #expect(Int64(decimal: text.utf8Span.span) == expected)
    }

    @Test(
        "finds the byte that matters at every place of a string, with every neighbour around it",
        arguments: [0x22, 0x5c, 0x00, 0x01, 0x1f, 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] as [UInt8]
    )
    func everyOffset(byte: UInt8) {
        for length in 1...26 {
            for offset in 0..<length {
                // Bytes whose bits are near those that are looked for.
                for filler in [0x61, 0x20, 0x21, 0x23, 0x5d, 0x7f, 0x80, 0xa0, 0xff] as [UInt8] {
                    var content = [UInt8](repeating: filler, count: length)
                    content[offset] = byte
                    let result = scan([0x22] + content + [0x22])
                    switch byte {
                    case 0x22:
                        // The string ends here, and what follows, but for white space, should not.
                        let position = filler == 0x20 ? length + 1 : offset + 2
                        #expect(result == .failure(.malformed(position: position)))
                    case 0x5c:
                        let next = offset + 1 < length ? filler : 0x22
                        // No filler is a letter of an escape; an escaped end leaves the string open.
                        #expect(result == .failure(.malformed(position: next == 0x22 ? length + 2 : offset + 2)))
                    case ..<0x20:
                        #expect(result == .failure(.malformed(position: offset + 1)))
                    default:
                        let value = try? result.get()
                        #expect(value?.kind == .string && value?.positions == 0..<length + 2)
                        #expect(value?.hasEscapes == false)
                    }
                }
            }
        }
    }

    @Test("an escape at every place of a string is decoded there")
    func everyEscape() {
        for length in 0...26 {
            for (escape, character) in [
                ("\\n", "\n"), ("\\u0041", "A"), ("\\ud83c\\udf7d", "🍽"), ("\\\"", "\""), ("\\\\", "\\"),
            ] {
                let before = String(repeating: "x", count: length)
                for after in 0...9 {
                    let rest = String(repeating: "y", count: after)
                    #expect(decoded("\"\(before)\(escape)\(rest)\"") == before + character + rest)
                }
            }
        }
    }
}

@Suite("JSON under mutation")
struct JSONMutationTests {
    private static let samples = [
        "{\"id\":\"a-1\",\"type\":\"order.status_update\",\"data\":{\"order_id\":\"x\",\"expected_version\":3}}",
        "[1,-2.5,3.25,true,false,null,\"\\u00e9\\n\",{\"a\":[]}]", "[0,1,-2.5,1e3]",
        "{\"é\":\"🍽\",\"a\\\"b\":[[[1]]],\"c\":{}}",
        "\"\\ud83c\\udf7d\"",
    ]
    private static let dictionary = Array("{}[]\",:\\u0123eE+-.tfn 9\n\t/d8cC\u{1}é").map { Array(String($0).utf8) }

    /// Foundation and RFC 8259 part here, or Foundation goes on where this scanner stops on purpose.
    private static func isBeyondComparison(_ text: [UInt8]) -> Bool {
        let string = String(decoding: text, as: UTF8.self).lowercased()
        // Other encodings are guessed from zero bytes; large exponents are "not representable"; lone surrogates vary; a comma
        // behind the last element is taken.
        let solid = text.filter { !" \t\r\n".utf8.contains($0) }
        return text.contains(0) || String(validating: text.span) == nil || text.starts(with: [0xef, 0xbb, 0xbf])
            || string.contains("\\ud")
            || zip(solid, solid.dropFirst()).contains { first, second in
                first == UInt8(ascii: ",") && "]}".utf8.contains(second)
                    || "0123456789".utf8.contains(first) && "eE".utf8.contains(second)
            }
    }

    @Test("agrees with another implementation about what is JSON", arguments: 0..<8 as Range<UInt64>)
    func agrees(seed: UInt64) {
        var generator = SeededBytes(seed)
        var compared = 0
        var valid = 0
        for round in 0..<3_000 {
            var text = Array((Self.samples.randomElement(using: &generator) ?? "").utf8)
            for _ in 0..<Int.random(in: 0...3, using: &generator) where !text.isEmpty {
                let index = Int.random(in: 0..<text.count, using: &generator)
                switch Int.random(in: 0..<5, using: &generator) {
                case 0: text[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: text.removeSubrange(index..<min(text.count, index + Int.random(in: 1...4, using: &generator)))
                case 2: text.insert(contentsOf: text[index..<min(text.count, index + 6)], at: index)
                default: text.insert(contentsOf: Self.dictionary.randomElement(using: &generator) ?? [], at: index)
                }
            }
            let ours = isJSON(text)
            guard !Self.isBeyondComparison(text) else { continue }
            compared += 1
            if ours { valid += 1 }
            let theirs = (try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)) != nil
            guard ours == theirs else {
                Issue.record(
                    "seed \(seed), round \(round), we say \(ours): \(String(decoding: text, as: UTF8.self).debugDescription)"
                )
                return
            }
        }
        #expect(valid > 200, "the comparison means something")
        #expect(compared - valid > 200, "the comparison means something")
    }

    @Test("what is JSON is read the same by another implementation", arguments: 0..<4 as Range<UInt64>)
    func sameStrings(seed: UInt64) throws {
        var generator = SeededBytes(seed)
        let pieces = [
            "a", "é", "🍽", "\\n", "\\u00e9", "\\ud83c\\udf7d", "\\\"", "\\\\", "/", "\\/", " ", "\u{7f}", "\\u001f",
        ]
        for _ in 0..<300 {
            let count = Int.random(in: 0...24, using: &generator)
            let text = "\"" + (0..<count).map { _ in pieces.randomElement(using: &generator) ?? "" }.joined() + "\""
            #expect(decoded(text) == JSONTree(text)?.text, "\(text)")
        }
    }

    @Test("random bytes never trap", arguments: 0..<4 as Range<UInt64>)
    func noise(seed: UInt64) {
        var generator = SeededBytes(seed)
        for _ in 0..<5_000 {
            let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                Bool.random(using: &generator)
                    ? UInt8.random(in: 0...255, using: &generator)
                    : Self.dictionary.randomElement(using: &generator)?.first ?? 0
            }
            guard case .success(let value) = scan(bytes) else { continue }
            _ = JSON.string(value, in: bytes.span)
            _ = JSON.integer(value, in: bytes.span)
            _ = JSON.equals(value, "type", in: bytes.span)
        }
    }
}
