// Orders in Postgres: their commands. Each is one call of one function: deduplicated, checked, changed, numbered and
// answered in one transaction.

import FynloCore

/// What a tablet's status command came to.
struct OrderCommandResult {
    let answer: CommandAnswer
    /// The event this very call made; `nil` if it made none, or another call of the same id did.
    let event: DurableEvent?
}

/// An order as clients see it.
struct OrderDocument: Equatable {
    let id: OrderID
    /// A JSON object.
    let json: [UInt8]
    /// The newest event of the snapshot that the order is of.
    let head: EventSequence
}

/// Reads and writes orders.
struct OrderRepository {
    let pool: PostgresPool
    /// FYNLO_IDEMPOTENCY_WINDOW: how long a command's answer is remembered.
    let idempotencyWindow: Duration

    private var windowSeconds: PostgresValue { .integer(idempotencyWindow.inMilliseconds / 1000) }

    // MARK: Changes of status

    private static let updateStatus = PostgresStatement(
        name: "update_order_status",
        sql: """
            select outcome, answer->>'seq', answer->'order', event_seq, event_type, event_data,
                floor(extract(epoch from event_created_at) * 1000)::bigint
            from fynlo_update_order_status($1, $2, $3, $4, $5, $6, make_interval(secs => $7::float8))
            """)

    private static let updateStatusAndRead = PostgresStatement(
        name: "update_order_status_and_read",
        sql: """
            select outcome, answer->>'seq', answer->'order', event_seq, event_type, event_data,
                floor(extract(epoch from event_created_at) * 1000)::bigint, order_now, stream_head
            from fynlo_update_order_status_and_read($1, $2, $3, $4, $5, $6, make_interval(secs => $7::float8))
            """)

    /// Changes an order's status for a user; the reply comes after the commit.
    func updateStatus(
        _ update: OrderStatusUpdate, in restaurant: RestaurantID, by user: UserID, messageID: String?,
        reply: @escaping (Result<OrderCommandResult, PostgresError>) -> Void
    ) {
        let parameters = parameters(update, restaurant, user, messageID)
        pool.send(OrderRepository.updateStatus, parameters, .exclusive) { result in
            reply(
                result.flatMap { rows in
                    guard let row = rows.first, let outcome = row.string(0) else {
                        return .failure(.unexpectedAnswer("fynlo_update_order_status"))
                    }
                    return OrderRepository.refusal(outcome, row, update).map { refusal in
                        if let refusal { return OrderCommandResult(answer: .refused(refusal), event: nil) }
                        return OrderCommandResult(
                            answer: .done(sequence: row.integer(1)), event: DurableEvent(row, at: 3, of: restaurant))
                    }
                })
        }
    }

    /// The same command, answered by the order as it now is.
    func updateStatusAndRead(
        _ update: OrderStatusUpdate, in restaurant: RestaurantID, by user: UserID, messageID: String?,
        reply: @escaping (Result<StorageOutcome<OrderDocument>, PostgresError>) -> Void
    ) {
        let parameters = parameters(update, restaurant, user, messageID)
        pool.send(OrderRepository.updateStatusAndRead, parameters, .exclusive) { result in
            reply(
                result.flatMap { rows in
                    guard let row = rows.first, let outcome = row.string(0) else {
                        return .failure(.unexpectedAnswer("fynlo_update_order_status_and_read"))
                    }
                    return OrderRepository.refusal(outcome, row, update).map { refusal in
                        if let refusal { return StorageOutcome(refusal: refusal) }
                        // Deleted since an earlier call of the same id.
                        guard let json = row.bytes(7), let head = row.integer(8) else {
                            return StorageOutcome(refusal: .orderNotFound)
                        }
                        return StorageOutcome(
                            OrderDocument(id: update.order, json: json, head: head),
                            DurableEvent(row, at: 3, of: restaurant))
                    }
                })
        }
    }

    private func parameters(
        _ update: OrderStatusUpdate, _ restaurant: RestaurantID, _ user: UserID, _ messageID: String?
    ) -> [PostgresValue] {
        [
            .uuid(restaurant.uuid), .uuid(user.uuid), .optional(messageID), .uuid(update.order.uuid),
            .text(update.status.rawValue), .optional(update.expectedVersion.map(Int64.init)), windowSeconds,
        ]
    }

    /// What an outcome of fynlo_update_order_status refuses; `nil`: it is done.
    private static func refusal(
        _ outcome: String, _ row: PostgresRow, _ update: OrderStatusUpdate
    ) -> Result<APIError?, PostgresError> {
        switch outcome {
        case "ack", "duplicate":
            .success(nil)
        case "order_not_found":
            .success(APIError(.orderNotFound, "This restaurant has no such order."))
        case "invalid_transition":
            .success(
                APIError(
                    .invalidTransition,
                    "The order cannot become \(update.status.rawValue) from the status it has; it comes with this answer.",
                    order: row.bytes(2)))
        case "version_conflict":
            .success(
                APIError(
                    .versionConflict,
                    "The order has been changed since the version you expected; it comes with this answer.",
                    order: row.bytes(2)))
        case "id_reused":
            .success(.idReused)
        default:
            .failure(.unexpectedAnswer("fynlo_update_order_status: outcome \(outcome)"))
        }
    }

    // MARK: New orders

    private static let create = PostgresStatement(
        name: "create_order",
        sql: """
            select outcome, answer->'order'->>'id', answer->'order', answer->>'seq', answer->>'item', event_seq, event_type,
                event_data, floor(extract(epoch from event_created_at) * 1000)::bigint
            from fynlo_create_order($1, $2, $3, $4::jsonb, make_interval(secs => $5::float8))
            """)

    /// Makes an order for a user; the reply comes after the commit.
    func create(
        _ order: NewOrder, by user: UserID, messageID: String?,
        reply: @escaping (Result<StorageOutcome<OrderDocument>, PostgresError>) -> Void
    ) {
        let parameters: [PostgresValue] = [
            .uuid(order.restaurant.uuid), .uuid(user.uuid), .optional(messageID), .text(order.json), windowSeconds,
        ]
        pool.send(OrderRepository.create, parameters, .exclusive) { result in
            reply(result.flatMap { OrderRepository.readCreation($0, order.restaurant) })
        }
    }

    private static func readCreation(
        _ result: PostgresResult, _ restaurant: RestaurantID
    ) -> Result<StorageOutcome<OrderDocument>, PostgresError> {
        guard let row = result.first, let outcome = row.string(0) else {
            return .failure(.unexpectedAnswer("fynlo_create_order"))
        }
        switch outcome {
        case "created", "duplicate":
            guard let id = row.uuid(1), let json = row.bytes(2), let sequence = row.integer(3) else {
                return .failure(.unexpectedAnswer("fynlo_create_order: answer"))
            }
            return .success(
                StorageOutcome(
                    OrderDocument(id: OrderID(id), json: json, head: sequence), DurableEvent(row, at: 5, of: restaurant)
                ))
        case "unknown_product":
            let item = row.integer(4) ?? 0
            return .success(
                StorageOutcome(
                    refusal: APIError(
                        .invalidParameter, "items[\(item)].product_id is not a product of this restaurant.")))
        case "id_reused":
            return .success(StorageOutcome(refusal: .idReused))
        default:
            return .failure(.unexpectedAnswer("fynlo_create_order: outcome \(outcome)"))
        }
    }
}
