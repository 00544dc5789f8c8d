// Millions of durations in a fixed amount of memory. Buckets are exact up to 255 ns; above that, their width is 1/128 of the
// value, as in HdrHistogram.
//
//     index 0…255: one nanosecond each; then for every power of two 128 buckets:
//     256…511 in steps of 2, 512…1023 in steps of 4, … up to 2⁴² ns, which is over an hour

/// Counts durations; allocates once. Percentiles are at most 0.8 % too high.
public struct LatencyHistogram: Sendable {
    private static let bucketsPerPower = 128
    /// log2(bucketsPerPower).
    private static let precisionBits = 7
    private static let largestValue: Int64 = (1 << 42) - 1

    private var counts: [UInt64]
    private var sum: Double = 0
    /// How many were recorded.
    public private(set) var count = 0
    /// The exact minimum; zero if nothing was recorded.
    public private(set) var minimum = Duration.zero
    /// The exact maximum; zero if nothing was recorded.
    public private(set) var maximum = Duration.zero

    public init() {
        counts = [UInt64](repeating: 0, count: LatencyHistogram.index(of: LatencyHistogram.largestValue) + 1)
    }

    /// Records a duration; a negative one counts as zero.
    public mutating func record(nanoseconds: Int64) {
        let value = max(nanoseconds, 0)
        counts[LatencyHistogram.index(of: min(value, LatencyHistogram.largestValue))] &+= 1
        let duration = Duration.nanoseconds(value)
        if count == 0 || duration < minimum { minimum = duration }
        if duration > maximum { maximum = duration }
        count += 1
        sum += Double(value)
    }

    /// Counts one.
    public mutating func record(_ duration: Duration) {
        record(nanoseconds: duration.inNanoseconds)
    }

    /// Adds another histogram's counts.
    public mutating func add(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        for (index, number) in other.counts.enumerated() where number > 0 { counts[index] &+= number }
        minimum = count == 0 ? other.minimum : min(minimum, other.minimum)
        maximum = max(maximum, other.maximum)
        count += other.count
        sum += other.sum
    }

    /// The average; zero if nothing was recorded.
    public var mean: Duration {
        count == 0 ? .zero : .nanoseconds(Int64(sum / Double(count)))
    }

    /// The duration that `percent` (0 to 100) of them did not exceed; zero if nothing was recorded.
    public func percentile(_ percent: Double) -> Duration {
        guard count > 0 else { return .zero }
        let share = min(max(percent, 0), 100) / 100 * Double(count)
        let rank = max(1, UInt64(share.rounded(.up)))
        var passed: UInt64 = 0
        for (index, number) in counts.enumerated() where number > 0 {
            passed += number
            if passed >= rank {
                return min(max(.nanoseconds(LatencyHistogram.greatestValue(at: index)), minimum), maximum)
            }
        }
        return maximum
    }

    /// The index of the bucket for a value from 0 to `largestValue`.
    private static func index(of value: Int64) -> Int {
        let shift = max(0, 63 - value.leadingZeroBitCount - precisionBits)
        return shift * bucketsPerPower + Int(value >> shift)
    }

    private static func greatestValue(at index: Int) -> Int64 {
        guard index >= 2 * bucketsPerPower else { return Int64(index) }
        let shift = index / bucketsPerPower - 1
        let step = Int64(index % bucketsPerPower + bucketsPerPower)
        return ((step + 1) << shift) - 1
    }
}
