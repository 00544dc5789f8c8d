// What the process was told by who started it: environment variables, and secrets in files beside them (LoadCredential= of
// systemd). It is read once; then nothing of it is left for others to see.

import FynloCore
import FynloIO
import Glibc

/// The environment of this process.
enum ProcessEnvironment {
    /// Variables that name a file, and may be a credential as a whole: its path is their value.
    static let files = ["FYNLO_JWT_JWKS_FILE", "FYNLO_TLS_CERT", "FYNLO_TLS_KEY"]
    /// Everything that may be a credential.
    static var credentials: [String] { Config.variables.filter { $0.kind == .secret }.map(\.name) + files }

    /// What a service manager says to this process alone.
    private static let personal = [
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
    ]
    /// The most that a secret may have.
    private static let secretBytes = 65_536

    /// All variables, with the credentials for those that are not set. Secrets are removed from the environment, and what
    /// is meant for no child either. For the beginning of a subcommand.
    static func take() throws(ConfigError) -> [String: String] {
        let variables = CommandLine.environment
        for name in Config.variables.filter({ $0.kind == .secret }).map(\.name) + personal {
            ProcessSetup.forgetVariable(name)
        }
        return try withCredentials(variables)
    }

    /// Adds what is in CREDENTIALS_DIRECTORY under a variable's name. A variable that is set wins.
    static func withCredentials(_ variables: [String: String]) throws(ConfigError) -> [String: String] {
        guard let directory = variables["CREDENTIALS_DIRECTORY"], !directory.isEmpty else { return variables }
        var all = variables
        for variable in Config.variables where variables[variable.name, default: ""].isEmpty {
            let path = directory + "/" + variable.name
            if variable.kind == .secret {
                if let secret = try secret(variable.name, path) { all[variable.name] = secret }
            } else if files.contains(variable.name), access(path, F_OK) == 0 {
                all[variable.name] = path
            }
        }
        return all
    }

    /// A line of text; the line break at its end, which editors make, is not part of it. `nil` when there is no such file.
    private static func secret(_ name: String, _ path: String) throws(ConfigError) -> String? {
        guard var bytes = File.contents(of: path, limit: secretBytes) else {
            switch errno {
            case ENOENT: return nil
            case EFBIG: throw ConfigError("The credential \(name) has more than \(secretBytes) bytes.")
            default:
                throw ConfigError(
                    "The credential \(name) in CREDENTIALS_DIRECTORY cannot be read: \(String(cString: strerror(errno)))."
                )
            }
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard !bytes.isEmpty else { throw ConfigError("The credential \(name) is empty.") }
        guard bytes.allSatisfy({ $0 >= 0x20 }), let text = String(validating: bytes.span) else {
            throw ConfigError("The credential \(name) has to be one line of text.")
        }
        return text
    }
}
