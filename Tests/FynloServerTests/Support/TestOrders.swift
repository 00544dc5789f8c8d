import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A restaurant's orders over HTTP, as one of its staff sees them.
final class TestOrders {
    let server: TestServer
    let restaurant: RestaurantID
    let user: TestUser
    let token: String

    init(on server: TestServer, _ role: Role = .employee) throws {
        self.server = server
        restaurant = try server.database.addRestaurant()
        user = try server.database.addUser(role, at: restaurant)
        token = user.token()
    }

    /// The same person on another server.
    init(_ orders: TestOrders, on server: TestServer) {
        self.server = server
        restaurant = orders.restaurant
        user = orders.user
        token = orders.token
    }

    // MARK: Bodies

    static func item(_ name: String = "Taco", price: String = "2.50", quantity: Int = 1, _ more: String = "") -> String
    {
        "{\"product_name\":\"\(name)\",\"quantity\":\(quantity),\"unit_price\":\(price)\(more)}"
    }

    /// The body of a new order.
    func body(_ items: [String] = [TestOrders.item()], _ more: String = "") -> String {
        "{\"restaurant_id\":\"\(restaurant)\",\"items\":[\(items.joined(separator: ","))]\(more)}"
    }

    // MARK: Requests

    private func headers(_ key: String?) -> HTTPHeaders {
        var headers: HTTPHeaders = ["Content-Type": "application/json"]
        if let key { headers.append("Idempotency-Key", key) }
        return headers
    }

    func post(
        _ path: String, _ body: String, key: String? = nil, token: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> HTTPResponse {
        try server.request(
            .post, path, token: token ?? self.token, headers: headers(key), body: Array(body.utf8),
            sourceLocation: sourceLocation)
    }

    func create(
        _ body: String? = nil, key: String? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> HTTPResponse {
        try post("/api/v1/orders", body ?? self.body(), key: key, sourceLocation: sourceLocation)
    }

    /// A new order's id.
    func created(sourceLocation: SourceLocation = #_sourceLocation) throws -> OrderID {
        let answer = try create(sourceLocation: sourceLocation)
        return try #require(
            Document(answer.body)["id"].string.flatMap(OrderID.init), sourceLocation: sourceLocation)
    }

    func patch(
        _ order: OrderID, _ body: String, key: String? = nil, token: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> HTTPResponse {
        try server.request(
            .patch, "/api/v1/orders/\(order)/status", token: token ?? self.token, headers: headers(key),
            body: Array(body.utf8), sourceLocation: sourceLocation)
    }

    func get(_ order: OrderID, token: String? = nil) throws -> HTTPResponse {
        try server.request(.get, "/api/v1/orders/\(order)", token: token ?? self.token)
    }

    /// `GET /api/v1/orders`, with further parameters.
    func list(_ parameters: String = "", method: HTTPMethod = .get) throws -> HTTPResponse {
        try server.request(method, "/api/v1/orders?restaurant_id=\(restaurant)\(parameters)", token: token)
    }

    func events(_ parameters: String = "") throws -> HTTPResponse {
        try server.request(.get, "/api/v1/events?restaurant_id=\(restaurant)\(parameters)", token: token)
    }

    /// The newest event of this restaurant.
    func head() throws -> Int {
        let value = try server.database.value(
            "select head from restaurant_streams where restaurant_id = '\(restaurant)'")
        return try #require(value.flatMap { Int($0) })
    }

    func tablet(sourceLocation: SourceLocation = #_sourceLocation) throws -> TestTablet {
        try server.authenticatedTablet(user, at: restaurant, sourceLocation: sourceLocation)
    }
}

extension HTTPResponse {
    /// X-Event-Seq.
    var eventSequence: Int? { headers.first("x-event-seq").flatMap { Int($0) } }
}
