// Orders over HTTP: lists of orders, single orders, new orders, and changes of their status.

import FynloCore

/// Answers the routes of orders.
final class OrdersEndpoint {
    private let authorizer: RequestAuthorizer
    private let commands: CommandReply
    private let orders: OrderRepository
    private let limits: Limits
    private let log: Logger

    init(
        authorizer: RequestAuthorizer, feeds: FeedHandler, orders: OrderRepository, limits: Limits, log: Logger
    ) {
        self.authorizer = authorizer
        commands = CommandReply(feeds: feeds, log: log)
        self.orders = orders
        self.limits = limits
        self.log = log
    }

    // MARK: Reading

    /// `GET /api/v1/orders`.
    func page(_ request: HTTPRequest, reply: @escaping Reply) {
        authorizer.authorize(request, reply: reply) { () throws(APIError) in
            try pageRequest(request)
        } restaurant: {
            $0.restaurant
        } then: { [orders, log] page, _ in
            orders.page(page) { result in
                switch result {
                case .success(let found):
                    var response = HTTPResponse.json(200, found.body, eventSequence: found.head)
                    response.headers.append("X-Total-Count", String(found.total))
                    response.headers.append("Link", OrdersEndpoint.links(page, total: found.total))
                    reply(.success(response))
                case .failure(let error):
                    reply(.failure(log.failure("orders_unread", error, of: request)))
                }
            }
        }
    }

    private func pageRequest(_ request: HTTPRequest) throws(APIError) -> OrderPageRequest {
        let parameters = try QueryParameters(request)
        let restaurant = try parameters.restaurant()
        var status: OrderStatus?
        if let text = try parameters.text("status") {
            status = OrderStatus(rawValue: text)
            guard status != nil else {
                throw APIError(.invalidParameter, "status is unknown; it is one of \(OrderStatus.names).")
            }
        }
        return OrderPageRequest(
            restaurant: restaurant, status: status, since: try parameters.time("since"),
            page: try parameters.integer("page", in: 1...1_000_000, default: 1),
            limit: try parameters.integer("limit", in: 1...limits.ordersPerPage, default: 50))
    }

    private static func links(_ page: OrderPageRequest, total: Int64) -> String {
        var query = "restaurant_id=\(page.restaurant)"
        if let status = page.status { query += "&status=\(status.rawValue)" }
        if let since = page.since { query += "&since=\(since.rfc3339)" }
        return PageLinks.field("/api/v1/orders", query: query, page: page.page, limit: page.limit, total: total)
    }

    /// `GET /api/v1/orders/{id}`.
    func order(_ order: OrderID, _ request: HTTPRequest, reply: @escaping Reply) {
        authorizer.authorize(request, for: order, reply: reply) { () throws(APIError) in
        } then: { [orders, log] _, _, restaurant in
            orders.order(order, of: restaurant) { result in
                switch result {
                case .success(.some(let found)):
                    reply(.success(.json(200, found.json, eventSequence: found.head)))
                case .success(nil):
                    reply(.failure(.orderNotFound))
                case .failure(let error):
                    reply(.failure(log.failure("orders_unread", error, of: request)))
                }
            }
        }
    }

    // MARK: Commands

    /// `POST /api/v1/orders`. A repeated key gets the first answer again, with the order as it was then. Together with the events
    /// after its X-Event-Seq, that answer is still exact.
    func create(_ request: HTTPRequest, reply: @escaping Reply) {
        let limits = limits
        authorizer.authorize(request, reply: reply) { () throws(APIError) in
            (order: try NewOrder(request, limits: limits), key: try request.idempotencyKey(limits))
        } restaurant: {
            $0.order.restaurant
        } then: { [commands, orders] parsed, record in
            orders.create(parsed.order, by: record.user, messageID: parsed.key) { [commands] result in
                commands.finish(result, of: request, isRepeatable: parsed.key != nil, reply) { created in
                    var response = HTTPResponse.json(201, created.json, eventSequence: created.head)
                    response.headers.append("Location", "/api/v1/orders/\(created.id)")
                    return response
                }
            }
        }
    }

    /// `PATCH /api/v1/orders/{id}/status`: the same command as a tablet's `order.status_update`.
    func updateStatus(_ order: OrderID, _ request: HTTPRequest, reply: @escaping Reply) {
        let limits = limits
        authorizer.authorize(request, for: order, reply: reply) { () throws(APIError) in
            (
                update: try OrderStatusUpdate(request, order: order, limits: limits),
                key: try request.idempotencyKey(limits)
            )
        } then: { [commands, orders] parsed, record, restaurant in
            orders.updateStatusAndRead(parsed.update, in: restaurant, by: record.user, messageID: parsed.key) {
                [commands] result in
                // Sending it again does no harm: the same status twice is one change.
                commands.finish(result, of: request, isRepeatable: true, reply) {
                    .json(200, $0.json, eventSequence: $0.head)
                }
            }
        }
    }
}
