// IP addresses and networks as numbers, as headers and settings name them. SocketAddress has the kernel's form.

/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable {
    /// The 128 bits of an IPv6 address. IPv4 addresses are mapped into IPv6 (RFC 4291 §2.5.5.2), so that `192.0.2.1` equals
    /// `::ffff:192.0.2.1`, the form in which a dual-stack socket reports it.
    public let bits: UInt128

    /// The bits of an IPv6 address.
    public init(bits: UInt128) {
        self.bits = bits
    }

    /// The 32 bits of an IPv4 address.
    public init(ipv4: UInt32) {
        bits = 0xffff << 32 | UInt128(ipv4)
    }

    /// Reads `192.0.2.1` or `2001:db8::1` (RFC 4291 §2.2), without brackets, port or zone; `nil` for anything else. Numbers
    /// with leading zeros are refused, since some programs read them as octal.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)[...]
        if let address = IPAddress.ipv4(bytes) {
            self.init(ipv4: address)
        } else if let bits = IPAddress.ipv6(bytes) {
            self.init(bits: bits)
        } else {
            return nil
        }
    }

    /// True for an IPv4 address, mapped or not.
    public var isIPv4: Bool { bits >> 32 == 0xffff }

    private static func ipv4(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var address: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.first != UInt8(ascii: "0") || part.count == 1 else { return nil }
            var number: UInt32 = 0
            for digit in part {
                guard digit.isDigit else { return nil }
                number = number * 10 + UInt32(digit - UInt8(ascii: "0"))
            }
            guard number <= 255 else { return nil }
            address = address << 8 | number
        }
        return address
    }

    private static func ipv6(_ text: ArraySlice<UInt8>) -> UInt128? {
        let colon = UInt8(ascii: ":")
        var groups: [UInt128] = []
        /// How many groups precede the `::`.
        var gap: Int?
        var rest = text
        if rest.starts(with: [colon, colon]) {
            gap = 0
            rest = rest.dropFirst(2)
        }
        while !rest.isEmpty {
            guard groups.count < 8 else { return nil }
            let group = rest.prefix { $0 != colon }
            rest = rest.dropFirst(group.count)
            if rest.isEmpty, let address = ipv4(group) {
                groups += [UInt128(address >> 16), UInt128(address & 0xffff)]
                break
            }
            guard (1...4).contains(group.count) else { return nil }
            var number: UInt128 = 0
            for digit in group {
                guard let value = digit.hexadecimalValue else { return nil }
                number = number << 4 | UInt128(value)
            }
            groups.append(number)
            guard !rest.isEmpty else { break }
            rest = rest.dropFirst()
            if rest.first == colon {
                guard gap == nil else { return nil }
                gap = groups.count
                rest = rest.dropFirst()
            } else if rest.isEmpty {
                return nil
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: Array(repeating: 0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        return groups.reduce(0) { $0 << 16 | $1 }
    }
}

extension IPAddress: CustomStringConvertible {
    /// The text form of RFC 5952; an IPv4 address, mapped or not, is written with dots.
    public var description: String {
        if isIPv4 {
            return stride(from: 24, through: 0, by: -8).map { String(bits >> $0 & 0xff) }.joined(separator: ".")
        }
        let groups = stride(from: 112, through: 0, by: -16).map { bits >> $0 & 0xffff }
        let texts = groups.map { String($0, radix: 16) }
        var longest = 0..<0
        var index = 0
        while index < groups.count {
            let end = groups[index...].firstIndex { $0 != 0 } ?? groups.count
            if end - index > max(longest.count, 1) { longest = index..<end }
            index = max(end, index + 1)
        }
        guard !longest.isEmpty else { return texts.joined(separator: ":") }
        return texts[..<longest.lowerBound].joined(separator: ":") + "::"
            + texts[longest.upperBound...].joined(separator: ":")
    }
}

/// A network: all addresses with the same leading bits.
public struct IPNetwork: Hashable, Sendable {
    public let address: IPAddress
    /// How many of the 128 bits are the network's.
    private let prefixLength: Int

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or one address. `nil` for anything else, including an address with bits set after
    /// the prefix: either the address or the prefix must be a mistake.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPAddress(first) else { return nil }
        var length = 128
        if parts.count == 2 {
            let digits = parts[1].utf8
            guard (1...3).contains(digits.count), digits.allSatisfy(\.isDigit), let number = Int(parts[1]) else {
                return nil
            }
            // A prefix in IPv4's own notation counts 32 bits, one in the mapped notation all 128.
            length = address.isIPv4 && !first.utf8.contains(UInt8(ascii: ":")) ? number + 96 : number
        }
        guard length <= 128, !address.isIPv4 || length >= 96, address.bits & ~IPNetwork.mask(length) == 0 else {
            return nil
        }
        self.address = address
        prefixLength = length
    }

    /// True if the network contains the address. No IPv6 network contains an IPv4 address.
    public func contains(_ other: IPAddress) -> Bool {
        other.isIPv4 == address.isIPv4 && other.bits & IPNetwork.mask(prefixLength) == address.bits
    }

    private static func mask(_ length: Int) -> UInt128 {
        length == 0 ? 0 : ~UInt128(0) << UInt128(128 - length)
    }
}
