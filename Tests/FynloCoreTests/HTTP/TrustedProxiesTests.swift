import FynloCore
import Testing

@Suite("Trusted proxies")
struct TrustedProxiesTests {
    private static let proxies = TrustedProxies(
        ["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"].compactMap { IPNetwork($0) })
    private static let proxy = "10.0.0.1"

    /// Fields, and the client that a request of a trusted proxy with them comes from; `nil` for the proxy itself.
    struct Row: Sendable, CustomTestStringConvertible {
        let fields: [(String, String)]
        let client: String?

        var testDescription: String { fields.map { "\($0): \($1)" }.joined(separator: " | ") }

        static func xff(_ values: String..., client: String?) -> Row {
            Row(fields: values.map { ("X-Forwarded-For", $0) }, client: client)
        }

        static func forwarded(_ values: String..., client: String?) -> Row {
            Row(fields: values.map { ("Forwarded", $0) }, client: client)
        }
    }

    static let customary: [Row] = [
        Row(fields: [], client: nil),
        .xff("203.0.113.9", client: "203.0.113.9"),
        .xff("6.6.6.6, 203.0.113.9", client: "203.0.113.9"),
        .xff("6.6.6.6,203.0.113.9 ,\t10.0.0.2", client: "203.0.113.9"),
        .xff("6.6.6.6, 10.0.0.9, 203.0.113.9, 192.0.2.7, 10.0.0.2", client: "203.0.113.9"),
        // The proxies may append a field of their own instead.
        .xff("6.6.6.6", "203.0.113.9", "10.0.0.2", client: "203.0.113.9"),
        .xff("rubbish", "203.0.113.9", client: "203.0.113.9"),
        // A program of the proxies' own network.
        .xff("10.1.1.1", client: "10.1.1.1"),
        .xff("10.1.1.1, 10.2.2.2", client: "10.1.1.1"),
        .xff("2001:db8::9", client: "2001:db8::9"),
        .xff("6.6.6.6, 2001:db8::9, 2001:db8:1::5", client: "2001:db8::9"),
        .xff("[2001:db8::9]", client: "2001:db8::9"),
        .xff("[2001:db8::9]:4711", client: "2001:db8::9"),
        .xff("203.0.113.9:4711", client: "203.0.113.9"),
        .xff("::ffff:203.0.113.9", client: "203.0.113.9"),
        .xff(",, 203.0.113.9 ,", client: "203.0.113.9"),
        .xff("", client: nil),
        .xff(" , ", client: nil),
        // What cannot be read ends the walk: it is the last proxy's that could be named.
        .xff("6.6.6.6, unknown", client: proxy),
        .xff("6.6.6.6, unknown, 10.0.0.2", client: "10.0.0.2"),
        .xff("6.6.6.6, 203.0.113.9x", client: proxy),
        .xff("6.6.6.6, 203.0.113.009", client: proxy),
        .xff("6.6.6.6, \"203.0.113.9\"", client: proxy),
        .xff("6.6.6.6, [203.0.113.9]", client: proxy),
        .xff("6.6.6.6, [2001:db8::9", client: proxy),
        .xff("6.6.6.6, 203.0.113.9:", client: proxy),
        .xff("6.6.6.6, 203.0.113.9:123456", client: proxy),
        .xff("6.6.6.6, 203.0.113.9 10.0.0.3", client: proxy),
    ]

