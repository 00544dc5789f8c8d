import Foundation
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// Somebody who may do everything in a restaurant with a menu and an order, and sends what an operation describes.
final class OpenAPIClient {
    let server: TestServer
    let orders: TestOrders
    /// An order of the restaurant.
    let order: OrderID
    /// Tablets can be let in.
    private let isServing: Bool
    private var tablets: [TestTablet] = []

    init(on server: TestServer) throws {
        self.server = server
        orders = try TestOrders(on: server, .manager)
        order = try orders.created()
        isServing = true
        try server.database.run(
            """
            with c as (
                insert into categories (restaurant_id, name, icon) values ('\(orders.restaurant)', 'Tacos', 'taco')
                returning id, restaurant_id
            ), p as (
                insert into products (restaurant_id, category_id, name, price, allergens, nutritional_info)
                select restaurant_id, id, 'Al pastor', 8.50, '["gluten"]', '{"kcal": 640}' from c
                returning id
            ), m as (
                insert into product_modifiers (product_id, name, price, options) select id, 'Salsa', 0.5, '["roja"]' from p
            )
            insert into product_variants (product_id, name, price, sku) select id, 'Five', 13, 'TAP-5' from p;
            insert into products (restaurant_id, name) values ('\(orders.restaurant)', 'Water')
            """)
    }

    /// The same person, on another server, where nothing may be there.
    init(_ client: OpenAPIClient, on server: TestServer) {
        self.server = server
        orders = TestOrders(client.orders, on: server)
        order = client.order
        isServing = false
    }

    /// A file of the console's pages.
    private let firstAsset = ConsoleEndpoint.files.assets.keys.min() ?? ""

    /// A body as the operation wants it.
    func body(of operation: OpenAPIDocument.Operation) -> String {
        switch operation.id {
        case "createOrder": orders.body()
        case "updateOrderStatus": "{\"status\":\"draft\"}"
        case "postNotification":
            "{\"restaurant_id\":\"\(orders.restaurant)\",\"title\":\"Bar\",\"message\":\"No ice\",\"data\":{\"a\":1}}"
        default: ""
        }
    }

    /// A connection of the restaurant that is there to be closed; one of nobody where nobody can be let in.
    private func connection() throws -> String {
        guard isServing else { return TestDatabase.randomUUID().description }
        let tablet = try server.staffTablet(at: orders.restaurant)
        tablets.append(tablet)
        return try #require(tablet.messages.first?["data"]["connection_id"].string)
    }

    /// Sends a request that is as described but for what is given. `query` replaces parameters, or leaves them out.
    func send(
        _ operation: OpenAPIDocument.Operation, token: String?? = nil, restaurant: RestaurantID? = nil,
        order: String? = nil, connection: String? = nil, asset: String? = nil,
        query: [String: String?] = [:], headers: HTTPHeaders = [:], body: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> HTTPResponse {
        let restaurant = restaurant ?? orders.restaurant
        var parameters: [String: String?] = [:]
        for parameter in operation.parameters(in: "query") where parameter["required"] == .boolean(true) {
            parameters[parameter["name"].string ?? ""] = restaurant.description
        }
        parameters.merge(query) { $1 }
        let pairs = parameters.compactMap { name, value in value.map { "\(name)=\($0)" } }.sorted()
        var path = operation.path.replacing("{order_id}", with: order ?? self.order.description)
            .replacing("{asset}", with: asset ?? firstAsset)
            .replacing("{client_type}", with: "pos").replacing("{restaurant_id}", with: restaurant.description)
        if path.contains("{connection_id}") {
            path = path.replacing("{connection_id}", with: try connection ?? self.connection())
        }
        var text = body ?? self.body(of: operation)
        text = text.replacing(orders.restaurant.description, with: restaurant.description)
        let method = HTTPMethod(operation.method)
        return try server.request(
            method, pairs.isEmpty ? path : path + "?" + pairs.joined(separator: "&"),
            token: token ?? orders.token, headers: headers, body: Array(text.utf8), sourceLocation: sourceLocation)
    }
}

extension HTTPMethod {
    /// The method of an operation.
    fileprivate init(_ name: String) {
        self =
            switch name {
            case "get": .get
            case "head": .head
            case "post": .post
            case "patch": .patch
            case "put": .put
            case "delete": .delete
            default: .other(name.uppercased())
            }
    }
}

extension Document {
    /// An object with another member, or without it.
    func replacing(_ name: String, with value: Document?) -> Document {
        var members = self.members
        members[name] = value
        return .object(members)
    }

    /// A number, a boolean or a text as it stands in a query.
    var scalar: String? {
        switch self {
        case .string(let text): text
        case .number, .boolean: json
        case .object, .array, .null: nil
        }
    }

    /// As text.
    var json: String {
        switch self {
        case .object(let members):
            "{"
                + members.sorted { $0.key < $1.key }.map { "\(Document.string($0).json):\($1.json)" }
                .joined(separator: ",") + "}"
        case .array(let elements): "[" + elements.map(\.json).joined(separator: ",") + "]"
        case .string(let text):
            "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        case .number(let number): NSDecimalNumber(decimal: number).stringValue
        case .boolean(let value): value ? "true" : "false"
        case .null: "null"
        }
    }
}
