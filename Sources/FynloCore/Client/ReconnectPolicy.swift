// How long to wait before the next attempt to connect: longer with every failure, so that a server in trouble is left
// alone, and never the same for two tablets, so that they do not return all at once.

/// The delays between attempts to connect.
public struct ReconnectPolicy: Equatable, Sendable {
    /// Before the first, the second … further attempt; the last one is for all that follow.
    public static let delays: [Duration] = [1, 2, 4, 8, 16, 30].map { .seconds($0) }

    /// Failures in a row.
    public private(set) var failures = 0

    public init() {}

    /// A connection has failed: how long to wait before the next attempt. A random part of the upper half of the delay
    /// whose turn it is.
    public mutating func nextDelay(using generator: inout some RandomNumberGenerator) -> Duration {
        let longest = ReconnectPolicy.delays[min(failures, ReconnectPolicy.delays.count - 1)].inNanoseconds
        if failures < .max { failures += 1 }
        return .nanoseconds(Int64.random(in: longest / 2...longest, using: &generator))
    }

    /// The server has let us in: the next failure is the first one again.
    public mutating func reset() {
        failures = 0
    }
}
