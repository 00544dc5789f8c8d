// The durable events: rows of `restaurant_events`, numbered per restaurant, read from a cursor on.

import FynloCore

/// Reads event streams.
struct EventLog {
    let pool: PostgresPool

    private static let after = PostgresStatement(
        name: "events_after",
        sql: """
            select seq, type, data, floor(extract(epoch from created_at) * 1000)::bigint
            from restaurant_events where restaurant_id = $1 and seq > $2 order by seq limit $3
            """)

    /// Up to `limit` events after `sequence`, in order.
    func events(
        of restaurant: RestaurantID, after sequence: EventSequence, limit: Int,
        reply: @escaping (Result<[OrderEvent], PostgresError>) -> Void
    ) {
        pool.send(
            EventLog.after, [.uuid(restaurant.uuid), .integer(sequence), .integer(Int64(limit))], .live
        ) { result in
            reply(
                result.flatMap { rows in
                    var events: [OrderEvent] = []
                    for row in rows.rows {
                        guard let sequence = row.integer(0), let type = row.string(1), let data = row.bytes(2),
                            let milliseconds = row.integer(3)
                        else { return .failure(.unexpectedAnswer("restaurant_events")) }
                        events.append(
                            OrderEvent(
                                restaurant: restaurant, sequence: sequence, type: type, data: data,
                                createdAt: UnixTime(milliseconds: milliseconds)))
                    }
                    return .success(events)
                })
        }
    }
}
