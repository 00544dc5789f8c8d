import FynloCore
import Testing

@Suite("UTF-8 validator")
struct UTF8ValidatorTests {
    /// After Markus Kuhn's "UTF-8 decoder capability and stress test", by its sections.
    static let texts: [[UInt8]] = [
        [],
        Array("plain ASCII that is longer than eight bytes".utf8),
        Array("κόσμε".utf8),
        Array("Hello-µ@ßöäüàá-UTF-8!!".utf8),
        Array("ASCII, then 日本語, then ASCII again, then 👩‍🍳 and 🍽️, at the end é".utf8),
        // 2.1 first and 2.2 last possible sequence of each length
        [0x00], [0xC2, 0x80], [0xE0, 0xA0, 0x80], [0xF0, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80],
        [0xFC, 0x84, 0x80, 0x80, 0x80, 0x80],
        [0x7F], [0xDF, 0xBF], [0xEF, 0xBF, 0xBF], [0xF7, 0xBF, 0xBF, 0xBF], [0xFB, 0xBF, 0xBF, 0xBF, 0xBF],
        [0xFD, 0xBF, 0xBF, 0xBF, 0xBF, 0xBF],
        // 2.3 other boundary conditions: U+D7FF, U+E000, U+FFFD, U+10FFFF, U+110000
        [0xED, 0x9F, 0xBF], [0xEE, 0x80, 0x80], [0xEF, 0xBF, 0xBD], [0xF4, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80],
        // 3.1 unexpected continuation bytes
        [0x80], [0xBF], [0x80, 0xBF], [0x80, 0xBF, 0x80], [0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF], Array(0x80...0xBF),
        // 3.2 lonely start characters
        [0xC2, 0x20], [0xE1, 0x20], [0xF1, 0x20], [0xF8, 0x20], [0xFC, 0x20], [0xC0, 0x20], [0xDF, 0x20, 0xDE, 0x20],
        // 3.3 sequences with the last byte missing, 3.4 and several of them
        [0xC0], [0xE0, 0x80], [0xF0, 0x80, 0x80], [0xDF], [0xEF, 0xBF], [0xF3, 0xBF, 0xBF], [0xF7, 0xBF, 0xBF],
        [0xDF, 0xEF, 0xBF, 0xF3, 0xBF, 0xBF],
        // 3.5 impossible bytes
        [0xFE], [0xFF], [0xFE, 0xFE, 0xFF, 0xFF], [0xF5], [0xF5, 0x80, 0x80, 0x80],
        // 4.1 overlong forms of "/", 4.2 greatest overlong, 4.3 overlong NUL
        [0xC0, 0xAF], [0xE0, 0x80, 0xAF], [0xF0, 0x80, 0x80, 0xAF], [0xF8, 0x80, 0x80, 0x80, 0xAF],
        [0xFC, 0x80, 0x80, 0x80, 0x80, 0xAF],
        [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xF0, 0x8F, 0xBF, 0xBF],
        [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xF0, 0x80, 0x80, 0x80],
        // 5.1 single surrogates, 5.2 paired ones
        [0xED, 0xA0, 0x80], [0xED, 0xAD, 0xBF], [0xED, 0xAE, 0x80], [0xED, 0xAF, 0xBF], [0xED, 0xB0, 0x80],
        [0xED, 0xBE, 0x80], [0xED, 0xBF, 0xBF], [0xED, 0xA0, 0x80, 0xED, 0xB0, 0x80],
        // 5.3 noncharacters are characters to UTF-8
        [0xEF, 0xBF, 0xBE], [0xEF, 0xB7, 0x90], [0xF0, 0x9F, 0xBF, 0xBE],
    ]

    @Test("agrees with the standard library, however the text is split", arguments: texts)
    func agrees(text: [UInt8]) {
        for padded in [text, Array("12345678".utf8) + text, text + Array("12345678".utf8), text + text] {
            let isValid = String(validating: padded, as: UTF8.self) != nil
            for split in 0...padded.count {
                var validator = UTF8Validator()
                let accepted =
                    validator.accept(padded.span.extracting(0..<split))
                    && validator.accept(padded.span.extracting(split..<padded.count))
                #expect((accepted && validator.isAtBoundary) == isValid, "\(padded) split at \(split)")
            }
        }
    }

    @Test("refuses at the first byte that nothing can make good, and from then on", arguments: texts)
    func failsEarly(text: [UInt8]) {
        var validator = UTF8Validator()
        for end in 0..<text.count {
            let accepted = validator.accept(text.span.extracting(end..<(end + 1)))
            #expect(accepted == Self.canBecomeValid(text[...end]), "\(text) at byte \(end)")
        }
    }

    @Test("agrees with the standard library on all sequences of a lead byte and what may follow")
    func allSequences() {
        let samples: [UInt8] = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xFF]
        for lead in UInt8.min...UInt8.max {
            for second in samples {
                for third in samples {
                    for text in [[lead], [lead, second], [lead, second, third], [lead, second, third, 0x80]] {
                        var validator = UTF8Validator()
                        let isValid = validator.accept(text.span) && validator.isAtBoundary
                        if isValid != (String(validating: text, as: UTF8.self) != nil) {
                            Issue.record("\(text): \(isValid)")
                        }
                    }
                }
            }
        }
    }

    /// By trial: some ending of up to three continuation bytes makes it valid.
    static func canBecomeValid(_ text: ArraySlice<UInt8>) -> Bool {
        let continuations: [UInt8] = [0x80, 0x90, 0xA0]
        var endings: [[UInt8]] = [[]]
        for _ in 0..<3 { endings += endings.flatMap { ending in continuations.map { ending + [$0] } } }
        return endings.contains { String(validating: Array(text) + $0, as: UTF8.self) != nil }
    }
}
