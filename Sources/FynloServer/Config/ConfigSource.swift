// Where the values of the configuration come from: flags before environment variables before defaults.

import FynloCore
import FynloIO

extension Config {
    /// Reads the values of variables, and checks their form.
    struct Source {
        let environment: [String: String]
        let flags: [String: String]

        /// The value that was given; `nil` if there is none or it is empty.
        func text(_ name: String) -> String? {
            guard let value = flags[name] ?? environment[name], !value.isEmpty else { return nil }
            return value
        }

        /// The value that was given, or the default from the table.
        func value(_ name: String) -> String {
            text(name) ?? Config.variables.first { $0.name == name }?.fallback ?? ""
        }

        func address(_ name: String, _ text: String) throws(ConfigError) -> SocketAddress {
            do {
                return try SocketAddress(parsing: text)
            } catch {
                throw ConfigError("\(name) cannot be used: \(error)")
            }
        }

        func integer(
            _ name: String, unset: Int? = nil, in range: ClosedRange<Int>
        ) throws(ConfigError) -> Int {
            if text(name) == nil, let unset { return unset }
            guard let number = Int(value(name)), range.contains(number) else {
                throw ConfigError(
                    "\(name) has to be a whole number from \(range.lowerBound) to \(range.upperBound), not \(value(name))."
                )
            }
            return number
        }

        func boolean(_ name: String) throws(ConfigError) -> Bool {
            switch value(name) {
            case "1", "true": return true
            case "0", "false": return false
            default: throw ConfigError("\(name) has to be 0 or 1, not \(value(name)).")
            }
        }

        func duration(
            _ name: String, minimum: Duration = .milliseconds(1), maximum: Duration = .seconds(3_650 * 86_400)
        ) throws(ConfigError) -> Duration {
            let text = value(name)
            guard let duration = Duration(text: text), duration >= minimum else {
                throw ConfigError("\(name) has to be a duration such as 500ms, 30s, 5m, 2h or 7d, not \(text).")
            }
            guard duration <= maximum else {
                throw ConfigError("\(name) may be \(maximum.components.seconds / 86_400)d at most, not \(text).")
            }
            return duration
        }
    }
}
