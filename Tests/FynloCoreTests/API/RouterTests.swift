import FynloCore
import Testing

private func route(
    _ method: HTTPMethod, _ path: String, hasEcho: Bool = true
) -> Result<Route, APIError> {
    Result { () throws(APIError) in try Router(hasEcho: hasEcho).route(method, path) }
}

extension Result where Success == Route, Failure == APIError {
    fileprivate var route: Route? { try? get() }

    fileprivate var error: APIError? {
        if case .failure(let error) = self { error } else { nil }
    }
}

@Suite("Router")
struct RouterTests {
    private static let methods: [HTTPMethod] = [
        .get, .head, .post, .put, .patch, .delete, .options, .other("TRACE"), .other("get"),
    ]
    private static let socket = "/api/v1/websocket/ws/pos/\(Sample.restaurant)"

    @Test(
        "every path takes its methods, and answers 405 with Allow to every other",
        arguments: [
            ("/api/v1/menu", Route(.menu), "GET, HEAD"),
            ("/api/v1/menu/categories", Route(.menuCategories), "GET, HEAD"),
            ("/api/v1/menu/cache/invalidate", Route(.invalidateMenuCache), "POST"),
            ("/health", Route(.health), "GET, HEAD"),
            ("/api/v1/orders/\(Sample.order)", Route(.order, order: Sample.order), "GET, HEAD"),
            ("/api/v1/orders/\(Sample.order)/status", Route(.updateOrderStatus, order: Sample.order), "PATCH"),
            ("/api/v1/events", Route(.events), "GET, HEAD"),
            ("/api/v1/notifications", Route(.postNotification), "POST"),
            ("/health/live", Route(.healthLive), "GET, HEAD"), ("/health/ready", Route(.healthReady), "GET, HEAD"),
            ("/metrics", Route(.metrics), "GET, HEAD"),
            ("/api/v1/websocket/diagnostics", Route(.diagnostics), "GET, HEAD"),
            (
                "/api/v1/websocket/connections/\(Sample.order)", Route(.closeConnection, connection: Sample.order.uuid),
                "DELETE"
            ),
            ("/", Route(.root), "GET, HEAD"), ("/docs", Route(.docs), "GET, HEAD"),
            ("/asyncapi.json", Route(.asyncAPI), "GET, HEAD"), ("/client.js", Route(.clientModule), "GET, HEAD"),
            ("/client.d.ts", Route(.clientTypes), "GET, HEAD"),
            ("/openapi.json", Route(.openAPI), "GET, HEAD"), ("/debug/echo", Route(.echo), "GET, POST"),
            ("/debug/json", Route(.echoJSON), "POST"), ("/api/v1/me", Route(.profile), "GET, HEAD"),
            ("/console", Route(.console), "GET, HEAD"), ("/console/tablet", Route(.consoleTablet), "GET, HEAD"),
            ("/console/assets/client.js", Route(.consoleAsset, asset: "client.js"), "GET, HEAD"),
            (socket, Route(.webSocket, client: .pos, restaurant: Sample.restaurant), "GET"),
        ] as [(String, Route, String)])
    func methods(path: String, expected: Route, allowed: String) {
        let names = allowed.split(separator: ", ").map(String.init)
        for method in Self.methods {
            let result = route(method, path)
            if names.contains(method.name) {
                #expect(result.route == expected, "\(method.name)")
            } else {
                #expect(result.error?.status == 405 && result.error?.code == .methodNotAllowed, "\(method.name)")
                #expect(result.error?.allowedMethods == allowed, "\(method.name)")
            }
        }
    }

    @Test(
        "with a listener for operators each has its own paths, and some are at both",
        arguments: [
            ("/metrics", false, true), ("/health", false, true), ("/openapi.json", false, true),
            ("/asyncapi.json", false, true), ("/", true, false), ("/docs", true, false), ("/client.js", true, false),
            ("/client.d.ts", true, false),
            ("/health/live", true, true), ("/health/ready", true, true), ("/api/v1/websocket/diagnostics", true, true),
            ("/api/v1/menu", true, false), ("/debug/json", true, false), (socket, true, false),
            ("/healthy", false, false), ("/api/v1/me", true, false), ("/console", true, false),
            ("/console/tablet", true, false), ("/console/assets/client.js", true, false),
        ])
    func scopes(path: String, isAtService: Bool, isAtOperations: Bool) {
        for (scope, isHere) in [(Router.Scope.service, isAtService), (.operations, isAtOperations)] {
            for method in Self.methods {
                let result = Result { () throws(APIError) in
                    try Router(hasEcho: scope == .service, scope: scope).route(method, path)
                }
                #expect((result.error?.status == 404) == !isHere, "\(method.name) \(scope)")
            }
        }
    }

