// The strict JSON scanner (RFC 8259) for everything that comes from outside. It checks as it goes, builds nothing, and reports
// values as positions in the text. The text must be valid UTF-8, which the WebSocket layer has already checked.

/// Why a text is not acceptable JSON.
public enum JSONError: Error, Equatable, Sendable {
    /// Not JSON; `position` is the byte where it stops making sense.
    case malformed(position: Int)
    /// Objects and arrays nested deeper than `limit`.
    case tooDeep(limit: Int)
    /// The text is JSON, but not an object.
    case notAnObject
}

/// One value in a JSON text, by its position.
public struct JSONValue: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        case object, array, string, number, boolean, null
    }

    public let kind: Kind
    /// The bytes of the value; those of a string include its quotation marks.
    public let positions: Range<Int>
    /// True for a string that contains a backslash, so that its bytes are not its text.
    public let hasEscapes: Bool

    /// The bytes between the quotation marks of a string.
    public var content: Range<Int> {
        kind == .string ? positions.lowerBound + 1..<positions.upperBound - 1 : positions
    }
}

/// Scanning functions over a span of bytes.
public enum JSON {
    /// How deep objects and arrays may be nested.
    public static let maximumDepth = 32

    /// Reads a text that is one object and nothing else, and calls `member` for each of its members in order. Returns the
    /// object's position.
    @discardableResult
    public static func scanObject(
        _ text: Span<UInt8>, member: (_ key: JSONValue, _ value: JSONValue) -> Void
    ) throws(JSONError) -> JSONValue {
        var scanner = Scanner(text: text.indices)
        scanner.skipWhitespace(text)
        guard scanner.peek(text) == UInt8(ascii: "{") else {
            // Report "not an object" only if the text is valid JSON.
            _ = try scanner.value(text, depth: 0)
            try scanner.end(text)
            throw .notAnObject
        }
        let object = try scanner.object(text, depth: 1, member: member)
        try scanner.end(text)
        return object
    }

    /// Reads the members of an object found earlier in `text`.
    public static func scanMembers(
        of object: JSONValue, in text: Span<UInt8>, member: (_ key: JSONValue, _ value: JSONValue) -> Void
    ) throws(JSONError) {
        guard object.kind == .object else { throw .notAnObject }
        var scanner = Scanner(text: object.positions)
        _ = try scanner.object(text, depth: 1, member: member)
    }

    /// Reads the elements of an array found earlier in `text`.
    public static func scanElements(
        of array: JSONValue, in text: Span<UInt8>, element: (JSONValue) -> Void
    ) throws(JSONError) {
        guard array.kind == .array else { throw .malformed(position: array.positions.lowerBound) }
        var scanner = Scanner(text: array.positions)
        _ = try scanner.array(text, depth: 1, element: element)
    }

    /// Reads a text that is one JSON value of any kind and nothing else.
    public static func scan(_ text: Span<UInt8>) throws(JSONError) -> JSONValue {
        var scanner = Scanner(text: text.indices)
        scanner.skipWhitespace(text)
        let value = try scanner.value(text, depth: 0)
        try scanner.end(text)
        return value
    }

    /// True if a key or string is exactly `name`, with or without escapes.
    @inline(__always)
    public static func equals(_ value: JSONValue, _ name: StaticString, in text: Span<UInt8>) -> Bool {
        // Most names that are compared differ in length.
        if !value.hasEscapes, value.content.count != name.utf8CodeUnitCount { return false }
        return equalsAtLength(value, name, in: text)
    }

    private static func equalsAtLength(_ value: JSONValue, _ name: StaticString, in text: Span<UInt8>) -> Bool {
        if value.hasEscapes { return string(value, in: text) == String(describing: name) }
        return text.extracting(value.content).equals(name)
    }

    /// The text of a string value, unescaped; `nil` for other kinds.
    public static func string(_ value: JSONValue, in text: Span<UInt8>) -> String? {
        guard value.kind == .string else { return nil }
        guard value.hasEscapes else { return String(validating: text.extracting(value.content)) }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(value.content.count)
        var index = value.content.lowerBound
        let end = value.content.upperBound
        while index < end {
            let byte = text[index]
            index += 1
            guard byte == UInt8(ascii: "\\"), index < end else {
                decoded.append(byte)
                continue
            }
            let escape = text[index]
            index += 1
            switch escape {
            case UInt8(ascii: "b"): decoded.append(8)
            case UInt8(ascii: "f"): decoded.append(12)
            case UInt8(ascii: "n"): decoded.append(10)
            case UInt8(ascii: "r"): decoded.append(13)
            case UInt8(ascii: "t"): decoded.append(9)
            case UInt8(ascii: "u"):
                guard var code = hexadecimal4(text, at: index) else { return nil }
                index += 4
                if code & 0xfc00 == 0xd800, let low = hexadecimal4(text, at: index + 2) {
                    code = 0x10000 + (code & 0x3ff) << 10 + low & 0x3ff
                    index += 6
                }
                guard let scalar = Unicode.Scalar(code) else { return nil }
                decoded.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            default: decoded.append(escape)
            }
        }
        return String(validating: decoded.span)
    }

