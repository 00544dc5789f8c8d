// Reads the command line: which subcommand, with which flags.

import FynloCore
import FynloIO
import Glibc

/// The exit codes of fynlo-server (sysexits.h). The tool `fynlo` has others: its 1 and 2 say how the server answered.
enum ExitCode {
    static let done: Int32 = 0
    static let failed: Int32 = 1
    static let usage: Int32 = 64
    static let config: Int32 = 78
}

/// A command line that fynlo-server cannot understand.
struct UsageError: Error, CustomStringConvertible {
    let description: String
    init(_ sentence: String) { description = sentence }
}

extension CommandLine {
    /// Runs the subcommand that the arguments name; returns the exit code.
    static func run(_ arguments: [String]) -> Int32 {
        var arguments = arguments
        if arguments.contains("--help") || arguments.contains("-h") || arguments.first == "help" {
            printOut(helpText)
            return ExitCode.done
        }
        if arguments.first == "--version" {
            printOut("fynlo-server \(fynloVersion)\n")
            return ExitCode.done
        }
        let command = arguments.first.map { $0.hasPrefix("-") ? "serve" : $0 } ?? "serve"
        if arguments.first == command { arguments.removeFirst() }
        do {
            switch command {
            case "serve": return try ServeCommand.run(Flags(arguments))
            case "migrate": return try MigrateCommand.run(arguments)
            case "token": return try TokenCommand.run(arguments)
            case "check": return try CheckCommand.run(Flags(arguments))
            case "demo-data": return try DemoDataCommand.run(arguments)
            default:
                throw UsageError("There is no subcommand \(command); see fynlo-server --help.")
            }
        } catch let error as UsageError {
            printError(error.description)
            return ExitCode.usage
        } catch let error as ConfigError {
            printError(error.description)
            return ExitCode.config
        } catch {
            printError(String(describing: error))
            return ExitCode.failed
        }
    }

    /// The environment as a dictionary.
    static var environment: [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            next += 1
        }
        return variables
    }

    private static var helpText: String {
        let names = ProcessEnvironment.credentials
        let credentials = names.joined(separator: ", ")
        var text = """
            fynlo-server: keeps the tablets of restaurants in step.

            Usage:
              fynlo-server [serve] [--flag value ...]   serve tablets and the menu
              fynlo-server migrate up|down|status       the database's schema
              fynlo-server token --user EMAIL [--ttl 1h]  a token for a user, signed with FYNLO_JWT_SECRET
              fynlo-server check                        configuration, PostgreSQL, Redis: a line each
              fynlo-server demo-data                    two realistic restaurants
              fynlo-server --help | --version

            Configuration is read from the environment; a flag such as --listen overrides FYNLO_LISTEN. Variables with a
            secret in them have no flag, since a command line can be read by others. Durations take ms, s, m, h, d.
            These may also be files of that name in $CREDENTIALS_DIRECTORY (LoadCredential= of systemd), which are used where
            the variable is not set: \(credentials).


            """
        let width = Config.variables.map(\.name.count).max() ?? 0
        for variable in Config.variables {
            let padding = String(repeating: " ", count: width - variable.name.count + 2)
            let fallback = variable.fallback.isEmpty ? "" : " [\(variable.fallback)]"
            text += "  \(variable.name)\(padding)\(variable.help)\(fallback)\n"
        }
        text += """

            Signals: TERM and INT let it finish what it is at and tell the tablets when to come back; a second one ends it at
            once. HUP reads certificates and keys anew. USR1 logs everything, USR2 what FYNLO_LOG says.

            A listening socket that a service manager passes on (LISTEN_FDS) is used in place of FYNLO_LISTEN. NOTIFY_SOCKET
            and WATCHDOG_USEC are honoured.

            Exit codes: 0 done, 1 failed, 64 wrong usage, 78 bad configuration.

            """
        return text
    }
}

/// Parses `--name value` and `--name=value`; returns the values by the variable that each overrides.
struct Flags {
    let values: [String: String]

    init(_ arguments: [String]) throws {
        var values: [String: String] = [:]
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let variable = Config.variables.first(where: { $0.flag == parts[0] }) else {
                if Config.variables.contains(where: { $0.kind == .secret && $0.spelledAsFlag == parts[0] }) {
                    throw UsageError("\(parts[0]) would put a secret on the command line; use the environment.")
                }
                throw UsageError("There is no flag \(parts[0]); see fynlo-server --help.")
            }
            guard let value = parts.count == 2 ? parts[1] : rest.popFirst() else {
                throw UsageError("\(parts[0]) needs a value.")
            }
            values[variable.name] = value
        }
        self.values = values
    }
}

/// Writes the whole text to standard output.
func printOut(_ text: String) {
    write(text, to: STDOUT_FILENO)
}

/// Writes one line to standard error.
func printError(_ sentence: String) {
    write("fynlo-server: \(sentence)\n", to: STDERR_FILENO)
}

private func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if written < 0 && errno == EINTR { continue }
        // The reader has closed the pipe: the error cannot be reported.
        guard written > 0 else { return }
        rest = rest.dropFirst(written)
    }
}
