// May one more socket join? Counted when it is accepted, before a byte of it is read.

/// The sockets of one process, counted against its limits.
public struct AdmissionControl: Sendable {
    private let limits: Limits
    /// Open sockets that are served.
    public private(set) var connections = 0
    /// WebSockets that have not authenticated yet.
    public private(set) var unauthenticated = 0
    /// By `site`.
    private var perAddress: [IPAddress: Int] = [:]

    public init(limits: Limits) {
        self.limits = limits
    }

    /// Counts an accepted socket: for its address too, unless that is `nil`, as for a trusted proxy, whose connections
    /// count for its clients. Over a limit it is still counted, and served only the returned refusal.
    public mutating func accepted(from address: IPAddress?) -> APIError? {
        connections += 1
        if let address, let refusal = occupy(address) { return refusal }
        return connections > limits.connections ? AdmissionControl.full : nil
    }

    /// Forgets a socket that was accepted, and the address it counts for by now.
    public mutating func closed(from address: IPAddress?) {
        connections -= 1
        if let address { release(address) }
    }

    /// Counts a connection for an address; one over the limit is still counted, and answered with the returned refusal.
    public mutating func occupy(_ address: IPAddress) -> APIError? {
        guard limits.connectionsPerAddress > 0 else { return nil }
        let site = AdmissionControl.site(of: address)
        perAddress[site, default: 0] += 1
        guard perAddress[site, default: 0] > limits.connectionsPerAddress else { return nil }
        return APIError(
            .connectionLimit, "Your address has \(limits.connectionsPerAddress) connections already.", status: 429,
            retryAfter: .seconds(5))
    }

    /// A connection no longer counts for an address.
    public mutating func release(_ address: IPAddress) {
        let site = AdmissionControl.site(of: address)
        guard let count = perAddress[site] else { return }
        perAddress[site] = count > 1 ? count - 1 : nil
    }

    /// What counts as one address: of IPv6 the first 64 bits, since that is what a site is given, to choose from as it likes.
    private static func site(of address: IPAddress) -> IPAddress {
        address.isIPv4 ? address : IPAddress(bits: (address.bits >> 64) << 64)
    }

    /// True when the next socket will be over the limit.
    public var isFull: Bool { connections >= limits.connections }

    /// True when sockets are refused without a word: even their refusals have a limit.
    public var isExhausted: Bool {
        connections >= limits.connections + 128
    }

    /// May one more WebSocket wait for its authentication? Counted by `beganAuthentication` when it may.
    public var admitsUpgrades: Bool {
        unauthenticated < limits.unauthenticatedConnections
    }

    /// A WebSocket was opened.
    public mutating func beganAuthentication() {
        unauthenticated += 1
    }

    /// A WebSocket was authenticated, or ended before it was.
    public mutating func endedAuthentication() {
        unauthenticated -= 1
    }

    /// The refusal of one connection too many.
    static let full = APIError(
        .unavailable, "The server has all the connections it can take; try again shortly.", retryAfter: .seconds(5))
}
