// Who is served at once, and who after the others: each connection may use a limited share of the loop per second.

/// What a connection may make the loop do at once: bytes read from it and written in answer, which is about what they
/// cost. One that uses more, as every flood does, is read from after all the others, in turn with its like.
public struct ReadAllowance: Sendable {
    /// Bytes per second: a tablet at its rate limit, with ordinary messages, stays below it.
    public static let bytesPerSecond = 16_384
    /// Bytes at once, after a pause: an upgrade, a token and the first messages.
    public static let burstBytes = 8_192
    /// After a flood, however long, a connection is served like the others again within this time.
    private static let longestDebtSeconds: Int64 = 10

    /// When everything used so far will have been earned.
    private var paidAt: Instant

    /// A full allowance.
    public init(now: Instant) {
        paidAt = now
    }

    // In nanoseconds, and in plain numbers: every read is counted.
    private static let second: Int64 = 1_000_000_000

    /// Counts bytes, in whichever direction.
    public mutating func spend(_ bytes: Int, now: Instant) {
        let perSecond = Int64(ReadAllowance.bytesPerSecond)
        let cost = min(Int64(bytes), ReadAllowance.longestDebtSeconds * perSecond) * ReadAllowance.second / perSecond
        let longest = now.nanoseconds + ReadAllowance.longestDebtSeconds * ReadAllowance.second
        paidAt = Instant(nanoseconds: min(max(paidAt, now).nanoseconds + cost, longest))
    }

    /// True when it has used more than it may.
    public func isSpent(now: Instant) -> Bool {
        let burst = Int64(ReadAllowance.burstBytes) * ReadAllowance.second / Int64(ReadAllowance.bytesPerSecond)
        return paidAt.nanoseconds - now.nanoseconds > burst
    }
}
