// A change of an order's status, requested by a tablet's message or a REST request.

/// `order.status_update`, or the body of `PATCH /api/v1/orders/{id}/status`.
public struct OrderStatusUpdate: Equatable, Sendable {
    public let order: OrderID
    public let status: OrderStatus
    /// The version that the tablet believes the order has; `nil` for any.
    public let expectedVersion: Int32?

    public init(order: OrderID, status: OrderStatus, expectedVersion: Int32?) {
        self.order = order
        self.status = status
        self.expectedVersion = expectedVersion
    }
}

extension OrderStatusUpdate {
    private static let members: [StaticString] = ["status", "expected_version"]

    /// Reads and checks the body of `PATCH /api/v1/orders/{id}/status`; the path names the order.
    public init(_ request: HTTPRequest, order: OrderID, limits: Limits) throws(APIError) {
        let body = try RequestBody(request, names: OrderStatusUpdate.members, limits: limits)
        let name = try body.required("status", body.text("status", bytes: 1...limits.labelBytes))
        guard let status = OrderStatus(rawValue: name) else {
            throw body.refusal("status", "is unknown; it is one of \(OrderStatus.names).")
        }
        self.init(
            order: order, status: status, expectedVersion: try body.integer("expected_version", in: 1...Int32.max))
    }
}
