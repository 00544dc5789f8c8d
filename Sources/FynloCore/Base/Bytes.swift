// Small conversions between spans of bytes and owned values.

extension Array where Element == UInt8 {
    /// A copy of the bytes of a span.
    public init(copying bytes: Span<UInt8>) {
        // The pointer is only read, and only within the closure.
        self = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
}

extension [UInt8] {
    /// The bytes as lower-case hexadecimal digits.
    public var hexadecimal: String {
        var text = ByteBuffer()
        for byte in self { text.append(hexadecimal: UInt64(byte), digits: 2) }
        return text.withReadable { String(validating: $0) ?? "" }
    }
}

extension String {
    /// The text of valid UTF-8, or `nil`.
    public init?(validating bytes: Span<UInt8>) {
        guard let text = try? UTF8Span(validating: bytes) else { return nil }
        self = String(copying: text)
    }
}

extension Int64 {
    /// Reads digits after an optional minus sign; `nil` for anything else, and for a number that does not fit.
    public init?(decimal text: Span<UInt8>) {
        guard !text.isEmpty else { return nil }
        let isNegative = text[0] == UInt8(ascii: "-")
        guard text.count > (isNegative ? 1 : 0) else { return nil }
        // There is one more negative number than positive ones.
        var number: Int64 = 0
        for index in (isNegative ? 1 : 0)..<text.count {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[index]) else { return nil }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, overflow2) = product.subtractingReportingOverflow(Int64(text[index] - UInt8(ascii: "0")))
            if overflow || overflow2 { return nil }
            number = sum
        }
        if !isNegative, number == .min { return nil }
        self = isNegative ? number : -number
    }
}

extension Span where Element == UInt8 {
    /// True when the bytes are exactly those of `other`.
    func equals(_ other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where self[index] != other[index] { return false }
        return true
    }

    /// True when the bytes are exactly those of `text`.
    @inlinable
    public func equals(_ text: StaticString) -> Bool {
        guard text.hasPointerRepresentation, count == text.utf8CodeUnitCount else { return false }
        let bytes = unsafe text.utf8Start
        // Both have `count` bytes.
        return unsafe withUnsafeBufferPointer { mine in
            for index in 0..<mine.count where unsafe mine[index] != bytes[index] { return false }
            return true
        }
    }
}
