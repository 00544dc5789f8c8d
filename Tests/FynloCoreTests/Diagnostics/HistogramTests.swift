import FynloCore
import Testing

@Suite("Histograms")
struct HistogramTests {
    @Test("count what is at most a bound in its bucket, and everything in the last")
    func bounds() {
        var histogram = Histogram(.latency)
        for milliseconds in [0, 1, 2, 3, 10, 11] as [Int64] { histogram.observe(.milliseconds(milliseconds)) }
        histogram.observe(.seconds(-1))
        histogram.observe(.seconds(31), times: 2)
        let buckets = Dictionary(uniqueKeysWithValues: histogram.buckets.map { ($0.upperBound, $0.count) })
        #expect(buckets[0.0005] == 2 && buckets[0.001] == 3 && buckets[0.002] == 4 && buckets[0.005] == 5)
        #expect(buckets[0.01] == 6 && buckets[0.02] == 7 && buckets[30] == 7 && buckets[.infinity] == 9)
        #expect(histogram.count == 9 && histogram.buckets.count == 16)
        #expect(abs(histogram.sumInSeconds - 62.027) < 1e-9)
    }

    @Test("rise from bucket to bucket", arguments: [Histogram.Scale.latency, .turn, .connection])
    func scales(scale: Histogram.Scale) {
        let bounds = Histogram(scale).buckets.map(\.upperBound)
        #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 } && bounds.last == .infinity)
    }

    @Test("give quantiles on a line through the bucket, and none of nothing")
    func quantiles() {
        var histogram = Histogram(.latency)
        #expect(histogram.quantile(0.5) == nil)
        histogram.observe(.milliseconds(15), times: 100)
        #expect(abs((histogram.quantile(0.5) ?? 0) - 0.015) < 1e-9)
        #expect(abs((histogram.quantile(0.99) ?? 0) - 0.0199) < 1e-9)
        histogram.observe(.seconds(100), times: 900)
        #expect(histogram.quantile(0.99) == 30, "beyond the last bound nothing is known")
        #expect(histogram.quantile(-1) != nil && histogram.quantile(2) == 30)
    }

    @Test("do not trap, whatever they are given")
    func extremes() {
        var histogram = Histogram(.connection)
        histogram.observe(nanoseconds: .max, times: 3)
        histogram.observe(nanoseconds: .min)
        #expect(histogram.count == 4)
    }
}

@Suite("The text that Prometheus reads")
struct PrometheusTextTests {
    @Test("has a head for each family, then its samples, with their labels escaped")
    func families() {
        var text = PrometheusText()
        text.family("a_total", .counter, "What it is.")
        text.sample(3)
        text.sample(UInt64.max, ["code": "4004", "why": "a \"b\"\\\nc"])
        text.family("b_seconds", .gauge, "Another.")
        text.sample(0.25)
        text.sample(30.0)
        text.sample(Double.infinity)
        text.sample(-Double.infinity)
        text.sample(Double.nan)
        text.sample(1e-7)
        let lines = String(decoding: text.output.bytes(), as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(
            lines == [
                "# HELP a_total What it is.", "# TYPE a_total counter", "a_total 3",
                #"a_total{code="4004",why="a \"b\"\\\nc"} 18446744073709551615"#, "# HELP b_seconds Another.",
                "# TYPE b_seconds gauge", "b_seconds 0.25", "b_seconds 30", "b_seconds +Inf", "b_seconds -Inf",
                "b_seconds NaN", "b_seconds 1e-07",
            ])
    }

    @Test("has a histogram's buckets, sum and count")
    func histogram() {
        var histogram = Histogram(.latency)
        histogram.observe(.milliseconds(2), times: 2)
        var text = PrometheusText()
        text.family("h_seconds", .histogram, "How long.")
        text.samples(histogram)
        text.samples(histogram, ["kind": "relay"])
        let lines = String(decoding: text.output.bytes(), as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(lines.count == 2 + 2 * 18)
        #expect(
            lines.contains("h_seconds_bucket{le=\"0.001\"} 0") && lines.contains("h_seconds_bucket{le=\"0.002\"} 2"))
        #expect(lines.contains("h_seconds_bucket{le=\"+Inf\"} 2") && lines.contains("h_seconds_sum 0.004"))
        #expect(lines.contains("h_seconds_count 2") && lines.contains("h_seconds_count{kind=\"relay\"} 2"))
        #expect(lines.contains("h_seconds_bucket{kind=\"relay\",le=\"30\"} 2"))
    }
}
