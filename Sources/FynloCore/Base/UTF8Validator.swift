// Checks UTF-8 as it arrives, in pieces of any size, so that invalid text is refused at the byte that makes it invalid, not at
// the end of the message.

/// A state machine over the well-formed byte sequences of the Unicode Standard, table 3-7.
///
///     00..7F
///     C2..DF  80..BF
///     E0      A0..BF  80..BF                 (less would be overlong)
///     E1..EC  80..BF  80..BF
///     ED      80..9F  80..BF                 (more would be a surrogate)
///     EE..EF  80..BF  80..BF
///     F0      90..BF  80..BF  80..BF         (less would be overlong)
///     F1..F3  80..BF  80..BF  80..BF
///     F4      80..8F  80..BF  80..BF         (more would be beyond U+10FFFF)
public struct UTF8Validator: Sendable {
    /// How many more bytes the current character needs.
    private var missing: UInt8 = 0
    /// Where the next of those bytes must lie.
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xBF

    public init() {}

    /// True if the text may end here: no character is incomplete.
    public var isAtBoundary: Bool { missing == 0 }

    /// Checks the next piece of the text. False as soon as the text cannot become valid any more, and from then on.
    public mutating func accept(_ bytes: Span<UInt8>) -> Bool {
        // A copy in registers; the pointer is only read, at offsets below `count`, and not kept.
        var state = self
        let isPossible = unsafe bytes.withUnsafeBytes { text in
            let count = text.count
            var index = 0
            while index < count {
                if state.missing == 0 {
                    while index &+ 8 <= count,
                        unsafe text.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
                    {
                        index &+= 8
                    }
                    guard index < count else { break }
                }
                let byte = unsafe text[index]
                index &+= 1
                guard state.accept(byte) else { return false }
            }
            return true
        }
        self = state
        return isPossible
    }

    private mutating func accept(_ byte: UInt8) -> Bool {
        if missing > 0 {
            guard byte >= lowest, byte <= highest else { return refuse() }
            missing -= 1
            (lowest, highest) = (0x80, 0xBF)
            return true
        }
        switch byte {
        case 0x00...0x7F: break
        case 0xC2...0xDF: missing = 1
        case 0xE0: (missing, lowest) = (2, 0xA0)
        case 0xED: (missing, highest) = (2, 0x9F)
        case 0xE1...0xEF: missing = 2
        case 0xF0: (missing, lowest) = (3, 0x90)
        case 0xF1...0xF3: missing = 3
        case 0xF4: (missing, highest) = (3, 0x8F)
        default: return refuse()
        }
        return true
    }

    /// Enters the final state: everything from here on is invalid.
    private mutating func refuse() -> Bool {
        (missing, lowest, highest) = (1, 0xFF, 0x00)
        return false
    }
}
