// May one more socket join? Counted when it is accepted, before a byte of it is read.

/// The sockets of one process, counted against its limits.
public struct AdmissionControl: Sendable {
    private let limits: Limits
    /// Open sockets that are served.
    public private(set) var connections = 0
    /// WebSockets that have not authenticated yet.
    public private(set) var unauthenticated = 0
    private var perAddress: [String: Int] = [:]

    public init(limits: Limits) {
        self.limits = limits
    }

    /// Counts an accepted socket. Over a limit it is still counted, and served only the returned refusal.
    public mutating func accepted(from address: String) -> APIError? {
        connections += 1
        if limits.connectionsPerAddress > 0 {
            perAddress[address, default: 0] += 1
            if perAddress[address, default: 0] > limits.connectionsPerAddress {
                return APIError(
                    .connectionLimit, "Your address has \(limits.connectionsPerAddress) connections already.",
                    status: 429, retryAfter: .seconds(5))
            }
        }
        return connections > limits.connections ? AdmissionControl.full : nil
    }

    /// Forgets a socket that was accepted.
    public mutating func closed(from address: String) {
        connections -= 1
        guard limits.connectionsPerAddress > 0, let count = perAddress[address] else { return }
        perAddress[address] = count > 1 ? count - 1 : nil
    }

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
