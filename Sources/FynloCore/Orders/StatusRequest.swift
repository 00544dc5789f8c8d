// The body of `PATCH /api/v1/orders/{id}/status`.

extension OrderStatusUpdate {
    private static let members: [StaticString] = ["status", "expected_version"]

    /// Reads and checks a request's body; the order is the path's.
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
