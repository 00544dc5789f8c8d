// Orders in Postgres. A command is one call of one function: deduplicated, checked, changed, numbered and answered in one
// transaction.

import FynloCore

/// What a status command came to.
struct OrderCommandResult {
    let answer: CommandAnswer
    /// The event this very call made; `nil` if it made none, or another call of the same id did.
    let event: OrderEvent?
}

/// Writes orders.
struct OrderRepository {
    let pool: PostgresPool
    /// FYNLO_IDEMPOTENCY_WINDOW: how long a command's answer is remembered.
    let idempotencyWindow: Duration

    private static let updateStatus = PostgresStatement(
        name: "update_order_status",
        sql: """
            select outcome, answer->>'seq', answer->'order', event_seq, event_type, event_data,
                floor(extract(epoch from event_created_at) * 1000)::bigint
            from fynlo_update_order_status($1, $2, $3, $4, $5, $6, make_interval(secs => $7::float8))
            """)

    /// Changes an order's status for a user; the reply comes after the commit.
    func updateStatus(
        _ update: OrderStatusUpdate, in restaurant: RestaurantID, by user: UserID, messageID: String?,
        reply: @escaping (Result<OrderCommandResult, PostgresError>) -> Void
    ) {
        let parameters: [PostgresValue] = [
            .uuid(restaurant.uuid), .uuid(user.uuid), .optional(messageID), .uuid(update.order.uuid),
            .text(update.status.rawValue), .optional(update.expectedVersion.map(Int64.init)),
            .integer(idempotencyWindow.inMilliseconds / 1000),
        ]
        pool.send(OrderRepository.updateStatus, parameters, .exclusive) { result in
            reply(result.flatMap { OrderRepository.read($0, update, restaurant) })
        }
    }

    private static func read(
        _ result: PostgresResult, _ update: OrderStatusUpdate, _ restaurant: RestaurantID
    ) -> Result<OrderCommandResult, PostgresError> {
        guard let row = result.first, let outcome = row.string(0) else {
            return .failure(.unexpectedAnswer("fynlo_update_order_status"))
        }
        func refused(_ code: APIError.Code, _ sentence: String) -> Result<OrderCommandResult, PostgresError> {
            .success(
                OrderCommandResult(answer: .refused(APIError(code, sentence, order: row.bytes(2))), event: nil))
        }
        switch outcome {
        case "ack", "duplicate":
            var event: OrderEvent?
            if let sequence = row.integer(3), let type = row.string(4), let data = row.bytes(5),
                let milliseconds = row.integer(6)
            {
                event = OrderEvent(
                    restaurant: restaurant, sequence: sequence, type: type, data: data,
                    createdAt: UnixTime(milliseconds: milliseconds))
            }
            return .success(OrderCommandResult(answer: .done(sequence: row.integer(1)), event: event))
        case "order_not_found":
            return refused(.orderNotFound, "This restaurant has no such order.")
        case "invalid_transition":
            return refused(
                .invalidTransition,
                "The order cannot become \(update.status.rawValue) from the status it has; see data.order.")
        case "version_conflict":
            return refused(
                .versionConflict, "The order has been changed since the version you expected; see data.order.")
        case "id_reused":
            return refused(.idReused, "This id was used for another kind of command; give each command its own.")
        default:
            return .failure(.unexpectedAnswer("fynlo_update_order_status: outcome \(outcome)"))
        }
    }
}
