/// A setting that cannot be used. The sentence names the setting and never quotes a secret.
struct ConfigError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ sentence: String) {
        description = sentence
    }
}
