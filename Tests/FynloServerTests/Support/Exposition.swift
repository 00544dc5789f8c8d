import FynloCore
import Testing

@testable import FynloServer

/// Metrics as Prometheus reads them: exposition format 0.0.4, and what promtool finds fault with besides.
struct Exposition {
    struct Series: Hashable, CustomStringConvertible {
        let name: String
        let labels: [String: String]

        var description: String { "\(name)\(labels.sorted { $0.key < $1.key })" }
    }

    enum Fault: Error {
        case line(String)
        case family(String)
    }

    private(set) var values: [Series: Double] = [:]
    /// By name.
    private(set) var kinds: [String: String] = [:]

    private let helpForm = /# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)/
    private let typeForm = /# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)/
    private let sampleForm = /([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)/
    private let labelForm = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\\\|\\"|\\n)*)"/

    init(_ bytes: [UInt8]) throws {
        guard let text = String(validating: bytes.span) else { throw Fault.line("not UTF-8") }
        guard text.hasSuffix("\n") else { throw Fault.line("the last line does not end") }
        var family = ""
        var helped = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if let match = line.wholeMatch(of: helpForm) {
                helped = String(match.1)
                guard kinds[helped] == nil, match.2.hasSuffix(".") else { throw Fault.line(String(line)) }
            } else if let match = line.wholeMatch(of: typeForm) {
                family = String(match.1)
                guard family == helped, kinds[family] == nil else { throw Fault.line(String(line)) }
                kinds[family] = String(match.2)
                let isCounter = match.2 == "counter"
                guard family.hasSuffix("_total") == isCounter, family.hasPrefix("fynlo_") else {
                    throw Fault.family(family)
                }
            } else {
                try read(line, of: family)
            }
        }
        for (family, kind) in kinds where kind == "histogram" { try checkHistogram(family) }
        for family in kinds.keys where !values.keys.contains(where: { $0.name.hasPrefix(family) }) {
            // Of what is by restaurant there is nothing without restaurants.
            guard ["fynlo_connections", "fynlo_restaurant_event_lag"].contains(family) else {
                throw Fault.family("\(family) has no samples")
            }
        }
    }

    private mutating func read(_ line: Substring, of family: String) throws {
        guard let match = line.wholeMatch(of: sampleForm), let value = Self.value(match.3) else {
            throw Fault.line(String(line))
        }
        let name = String(match.1)
        let suffixes = kinds[family] == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard suffixes.contains(where: { name == family + $0 }) else { throw Fault.line(String(line)) }
        var labels: [String: String] = [:]
        if let list = match.2 {
            var rest = list.dropFirst().dropLast()
            while true {
                guard let label = rest.prefixMatch(of: labelForm), labels[String(label.1)] == nil else {
                    throw Fault.line(String(line))
                }
                labels[String(label.1)] = Self.unescaped(label.2)
                rest = rest[label.range.upperBound...]
                if rest.isEmpty { break }
                guard rest.hasPrefix(",") else { throw Fault.line(String(line)) }
                rest = rest.dropFirst()
            }
        }
        if kinds[family] != "gauge", !(value >= 0) { throw Fault.line(String(line)) }
        let series = Series(name: name, labels: labels)
        guard values[series] == nil else { throw Fault.line("twice: \(line)") }
        values[series] = value
    }

    private static func value(_ text: Substring) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default: text.wholeMatch(of: /-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?/) == nil ? nil : Double(text)
        }
    }

    private static func unescaped(_ text: Substring) -> String {
        String(text.replacing(/\\(.)/) { $0.1 == "n" ? "\n" : $0.1 })
    }

    /// The buckets rise up to +Inf, which has the count.
    private func checkHistogram(_ family: String) throws {
        let counts = values.filter { $0.key.name == family + "_count" }
        guard !counts.isEmpty else { throw Fault.family(family) }
        for (series, count) in counts {
            guard values[Series(name: family + "_sum", labels: series.labels)] != nil else {
                throw Fault.family(family)
            }
            let buckets = values.compactMap { bucket, value -> (Double, Double)? in
                var labels = bucket.labels
                let bound = labels.removeValue(forKey: "le")
                guard bucket.name == family + "_bucket", labels == series.labels else { return nil }
                return bound.flatMap { Self.value($0[...]) }.map { ($0, value) }
            }.sorted { $0.0 < $1.0 }
            guard buckets.last?.0 == .infinity, buckets.last?.1 == count, buckets.count > 2,
                zip(buckets, buckets.dropFirst()).allSatisfy({ $0.1 <= $1.1 && $0.0 < $1.0 })
            else { throw Fault.family(family) }
        }
    }

    /// The one sample with just these labels; `nil`: there is none.
    subscript(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        values[Series(name: name, labels: labels)]
    }

    /// The sum of all samples of a name that have these labels.
    func sum(_ name: String, _ labels: [String: String] = [:]) -> Double {
        values.reduce(0) { sum, entry in
            let isMeant = entry.key.name == name && labels.allSatisfy { entry.key.labels[$0] == $1 }
            return isMeant ? sum + entry.value : sum
        }
    }
}

extension TestServer {
    /// What the server counts.
    func metrics(sourceLocation: SourceLocation = #_sourceLocation) throws -> Exposition {
        let answer = try request(.get, "/metrics", sourceLocation: sourceLocation)
        try #require(answer.status == 200, sourceLocation: sourceLocation)
        return try Exposition(answer.body)
    }
}
