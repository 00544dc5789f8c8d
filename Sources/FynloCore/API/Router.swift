// Method and path -> Route.

/// Finds the route of a request.
public struct Router: Sendable {
    /// Whose paths there are.
    public enum Scope: Sendable {
        /// One listener has them all.
        case everything
        /// The operators' are at another listener; a balancer still asks here whether it may send requests here.
        case service
        /// The operators', and what they may do besides.
        case operations
    }

    /// FYNLO_ECHO: whether the conformance endpoints exist.
    public var hasEcho: Bool
    public var scope: Scope

    public init(hasEcho: Bool = false, scope: Scope = .everything) {
        self.hasEcho = hasEcho
        self.scope = scope
    }

    /// The route for a method and a decoded path. An unknown path is 404; a known one with another method 405 with `Allow`;
    /// HEAD is taken where GET is.
    public func route(_ method: HTTPMethod, _ path: String) throws(APIError) -> Route {
        let isHere =
            switch scope {
            case .everything: true
            case .service: !["/health", "/metrics", "/openapi.json"].contains(path)
            case .operations:
                path == "/health" || path.hasPrefix("/health/") || path == "/metrics" || path == "/openapi.json"
                    || path == "/api/v1/websocket/diagnostics" || path.hasPrefix("/api/v1/websocket/connections/")
            }
        guard isHere else { throw Router.notFound }
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
        switch segments {
        case ["api", "v1", "menu"]: return try get(.menu, method)
        case ["api", "v1", "menu", "categories"]: return try get(.menuCategories, method)
        case ["api", "v1", "menu", "cache", "invalidate"]: return try post(.invalidateMenuCache, method)
        case ["api", "v1", "orders"]:
            if method == .post { return .createOrder }
            guard method == .get || method == .head else { throw notAllowed("GET, HEAD, POST") }
            return .orders
        case ["api", "v1", "events"]: return try get(.events, method)
        case ["api", "v1", "notifications"]: return try post(.postNotification, method)
        case ["api", "v1", "websocket", "diagnostics"]: return try get(.diagnostics, method)
        case ["metrics"]: return try get(.metrics, method)
        case ["health"]: return try get(.health, method)
        case ["health", "live"]: return try get(.healthLive, method)
        case ["health", "ready"]: return try get(.healthReady, method)
        case ["openapi.json"]: return try get(.openAPI, method)
        case ["debug", "echo"] where hasEcho:
            guard method == .get || method == .post else { throw notAllowed("GET, POST") }
            return .echo
        case ["debug", "json"] where hasEcho: return try post(.echoJSON, method)
        default: break
        }
        if segments.count == 6, segments[..<4] == ["api", "v1", "websocket", "ws"] {
            guard let client = ClientType(rawValue: segments[4]) else { throw Router.notFound }
            let restaurant: RestaurantID = try identifier(segments[5], of: "restaurant")
            guard method == .get else { throw notAllowed("GET") }
            return .webSocket(client: client, restaurant: restaurant)
        }
        if segments.count == 5, segments[..<4] == ["api", "v1", "websocket", "connections"] {
            guard let connection = UUID128(segments[4]) else { throw Router.notUUID("connection") }
            guard method == .delete else { throw notAllowed("DELETE") }
            return .closeConnection(connection)
        }
        if segments.count == 4, segments[..<3] == ["api", "v1", "orders"] {
            return try get(.order(try identifier(segments[3], of: "order")), method)
        }
        if segments.count == 5, segments[..<3] == ["api", "v1", "orders"], segments[4] == "status" {
            let order: OrderID = try identifier(segments[3], of: "order")
            guard method == .patch else { throw notAllowed("PATCH") }
            return .updateOrderStatus(order)
        }
        throw Router.notFound
    }

    private static let notFound = APIError(.notFound, "There is nothing at this path.")

    private func identifier<Identifier: UUIDIdentifier>(
        _ segment: String, of thing: String
    ) throws(APIError) -> Identifier {
        guard let identifier = Identifier(segment) else {
            throw Router.notUUID(thing)
        }
        return identifier
    }

    private static func notUUID(_ thing: String) -> APIError {
        APIError(
            .invalidRequest,
            "The \(thing) in the path is not a UUID; it looks like 123e4567-e89b-42d3-a456-426614174000.")
    }

    private func get(_ route: Route, _ method: HTTPMethod) throws(APIError) -> Route {
        guard method == .get || method == .head else { throw notAllowed("GET, HEAD") }
        return route
    }

    private func post(_ route: Route, _ method: HTTPMethod) throws(APIError) -> Route {
        guard method == .post else { throw notAllowed("POST") }
        return route
    }

    private func notAllowed(_ methods: String) -> APIError {
        APIError(.methodNotAllowed, "This path takes \(methods) only.", allowedMethods: methods)
    }
}
