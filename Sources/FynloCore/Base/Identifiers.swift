// Identifiers in binary: 16 bytes compared as two integers, converted to text only where a person or a program reads them.

/// A UUID (RFC 9562) as two integers. Reading ignores case; writing uses lower case.
public struct UUID128: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads the 36-character form `8-4-4-4-12`; anything else is `nil`.
    public init?(_ text: Span<UInt8>) {
        self.init(text, digits: .inEitherCase)
    }

    /// Reads the canonical form that `description` writes; `nil` for anything else, including capital letters.
    init?(lowercase text: Span<UInt8>) {
        self.init(text, digits: .lowercase)
    }

    private init?(_ text: Span<UInt8>, digits: HexadecimalDigits) {
        let dash = UInt8(ascii: "-")
        guard text.count == 36, text[8] == dash, text[13] == dash, text[18] == dash, text[23] == dash else {
            return nil
        }
        // A character that is not a digit has a bit beyond the lowest four.
        var strays: UInt8 = 0
        func read(_ range: Range<Int>, into number: inout UInt64) {
            for index in range {
                let digit = digits.values[Int(text[index])]
                strays |= digit
                number = number << 4 | UInt64(digit & 0xf)
            }
        }
        var (high, low): (UInt64, UInt64) = (0, 0)
        read(0..<8, into: &high)
        read(9..<13, into: &high)
        read(14..<18, into: &high)
        read(19..<23, into: &low)
        read(24..<36, into: &low)
        guard strays < 16 else { return nil }
        self.init(high: high, low: low)
    }

    /// A random UUID (RFC 9562 §5.4, version 4).
    public init(random generator: inout some RandomNumberGenerator) {
        high = generator.next() & 0xffff_ffff_ffff_0fff | 0x4000
        low = generator.next() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
    }

    /// Reads the 36-character form; anything else is `nil`.
    public init?(_ text: String) {
        self.init(text.utf8Span.span)
    }
}

extension UUID128: CustomStringConvertible, Comparable {
    public var description: String {
        var buffer = ByteBuffer()
        buffer.append(self)
        return buffer.withReadable { String(validating: $0) ?? "" }
    }

    public static func < (left: UUID128, right: UUID128) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }
}

/// The value of each byte as a hexadecimal digit; more than 15 if it is not a digit.
private struct HexadecimalDigits {
    let values: [UInt8]

    static let inEitherCase = HexadecimalDigits(withCapitals: true)
    static let lowercase = HexadecimalDigits(withCapitals: false)

    private init(withCapitals: Bool) {
        values = (UInt8.min...UInt8.max).map { byte in
            let isCapital = (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte)
            return isCapital && !withCapitals ? 0xff : hexadecimalValue(of: byte) ?? 0xff
        }
    }
}

/// The value of a hexadecimal digit in either case, or `nil`.
public func hexadecimalValue(of byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

extension ByteBuffer {
    /// Appends a UUID in its lower-case 36-character form.
    public mutating func append(_ uuid: UUID128) {
        write(atMost: 36) { $0.append(uuid) }
    }

    /// Appends the sixteen hexadecimal digits of a number.
    public mutating func append(hexadecimal number: UInt64) {
        write(atMost: 16) { $0.append(hexadecimal: number) }
    }

    /// Appends the lowest `digits` hexadecimal digits of a number.
    public mutating func append(hexadecimal number: UInt64, digits: Int) {
        write(atMost: digits) { $0.append(hexadecimal: number, digits: digits) }
    }
}

/// A UUID that names one kind of thing, so that an order's identifier never passes for a restaurant's.
public protocol UUIDIdentifier: Hashable, Sendable, CustomStringConvertible {
    var uuid: UUID128 { get }
    init(_ uuid: UUID128)
}

extension UUIDIdentifier {
    /// Reads the 36-character form; anything else is `nil`.
    public init?(_ text: String) {
        guard let uuid = UUID128(text) else { return nil }
        self.init(uuid)
    }

    public var description: String { uuid.description }
}

/// A restaurant, which is the tenant: `restaurants.id`.
public struct RestaurantID: UUIDIdentifier {
    public let uuid: UUID128
    public init(_ uuid: UUID128) { self.uuid = uuid }
}

/// A person: `users.id`.
public struct UserID: UUIDIdentifier {
    public let uuid: UUID128
    public init(_ uuid: UUID128) { self.uuid = uuid }
}

/// An order: `orders.id`.
public struct OrderID: UUIDIdentifier {
    public let uuid: UUID128
    public init(_ uuid: UUID128) { self.uuid = uuid }
}

/// A menu category: `categories.id`.
public struct CategoryID: UUIDIdentifier {
    public let uuid: UUID128
    public init(_ uuid: UUID128) { self.uuid = uuid }
}

/// A position in a restaurant's event stream: 1, 2, 3 … without gaps. 0 is before the first event.
public typealias EventSequence = Int64

/// One connection of one process. Identifiers are never reused.
public struct ConnectionID: Hashable, Sendable {
    /// The process: a random number drawn at its start.
    public let node: UInt64
    /// The connection's number in the process, counted up.
    public let number: UInt64

    public init(node: UInt64, number: UInt64) {
        self.node = node
        self.number = number
    }

    /// The form that users see: a UUID of version 8 (RFC 9562 §5.8), so that it fits wherever they store identifiers.
    public var uuid: UUID128 {
        UUID128(high: node & ~0xf000 | 0x8000, low: number & ~(3 << 62) | 1 << 63)
    }

    /// Reads the form that users see; `nil` for a UUID that cannot be a connection's.
    public init?(uuid: UUID128) {
        guard uuid.high & 0xf000 == 0x8000, uuid.low >> 62 == 2 else { return nil }
        node = uuid.high
        number = uuid.low & ~(3 << 62)
    }

    /// Makes a process' number from a random one: it keeps the bits that fit into the form that users see.
    public static func node(random: UInt64) -> UInt64 { random & ~0xf000 | 0x8000 }

    /// The connection's number in a UUID that users see, whichever process it is of; `nil` if it cannot be a connection's.
    public static func number(in uuid: UUID128) -> UInt64 {
        uuid.low & ~(3 << 62)
    }
}
