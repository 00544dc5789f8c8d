// Notifications in Postgres: events, and nothing else.

import FynloCore

/// Writes notifications.
struct NotificationRepository {
    let pool: PostgresPool
    /// FYNLO_IDEMPOTENCY_WINDOW: how long a command's answer is remembered.
    let idempotencyWindow: Duration

    private static let post = PostgresStatement(
        name: "post_notification",
        sql: """
            select outcome, answer->>'seq', event_seq, event_type, event_data,
                floor(extract(epoch from event_created_at) * 1000)::bigint
            from fynlo_post_notification($1, $2, $3, $4::jsonb, make_interval(secs => $5::float8))
            """)

    /// Writes an event; the reply, with its place in the stream, comes after the commit.
    func post(
        _ notification: Notification, by user: UserID, messageID: String?,
        reply: @escaping (Result<StorageOutcome<EventSequence>, PostgresError>) -> Void
    ) {
        let parameters: [PostgresValue] = [
            .uuid(notification.restaurant.uuid), .uuid(user.uuid), .optional(messageID), .text(notification.json),
            .integer(idempotencyWindow.inMilliseconds / 1000),
        ]
        pool.send(NotificationRepository.post, parameters, .exclusive) { result in
            reply(result.flatMap { NotificationRepository.read($0, notification.restaurant) })
        }
    }

    private static func read(
        _ result: PostgresResult, _ restaurant: RestaurantID
    ) -> Result<StorageOutcome<EventSequence>, PostgresError> {
        guard let row = result.first, let outcome = row.string(0) else {
            return .failure(.unexpectedAnswer("fynlo_post_notification"))
        }
        switch (outcome, row.integer(1)) {
        case ("posted", .some(let sequence)), ("duplicate", .some(let sequence)):
            return .success(StorageOutcome(sequence, DurableEvent(row, at: 2, of: restaurant)))
        case ("id_reused", _):
            return .success(StorageOutcome(refusal: .idReused))
        case ("unknown_restaurant", _):
            // It was there when the user was looked up.
            return .success(StorageOutcome(refusal: .permissionDenied))
        default:
            return .failure(.unexpectedAnswer("fynlo_post_notification: outcome \(outcome)"))
        }
    }
}
