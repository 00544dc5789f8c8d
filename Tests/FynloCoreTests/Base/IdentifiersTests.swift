import FynloCore
import Testing

@Suite("Identifiers")
struct IdentifiersTests {
    private static let text = "01234567-89ab-cdef-fedc-ba9876543210"
    private static let uuid = UUID128(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)

    @Test(
        "a UUID is read in any case",
        arguments: [text, text.uppercased(), "01234567-89AB-cdef-FeDc-bA9876543210"])
    func read(text: String) {
        #expect(UUID128(text) == Self.uuid)
        #expect(UUID128(text)?.description == Self.text)
        #expect(RestaurantID(text) == RestaurantID(Self.uuid))
    }

    @Test(
        "the lowest and highest UUIDs are read",
        arguments: [
            ("00000000-0000-0000-0000-000000000000", 0, 0), ("ffffffff-ffff-ffff-ffff-ffffffffffff", .max, .max),
            ("00000000-0000-0000-0000-000000000001", 0, 1), ("00000000-0000-0001-0000-000000000000", 1, 0),
        ] as [(String, UInt64, UInt64)])
    func limits(text: String, high: UInt64, low: UInt64) {
        #expect(UUID128(text) == UUID128(high: high, low: low))
        #expect(UUID128(high: high, low: low).description == text)
    }

    @Test(
        "anything else is no UUID",
        arguments: [
            "", "-", "0123456789abcdeffedcba9876543210", "{01234567-89ab-cdef-fedc-ba9876543210}",
            "01234567-89ab-cdef-fedc-ba987654321", "01234567-89ab-cdef-fedc-ba98765432100",
            "0123456-789ab-cdef-fedc-ba9876543210", "01234567-89a-bcdef-fedc-ba9876543210",
            "01234567-89ab-cde-ffedc-ba9876543210", "01234567-89ab-cdef-fed-cba9876543210",
            "01234567-89ab-cdef-fedcb-a9876543210", "01234567089ab-cdef-fedc-ba9876543210",
            "01234567-89ab-cdef-fedc0ba9876543210", "01234567-89ab-cdef-fedc-ba987654321g",
            "g1234567-89ab-cdef-fedc-ba9876543210", "01234567-89ab-cdef-fedc-ba98765432-0",
            "01234567_89ab_cdef_fedc_ba9876543210", " 1234567-89ab-cdef-fedc-ba9876543210",
            "01234567-89ab-cdef-fedc-ba987654321 ", "01234567-89ab-cdef-fedc-ba98765432\u{ff10}",
            "01234567-89ab-cdef-fedc-ba987654321\0", "urn:uuid:01234567-89ab-cdef-fedc-ba9876543210",
            "0123456@-89ab-cdef-fedc-ba9876543210", "0123456`-89ab-cdef-fedc-ba9876543210",
            "0123456:-89ab-cdef-fedc-ba9876543210", "0123456/-89ab-cdef-fedc-ba9876543210",
            "0123456G-89ab-cdef-fedc-ba9876543210", "--------------------------------------",
        ])
    func refused(text: String) {
        #expect(UUID128(text) == nil)
        #expect(OrderID(text) == nil)
    }

    @Test("every byte in every place is read as what it is, or not at all")
    func bytes() {
        for place in 0..<36 {
            for byte in UInt8.min...UInt8.max {
                var text = Array(Self.text.utf8)
                text[place] = byte
                let isDash = [8, 13, 18, 23].contains(place)
                let isRead = isDash ? byte == UInt8(ascii: "-") : hexadecimalValue(of: byte) != nil
                let expected = isRead ? String(decoding: text, as: UTF8.self).lowercased() : nil
                #expect(UUID128(text.span)?.description == expected)
            }
        }
    }

    @Test("UUIDs are ordered as their texts are")
    func order() {
        let sorted = [
            UUID128(high: 0, low: .max), UUID128(high: 1, low: 0), UUID128(high: 1, low: 1),
            UUID128(high: .max, low: 0),
        ]
        #expect(sorted.shuffled().sorted() == sorted)
        #expect(sorted.map(\.description).sorted() == sorted.map(\.description))
    }

    @Test("a connection's UUID is of version 8 and of RFC 9562's variant, whatever its numbers")
    func connectionUUID() {
        for node in [0, 1, .max, 0xf000, 0x0123_4567_89ab_cdef] as [UInt64] {
            for number in [0, 1, 42, (1 << 62) - 1] as [UInt64] {
                let text = Array(ConnectionID(node: node, number: number).uuid.description)
                #expect(text[14] == "8", "version")
                #expect("89ab".contains(text[19]), "variant")
            }
        }
    }

    @Test("no two connections of a process have the same UUID, nor the same numbers in two processes")
    func connectionUnique() {
        var seen: Set<UUID128> = []
        for node in [0x0123_4567_89ab_cdef, 0x0123_4567_89ab_cdee, 0x1123_4567_89ab_cdef] as [UInt64] {
            for number in 0..<1_000 as Range<UInt64> { seen.insert(ConnectionID(node: node, number: number).uuid) }
            for bit in 10..<62 { seen.insert(ConnectionID(node: node, number: 1 << UInt64(bit)).uuid) }
        }
        #expect(seen.count == 3 * 1_052)
    }

    @Test("hexadecimal digits are read in both cases, and nothing else is one")
    func hexadecimal() {
        let digits = Array("0123456789abcdef".utf8)
        for byte in UInt8.min ... .max {
            let lower = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
            #expect(hexadecimalValue(of: byte) == digits.firstIndex(of: lower).map { UInt8($0) })
        }
        #expect(([0x00, 0xab, 0xff] as [UInt8]).hexadecimal == "00abff")
    }
}
