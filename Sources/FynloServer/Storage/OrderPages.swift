// Orders in Postgres: reading them. The JSON is made there and passed on as it is; a page is one statement, and so one
// snapshot, whose place in the event stream it tells.

import FynloCore

/// Which page of a restaurant's orders.
struct OrderPageRequest: Hashable {
    let restaurant: RestaurantID
    let status: OrderStatus?
    /// Orders changed after this; `nil`: all.
    let since: UnixTime?
    let page: Int
    let limit: Int
}

/// A page as it goes out.
struct OrderPage: Equatable {
    /// The newest event of the snapshot that the page is of.
    let head: EventSequence
    /// Orders that match, on all pages.
    let total: Int64
    /// A JSON array.
    let body: [UInt8]
}

extension OrderRepository {
    private static let restaurant = PostgresStatement(
        name: "order_restaurant", sql: "select restaurant_id from orders where id = $1")

    private static let order = PostgresStatement(
        name: "order",
        sql: """
            select fynlo_order_json(o.id), s.head
            from orders o join restaurant_streams s on s.restaurant_id = o.restaurant_id
            where o.id = $1 and o.restaurant_id = $2
            """)

    /// A statement for each set of filters: a plan for all of them would use no index for any.
    private static let pages: [PostgresStatement] = [
        page("orders_page", ""),
        page("orders_page_status", "and o.status = $4"),
        page("orders_page_since", "and o.updated_at > timestamptz 'epoch' + $5 * interval '1 millisecond'"),
        page(
            "orders_page_status_since",
            "and o.status = $4 and o.updated_at > timestamptz 'epoch' + $5 * interval '1 millisecond'"),
    ]

    /// All of them take the same parameters. `filter` is about the orders `o`.
    private static func page(_ name: String, _ filter: String) -> PostgresStatement {
        PostgresStatement(
            name: name,
            sql: """
                select s.head,
                    (select count(*) from orders o where o.restaurant_id = s.restaurant_id \(filter)),
                    coalesce((
                        select json_agg(fynlo_order_json(p.id) order by p.created_at desc, p.id)
                        from (
                            select o.id, o.created_at from orders o where o.restaurant_id = $1 \(filter)
                            order by o.created_at desc, o.id limit $2 offset $3) p), '[]'::json),
                    $4::text, $5::bigint
                from restaurant_streams s where s.restaurant_id = $1
                """)
    }

    /// The statement of a page.
    static func statement(_ request: OrderPageRequest) -> PostgresStatement {
        pages[(request.status == nil ? 0 : 1) + (request.since == nil ? 0 : 2)]
    }

    /// The parameters of that statement.
    static func parameters(_ request: OrderPageRequest) -> [PostgresValue] {
        [
            .uuid(request.restaurant.uuid), .integer(Int64(request.limit)),
            .integer(Int64(request.page - 1) * Int64(request.limit)), .optional(request.status?.rawValue),
            .optional(request.since?.milliseconds),
        ]
    }

    /// One page of orders, the newest first.
    func page(_ request: OrderPageRequest, reply: @escaping (Result<OrderPage, PostgresError>) -> Void) {
        pool.send(
            OrderRepository.statement(request), OrderRepository.parameters(request), .exclusive
        ) { result in
            reply(
                result.flatMap { rows in
                    guard let row = rows.first, let head = row.integer(0), let total = row.integer(1),
                        let body = row.bytes(2)
                    else { return .failure(.unexpectedAnswer("a page of orders")) }
                    return .success(OrderPage(head: head, total: total, body: body))
                })
        }
    }

    /// The restaurant of an order; `nil`: there is no such order.
    func restaurant(of order: OrderID, reply: @escaping (Result<RestaurantID?, PostgresError>) -> Void) {
        pool.send(OrderRepository.restaurant, [.uuid(order.uuid)], .shortRead) { result in
            reply(result.map { $0.first?.uuid(0).map(RestaurantID.init) })
        }
    }

    /// One order of a restaurant; `nil`: it has no such order.
    func order(
        _ order: OrderID, of restaurant: RestaurantID,
        reply: @escaping (Result<OrderDocument?, PostgresError>) -> Void
    ) {
        pool.send(
            OrderRepository.order, [.uuid(order.uuid), .uuid(restaurant.uuid)], .shortRead
        ) { result in
            reply(
                result.flatMap { rows in
                    guard let row = rows.first else { return .success(nil) }
                    guard let json = row.bytes(0), let head = row.integer(1) else {
                        return .failure(.unexpectedAnswer("an order"))
                    }
                    return .success(OrderDocument(id: order, json: json, head: head))
                })
        }
    }
}
