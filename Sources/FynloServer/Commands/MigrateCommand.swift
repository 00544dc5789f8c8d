// migrate up|down|status: the database's schema.

enum MigrateCommand {
    static func run(_ arguments: [String]) throws -> Int32 {
        guard arguments.count == 1, let action = arguments.first, ["up", "down", "status"].contains(action) else {
            throw UsageError("Say what to do: fynlo-server migrate up, down or status.")
        }
        let settings = try Config.postgres(environment: ProcessEnvironment.take(), role: .tool)
        let runner = MigrationRunner(session: try PostgresSession(settings))
        switch action {
        case "up":
            var count = 0
            try runner.up { migration in
                count += 1
                printOut("applied \(migration.version) \(migration.name)\n")
            }
            if count == 0 { printOut("nothing to do: all migrations are applied\n") }
        case "down":
            try runner.down { printOut("took back \($0.version) \($0.name)\n") }
        default:
            for entry in try runner.status() {
                let state = entry.appliedAt.map { "applied \($0)" } ?? "missing"
                printOut("\(entry.migration.version) \(entry.migration.name): \(state)\n")
            }
        }
        return ExitCode.done
    }
}
