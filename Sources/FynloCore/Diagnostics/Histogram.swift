// Durations as counts in buckets. An observation costs a few comparisons and two additions, and no memory.

/// Durations in sixteen buckets with fixed upper bounds; the last has none.
public struct Histogram: Sendable {
    /// The upper bounds, each inclusive, in ascending order.
    public enum Scale: Sendable {
        /// For answers and deliveries: half a millisecond to half a minute.
        case latency
        /// For the loop's turns and timers: 50 µs to five seconds.
        case turn
        /// For connections: a second to a week.
        case connection

        fileprivate var nanoseconds: [15 of Int64] {
            let ms: Int64 = 1_000_000
            let s: Int64 = 1_000_000_000
            return switch self {
            case .latency:
                [
                    ms / 2, ms, 2 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 200 * ms, 500 * ms, s, 2 * s,
                    5 * s, 10 * s, 30 * s,
                ]
            case .turn:
                [
                    ms / 20, ms / 10, ms / 5, ms / 2, ms, 2 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms,
                    200 * ms, 500 * ms, s, 5 * s,
                ]
            case .connection:
                [
                    s, 5 * s, 15 * s, 60 * s, 300 * s, 900 * s, 1_800 * s, 3_600 * s, 7_200 * s, 14_400 * s,
                    28_800 * s, 43_200 * s, 86_400 * s, 172_800 * s, 604_800 * s,
                ]
            }
        }

        /// The bounds in milliseconds, separated by commas.
        var millisecondsText: String {
            let bounds = nanoseconds
            return bounds.indices.map { index in
                let (whole, rest) = bounds[index].quotientAndRemainder(dividingBy: 1_000_000)
                return rest == 0 ? "\(whole)" : "\(Double(bounds[index]) / 1e6)"
            }.joined(separator: ",")
        }
    }

    private let bounds: [15 of Int64]
    private var counts = [16 of UInt64](repeating: 0)
    /// The number of observations.
    public private(set) var count: UInt64 = 0
    /// The sum of all observations, in seconds.
    public private(set) var sumInSeconds = 0.0

    public init(_ scale: Scale) {
        bounds = scale.nanoseconds
    }

    /// Adds an observation, or several of the same duration; a negative duration counts as zero. Returns the index of its bucket,
    /// counted from the smallest.
    @discardableResult
    public mutating func observe(_ duration: Duration, times: Int = 1) -> Int {
        observe(nanoseconds: duration.inNanoseconds, times: times)
    }

    /// Adds observations by their duration in nanoseconds.
    @discardableResult
    public mutating func observe(nanoseconds: Int64, times: Int = 1) -> Int {
        let nanoseconds = max(0, nanoseconds)
        var bucket = 0
        while bucket < 15, nanoseconds > bounds[bucket] { bucket += 1 }
        counts[bucket] &+= UInt64(times)
        count &+= UInt64(times)
        sumInSeconds += Double(nanoseconds) * Double(times) / 1e9
        return bucket
    }

    /// The buckets' upper bounds in seconds, each with the number of observations up to it. The last is `+Inf` and has all.
    public var buckets: [(upperBound: Double, count: UInt64)] {
        var sum: UInt64 = 0
        return (0..<16).map { bucket in
            sum &+= counts[bucket]
            return (bucket < 15 ? Double(bounds[bucket]) / 1e9 : .infinity, sum)
        }
    }

    /// The duration in seconds at `quantile` (0 to 1), interpolated linearly within its bucket as Prometheus' `histogram_quantile`
    /// does. The last bound if it lies beyond; `nil` if nothing was observed.
    public func quantile(_ quantile: Double) -> Double? {
        guard count > 0 else { return nil }
        let rank = min(max(quantile, 0), 1) * Double(count)
        var below: UInt64 = 0
        for bucket in 0..<15 {
            let here = counts[bucket]
            if here > 0, Double(below &+ here) >= rank {
                let lower = bucket == 0 ? 0 : Double(bounds[bucket - 1])
                let part = max(0, rank - Double(below)) / Double(here)
                return (lower + (Double(bounds[bucket]) - lower) * part) / 1e9
            }
            below &+= here
        }
        return Double(bounds[14]) / 1e9
    }
}
