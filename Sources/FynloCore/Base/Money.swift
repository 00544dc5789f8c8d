// Exact amounts of money, counted in hundredths, like the database's numeric(10,2). No floating point is involved.

/// An amount of 0.00 to 99,999,999.99.
public struct Money: Hashable, Comparable, Sendable {
    /// Hundredths of the currency's unit.
    public let cents: Int64

    public static let zero = Money(unchecked: 0)
    /// The maximum of an amount and of any sum of amounts.
    public static let maximum = Money(unchecked: 9_999_999_999)

    private init(unchecked cents: Int64) {
        self.cents = cents
    }

    /// An amount of so many hundredths; `nil` below zero and above the maximum.
    public init?(cents: Int64) {
        guard cents >= 0, cents <= Money.maximum.cents else { return nil }
        self.cents = cents
    }

    /// Why a number is not an amount.
    public enum Refusal: Error, Equatable, Sendable {
        case negative, tooPrecise, tooLarge
    }

    /// The amount that a JSON number denotes: `7.5`, `7.50` and `75e-1` are the same.
    ///
    /// `number` must follow the grammar of RFC 8259 §6, which the scanner has checked.
    public init(json number: Span<UInt8>) throws(Refusal) {
        // The number is digits × 10^exponent.
        var digits: [UInt8] = []
        var exponent = 0
        var isNegative = false
        var isFraction = false
        var index = 0
        while index < number.count {
            let byte = number[index]
            index += 1
            switch byte {
            case UInt8(ascii: "-"): isNegative = true
            case UInt8(ascii: "."): isFraction = true
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                if isFraction { exponent -= 1 }
                if byte != UInt8(ascii: "0") || !digits.isEmpty { digits.append(byte - UInt8(ascii: "0")) }
            default:
                exponent += Money.exponent(number.extracting(index..<number.count))
                index = number.count
            }
        }
        while digits.last == 0 {
            digits.removeLast()
            exponent += 1
        }
        // Zero is zero, whatever its sign and exponent.
        if digits.isEmpty { exponent = 0 }
        if isNegative, !digits.isEmpty { throw .negative }
        if digits.count + exponent > 8 { throw .tooLarge }
        if exponent < -2 { throw .tooPrecise }
        // At most ten digits are left.
        var cents: Int64 = 0
        for digit in digits { cents = cents * 10 + Int64(digit) }
        for _ in 0..<exponent + 2 { cents *= 10 }
        self.cents = cents
    }

    /// The exponent after the `e` of a number; it stops growing far beyond any amount.
    private static func exponent(_ text: Span<UInt8>) -> Int {
        var exponent = 0
        var isNegative = false
        for index in text.indices {
            switch text[index] {
            case UInt8(ascii: "-"): isNegative = true
            case UInt8(ascii: "+"): break
            case let digit: exponent = min(exponent * 10 + Int(digit - UInt8(ascii: "0")), 1_000_000_000)
            }
        }
        return isNegative ? -exponent : exponent
    }

    public static func < (left: Money, right: Money) -> Bool {
        left.cents < right.cents
    }

    /// The sum; `nil` if it is above the maximum.
    public static func + (left: Money, right: Money) -> Money? {
        Money(cents: left.cents + right.cents)
    }

    /// The product; `nil` if it is above the maximum.
    public func times(_ quantity: Int32) -> Money? {
        let (product, isBeyond) = cents.multipliedReportingOverflow(by: Int64(quantity))
        return isBeyond ? nil : Money(cents: product)
    }
}

extension ByteBuffer {
    /// Appends an amount as a JSON number with two decimals: `7.50`.
    public mutating func append(_ amount: Money) {
        append(decimal: amount.cents / 100)
        append(".")
        append(UInt8(ascii: "0") + UInt8(amount.cents % 100 / 10))
        append(UInt8(ascii: "0") + UInt8(amount.cents % 10))
    }
}