    /// The value of a number without fraction or exponent that fits; otherwise `nil`.
    public static func integer(_ value: JSONValue, in text: Span<UInt8>) -> Int64? {
        value.kind == .number ? Int64(decimal: text.extracting(value.positions)) : nil
    }

    /// The four hexadecimal digits at `index` as a number, or `nil`.
    fileprivate static func hexadecimal4(_ text: Span<UInt8>, at index: Int) -> UInt32? {
        guard index >= 0, index + 4 <= text.count else { return nil }
        var code: UInt32 = 0
        for offset in 0..<4 {
            guard let digit = hexadecimalValue(of: text[index + offset]) else { return nil }
            code = code << 4 | UInt32(digit)
        }
        return code
    }
}

/// A place in a text and where the text ends.
private struct Scanner {
    var index: Int
    let end: Int

    init(text: Range<Int>) {
        index = text.lowerBound
        end = text.upperBound
    }

    @inline(__always)
    func peek(_ text: Span<UInt8>) -> UInt8? {
        index < end ? text[index] : nil
    }

    @inline(__always)
    mutating func skipWhitespace(_ text: Span<UInt8>) {
        // Programs usually write none.
        if index < end, text[index] <= 0x20 { skipAllWhitespace(text) }
    }

    @inline(never)
    private mutating func skipAllWhitespace(_ text: Span<UInt8>) {
        while index < end {
            switch text[index] {
            case 0x20, 0x0a, 0x0d, 0x09: index += 1
            default: return
            }
        }
    }

    /// Consumes one byte, which must be `byte`.
    @inline(__always)
    mutating func expect(_ byte: UInt8, _ text: Span<UInt8>) throws(JSONError) {
        guard index < end, text[index] == byte else { throw .malformed(position: index) }
        index += 1
    }

    /// Nothing but white space may follow.
    mutating func end(_ text: Span<UInt8>) throws(JSONError) {
        skipWhitespace(text)
        guard index == end else { throw .malformed(position: index) }
    }

    mutating func value(_ text: Span<UInt8>, depth: Int) throws(JSONError) -> JSONValue {
        guard let first = peek(text) else { throw .malformed(position: index) }
        switch first {
        case UInt8(ascii: "{"): return try object(text, depth: depth + 1) { _, _ in }
        case UInt8(ascii: "["): return try array(text, depth: depth + 1) { _ in }
        case UInt8(ascii: "\""): return try string(text)
        case UInt8(ascii: "t"): return try literal("true", .boolean, text)
        case UInt8(ascii: "f"): return try literal("false", .boolean, text)
        case UInt8(ascii: "n"): return try literal("null", .null, text)
        default: return try number(text)
        }
    }

    mutating func object(
        _ text: Span<UInt8>, depth: Int, member: (JSONValue, JSONValue) -> Void
    ) throws(JSONError) -> JSONValue {
        guard depth <= JSON.maximumDepth else { throw .tooDeep(limit: JSON.maximumDepth) }
        let start = index
        try expect(UInt8(ascii: "{"), text)
        skipWhitespace(text)
        if peek(text) == UInt8(ascii: "}") {
            index += 1
            return JSONValue(kind: .object, positions: start..<index, hasEscapes: false)
        }
        while true {
            skipWhitespace(text)
            let key = try string(text)
            skipWhitespace(text)
            try expect(UInt8(ascii: ":"), text)
            skipWhitespace(text)
            let value = try value(text, depth: depth)
            member(key, value)
            skipWhitespace(text)
            if peek(text) == UInt8(ascii: ",") {
                index += 1
                continue
            }
            try expect(UInt8(ascii: "}"), text)
            return JSONValue(kind: .object, positions: start..<index, hasEscapes: false)
        }
    }

