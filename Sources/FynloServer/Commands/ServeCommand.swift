// serve: runs the server until it is stopped.

import FynloCore
import FynloIO
import Glibc

enum ServeCommand {
    /// Long because the steps of a start depend on each other, and their order matters.
    static func run(_ flags: Flags) throws -> Int32 {
        // The descriptor limit comes first, because the connection limit depends on it.
        let descriptors = ProcessSetup.raiseDescriptorLimit()
        ProcessSetup.forbidCoreDumps()
        let environment = try ProcessEnvironment.take()
        let config = try Config(environment: environment, flags: flags.values)
        guard config.tokens.secret != nil || config.tokens.keySetPath != nil else {
            throw ConfigError(
                "Neither FYNLO_JWT_SECRET nor FYNLO_JWT_JWKS_FILE is set; without a key no token can be checked.")
        }
        let listeners = try inheritedListeners(environment)
        let log = Logger(config, journalStream: environment["JOURNAL_STREAM"])
        let systemd = SystemdNotifier(environment, log: log)
        try prepareSchema(config, environment, log, systemd)

        let loop = try EventLoop()
        defer { loop.close() }
        let server = try Server(
            loop: loop, config: config, log: log, listener: listeners.main, adminListener: listeners.admin)
        log.whenRepeating = { [unowned loop, unowned log] delay in loop.after(delay) { log.summarize() } }
        let signals = try SignalSource(
            loop: loop, signals: [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]
        ) { signal in
            switch signal {
            case SIGHUP: systemd.reloading(server.reload)
            case SIGUSR1: log.setLevel(.debug)
            case SIGUSR2: log.setLevel(config.logLevel)
            case _ where server.isDraining:
                log.warning("stopped_at_once", ["connections": String(server.hub.connectionCount)])
                server.stop()
                loop.stop()
            default:
                server.drain { loop.stop() }
                systemd.stopping { server.status }
            }
        }
        log.info(
            "serving",
            [
                "address": server.address.description, "version": fynloVersion, "descriptors": String(descriptors),
                "process": String(getpid()),
            ])
        systemd.start(loop)
        let settings = try Config.postgres(environment: environment, role: .tool)
        var isMigrating = false
        server.whenReady {
            systemd.ready { server.status }
            log.info("ready")
        } waiting: { finding in
            guard !isMigrating else { return }
            guard finding.lacksMigrations, config.migratesAtStart else {
                return systemd.starting(waitingSentence(finding))
            }
            isMigrating = true
            systemd.starting("Applying migrations.", extension: migrationTime)
            migrate(settings, loop: loop, log: log) { isMigrating = false }
        }
        try loop.run()
        signals.close()
        systemd.close()
        log.summarize(isFinal: true)
        log.info("stopped")
        return ExitCode.done
    }

    /// The listening sockets passed by a service manager; one named `admin` replaces FYNLO_ADMIN_LISTEN.
    private static func inheritedListeners(
        _ environment: [String: String]
    ) throws(ConfigError) -> (main: Listener?, admin: Listener?) {
        do throws(InheritedListenerError) {
            var inherited = try InheritedListeners(environment)
            let admin = try inherited.take(named: "admin")
            return (try inherited.takeRest(), admin)
        } catch {
            throw ConfigError(error.description)
        }
    }

    private static func waitingSentence(_ finding: HealthHandler.Finding) -> String {
        finding.lacksMigrations
            ? "Waiting for migrations: run fynlo-server migrate up." : "Waiting for PostgreSQL to answer."
    }

    /// Applies missing migrations to a database that was unavailable when the server started; `done` is called when it may be
    /// tried again.
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

    /// How long migrations may take before the service manager gives up.
    private static let migrationTime = Duration.seconds(3_600)

    /// Applies missing migrations with FYNLO_MIGRATE=1, else refuses to start without them. The server starts without an
    /// available database: it waits for it, and /health/ready reports that.
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
