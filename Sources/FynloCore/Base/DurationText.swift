// Durations as people write them in settings and flags: a whole number and its unit.

extension Duration {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]

    /// Reads `500ms`, `30s`, `5m`, `2h` or `7d`. A number needs its unit; only `0` does without. `nil` for anything else, and
    /// for what does not fit into 64 bits as nanoseconds.
    public init?(text: String) {
        if text == "0" {
            self = .zero
            return
        }
        for (unit, milliseconds) in Duration.units where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int64(digits) else {
                continue
            }
            let (product, overflow) = number.multipliedReportingOverflow(by: milliseconds)
            guard !overflow, product <= Int64.max / 1_000_000 else { return nil }
            self = .milliseconds(product)
            return
        }
        return nil
    }

    /// The duration in its largest whole unit, as `90s`, `2m` or `0s`.
    public var text: String {
        let milliseconds = inMilliseconds
        let unit = Duration.units.last { milliseconds != 0 && milliseconds % $0.milliseconds == 0 } ?? ("s", 1_000)
        return "\(milliseconds / unit.milliseconds)\(unit.name)"
    }
}
