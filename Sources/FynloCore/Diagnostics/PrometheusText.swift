// Prometheus' text format (exposition format 0.0.4).
//
//     # HELP fynlo_close_codes_total How WebSockets ended.
//     # TYPE fynlo_close_codes_total counter
//     fynlo_close_codes_total{code="4004"} 1

/// Writes metrics one family at a time: first its name, then its samples.
public struct PrometheusText: Sendable {
    /// The type of a family.
    public enum Kind: String, Sendable { case counter, gauge, histogram }

    public private(set) var output = ByteBuffer()
    private var name: StaticString = ""

    public init() {}

    /// Begins a family. `help` is one sentence.
    public mutating func family(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
        self.name = name
        output.append("# HELP ")
        output.append(name)
        output.append(" ")
        output.append(help)
        output.append("\n# TYPE ")
        output.append(name)
        output.append(" ")
        output.append(kind.rawValue)
        output.append("\n")
    }

    /// Adds a sample to the current family.
    public mutating func sample(_ value: Double, _ labels: KeyValuePairs<StaticString, String> = [:]) {
        begin("", labels, bound: nil)
        append(value)
    }

    /// Adds a sample that is a whole number.
    public mutating func sample(_ value: some BinaryInteger, _ labels: KeyValuePairs<StaticString, String> = [:]) {
        begin("", labels, bound: nil)
        output.append(String(value))
        output.append("\n")
    }

    /// Adds the samples of a histogram.
    public mutating func samples(_ histogram: Histogram, _ labels: KeyValuePairs<StaticString, String> = [:]) {
        for (bound, count) in histogram.buckets {
            begin("_bucket", labels, bound: bound)
            output.append(String(count))
            output.append("\n")
        }
        begin("_sum", labels, bound: nil)
        append(histogram.sumInSeconds)
        begin("_count", labels, bound: nil)
        output.append(String(histogram.count))
        output.append("\n")
    }

    private mutating func begin(
        _ suffix: StaticString, _ labels: KeyValuePairs<StaticString, String>, bound: Double?
    ) {
        output.append(name)
        output.append(suffix)
        if !labels.isEmpty || bound != nil {
            var separator: StaticString = "{"
            for (label, value) in labels {
                output.append(separator)
                output.append(label)
                output.append("=\"")
                appendEscaped(value)
                output.append("\"")
                separator = ","
            }
            if let bound {
                output.append(separator)
                output.append("le=\"")
                output.append(PrometheusText.text(of: bound))
                output.append("\"")
            }
            output.append("}")
        }
        output.append(" ")
    }

    private mutating func append(_ value: Double) {
        output.append(PrometheusText.text(of: value))
        output.append("\n")
    }

    /// Appends a label's value, which may have any bytes; three of them are escaped.
    private mutating func appendEscaped(_ value: String) {
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): output.append("\\\\")
            case UInt8(ascii: "\""): output.append("\\\"")
            case UInt8(ascii: "\n"): output.append("\\n")
            default: output.append(byte)
            }
        }
    }

    private static func text(of value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        // Whole numbers have no fraction: `30`, not `30.0`.
        if value == value.rounded(), value.magnitude < 1e15 { return String(Int64(value)) }
        return String(value)
    }
}
