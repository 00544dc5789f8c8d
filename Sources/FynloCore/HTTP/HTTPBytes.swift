// Classes of bytes, as the grammars of RFC 9110 and RFC 3986 name them, and small helpers on spans.

/// A set of ASCII characters, one bit each; no byte above 127 is ever a member.
struct ByteSet: Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    init(_ characters: String) {
        for byte in characters.utf8 {
            precondition(byte < 128, "byte sets hold ASCII")
            if byte < 64 { low |= 1 << UInt64(byte) } else { high |= 1 << UInt64(byte - 64) }
        }
    }

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let word = byte < 64 ? low : high
        return byte < 128 && word >> UInt64(byte & 63) & 1 == 1
    }

    private static let alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    private static let subDelimiters = "!$&'()*+,;="

    /// RFC 9110 §5.6.2: the characters of a token.
    static let token = ByteSet("!#$%&'*+-.^_`|~" + alphanumeric)
    /// RFC 3986 §3.3: the characters of a path, including the `%` of its escapes.
    static let path = ByteSet("-._~:@/%" + subDelimiters + alphanumeric)
    /// RFC 3986 §3.4, and the characters that browsers leave as they are (WHATWG URL): all but space, `"`, `#`, `<`, `>`.
    static let query = ByteSet("-._~:@/?%[]{}|\\^`" + subDelimiters + alphanumeric)
    /// RFC 3986 §3.2.2: the characters of a registered name or IPv4 address, including the `%` of escapes.
    static let registeredName = ByteSet("-._~%" + subDelimiters + alphanumeric)
    /// RFC 7239 §6.3: the characters of an obfuscated node or port.
    static let obfuscated = ByteSet("._-" + alphanumeric)
    /// RFC 3986 §3.2.2: the characters between the brackets of an IPv6 address.
    static let addressLiteral = ByteSet("0123456789abcdefABCDEF:.")
}

extension UInt8 {
    static let carriageReturn = UInt8(ascii: "\r")
    static let lineFeed = UInt8(ascii: "\n")
    static let space = UInt8(ascii: " ")
    static let tab = UInt8(ascii: "\t")

    /// RFC 9110 §5.5: visible characters, space, tab and bytes above 127; no other control characters.
    @inline(__always)
    var isFieldContent: Bool {
        (self >= 0x20 && self != 0x7f) || self == .tab
    }

    /// The character with ASCII capitals lower-cased.
    @inline(__always)
    var lowercased: UInt8 {
        self &- UInt8(ascii: "A") < 26 ? self | 0x20 : self
    }

    /// The value of a hexadecimal digit, or `nil`.
    var hexadecimalValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    var isDigit: Bool { self &- UInt8(ascii: "0") < 10 }
}

extension Span where Element == UInt8 {
    /// True if every byte is in `set`; also true of no bytes.
    func consists(of set: ByteSet) -> Bool {
        for index in indices where !set.contains(self[index]) { return false }
        return true
    }

    /// True when the bytes begin with those of `text`.
    func hasPrefix(_ text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount && extracting(first: text.utf8CodeUnitCount).equals(text)
    }

    /// The first position of `byte` at or after `start`, or `nil`.
    func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
        var index = start
        while index < count {
            if self[index] == byte { return index }
            index += 1
        }
        return nil
    }

    /// True if the bytes are those of `text`, ignoring ASCII case.
    func equalsIgnoringCase(_ text: Span<UInt8>) -> Bool {
        guard count == text.count else { return false }
        for index in indices where self[index].lowercased != text[index].lowercased { return false }
        return true
    }

    /// True if the bytes are those of a literal, ignoring ASCII case.
    public func equalsIgnoringCase(_ text: StaticString) -> Bool {
        guard text.hasPointerRepresentation, count == text.utf8CodeUnitCount else { return false }
        // A static string's pointer is valid for its stated length and for the life of the program.
        let bytes = unsafe text.utf8Start
        for index in indices where unsafe self[index].lowercased != bytes[index].lowercased { return false }
        return true
    }

    /// `range` without the spaces and tabs at both ends.
    public func trimming(_ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, self[start] == .space || self[start] == .tab { start += 1 }
        while end > start, self[end - 1] == .space || self[end - 1] == .tab { end -= 1 }
        return start..<end
    }
}

extension Array where Element == UInt8 {
    /// Appends the bytes of a span.
    mutating func append(copying bytes: Span<UInt8>) {
        // The pointer is only read, and only within the closure.
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }
}
