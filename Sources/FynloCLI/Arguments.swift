// Flags, and the words between them.

import FynloCore

/// The words after a subcommand.
struct Arguments {
    private var flags: [String: String] = [:]
    private var switches: Set<String> = []
    /// The words that are neither flags nor their values; all after `--`.
    private(set) var words: [String] = []

    /// Reads `--name value` and `--name=value`, and `--name` alone for one of `switches`. Throws for a flag that is neither
    /// of `names` nor of those, is given twice, or has no value.
    init(_ arguments: [String], flags names: [String], switches switchNames: [String] = []) throws(UsageError) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                words += rest
                break
            }
            // A single dash is a word: standard input.
            guard argument.hasPrefix("-"), argument != "-" else {
                words.append(argument)
                continue
            }
            if switchNames.contains(argument) {
                switches.insert(argument)
                continue
            }
            let equals = argument.firstIndex(of: "=")
            let name = String(argument[..<(equals ?? argument.endIndex)])
            if name == "--token" {
                throw UsageError(
                    "Others can read a command line: put the token into FYNLO_TOKEN, or name a --token-file.")
            }
            guard !switchNames.contains(name) else { throw UsageError("\(name) takes no value.") }
            guard names.contains(name) else { throw UsageError("There is no flag \(name); see --help.") }
            guard flags[name] == nil else { throw UsageError("\(name) is given twice.") }
            guard let value = equals.map({ String(argument[argument.index(after: $0)...]) }) ?? rest.popFirst() else {
                throw UsageError("\(name) needs a value.")
            }
            flags[name] = value
        }
    }

    subscript(_ flag: String) -> String? { flags[flag] }

    /// True if the switch is given.
    func has(_ name: String) -> Bool { switches.contains(name) }

    /// A whole number within bounds; `nil` if it is not given.
    func integer(_ flag: String, in bounds: ClosedRange<Int>) throws(UsageError) -> Int? {
        guard let text = flags[flag] else { return nil }
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(text), bounds.contains(number) else {
            let range = "from \(bounds.lowerBound)" + (bounds.upperBound == .max ? "" : " to \(bounds.upperBound)")
            throw UsageError("\(flag) is a whole number \(range), not \(text).")
        }
        return number
    }

    /// A duration; `nil` if it is not given.
    func duration(
        _ flag: String, in bounds: ClosedRange<Duration> = .milliseconds(1)...(.seconds(86_400))
    ) throws(UsageError) -> Duration? {
        guard let text = flags[flag] else { return nil }
        guard let duration = Duration(text: text), bounds.contains(duration) else {
            let range = "\(bounds.lowerBound.text) to \(bounds.upperBound.text)"
            throw UsageError("\(flag) is a duration such as 500ms, 30s, 5m or 2h, from \(range), not \(text).")
        }
        return duration
    }

    /// `--restaurant`, which is required.
    func restaurant() throws(UsageError) -> RestaurantID {
        guard let text = flags["--restaurant"] else { throw UsageError("--restaurant UUID is missing.") }
        guard let restaurant = RestaurantID(text) else {
            throw UsageError("--restaurant takes a UUID, not \(text).")
        }
        return restaurant
    }
}
