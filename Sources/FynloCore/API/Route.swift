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
    private let values: PathValues

    init(_ endpoint: Endpoint, _ values: PathValues) {
        self.endpoint = endpoint
        self.values = values
    }

    public init(
        _ endpoint: Endpoint, client: ClientType? = nil, restaurant: RestaurantID? = nil, order: OrderID? = nil,
        connection: UUID128? = nil, asset: String? = nil
    ) {
        self.init(
            endpoint,
            PathValues(client: client, restaurant: restaurant, order: order, connection: connection, asset: asset))
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
}

/// What stands in a path in place of its parameters; `nil`: the path has no such parameter.
struct PathValues: Equatable, Sendable {
    var client: ClientType?
    var restaurant: RestaurantID?
    var order: OrderID?
    var connection: UUID128?
    var asset: String?

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
            client = String(validating: segment).flatMap(ClientType.init)
            return client == nil ? .unknownWord : .taken
        case .asset:
            asset = String(validating: segment)
            return asset == nil ? .unknownWord : .taken
        case .restaurant, .order, .connection:
            guard let uuid = UUID128(segment) else { return .notUUID }
            if parameter == .restaurant { restaurant = RestaurantID(uuid) }
            if parameter == .order { order = OrderID(uuid) }
            if parameter == .connection { connection = uuid }
            return .taken
        }
    }
}
