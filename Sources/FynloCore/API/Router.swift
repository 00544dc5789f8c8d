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
        let bytes = path.utf8Span.span
        if let route = try fixedRoute(method, bytes) { return route }
        if bytes.hasPrefix("/console/assets/") {
            let name = bytes.extracting(16..<bytes.count)
            guard name.firstIndex(of: slash) == nil else { throw Router.notFound }
            return try get(.consoleAsset(String(path.utf8.dropFirst(16)) ?? ""), method)
        }
        // What is left has an identifier in it.
        if bytes.hasPrefix("/api/v1/websocket/ws/") {
            let rest = bytes.extracting(21..<bytes.count)
            guard let end = rest.firstIndex(of: slash), rest.firstIndex(of: slash, from: end + 1) == nil,
                let client = String(validating: rest.extracting(0..<end)).flatMap(ClientType.init)
            else { throw Router.notFound }
            let restaurant: RestaurantID = try identifier(rest.extracting(end + 1..<rest.count), of: "restaurant")
            guard method == .get else { throw notAllowed("GET") }
            return .webSocket(client: client, restaurant: restaurant)
        }
        if bytes.hasPrefix("/api/v1/websocket/connections/") {
            let rest = bytes.extracting(30..<bytes.count)
            guard rest.firstIndex(of: slash) == nil else { throw Router.notFound }
            guard let connection = UUID128(rest) else { throw Router.notUUID("connection") }
            guard method == .delete else { throw notAllowed("DELETE") }
            return .closeConnection(connection)
        }
        if bytes.hasPrefix("/api/v1/orders/") {
            let rest = bytes.extracting(15..<bytes.count)
            guard let end = rest.firstIndex(of: slash) else {
                return try get(.order(try identifier(rest, of: "order")), method)
            }
            guard rest.extracting(end + 1..<rest.count).equals("status") else { throw Router.notFound }
            let order: OrderID = try identifier(rest.extracting(0..<end), of: "order")
            guard method == .patch else { throw notAllowed("PATCH") }
            return .updateOrderStatus(order)
        }
        throw Router.notFound
    }

    private var slash: UInt8 { UInt8(ascii: "/") }

    /// The route of a path without values in it; `nil` if it is none of those. Compared as bytes: most lengths differ, and no
    /// strings are made.
    private func fixedRoute(_ method: HTTPMethod, _ path: Span<UInt8>) throws(APIError) -> Route? {
        if path.equals("/api/v1/menu") { return try get(.menu, method) }
        if path.equals("/api/v1/menu/categories") { return try get(.menuCategories, method) }
        if path.equals("/api/v1/menu/cache/invalidate") { return try post(.invalidateMenuCache, method) }
        if path.equals("/api/v1/orders") {
            if method == .post { return .createOrder }
            guard method == .get || method == .head else { throw notAllowed("GET, HEAD, POST") }
            return .orders
        }
        if path.equals("/api/v1/events") { return try get(.events, method) }
        if path.equals("/api/v1/notifications") { return try post(.postNotification, method) }
        if path.equals("/api/v1/me") { return try get(.profile, method) }
        if path.equals("/api/v1/websocket/diagnostics") { return try get(.diagnostics, method) }
        if path.equals("/metrics") { return try get(.metrics, method) }
        if path.equals("/health") { return try get(.health, method) }
        if path.equals("/health/live") { return try get(.healthLive, method) }
        if path.equals("/health/ready") { return try get(.healthReady, method) }
        if path.equals("/openapi.json") { return try get(.openAPI, method) }
        if path.equals("/console") { return try get(.console(.console), method) }
        if path.equals("/console/tablet") { return try get(.console(.tablet), method) }
        if hasEcho, path.equals("/debug/echo") {
            guard method == .get || method == .post else { throw notAllowed("GET, POST") }
            return .echo
        }
        if hasEcho, path.equals("/debug/json") { return try post(.echoJSON, method) }
        return nil
    }

    private static let notFound = APIError(.notFound, "There is nothing at this path.")

    private func identifier<Identifier: UUIDIdentifier>(
        _ segment: Span<UInt8>, of thing: String
    ) throws(APIError) -> Identifier {
        guard let identifier = UUID128(segment) else { throw Router.notUUID(thing) }
        return Identifier(identifier)
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
