// Flags and what stands between them.

/// The words after a subcommand.
struct Arguments {
    private var flags: [String: String] = [:]
    /// The words that are neither flags nor their values; all after `--`.
    private(set) var words: [String] = []

    /// Reads `--name value` and `--name=value`. Throws for a flag that is not one of `names`, is given twice, or has no
    /// value.
    init(_ arguments: [String], flags names: [String]) throws(UsageError) {
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
            let equals = argument.firstIndex(of: "=")
            let name = String(argument[..<(equals ?? argument.endIndex)])
            if name == "--token" {
                throw UsageError(
                    "Others can read a command line: put the token into FYNLO_TOKEN, or name a --token-file.")
            }
            guard names.contains(name) else { throw UsageError("There is no flag \(name); see --help.") }
            guard flags[name] == nil else { throw UsageError("\(name) is given twice.") }
            guard let value = equals.map({ String(argument[argument.index(after: $0)...]) }) ?? rest.popFirst() else {
                throw UsageError("\(name) needs a value.")
            }
            flags[name] = value
        }
    }

    subscript(_ flag: String) -> String? { flags[flag] }
}
