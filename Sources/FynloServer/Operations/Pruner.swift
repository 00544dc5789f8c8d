// Forgets events older than FYNLO_EVENT_RETENTION and answers older than FYNLO_IDEMPOTENCY_WINDOW.

import FynloCore
import FynloIO

/// Deletes old rows, one batch at a time.
final class Pruner: EventSource {
    private let loop: EventLoop
    private let rows: PruningRepository
    private let log: Logger
    private let eventRetention: Duration
    private let idempotencyWindow: Duration
    private var token: SourceToken?

    /// The pause after a look that found nothing to delete.
    private static let interval = Duration.seconds(60)
    /// The pause between two batches.
    private static let batchInterval = Duration.milliseconds(200)

    init(
        loop: EventLoop, rows: PruningRepository, log: Logger, eventRetention: Duration, idempotencyWindow: Duration
    ) {
        self.loop = loop
        self.rows = rows
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
        prune(.events, olderThan: eventRetention) { [weak self] deletedEvents in
            guard let self else { return }
            self.prune(.commands, olderThan: self.idempotencyWindow) { [weak self] deletedCommands in
                guard let self, let token = self.token else { return }
                let isDone = max(deletedEvents, deletedCommands) < PruningRepository.batchRows
                self.loop.wake(
                    token, by: self.loop.now.instant + (isDone ? Pruner.interval : Pruner.batchInterval))
            }
        }
        return nil
    }

    /// Deletes one batch and reports how many rows it contained.
    private func prune(
        _ subject: PruningRepository.Subject, olderThan age: Duration, done: @escaping (Int) -> Void
    ) {
        rows.prune(subject, olderThan: age) { [log] result in
            switch result {
            case .success(let count): done(count)
            case .failure(let error):
                log.warning("prune_failed", ["error": error.description])
                done(0)
            }
        }
    }
}
