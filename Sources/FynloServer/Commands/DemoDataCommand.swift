// demo-data: loads two demo restaurants. Loading them again changes nothing.

enum DemoDataCommand {
    static func run(_ arguments: [String]) throws -> Int32 {
        guard arguments.isEmpty else { throw UsageError("demo-data takes no arguments.") }
        let settings = try Config.postgres(environment: ProcessEnvironment.take(), role: .tool)
        let session = try PostgresSession(settings)
        guard try MigrationRunner(session: session).status().allSatisfy({ $0.appliedAt != nil }) else {
            throw ConfigError("The database lacks migrations; run fynlo-server migrate up first.")
        }
        for sql in ["begin", Migration.demoData, "commit"] {
            if case .failure(let error) = session.execute(sql) { throw error }
        }
        printOut("the demonstration restaurants are loaded\n")
        return ExitCode.done
    }
}
