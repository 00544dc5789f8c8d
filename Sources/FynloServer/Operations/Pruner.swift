// Forgets what is old enough: events beyond FYNLO_EVENT_RETENTION and answers beyond FYNLO_IDEMPOTENCY_WINDOW, in batches
// so small that nobody waits for them.

import FynloCore
import FynloIO

/// Deletes old rows, a batch at a time.
final class Pruner: EventSource {
    private let loop: EventLoop
    private let pool: PostgresPool
    private let log: Logger
    private let eventRetention: Duration
    private let idempotencyWindow: Duration
    private var token: SourceToken?

    /// Between two looks when there was nothing to do.
    private static let interval = Duration.seconds(60)
    /// Between two batches when there was.
    private static let batchInterval = Duration.milliseconds(200)
    private static let batchRows = 500

    // Rows that another node is deleting are skipped, not waited for.
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

    init(
        loop: EventLoop, pool: PostgresPool, log: Logger, eventRetention: Duration, idempotencyWindow: Duration
    ) {
        self.loop = loop
        self.pool = pool
        self.log = log
        self.eventRetention = eventRetention
        self.idempotencyWindow = idempotencyWindow
    }

    func start() {
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: loop.now.instant + Pruner.batchInterval)
    }

    func stop() {
        if let token { loop.remove(token) }
        token = nil
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        prune(Pruner.events, olderThan: eventRetention) { [weak self] deletedEvents in
            guard let self else { return }
            self.prune(Pruner.commands, olderThan: self.idempotencyWindow) { [weak self] deletedCommands in
                guard let self, let token = self.token else { return }
                let isDone = max(deletedEvents, deletedCommands) < Pruner.batchRows
                self.loop.wake(
                    token, by: self.loop.now.instant + (isDone ? Pruner.interval : Pruner.batchInterval))
            }
        }
        return nil
    }

    /// Deletes one batch; tells how many rows it had.
    private func prune(_ statement: PostgresStatement, olderThan age: Duration, done: @escaping (Int) -> Void) {
        let seconds = age.inMilliseconds / 1000
        pool.send(statement, [.integer(seconds), .integer(Int64(Pruner.batchRows))], .exclusive) { [log] result in
            switch result {
            case .success(let deleted): done(deleted.affectedRows)
            case .failure(let error):
                log.warning("prune_failed", ["error": error.description])
                done(0)
            }
        }
    }
}
