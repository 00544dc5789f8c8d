import FynloCore
import Testing

@Suite("LatencyHistogram")
struct LatencyHistogramTests {
    @Test("is empty at first")
    func empty() {
        let histogram = LatencyHistogram()
        #expect(histogram.count == 0 && histogram.percentile(50) == .zero && histogram.mean == .zero)
        #expect(histogram.minimum == .zero && histogram.maximum == .zero)
    }

    @Test(
        "tells a single value by every percentile, wherever it falls",
        arguments: [
            0, 1, 127, 128, 129, 255, 256, 257, 511, 512, 1_000, 65_535, 65_536, 1_000_000, 123_456_789,
            (1 << 42) - 1, 1 << 42, 1 << 50, .max,
        ] as [Int64])
    func single(nanoseconds: Int64) {
        var histogram = LatencyHistogram()
        histogram.record(nanoseconds: nanoseconds)
        for percent in [0, 50, 99.9, 100] {
            #expect(histogram.percentile(percent) == .nanoseconds(nanoseconds))
        }
        #expect(histogram.count == 1)
    }

    @Test("takes what no clock gives for zero")
    func negative() {
        var histogram = LatencyHistogram()
        histogram.record(.nanoseconds(-5))
        #expect(histogram.maximum == .zero && histogram.count == 1)
    }

    @Test("is never below the true percentile, and at most 0.8 % above it", arguments: [1 as UInt64, 2, 3])
    func accuracy(seed: UInt64) {
        var generator = SplitMix(state: seed)
        var histogram = LatencyHistogram()
        // From nanoseconds to minutes, evenly by order of magnitude.
        let values = (0..<20_000).map { _ in
            Int64.random(in: 0...(1 << Int64.random(in: 1...38, using: &generator)), using: &generator)
        }
        for value in values { histogram.record(nanoseconds: value) }
        let sorted = values.sorted()
        for percent in [0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100] {
            let rank = max(1, Int((percent / 100 * Double(values.count)).rounded(.up)))
            let exact = sorted[rank - 1]
            let told = histogram.percentile(percent).inNanoseconds
            #expect(told >= exact && told <= exact + exact / 128 + 1, "p\(percent)")
        }
        #expect(histogram.minimum.inNanoseconds == sorted.first && histogram.maximum.inNanoseconds == sorted.last)
        let mean = values.reduce(0, +) / Int64(values.count)
        #expect(abs(histogram.mean.inNanoseconds - mean) <= 1)
    }

    @Test("adds up with another one as if all had been recorded in one")
    func addition() {
        var (first, second, both) = (LatencyHistogram(), LatencyHistogram(), LatencyHistogram())
        for value in stride(from: Int64(10), to: 1_000_000, by: 777) {
            if value % 2 == 0 { first.record(nanoseconds: value) } else { second.record(nanoseconds: value) }
            both.record(nanoseconds: value)
        }
        var sum = LatencyHistogram()
        sum.add(first)
        sum.add(second)
        sum.add(LatencyHistogram())
        #expect(sum.count == both.count && sum.minimum == both.minimum && sum.maximum == both.maximum)
        for percent in [1.0, 50, 99] { #expect(sum.percentile(percent) == both.percentile(percent)) }
    }
}

/// A generator with a seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
