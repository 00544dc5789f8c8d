// fynlo load: measures how much load a server can take.

import FynloClient
import FynloCore
import FynloIO
import Glibc

enum LoadCommand {
    static let help = """
        fynlo load: measures what a server can take, with thousands of connections that speak as tablets do.

        Usage:
          fynlo load SCENARIO [URL] --restaurant UUID [options]
          fynlo load SCENARIO [URL] --accounts FILE [options]

        Scenarios:
          storm                   all connect and authenticate, as fast as possible
          ping                    all send pings, and the next one when one is answered (or at a --rate)
          fan-out                 one tablet of each restaurant sends events, which all of its tablets get
          orders                  all change orders of theirs to pending, the next one when one is acknowledged (or refused)
          reconnect               all are cut at once, and come back with a tablet's jittered back-off, within 5 minutes
          idle                    all stay, with nothing but their heartbeat, for the --duration

        Options:
          --connections N         [100]
          --concurrency N         so many may be connecting at the same time [1000]; not in reconnect
          --outstanding N         pings per connection, or events per restaurant, that are under way together [1]
          --rate N                instead: pings per second in all, or events per second and restaurant. Latency then
                                  counts from when a message was due
          --orders FILE           of the orders scenario: lines of RESTAURANT-UUID ORDER-UUID, the orders in status draft
          --at-once               of reconnect: without the back-off, all at the same time
          --duration TIME         of the measurement, such as 30s or 5m [10s]
          --timeout TIME          of one attempt to connect and authenticate [30s]
          --server-pid PID        report this process of the same machine, too
          --bind ADDRESS,…        connect from these addresses in turn [127.0.0.1, 127.0.0.2, … for more than 25,000
                                  connections to 127.0.0.1; else the kernel's choice]
          --client-type TYPE      as in fynlo tail
          --accounts FILE         lines of RESTAURANT-UUID USER-UUID TOKEN, which connections take in turn
          --restaurant UUID, --user-id UUID: one account instead, with the token
        \(ServerOptions.help)

        Environment:
        \(ServerOptions.environmentHelp)
          FYNLO_USER_ID           instead of --user-id

        A server lets 5 connections of a user and 100 of a restaurant in, and 20 messages a second through. Measure with many
        accounts, made by

          psql -At -F ' ' "$DATABASE_URL" -c 'select restaurant_id, id, email from users where is_active' |
            while read -r restaurant user email; do
              echo "$restaurant $user $(fynlo-server token --user "$email" --ttl 1d)"
            done > accounts

        or with the server's limits out of the way: FYNLO_MAX_CONNECTIONS_PER_USER, FYNLO_MAX_CONNECTIONS_PER_RESTAURANT,
        FYNLO_RATE_LIMIT, FYNLO_RATE_BURST.

        The result is one JSON object on standard output, lines for a person on a terminal. Latencies are objects of
        milliseconds: count, min, mean, p50, p95, p99, "p99.9" and max.

          scenario, server, started_at
          ok                      true when no connection and no message was lost
          interrupted             true after Ctrl-C
          connections             wanted, connected, failed, lost (in, and then ended)
          connect                 seconds (until all were in), per_second, latency_ms (from connect to authenticated)
          ping                    seconds, outstanding, rate, sent, answered, refused, lost, per_second, latency_ms
          fan_out                 seconds, restaurants, outstanding, rate, events, complete, refused, deliveries, lost,
                                  deliveries_per_second, delivery_latency_ms, last_receipt_latency_ms
          orders                  seconds, sent, acknowledged, refused, lost, left (in the file), per_second, latency_ms
          reconnect               dropped, back, not_back, seconds (until all were back; -1: never), retried, most_attempts,
                                  latency_ms (from the cut to authenticated)
          idle                    seconds, open_at_end, missed_pongs, heartbeat_latency_ms
          errors                  how many of each kind, the most frequent first
          load_maker              connect_cpu_seconds, connect_cores (while connecting), cpu_seconds, cores (while measuring),
                                  resident_kib. A cores of nearly 1 means that this program was the limit
          server_process          the same with --server-pid, and resident_kib_before

        Exit codes: 0 nothing was lost, 1 connections or messages were lost, 2 no connection at all, 64 wrong usage.

        """

    static func run(_ words: [String]) throws(UsageError) -> Int32 {
        let plan = try LoadPlan(try Arguments(words, flags: LoadPlan.flags, switches: LoadPlan.switches))
        do {
            let tls = try plan.server.server.usesTLS ? plan.server.tls ?? TLSContext() : nil
            let target = try findTarget(plan.server.server)
            let loop = try EventLoop()
            defer { loop.close() }
            let run = LoadRun(plan: plan, loop: loop, target: target, tls: tls)
            try run.execute()
            print(run.report)
            return run.isFine ? ExitCode.done : run.hasConnected ? ExitCode.refused : ExitCode.unconnected
        } catch {
            Console.note("\(error)")
            return ExitCode.unconnected
        }
    }

    private static func print(_ report: LoadResult) {
        if Console.isTerminal {
            let lines = report.lines().joined(separator: "\n") + "\n"
            _ = Console.write(Console.printableLines(Array(lines.utf8)))
        } else {
            var json = ByteBuffer()
            report.append(to: &json)
            json.append("\n")
            _ = Console.write(json.bytes())
        }
    }

    /// The first of the server's addresses that accepts a connection.
    private static func findTarget(_ server: ServerURL) throws(SystemError) -> SocketAddress {
        let addresses = try Resolver.resolve(host: server.host, port: server.port).get()
        var problem = SystemError.unresolved(host: server.host, reason: "it has no addresses")
        for address in addresses {
            do throws(SystemError) {
                let socket = try Socket.nonBlockingConnect(to: address)
                var ready = pollfd(fd: socket.rawValue, events: Int16(POLLOUT), revents: 0)
                guard poll(&ready, 1, 5_000) == 1 else { throw .call("connect", code: ETIMEDOUT) }
                if let error = Socket.pendingError(of: socket.rawValue) { throw error }
                return address
            } catch {
                problem = error
            }
        }
        throw problem
    }
}
