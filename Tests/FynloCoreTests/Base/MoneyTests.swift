import FynloCore
import Testing

@Suite("Money")
struct MoneyTests {
    private func read(_ text: String) -> Result<Int64, Money.Refusal> {
        Result { () throws(Money.Refusal) in try Money(json: text.utf8Span.span).cents }
    }

    @Test(
        "is read from the digits of a JSON number, by its value",
        arguments: [
            ("0", 0), ("-0", 0), ("0.00", 0), ("-0.0", 0), ("0e99999999999999999999", 0),
            ("0e-99999999999999999999", 0),
            ("0.01", 1), ("0.1", 10), ("0.10", 10), ("0.29", 29), ("1", 100), ("1.5", 150), ("1.50", 150),
            ("1.500000000000000000000000000000", 150), ("19.99", 1_999), ("1.1", 110), ("4.35", 435), ("1e2", 10_000),
            ("1E+2", 10_000), ("12.5e1", 12_500), ("1250e-1", 12_500), ("100e-4", 1), ("1e-2", 1), ("75e-1", 750),
            ("99999999.99", 9_999_999_999), ("9999999999e-2", 9_999_999_999), ("9999999.999e1", 9_999_999_999),
            ("10000000000000000000000000000000000000000e-33", 1_000_000_000),
        ] as [(String, Int64)])
    func values(text: String, cents: Int64) {
        #expect(read(text) == .success(cents))
    }

    @Test(
        "is nothing below a cent, below zero or beyond what the database holds",
        arguments: [
            ("0.001", .tooPrecise), ("1.005", .tooPrecise), ("0.1000000000000001", .tooPrecise), ("1e-3", .tooPrecise),
            ("99999999.991", .tooPrecise), ("1e-99999999999999999999", .tooPrecise),
            ("-0.01", .negative), ("-1", .negative), ("-1e999", .negative), ("-0.0001", .negative),
            ("100000000", .tooLarge), ("100000000.00", .tooLarge), ("1e8", .tooLarge), ("99999999.99e1", .tooLarge),
            ("123456789.123", .tooLarge), ("1e99999999999999999999", .tooLarge), ("99999999999999999999", .tooLarge),
        ] as [(String, Money.Refusal)])
    func refusals(text: String, refusal: Money.Refusal) {
        #expect(read(text) == .failure(refusal))
    }

    @Test("adds and multiplies without loss, up to the maximum")
    func arithmetic() throws {
        let price = try #require(Money(cents: 1_999))
        #expect(price.times(3)?.cents == 5_997)
        #expect(price.times(.max) == nil && Money.maximum.times(.max) == nil)
        #expect(Money.maximum.times(1) == .maximum && Money.maximum.times(2) == nil)
        #expect((Money.maximum + .zero) == .maximum)
        #expect(try (Money.maximum + #require(Money(cents: 1))) == nil)
        #expect(Money(cents: -1) == nil && Money(cents: 10_000_000_000) == nil && Money(cents: .max) == nil)
        #expect(Money.zero < price)
    }

    @Test(
        "is written with two decimals",
        arguments: [(0, "0.00"), (1, "0.01"), (10, "0.10"), (1_999, "19.99"), (9_999_999_999, "99999999.99")])
    func writing(cents: Int64, text: String) throws {
        var output = ByteBuffer()
        output.append(try #require(Money(cents: cents)))
        #expect(output.bytes() == Array(text.utf8))
    }
}
