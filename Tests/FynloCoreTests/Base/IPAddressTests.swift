import FynloCore
import Testing

@Suite("IP addresses and networks")
struct IPAddressTests {
    @Test(
        "reads every spelling of an address and writes the usual one",
        arguments: [
            ("0.0.0.0", "0.0.0.0"), ("192.0.2.1", "192.0.2.1"), ("255.255.255.255", "255.255.255.255"),
            ("::ffff:192.0.2.1", "192.0.2.1"), ("::FFFF:c000:201", "192.0.2.1"),
            ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("0:0:0:0:0:0:0:0", "::"), ("0:0:0:0:0:0:0:1", "::1"),
            ("2001:DB8::00A1", "2001:db8::a1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("::1.2.3.4", "::102:304"), ("fe80::1", "fe80::1"),
        ])
    func reads(text: String, usual: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == usual)
        #expect(IPAddress(usual) == address)
        #expect(address.isIPv4 == !usual.contains(":"))
    }

    @Test(
        "reads nothing else",
        arguments: [
            "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.256", "01.2.3.4", "1.2.3.004",
            "1.2.3.4 ", "+1.2.3.4", "0x7f.0.0.1", "1.2.3.-4", "127.1", "2130706433", "1.2.3.4:80", "[::1]", "::1%eth0",
            ":", ":::", "1:", ":1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "::1::", "12345::", "g::", "::g",
            "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "::1.2.3", "::256.1.1.1",
            "1.2.3.4::", "::ffff:1.2.3.04", "unknown", "_hidden", "example.com", "١.2.3.4",
            "1:2:3:4:5:6:7:8:1.2.3.4", String(repeating: ":", count: 10_000),
        ])
    func refuses(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(
        "knows which addresses are in a network",
        arguments: [
            (
                "10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                ["9.255.255.255", "11.0.0.0", "::a00:1"]
            ),
            ("10.1.2.3", ["10.1.2.3"], ["10.1.2.2", "10.1.2.4"]),
            ("10.1.2.3/32", ["10.1.2.3"], ["10.1.2.4"]),
            ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.128"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]),
            ("::/0", ["::1", "2001:db8::1", "ffff::"], ["192.0.2.1"]),
            ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db7:ffff::", "2001:db9::"]),
            ("2001:db8::1/128", ["2001:db8::1"], ["2001:db8::"]),
            ("::ffff:10.0.0.0/104", ["10.9.9.9"], ["11.0.0.0"]),
        ] as [(String, [String], [String])])
    func networks(text: String, inside: [String], outside: [String]) throws {
        let network = try #require(IPNetwork(text))
        for text in inside { #expect(network.contains(try #require(IPAddress(text))), "\(text)") }
        for text in outside { #expect(!network.contains(try #require(IPAddress(text))), "\(text)") }
    }

    @Test(
        "refuses what is no network, or has bits behind its prefix",
        arguments: [
            "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/ 8",
            "10.0.0.1/8", "10/8", "2001:db8::/129", "2001:db8::1/64", "::ffff:10.0.0.0/95", "10.0.0.0/0008",
            "10.0.0.0/99999999999999999999", "localhost", "[::1]/128",
        ])
    func refusedNetworks(text: String) {
        #expect(IPNetwork(text) == nil)
    }
}
