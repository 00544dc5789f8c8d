// The durable events: rows of `restaurant_events`, numbered per restaurant, read from a cursor on.

import FynloCore

/// A piece of an event stream, and how far the stream went when it was read.
struct EventPage: Equatable {
    let events: [DurableEvent]
    let head: EventSequence
}

/// Reads event streams.
struct EventLog {
    let pool: PostgresPool

    private static let after = PostgresStatement(
        name: "events_after",
        sql: """
            select seq, type, data, floor(extract(epoch from created_at) * 1000)::bigint
            from restaurant_events where restaurant_id = $1 and seq > $2 order by seq limit $3
            """)

    /// One row without an event if there is none to be read.
    private static let page = PostgresStatement(
        name: "events_page",
        sql: """
            select s.head, e.seq, e.type, e.data, floor(extract(epoch from e.created_at) * 1000)::bigint
            from restaurant_streams s
            left join lateral (
                select seq, type, data, created_at
                from restaurant_events where restaurant_id = $1 and seq > $2 order by seq limit $3) e on true
            where s.restaurant_id = $1 order by e.seq
            """)

    /// Up to `limit` events after `sequence`, in order.
    func events(
        of restaurant: RestaurantID, after sequence: EventSequence, limit: Int,
        reply: @escaping (Result<[DurableEvent], PostgresError>) -> Void
    ) {
        pool.send(
            EventLog.after, [.uuid(restaurant.uuid), .integer(sequence), .integer(Int64(limit))], .live
        ) { result in
            reply(
                result.flatMap { rows in
                    var events: [DurableEvent] = []
                    for row in rows.rows {
                        guard let event = DurableEvent(row, at: 0, of: restaurant) else {
                            return .failure(.unexpectedAnswer("restaurant_events"))
                        }
                        events.append(event)
                    }
                    return .success(events)
                })
        }
    }

    /// The same with the stream's head, of one snapshot.
    func page(
        of restaurant: RestaurantID, after sequence: EventSequence, limit: Int,
        reply: @escaping (Result<EventPage, PostgresError>) -> Void
    ) {
        pool.send(
            EventLog.page, [.uuid(restaurant.uuid), .integer(sequence), .integer(Int64(limit))], .exclusive
        ) { result in
            reply(
                result.flatMap { rows in
                    guard let head = rows.first?.integer(0) else {
                        return .failure(.unexpectedAnswer("restaurant_streams"))
                    }
                    let events = rows.rows.compactMap { DurableEvent($0, at: 1, of: restaurant) }
                    return .success(EventPage(events: events, head: head))
                })
        }
    }
}