    static let standard: [Row] = [
        .forwarded("for=203.0.113.9", client: "203.0.113.9"),
        .forwarded("for=6.6.6.6, for=203.0.113.9", client: "203.0.113.9"),
        .forwarded("for=6.6.6.6,for=203.0.113.9;proto=https;by=10.0.0.2, for=10.0.0.2", client: "203.0.113.9"),
        .forwarded("proto=https;FOR=\"203.0.113.9\" ; host=\"pos.example.com\"", client: "203.0.113.9"),
        .forwarded("for=\"203.0.113.9:4711\"", client: "203.0.113.9"),
        .forwarded("for=\"203.0.113.9:_port\"", client: "203.0.113.9"),
        .forwarded("for=\"[2001:db8::9]\"", client: "2001:db8::9"),
        .forwarded("For=\"[2001:db8:cafe::17]:4711\"", client: "2001:db8:cafe::17"),
        .forwarded("for=\"203.0.\\113.9\"", client: "203.0.113.9"),
        .forwarded("for=203.0.113.9;host=\"a,for=6.6.6.6\"", client: "203.0.113.9"),
        .forwarded("for=203.0.113.9;;proto=http;", client: "203.0.113.9"),
        .forwarded(", for=203.0.113.9,,", client: "203.0.113.9"),
        .forwarded("for=6.6.6.6", "for=203.0.113.9", "for=10.0.0.2", client: "203.0.113.9"),
        .forwarded("for=\"broken", "for=203.0.113.9", client: "203.0.113.9"),
        .forwarded("", client: nil),
        // No address: the last proxy's that could be named.
        .forwarded("for=6.6.6.6, for=unknown", client: proxy),
        .forwarded("for=6.6.6.6, for=_hidden, for=10.0.0.2", client: "10.0.0.2"),
        .forwarded("for=6.6.6.6, for=\"_gazonk:1\"", client: proxy),
        .forwarded("for=6.6.6.6, proto=https", client: proxy),
        .forwarded("for=6.6.6.6, for=2001:db8::9", client: proxy),
        .forwarded("for=6.6.6.6, for=\"2001:db8::9\"", client: proxy),
        .forwarded("for=6.6.6.6, for=\"[203.0.113.9]\"", client: proxy),
        .forwarded("for=6.6.6.6, for=203.0.113.9:80", client: proxy),
        .forwarded("for=6.6.6.6, for=\"203.0.113.9:_\"", client: proxy),
        .forwarded("for=6.6.6.6, for=\"203.0.113.9:_a b\"", client: proxy),
        .forwarded("for=6.6.6.6, for=\"203.0.113.9", client: proxy),
        .forwarded("for=6.6.6.6, for=\"203.0.113.9\\", client: proxy),
        .forwarded("for=6.6.6.6, for=203.0.113.9;for=6.6.6.6", client: proxy),
        .forwarded("for=6.6.6.6, for =203.0.113.9", client: proxy),
        .forwarded("for=6.6.6.6, for= 203.0.113.9", client: proxy),
        .forwarded("for=6.6.6.6, for=\"203.0.113.9\"x", client: proxy),
        .forwarded("for=6.6.6.6, for", client: proxy),
        .forwarded("for=6.6.6.6, for=", client: proxy),
        .forwarded("for=6.6.6.6, =203.0.113.9", client: proxy),
        // The broken quotation mark of a client swallows what a proxy appends to the same field.
        .forwarded("for=\"6.6.6.6, for=203.0.113.9", client: proxy),
    ]

    static let both: [Row] = [
        Row(
            fields: [("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "6.6.6.6, 203.0.113.9")],
            client: "203.0.113.9"),
        Row(fields: [("Forwarded", "for=6.6.6.6"), ("X-Forwarded-For", "203.0.113.9")], client: proxy),
        Row(fields: [("Forwarded", ""), ("X-Forwarded-For", "203.0.113.9")], client: "203.0.113.9"),
    ]

    private func client(_ row: Row, from peer: String) throws -> IPAddress? {
        Self.proxies.client(
            of: HTTPHeaders(row.fields.map { (name: $0, value: $1) }), from: try #require(IPAddress(peer)))
    }

    @Test("believes a trusted proxy, from the right, no further than it knows", arguments: customary + standard + both)
    func believes(row: Row) throws {
        #expect(try client(row, from: Self.proxy)?.description == row.client)
    }

    @Test("believes nobody else", arguments: customary + standard + both)
    func disbelieves(row: Row) throws {
        for peer in ["203.0.113.77", "11.0.0.1", "2001:db8:2::1"] {
            #expect(try client(row, from: peer)?.description == peer)
        }
    }

    @Test("takes the proxy's word whatever the client wrote before it", arguments: [1, 2, 3] as [UInt64])
    func lies(seed: UInt64) throws {
        var generator = SeededBytes(seed)
        let pieces = [
            "for=", "\"", "\\", ",", ";", "=", "[", "]", ":", "::", "unknown", "_x", "10.0.0.2", "203.0.113.1", " ",
            "\t",
            "[2001:db8::1]", "99999", "é", "\u{1F600}", "for", "proto=http", "65536",
        ]
        for _ in 0..<3_000 {
            let lie = (0..<Int.random(in: 0...12, using: &generator)).compactMap { _ in
                pieces.randomElement(using: &generator)
            }.joined()
            // A field of its own is always believed; of one field, Forwarded may have become unreadable.
            for row in [
                Row.xff(lie + ", 203.0.113.9", client: nil), .xff(lie, "203.0.113.9", client: nil),
                .forwarded(lie, "for=203.0.113.9", client: nil),
            ] {
                #expect(try client(row, from: Self.proxy)?.description == "203.0.113.9", "\(lie)")
            }
            let appended = try client(.forwarded(lie + ", for=203.0.113.9", client: nil), from: Self.proxy)
            #expect(["203.0.113.9", Self.proxy].contains(appended?.description), "\(lie)")
        }
    }

    @Test("trusts a proxy on a socket for both kinds of addresses")
    func mapped() throws {
        #expect(try client(.xff("203.0.113.9", client: nil), from: "::ffff:10.0.0.1")?.description == "203.0.113.9")
    }

    @Test("trusts nobody unless it is told to")
    func none() throws {
        let peer = try #require(IPAddress("127.0.0.1"))
        #expect(TrustedProxies().client(of: ["X-Forwarded-For": "203.0.113.9"], from: peer) == peer)
        #expect(TrustedProxies.isForwarded(["Forwarded": "x"]) && TrustedProxies.isForwarded(["x-forwarded-for": ""]))
        #expect(!TrustedProxies.isForwarded(["Via": "1.1 proxy"]))
    }
}
