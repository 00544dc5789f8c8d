// Deletes rows that are old enough to be forgotten, in batches that are small enough for nobody to wait for them.

import FynloCore

/// Deletes old events and old answers to commands.
struct PruningRepository {
    let pool: PostgresPool

    /// Rows deleted by one statement.
    static let batchRows = 500

    /// What can be pruned.
    enum Subject {
        case events
        /// The remembered answers to commands.
        case commands
    }

    // Rows that another node is deleting are skipped rather than waited for.
    private static let events = PostgresStatement(
        name: "prune_events",
        sql: """
            delete from restaurant_events where (restaurant_id, seq) in (
                select restaurant_id, seq from restaurant_events
                where created_at < now() - make_interval(secs => $1::float8)
                order by created_at limit $2 for update skip locked)
            """)

    private static let commands = PostgresStatement(
        name: "prune_commands",
        sql: """
            delete from processed_commands where (restaurant_id, user_id, message_id) in (
                select restaurant_id, user_id, message_id from processed_commands
                where created_at < now() - make_interval(secs => $1::float8)
                order by created_at limit $2 for update skip locked)
            """)

    /// Deletes one batch of rows older than `age`; the reply is how many rows it contained.
    func prune(
        _ subject: Subject, olderThan age: Duration, reply: @escaping (Result<Int, PostgresError>) -> Void
    ) {
        let statement =
            switch subject {
            case .events: PruningRepository.events
            case .commands: PruningRepository.commands
            }
        let parameters: [PostgresValue] = [
            .integer(age.inMilliseconds / 1000), .integer(Int64(PruningRepository.batchRows)),
        ]
        pool.send(statement, parameters, .exclusive) { reply($0.map(\.affectedRows)) }
    }
}