    mutating func array(
        _ text: Span<UInt8>, depth: Int, element: (JSONValue) -> Void
    ) throws(JSONError) -> JSONValue {
        guard depth <= JSON.maximumDepth else { throw .tooDeep(limit: JSON.maximumDepth) }
        let start = index
        index += 1
        skipWhitespace(text)
        if peek(text) == UInt8(ascii: "]") {
            index += 1
            return JSONValue(kind: .array, positions: start..<index, hasEscapes: false)
        }
        while true {
            skipWhitespace(text)
            element(try value(text, depth: depth))
            skipWhitespace(text)
            if peek(text) == UInt8(ascii: ",") {
                index += 1
                continue
            }
            try expect(UInt8(ascii: "]"), text)
            return JSONValue(kind: .array, positions: start..<index, hasEscapes: false)
        }
    }

    mutating func string(_ text: Span<UInt8>) throws(JSONError) -> JSONValue {
        let start = index
        try expect(UInt8(ascii: "\""), text)
        var hasEscapes = false
        while true {
            skipPlainCharacters(text)
            guard index < end else { throw .malformed(position: index) }
            switch text[index] {
            case UInt8(ascii: "\""):
                index += 1
                return JSONValue(kind: .string, positions: start..<index, hasEscapes: hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                index += 1
                try escape(text)
            default:
                throw .malformed(position: index)  // a control character has to be escaped
            }
        }
    }

    /// Moves to the next quotation mark, backslash or control character, eight bytes at a time where it can.
    @inline(__always)
    private mutating func skipPlainCharacters(_ text: Span<UInt8>) {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        var index = self.index
        while index &+ 8 <= end {
            // Any eight bytes are a UInt64; the load is bounds-checked.
            let word = unsafe text.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self).littleEndian
            let quotes = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
            let backslashes = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
            // The classic "has a zero byte" and "has a byte below 0x20" tests, with a bit for each byte; false alarms only
            // after a true one, so the lowest bit is right.
            let found =
                ((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes)
                | ((word &- ones &* 0x20) & ~word)
            if found & tops != 0 {
                self.index = index &+ (found & tops).trailingZeroBitCount >> 3
                return
            }
            index &+= 8
        }
        while index < end {
            let byte = text[index]
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { break }
            index &+= 1
        }
        self.index = index
    }

    /// Reads what follows a backslash. A surrogate must be half of a pair (RFC 8259 §8.2 warns of lone ones).
    private mutating func escape(_ text: Span<UInt8>) throws(JSONError) {
        guard index < end else { throw .malformed(position: index) }
        switch text[index] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            index += 1
        case UInt8(ascii: "u"):
            let code = try codeUnit(text, at: index + 1)
            index += 5
            if code & 0xfc00 == 0xd800 {
                guard index + 1 < end, text[index] == UInt8(ascii: "\\"), text[index + 1] == UInt8(ascii: "u"),
                    try codeUnit(text, at: index + 2) & 0xfc00 == 0xdc00
                else { throw .malformed(position: index) }
                index += 6
            } else if code & 0xfc00 == 0xdc00 {
                throw .malformed(position: index)
            }
        default:
            throw .malformed(position: index)
        }
    }

    private func codeUnit(_ text: Span<UInt8>, at position: Int) throws(JSONError) -> UInt32 {
        guard position + 4 <= end, let code = JSON.hexadecimal4(text, at: position) else {
            throw .malformed(position: position)
        }
        return code
    }

    mutating func literal(
        _ word: StaticString, _ kind: JSONValue.Kind, _ text: Span<UInt8>
    ) throws(JSONError) -> JSONValue {
        let start = index
        let stop = start + word.utf8CodeUnitCount
        guard stop <= end, text.extracting(start..<stop).equals(word) else { throw .malformed(position: start) }
        index = stop
        return JSONValue(kind: kind, positions: start..<stop, hasEscapes: false)
    }

    /// RFC 8259 §6: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    mutating func number(_ text: Span<UInt8>) throws(JSONError) -> JSONValue {
        let start = index
        if peek(text) == UInt8(ascii: "-") { index += 1 }
        if peek(text) == UInt8(ascii: "0") { index += 1 } else { try digits(text) }
        if peek(text) == UInt8(ascii: ".") {
            index += 1
            try digits(text)
        }
        if peek(text) == UInt8(ascii: "e") || peek(text) == UInt8(ascii: "E") {
            index += 1
            if peek(text) == UInt8(ascii: "+") || peek(text) == UInt8(ascii: "-") { index += 1 }
            try digits(text)
        }
        return JSONValue(kind: .number, positions: start..<index, hasEscapes: false)
    }

    @inline(__always)
    private mutating func digits(_ text: Span<UInt8>) throws(JSONError) {
        let start = index
        var index = start
        while index < end, text[index] &- UInt8(ascii: "0") < 10 { index &+= 1 }
        self.index = index
        guard index > start else { throw .malformed(position: index) }
    }
}
