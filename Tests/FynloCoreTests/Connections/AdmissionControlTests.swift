import FynloCore
import Testing

@Suite("AdmissionControl")
struct AdmissionControlTests {
    private let a = IPAddress(ipv4: 0xc000_0201)
    private let b = IPAddress(ipv4: 0xc000_0202)
    private let unknown = IPAddress(ipv4: 0xc000_0203)

    private func control(connections: Int = 10, unauthenticated: Int = 3, perAddress: Int = 0) -> AdmissionControl {
        var limits = Limits()
        limits.connections = connections
        limits.unauthenticatedConnections = unauthenticated
        limits.connectionsPerAddress = perAddress
        return AdmissionControl(limits: limits)
    }

    @Test("sockets over the limit are served a 503 only, until one closes")
    func connections() {
        var control = control(connections: 3)
        for _ in 0..<3 { #expect(control.accepted(from: a) == nil) }
        let refusal = control.accepted(from: b)
        #expect(refusal?.status == 503 && refusal?.code == .unavailable && refusal?.retryAfter != nil)
        // The refused one counts until it has gone.
        control.closed(from: a)
        #expect(control.accepted(from: a) != nil)
        control.closed(from: a)
        control.closed(from: b)
        #expect(control.connections == 2)
        #expect(control.accepted(from: a) == nil)
    }

    @Test("even refusals have a limit")
    func exhausted() {
        var control = control(connections: 2)
        for _ in 0..<(2 + 128) {
            #expect(!control.isExhausted)
            _ = control.accepted(from: a)
        }
        #expect(control.isExhausted)
        control.closed(from: a)
        #expect(!control.isExhausted)
    }

    @Test("addresses have no limit unless it is set")
    func addressesWithoutLimit() {
        var control = control(connections: 1_000)
        for _ in 0..<1_000 { #expect(control.accepted(from: a) == nil) }
    }

    @Test("an address over its limit is refused with 429, others are not")
    func addresses() {
        var control = control(connections: 100, perAddress: 2)
        #expect(control.accepted(from: a) == nil && control.accepted(from: a) == nil)
        let refusal = control.accepted(from: a)
        #expect(refusal?.status == 429 && refusal?.code == .connectionLimit && refusal?.retryAfter != nil)
        #expect(control.accepted(from: b) == nil)
        control.closed(from: a)
        #expect(control.accepted(from: a) != nil)
        control.closed(from: a)
        control.closed(from: a)
        #expect(control.accepted(from: a) == nil)
        for _ in 0..<2 { control.closed(from: a) }
        control.closed(from: unknown)
        #expect(control.accepted(from: a) == nil && control.accepted(from: a) == nil)
        #expect(control.accepted(from: a) != nil)
    }

    @Test("WebSockets that have not authenticated have a limit of their own")
    func unauthenticated() {
        var control = control(connections: 100, unauthenticated: 2)
        for _ in 0..<2 {
            #expect(control.admitsUpgrades)
            control.beganAuthentication()
        }
        #expect(!control.admitsUpgrades && control.unauthenticated == 2)
        control.endedAuthentication()
        #expect(control.admitsUpgrades)
    }

    @Test("a socket of nobody counts in all, and for the address it is given later")
    func occupied() {
        var control = control(connections: 100, perAddress: 2)
        for _ in 0..<5 { #expect(control.accepted(from: nil) == nil) }
        #expect(control.occupy(a) == nil && control.occupy(a) == nil)
        #expect(control.occupy(a)?.status == 429)
        #expect(control.occupy(b) == nil)
        control.release(a)
        #expect(control.occupy(a)?.status == 429)
        control.release(a)
        control.closed(from: a)
        #expect(control.occupy(a) == nil)
        control.closed(from: nil)
        #expect(control.connections == 3)
    }

    @Test("IPv6 addresses count by their first 64 bits, IPv4 addresses whole, mapped or not")
    func sites() throws {
        var control = control(connections: 100, perAddress: 1)
        func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
        #expect(control.accepted(from: try address("2001:db8:0:1::1")) == nil)
        #expect(control.accepted(from: try address("2001:db8:0:1:ffff::2"))?.status == 429)
        #expect(control.accepted(from: try address("2001:db8:0:2::1")) == nil)
        #expect(control.accepted(from: try address("192.0.2.9")) == nil)
        #expect(control.accepted(from: try address("192.0.2.10")) == nil)
        #expect(control.accepted(from: try address("::ffff:192.0.2.9"))?.status == 429)
    }
}
