// Chooses the subcommand, and defines how a command ends.

import FynloCore

/// The exit codes of `fynlo`.
enum ExitCode {
    static let done: Int32 = 0
    /// The server answered with an error.
    static let refused: Int32 = 1
    /// There was no connection, or the server refused to authenticate.
    static let unconnected: Int32 = 2
    /// As in sysexits.h.
    static let usage: Int32 = 64

    static let help = """
        Exit codes: 0 done, 1 the server answered with an error, 2 no connection or not let in, 64 wrong usage.

        """
}

/// What is wrong with a command line or an environment, as one sentence.
struct UsageError: Error {
    let sentence: String

    init(_ sentence: String) {
        self.sentence = sentence
    }
}

/// Runs the subcommand that the arguments name; returns the exit code.
func runCommand(_ words: [String]) -> Int32 {
    let name = words.first ?? ""
    let rest = Array(words.dropFirst())
    let isHelp = rest.contains("--help") || rest.contains("-h")
    do throws(UsageError) {
        switch name {
        case "tail": return try isHelp ? Console.help(TailCommand.help) : TailCommand.run(rest)
        case "send": return try isHelp ? Console.help(SendCommand.help) : SendCommand.run(rest)
        case "menu": return try isHelp ? Console.help(MenuCommand.help) : MenuCommand.run(rest)
        case "orders": return try isHelp ? Console.help(OrdersCommand.help) : OrdersCommand.run(rest)
        case "doctor": return try isHelp ? Console.help(DoctorCommand.help) : DoctorCommand.run(rest)
        case "load": return try isHelp ? Console.help(LoadCommand.help) : LoadCommand.run(rest)
        case "--help", "-h", "help": return Console.help(helpText)
        case "--version": return Console.help("fynlo \(fynloVersion)\n")
        case "": throw UsageError("Name a subcommand, such as tail or send; see fynlo --help.")
        default: throw UsageError("There is no subcommand \(name); see fynlo --help.")
        }
    } catch {
        Console.note(error.sentence)
        return ExitCode.usage
    }
}

private let helpText = """
    fynlo: talks to a Fynlo server as a tablet does, and measures and examines it.

    Usage:
      fynlo tail --restaurant UUID [options]                  follow a restaurant's events
      fynlo send --restaurant UUID [options] TYPE JSON-DATA   send one message and wait for its answer
      fynlo menu --restaurant UUID [options]                  show a restaurant's menu
      fynlo orders --restaurant UUID [options]                list a restaurant's orders
      fynlo orders ID | create JSON | status ID STATUS        show an order, take one, move one on
      fynlo doctor [URL] [options]                            find out what is wrong on the way to a server
      fynlo load SCENARIO [URL] [options]                     measure what a server can take
      fynlo SUBCOMMAND --help
      fynlo --help | --version

    \(ConnectionOptions.help)
    \(ExitCode.help)
    """
