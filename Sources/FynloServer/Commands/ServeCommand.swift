// serve: runs the server until it is told to stop.

import FynloCore
import FynloIO
import Glibc

enum ServeCommand {
    /// Long because the steps of a start depend on each other, and their order matters.
    static func run(_ flags: Flags) throws -> Int32 {
        // This comes first because the default limit of connections depends on it.
        let descriptors = ProcessSetup.raiseDescriptorLimit()
        ProcessSetup.forbidCoreDumps()
        let environment = try ProcessEnvironment.take()
        let config = try Config(environment: environment, flags: flags.values)
        guard config.tokens.secret != nil || config.tokens.keySetPath != nil else {
            throw ConfigError(
                "Neither FYNLO_JWT_SECRET nor FYNLO_JWT_JWKS_FILE is set; without a key no token can be checked.")
        }
        let listeners = try inheritedListeners(environment)
        let log = Logger(
            level: config.logLevel, format: config.logFormat, journalStream: environment["JOURNAL_STREAM"])
        let systemd = SystemdNotifier(environment, log: log)
        try prepareSchema(config, environment, log, systemd)

        let loop = try EventLoop()
        defer { loop.close() }
        let server = try Server(
            loop: loop, config: config, log: log, listener: listeners.main, operationsListener: listeners.operations)
        log.whenRepeating = { [unowned loop, unowned log] delay in loop.after(delay) { log.summarize() } }
        let signals = try answerSignals(loop, server, systemd, level: config.logLevel)
        log.info(
            "serving",
            [
                "address": server.address.description, "version": fynloVersion, "descriptors": String(descriptors),
                "process": String(getpid()),
            ])
        systemd.start(loop)
        let settings = try Config.postgres(environment: environment, role: .tool)
        awaitReadiness(server, systemd, migrating: config.migratesAtStart ? settings : nil)
        try loop.run()
        signals.close()
        systemd.close()
        log.summarize(isFinal: true)
        log.info("stopped")
        return ExitCode.done
    }

    /// TERM and INT drain, and a second one stops at once; HUP reloads; USR1 and USR2 change the log's level.
    private static func answerSignals(
        _ loop: EventLoop, _ server: Server, _ systemd: SystemdNotifier, level: Logger.Level
    ) throws -> SignalSource {
        try SignalSource(loop: loop, signals: [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]) { signal in
            switch signal {
            case SIGHUP: systemd.reloading(server.reload)
            case SIGUSR1: server.log.setLevel(.debug)
            case SIGUSR2: server.log.setLevel(level)
            case _ where server.isDraining:
                server.log.warning("stopped_at_once", ["connections": String(server.hub.connectionCount)])
                server.stop()
                loop.stop()
            default:
                server.drain { loop.stop() }
                systemd.stopping { server.status }
            }
        }
    }

    /// Tells the service manager when the server can serve. Missing migrations are applied meanwhile, if `settings` are given.
    private static func awaitReadiness(
        _ server: Server, _ systemd: SystemdNotifier, migrating settings: PostgresSettings?
    ) {
        var isMigrating = false
        server.whenReady {
            systemd.ready { server.status }
            server.log.info("ready")
        } waiting: { finding in
            guard !isMigrating else { return }
            guard finding.lacksMigrations, let settings else {
                return systemd.starting(waitingSentence(finding))
            }
            isMigrating = true
            systemd.starting("Applying migrations.", extension: migrationTime)
            migrate(settings, loop: server.loop, log: server.log) { isMigrating = false }
        }
    }

    /// The listening sockets that a service manager passed on; one named `admin` takes the place of FYNLO_ADMIN_LISTEN.
    private static func inheritedListeners(
        _ environment: [String: String]
    ) throws(ConfigError) -> (main: Listener?, operations: Listener?) {
        do throws(InheritedListenerError) {
            var inherited = try InheritedListeners(environment)
            let operations = try inherited.take(named: "admin")
            return (try inherited.takeRest(), operations)
        } catch {
            throw ConfigError(error.description)
        }
    }

    private static func waitingSentence(_ finding: DatabaseHealth.Finding) -> String {
        finding.lacksMigrations
            ? "Waiting for migrations: run fynlo-server migrate up." : "Waiting for PostgreSQL to answer."
    }

    /// Applies the missing migrations to a database that could not be reached when the server started. Calls `done` when another
    /// attempt may follow.
    private static func migrate(
        _ settings: PostgresSettings, loop: EventLoop, log: Logger, done: @escaping () -> Void
    ) {
        loop.offload { () -> (applied: [Migration], problem: String?) in
            var applied: [Migration] = []
            do {
                try MigrationRunner(session: PostgresSession(settings)).up { applied.append($0) }
                return (applied, nil)
            } catch {
                return (applied, String(describing: error))
            }
        } then: { applied, problem in
            for migration in applied {
                log.info("migrated", ["version": String(migration.version), "name": migration.name])
            }
            if let problem { log.error("not_migrated", ["error": problem]) }
            loop.after(.seconds(problem == nil ? 0 : 5), done)
        }
    }

    /// How long migrations may take before a service manager gives up.
    private static let migrationTime = Duration.seconds(3_600)

    /// Applies missing migrations with FYNLO_MIGRATE=1, and refuses to start without it. A database that cannot be reached does
    /// not prevent the start: the server waits for it, and /health/ready says so.
    private static func prepareSchema(
        _ config: Config, _ environment: [String: String], _ log: Logger, _ systemd: SystemdNotifier
    ) throws {
        let settings = try Config.postgres(environment: environment, role: .tool)
        let session: PostgresSession
        do {
            session = try PostgresSession(settings)
        } catch {
            log.warning("postgres_unreachable", ["error": error.description])
            return
        }
        let runner = MigrationRunner(session: session)
        if config.migratesAtStart {
            systemd.starting("Applying migrations.", extension: migrationTime)
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
