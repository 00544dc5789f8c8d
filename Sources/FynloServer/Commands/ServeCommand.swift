// serve: the server, until it is told to stop.

import FynloCore
import FynloIO
import Glibc

enum ServeCommand {
    static func run(_ flags: Flags) throws -> Int32 {
        // First, so that the connection limit is counted from it.
        let descriptors = ProcessSetup.raiseDescriptorLimit()
        let config = try Config(environment: CommandLine.environment, flags: flags.values)
        guard config.tokens.secret != nil || config.tokens.keySetPath != nil else {
            throw ConfigError(
                "Neither FYNLO_JWT_SECRET nor FYNLO_JWT_JWKS_FILE is set; without a key no token can be checked.")
        }
        let log = Logger(level: config.logLevel, format: config.logFormat)
        try prepareSchema(config, log)

        let loop = try EventLoop()
        defer { loop.close() }
        let server = try Server(loop: loop, config: config, log: log)
        let signals = try SignalSource(loop: loop, signals: [SIGTERM, SIGINT, SIGHUP]) { signal in
            if signal == SIGHUP { server.reload() } else { server.drain { loop.stop() } }
        }
        log.info(
            "serving",
            [
                "address": server.address.description, "version": fynloVersion, "descriptors": String(descriptors),
                "process": String(getpid()),
            ])
        try loop.run()
        signals.close()
        log.info("stopped")
        return ExitCode.done
    }

    /// Missing migrations are applied with FYNLO_MIGRATE=1, else refused. A database that is away is no reason not to
    /// start: it is waited for, and /health/ready tells.
    private static func prepareSchema(_ config: Config, _ log: Logger) throws {
        let settings = try Config.postgres(environment: CommandLine.environment, role: .tool)
        let session: PostgresSession
        do {
            session = try PostgresSession(settings)
        } catch {
            log.warning("postgres_unreachable", ["error": error.description])
            return
        }
        let runner = MigrationRunner(session: session)
        if config.migratesAtStart {
            do {
                try runner.up { log.info("migrated", ["version": String($0.version), "name": $0.name]) }
            } catch {
                throw ConfigError(error.description)
            }
            return
        }
        let missing: Int
        do {
            missing = try runner.status().count { $0.appliedAt == nil }
        } catch {
            throw ConfigError(error.description)
        }
        guard missing == 0 else {
            throw ConfigError(
                "The database lacks \(missing) of \(Migration.all.count) migrations; run fynlo-server migrate up, or set FYNLO_MIGRATE=1."
            )
        }
    }
}
