// How long things took, as counts in buckets: what is observed costs a few comparisons and two additions, and no memory.

/// Durations in sixteen buckets with fixed bounds, the last one without.
public struct Histogram: Sendable {
    /// The upper bounds, each inclusive, in ascending order.
    public enum Scale: Sendable {
        /// Of answers and deliveries: half a millisecond to half a minute.
        case latency
        /// Of the loop's turns and timers: 50 µs to five seconds.
        case turn
        /// Of connections: a second to a week.
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
    /// How much was observed.
    public private(set) var count: UInt64 = 0
    /// The sum of it all, in seconds.
    public private(set) var sumInSeconds = 0.0

    public init(_ scale: Scale) {
        bounds = scale.nanoseconds
    }

    /// Adds an observation, or several of the same duration; a negative one counts as none at all having passed. Returns the
    /// place of its bucket, of which 0 is that of the least.
    @discardableResult
    public mutating func observe(_ duration: Duration, times: Int = 1) -> Int {
        observe(nanoseconds: duration.inNanoseconds, times: times)
    }

    /// As `observe`.
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

    /// The buckets' upper bounds in seconds, with how many observations were at most that; the last is `+Inf` and has them all.
    public var buckets: [(upperBound: Double, count: UInt64)] {
        var sum: UInt64 = 0
        return (0..<16).map { bucket in
            sum &+= counts[bucket]
            return (bucket < 15 ? Double(bounds[bucket]) / 1e9 : .infinity, sum)
        }
    }

    /// The duration in seconds below which the part `quantile` (0 to 1) of the observations lies, on a straight line through
    /// its bucket, as Prometheus' `histogram_quantile` has it; the last bound where it lies beyond. `nil`: nothing was observed.
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