    @Test("orders are listed and made at one path")
    func orders() {
        for method in Self.methods {
            let result = route(method, "/api/v1/orders")
            switch method {
            case .get, .head: #expect(result.route == Route(.orders))
            case .post: #expect(result.route == Route(.createOrder))
            default: #expect(result.error?.status == 405 && result.error?.allowedMethods == "GET, HEAD, POST")
            }
        }
    }

    @Test("a socket's path says which client of which restaurant", arguments: ClientType.allCases)
    func sockets(client: ClientType) {
        let expected = Route(.webSocket, client: client, restaurant: Sample.restaurant)
        let path = "/api/v1/websocket/ws/\(client.rawValue)/\(Sample.restaurant)"
        #expect(route(.get, path).route == expected)
        #expect(route(.get, path, hasEcho: false).route == expected)
        let upper = "/api/v1/websocket/ws/\(client.rawValue)/\(Sample.restaurant.description.uppercased())"
        #expect(route(.get, upper).route == expected)
    }

    @Test(
        "a restaurant or an order that is not a UUID is 400",
        arguments: ["", "1", "11111111-1111-4111-8111-11111111111", "11111111111141118111111111111111", "x", "*", " "])
    func malformedRestaurant(text: String) {
        for (method, path) in [
            (HTTPMethod.get, "/api/v1/websocket/ws/kitchen/\(text)"), (.get, "/api/v1/orders/\(text)"),
            (.patch, "/api/v1/orders/\(text)/status"),
        ] {
            let error = route(method, path).error
            #expect(error?.status == 400 && error?.code == .invalidRequest, "\(path)")
        }
    }

    @Test(
        "everything else is 404, whatever the method",
        arguments: [
            "", "*", "/api", "/api/v1", "/api/v1/", "/api/v1/menu/", "//api/v1/menu", "/api//v1/menu",
            "/API/v1/menu",
            "/api/v1/Menu", "/api/v1/menu/categories/", "/api/v1/menu/x", "/api/v1/menu/cache", "/api/v2/menu",
            "/health/",
            "/health/dead", "/healthz", "/openapi.json/", "/openapi", "/openapi.yaml", "/api/openapi.json",
            "/api/v1/websocket", "/api/v1/websocket/ws", "/api/v1/websocket/ws/pos",
            "/api/v1/websocket/ws/waiter/\(Sample.restaurant)", "/api/v1/websocket/ws/POS/\(Sample.restaurant)",
            "/api/v1/websocket/ws//\(Sample.restaurant)", socket + "/", socket + "/x",
            "/api/v1/events/", "/api/v1/notifications/1", "/api/v1/orders/\(Sample.order)/items",
            "/api/v1/orders/\(Sample.order)/status/", "/api/v1/websocket/ws/waiter/nonsense",
            "/api/v1/websockets/ws/pos/\(Sample.restaurant)", "/debug",
            "/debug/",
            "//", "/docs/", "/client", "/asyncapi", "/console/", "/console/assets", "/console/assets/a/b",
            "/console/tablets", "/api/v1/me/",
            "/debug/echo/", "/debug/json/x", "/ws/pos/\(Sample.restaurant)", "/api/v1/menu\0",
        ])
    func unknown(path: String) {
        for method in Self.methods {
            let error = route(method, path).error
            #expect(error?.status == 404 && error?.code == .notFound && error?.allowedMethods == nil)
        }
    }

    @Test(
        "the endpoints for conformance suites exist only when they are asked for",
        arguments: ["/debug/echo", "/debug/json"])
    func noEcho(path: String) {
        for method in Self.methods { #expect(route(method, path, hasEcho: false).error?.status == 404) }
    }

    @Test("what a path is told to have is in its route", arguments: Endpoint.allCases)
    func values(endpoint: Endpoint) throws {
        let text = "11111111-1111-4111-8111-111111111111"
        let uuid = try #require(UUID128(text))
        var path = endpoint.path.text
        for parameter in endpoint.path.parameters {
            path = path.replacing("{\(parameter.rawValue)}", with: parameter == .client ? "kitchen" : text)
        }
        #expect(!path.contains("{"))
        for method in Self.methods where !endpoint.methods.isDisjoint(with: HTTPMethods(method)) {
            let found = try #require(route(method, path).route)
            #expect(found.endpoint == endpoint)
            for parameter in endpoint.path.parameters {
                switch parameter {
                case .client: #expect(found.client == .kitchen)
                case .restaurant: #expect(found.restaurant.uuid == uuid)
                case .order: #expect(found.order.uuid == uuid)
                case .connection: #expect(found.connection == uuid)
                case .asset: #expect(found.asset == text)
                }
            }
        }
    }

    @Test("no method of a path is two endpoints'")
    func oneEach() {
        for (path, endpoints) in Dictionary(grouping: Endpoint.allCases, by: \.path.text) {
            var taken: HTTPMethods = []
            for endpoint in endpoints {
                #expect(!endpoint.methods.isEmpty && taken.isDisjoint(with: endpoint.methods), "\(path)")
                taken.formUnion(endpoint.methods)
            }
        }
    }
}
