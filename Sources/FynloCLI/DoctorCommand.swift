// fynlo doctor: finds what is wrong between here and the server.

import FynloCore
import FynloIO

enum DoctorCommand {
    static let help = """
        fynlo doctor: finds out what is wrong between here and a server, step by step.

        Usage:
          fynlo doctor [URL] [options]

        Steps, each of which is ok, a warning, FAILED with what to do about it, or skipped:
          name                    the host's name has addresses
          tcp                     one of them takes connections
          tls                     (https) the certificate is for the host, valid, and from an authority that is trusted
          http                    there is an answer in HTTP
          clock                   the server's clock and ours agree: a warning beyond 5 s, a failure beyond 30 s
          upgrade                 the server's path is a WebSocket, also through proxies
          authentication          the token lets the user into the restaurant
          heartbeat               pings are answered by pongs
          resume                  a second connection takes up the events where the first one ended
          idle                    (with --idle) a silent connection is not cut

        Without --restaurant, --user-id and a token it ends after the upgrade. On a terminal each step is a line, elsewhere
        a JSON object: step, outcome (ok, warning, failed or skipped), detail, and where something is wrong fault (a name
        that stays the same) and advice.

        Options:
          --restaurant UUID       the restaurant
          --user-id UUID          whose token it is: users.id of the database, not the token's sub
          --timeout TIME          how long to wait for each answer [5s]
          --pings N               [5]
          --idle TIME             keep silent for so long; more than 60s, where proxies usually cut [not at all]
          --origin ORIGIN         upgrade as a page of this origin, as in https://pos.example.com
          --client-type TYPE      as in fynlo tail
          --json                  JSON on a terminal, too
        \(ServerOptions.help)

        Environment:
        \(ServerOptions.environmentHelp)
          FYNLO_USER_ID           instead of --user-id

        Exit codes: 0 nothing has failed, 1 let in, but something after that has failed, 2 no connection or not let in, 64
        wrong usage. A clock that is off alone is 1.

        """

    static func run(_ words: [String]) throws(UsageError) -> Int32 {
        let arguments = try Arguments(words, flags: DoctorOptions.flags, switches: ["--json"])
        let options = try DoctorOptions(arguments)
        let isJSON = !Console.isTerminal || arguments.has("--json")
        do throws(SystemError) {
            let loop = try EventLoop()
            defer { loop.close() }
            let doctor = Doctor(loop: loop, options: options) { finding in
                _ = Console.write(isJSON ? finding.json : finding.line(hasColour: Console.hasColour))
            }
            return try doctor.run()
        } catch {
            Console.note(error.description)
            return ExitCode.unconnected
        }
    }
}
