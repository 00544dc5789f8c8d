// How long to wait before the next attempt to connect: longer after each failure, to spare a server in trouble, and partly at
// random, so that the tablets do not return all at once.

/// The delays between attempts to connect.
public struct ReconnectPolicy: Equatable, Sendable {
    /// The delays before the first, second … retry; the last one is used for all later retries.
    public static let delays: [Duration] = [1, 2, 4, 8, 16, 30].map { .seconds($0) }

    /// Consecutive failures.
    public private(set) var failures = 0

    public init() {}

    /// Counts a failure and returns the time to wait before the next attempt: a random time in the upper half of the present
    /// delay.
    public mutating func nextDelay(using generator: inout some RandomNumberGenerator) -> Duration {
        let longest = ReconnectPolicy.delays[min(failures, ReconnectPolicy.delays.count - 1)].inNanoseconds
        if failures < .max { failures += 1 }
        return .nanoseconds(Int64.random(in: longest / 2...longest, using: &generator))
    }

    /// Records a success: the next failure counts as the first.
    public mutating func reset() {
        failures = 0
    }
}
