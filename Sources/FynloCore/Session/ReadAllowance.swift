// Who is served at once, and who when the others have been: a connection may use so much of the loop per second.

/// What a connection may make the loop do at once: bytes read from it and written in answer, which is about what they
/// cost. One that uses more, as every flood does, is read from in its turn with its like, after all the others.
public struct ReadAllowance: Sendable {
    /// Bytes per second: a tablet at its rate limit, with ordinary messages, stays below.
    public static let bytesPerSecond = 16_384
    /// Bytes at once, after a pause: an upgrade, a token and the first messages.
    public static let burstBytes = 8_192
    /// After a flood, however long, a connection is served like the others again within this time.
    static let longestDebt = Duration.seconds(10)

    /// When all that was used will have been earned.
    private var paidAt: Instant

    /// A full allowance.
    public init(now: Instant) {
        paidAt = now
    }

    /// Counts bytes, in whichever direction.
    public mutating func spend(_ bytes: Int, now: Instant) {
        let longest = Int64(ReadAllowance.longestDebt.inMilliseconds) * Int64(ReadAllowance.bytesPerSecond) / 1_000
        let cost = min(Int64(clamping: bytes), longest) * 1_000_000_000 / Int64(ReadAllowance.bytesPerSecond)
        paidAt = min(max(paidAt, now) + .nanoseconds(cost), now + ReadAllowance.longestDebt)
    }

    /// True when it has used more than it may.
    public func isSpent(now: Instant) -> Bool {
        paidAt - now > .milliseconds(ReadAllowance.burstBytes * 1_000 / ReadAllowance.bytesPerSecond)
    }
}
