// Who is served at once, and who when the others have been: a connection may use so much of the loop per second.

/// What a connection may make the loop do at once: bytes read from it and written in answer, which is about what they
/// cost. One that uses more, as every flood does, is read from in its turn with its like, after all the others.
public struct ReadAllowance: Sendable {
    /// Bytes per second: a tablet at its rate limit, with ordinary messages, stays below.
    public static let bytesPerSecond = 16_384
    /// Bytes at once, after a pause: an upgrade, a token and the first messages.
    public static let burstBytes = 8_192
    /// After a flood, however long, a connection is served like the others again within this time.
    static let longestDebt = Duration.nanoseconds(longestDebtNanoseconds)

    /// When all that was used will have been earned.
    private var paidAt: Instant

    /// A full allowance.
    public init(now: Instant) {
        paidAt = now
    }

    /// Counts bytes, in whichever direction. Called for every read and write: plain integers, as `Duration` counts in 128 bits.
    public mutating func spend(_ bytes: Int, now: Instant) {
        let longest = ReadAllowance.longestDebtNanoseconds
        let rate = Int64(ReadAllowance.bytesPerSecond)
        let cost = min(Int64(clamping: bytes), longest / 1_000_000_000 * rate) * 1_000_000_000 / rate
        let (limit, isBeyond) = now.nanoseconds.addingReportingOverflow(longest)
        let (paid, isPaidBeyond) = max(paidAt, now).nanoseconds.addingReportingOverflow(cost)
        paidAt.nanoseconds = min(isPaidBeyond ? .max : paid, isBeyond ? .max : limit)
    }

    /// True when it has used more than it may.
    public func isSpent(now: Instant) -> Bool {
        let (owed, isBeyond) = paidAt.nanoseconds.subtractingReportingOverflow(now.nanoseconds)
        return isBeyond ? paidAt > now : owed > ReadAllowance.burstNanoseconds
    }

    private static let longestDebtNanoseconds: Int64 = 10_000_000_000
    private static let burstNanoseconds = Int64(burstBytes) * 1_000_000_000 / Int64(bytesPerSecond)
}
