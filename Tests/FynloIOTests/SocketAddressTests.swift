import FynloIO
import Glibc
import Testing

@Suite("SocketAddress")
struct SocketAddressTests {
    @Test(
        "reads address literals with a port",
        arguments: [
            ("127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1", SocketAddress.Family.ipv4, true),
            (":8000", "0.0.0.0:8000", "0.0.0.0", .ipv4, false),
            ("0.0.0.0:8000", "0.0.0.0:8000", "0.0.0.0", .ipv4, false),
            ("10.1.2.3:65535", "10.1.2.3:65535", "10.1.2.3", .ipv4, false),
            ("127.255.0.9:0", "127.255.0.9:0", "127.255.0.9", .ipv4, true),
            ("[::1]:8000", "[::1]:8000", "::1", .ipv6, true),
            ("[::]:80", "[::]:80", "::", .ipv6, false),
            ("[2001:DB8::0:1]:443", "[2001:db8::1]:443", "2001:db8::1", .ipv6, false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", "127.0.0.1", .ipv6, true),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80", "10.0.0.1", .ipv6, false),
        ])
    func good(_ text: String, description: String, host: String, family: SocketAddress.Family, isLoopback: Bool) throws
    {
        let address = try SocketAddress(parsing: text)
        #expect(address.description == description)
        #expect(address.hostText == host)
        #expect(address.family == family)
        #expect(address.isLoopback == isLoopback)
    }

    @Test(
        "refuses everything else in one sentence",
        arguments: [
            "", ":", "8000", "localhost:8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
            "127.0.0.1:99999999999999999999",
            "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:８０", "::1:8000", "[::1]", "[::1]:", "[]:80",
            "[127.0.0.1]:80",
            "[::1:80", "::1]:80", "[fe80::1%lo]:80", "256.0.0.1:80", "1.2.3:80", "127.0.0.1\u{0}:80", "[[::1]]:80",
            "tcp://127.0.0.1:80",
        ])
    func bad(_ text: String) throws {
        let error = #expect(throws: SystemError.self) { try SocketAddress(parsing: text) }
        let sentence = try #require(error).description
        #expect(sentence.hasPrefix("\"\(text)\" is not an address: ") && sentence.hasSuffix("."))
    }

    @Test("listens and connects at the path of a local socket; refuses a path that is too long")
    func local() throws {
        let path = "/tmp/fynlo-io-test-\(getpid()).socket"
        _ = unlink(path)
        defer { _ = unlink(path) }
        let address = try SocketAddress.unix(path)
        #expect(address.description == "unix:\(path)" && address.isLoopback)
        let listener = try Listener(address)
        #expect(listener.localAddress == address)
        let client = try Socket.nonBlockingConnect(to: address)
        #expect(Socket.peerAddress(of: client.rawValue) == address)
        let accepted = try #require(try? listener.accept()?.peer)
        #expect(accepted.family == .unix)
        #expect(try SocketAddress.unix(String(repeating: "x", count: 107)).hostText.count == 107)
        for bad in ["", String(repeating: "x", count: 108), "a\u{0}b"] {
            #expect(throws: SystemError.self) { try SocketAddress.unix(bad) }
        }
    }

    @Test("resolves literals and the local host; a name that cannot exist is an error in one sentence")
    func resolving() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let names = ["127.0.0.1", "::1", "localhost", "", "no such name"]
        var results: [Result<[SocketAddress], SystemError>] = []
        for name in names {
            loop.offload({ Resolver.resolve(host: name, port: 5432) }, then: { results.append($0) })
        }
        #expect(try loop.run(until: { results.count == names.count }, for: .seconds(30)))
        #expect(try results[0].get().map(\.description) == ["127.0.0.1:5432"])
        #expect(try results[1].get().map(\.description) == ["[::1]:5432"])
        #expect(try results[2].get().allSatisfy { $0.isLoopback && $0.port == 5432 })
        for (name, result) in zip(names, results).suffix(2) {
            let error = #expect(throws: SystemError.self) { try result.get() }
            #expect(error?.description.hasPrefix("The host name \"\(name)\" could not be resolved: ") == true)
        }
    }
}
