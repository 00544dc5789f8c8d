// Where a request leads: its endpoint with what stands in its path.

/// What a tablet says it is: a label, which demands no role.
public enum ClientType: String, CaseIterable, Sendable {
    case pos, kitchen, management, platform
}

/// An endpoint and the values of its path's parameters.
///
/// To ask for a value that the endpoint's path does not have is a mistake of this program and stops it.
public struct Route: Equatable, Sendable {
    public let endpoint: Endpoint
    private var values: Values

    private struct Values: Equatable, Sendable {
        var client: ClientType?
        var restaurant: RestaurantID?
        var order: OrderID?
        var connection: UUID128?
        var asset: String?
    }

    public init(
        _ endpoint: Endpoint, client: ClientType? = nil, restaurant: RestaurantID? = nil, order: OrderID? = nil,
        connection: UUID128? = nil, asset: String? = nil
    ) {
        self.endpoint = endpoint
        values = Values(client: client, restaurant: restaurant, order: order, connection: connection, asset: asset)
    }

    public var client: ClientType { present(values.client) }
    public var restaurant: RestaurantID { present(values.restaurant) }
    public var order: OrderID { present(values.order) }
    /// As users see it: `ConnectionID.uuid`.
    public var connection: UUID128 { present(values.connection) }
    public var asset: String { present(values.asset) }

    private func present<Value>(_ value: Value?) -> Value {
        guard let value else { preconditionFailure("the path of \(endpoint) has no such value") }
        return value
    }

    /// This endpoint with the values of another route, of the same path.
    func with(valuesOf other: Route) -> Route {
        var route = self
        route.values = other.values
        return route
    }

    /// What became of a segment that stands for a parameter.
    enum Reading {
        case taken
        /// It is none of the words that may stand there.
        case unknownWord
        case notUUID
    }

    /// Takes the value of a parameter from its segment.
    mutating func take(_ parameter: PathParameter, from segment: Span<UInt8>) -> Reading {
        switch parameter {
        case .client:
            values.client = String(validating: segment).flatMap(ClientType.init)
            return values.client == nil ? .unknownWord : .taken
        case .restaurant:
            values.restaurant = UUID128(segment).map(RestaurantID.init)
            return values.restaurant == nil ? .notUUID : .taken
        case .order:
            values.order = UUID128(segment).map(OrderID.init)
            return values.order == nil ? .notUUID : .taken
        case .connection:
            values.connection = UUID128(segment)
            return values.connection == nil ? .notUUID : .taken
        case .asset:
            values.asset = String(validating: segment)
            return values.asset == nil ? .unknownWord : .taken
        }
    }
}
