import FynloCore
import Testing

@Suite("AdmissionControl")
struct AdmissionControlTests {
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
        for _ in 0..<3 { #expect(control.accepted(from: "a") == nil) }
        let refusal = control.accepted(from: "b")
        #expect(refusal?.status == 503 && refusal?.code == .unavailable && refusal?.retryAfter != nil)
        // The refused one counts until it has gone.
        control.closed(from: "a")
        #expect(control.accepted(from: "a") != nil)
        control.closed(from: "a")
        control.closed(from: "b")
        #expect(control.connections == 2)
        #expect(control.accepted(from: "a") == nil)
    }

    @Test("even refusals have a limit")
    func exhausted() {
        var control = control(connections: 2)
        for _ in 0..<(2 + 128) {
            #expect(!control.isExhausted)
            _ = control.accepted(from: "a")
        }
        #expect(control.isExhausted)
        control.closed(from: "a")
        #expect(!control.isExhausted)
    }

    @Test("addresses have no limit unless it is set")
    func addressesWithoutLimit() {
        var control = control(connections: 1_000)
        for _ in 0..<1_000 { #expect(control.accepted(from: "a") == nil) }
    }

    @Test("an address over its limit is refused with 429, others are not")
    func addresses() {
        var control = control(connections: 100, perAddress: 2)
        #expect(control.accepted(from: "a") == nil && control.accepted(from: "a") == nil)
        let refusal = control.accepted(from: "a")
        #expect(refusal?.status == 429 && refusal?.code == .connectionLimit && refusal?.retryAfter != nil)
        #expect(control.accepted(from: "b") == nil)
        control.closed(from: "a")
        #expect(control.accepted(from: "a") != nil)
        control.closed(from: "a")
        control.closed(from: "a")
        #expect(control.accepted(from: "a") == nil)
        for _ in 0..<2 { control.closed(from: "a") }
        control.closed(from: "unknown")
        #expect(control.accepted(from: "a") == nil && control.accepted(from: "a") == nil)
        #expect(control.accepted(from: "a") != nil)
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
}
