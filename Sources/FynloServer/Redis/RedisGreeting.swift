// What a new connection says first: AUTH and SELECT as far as they are needed, and PING, since a Redis that does not answer
// or is still loading is not ready.

/// The commands of the greeting, in order.
enum RedisGreeting {
    struct Step {
        let command: [RedisArgument]
        /// Why an error reply ends the attempt, as a sentence; `nil` if it does not.
        let refusal: (String) -> String?
        /// Redis is ready once this step has been answered.
        var isLast = false
    }

    static func steps(_ settings: RedisSettings) -> [Step] {
        var steps: [Step] = []
        if let password = settings.password {
            let user = settings.user.map { [RedisArgument.bytes($0)] } ?? []
            steps.append(
                Step(command: ["AUTH"] + user + [.bytes(password)]) { error in
                    // The text is logged only if it is known not to repeat the password.
                    error.hasPrefix("DENIED") || error.hasPrefix("ERR max number of clients")
                        ? "It refuses us: \(printable(error))." : "It refuses the user or password of REDIS_URL."
                })
        }
        if settings.database != 0 {
            steps.append(
                Step(command: ["SELECT", .integer(Int64(settings.database))]) { error in
                    "It refuses the database: \(printable(error))."
                })
        }
        steps.append(Step(command: ["PING"], refusal: pingRefusal, isLast: true))
        return steps
    }

    private static func pingRefusal(_ error: String) -> String? {
        // A user who may not PING has been let in all the same.
        if error.hasPrefix("NOPERM") { return nil }
        if error.hasPrefix("NOAUTH") { return "It wants a password, and REDIS_URL has none." }
        return "It refuses us: \(printable(error))."
    }

    /// The beginning of a text from Redis, on one line and without its full stop.
    private static func printable(_ text: String) -> String {
        let characters = text.unicodeScalars.prefix(200).map { scalar in
            scalar.value < 0x20 || scalar.value == 0x7f ? " " : Character(scalar)
        }
        let line = String(characters)
        return line.hasSuffix(".") ? String(line.dropLast()) : line
    }
}
