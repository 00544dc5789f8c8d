// Every endpoint there is, each described once. The router, the Allow fields, the choice of listener, the labels of the metrics
// and the test of the OpenAPI document are made from these rows.
//
// A new endpoint is a case, its row, its work in EffectDispatcher and its entry in api/openapi.json. The compiler asks for the
// row and the work, OpenAPITests for the entry.

/// One thing that a request can ask for: a path with some of its methods.
public enum Endpoint: Int, CaseIterable, Sendable {
    case menu, menuCategories, invalidateMenuCache
    case orders, createOrder, order, updateOrderStatus
    case events, postNotification
    /// Who the token speaks for.
    case profile
    case webSocket, diagnostics, closeConnection
    case metrics, health, healthLive, healthReady
    case root, openAPI, asyncAPI, clientModule, clientTypes
    case docs, console, consoleTablet
    /// A file of the console's pages.
    case consoleAsset
    case echo, echoJSON

    /// Where an endpoint is. Unless FYNLO_ADMIN_LISTEN is set, one listener has them all.
    public enum Audience: Sendable {
        /// At FYNLO_LISTEN.
        case users
        /// At FYNLO_ADMIN_LISTEN alone, once it is set.
        case operators
        /// At both: balancers ask the listener that they send requests to, and support staff use either.
        case everybody
        /// At FYNLO_LISTEN, and only with FYNLO_ECHO: for conformance suites.
        case conformanceSuites
    }

    /// Who answers.
    public enum Responder: Sendable {
        case handler
        /// A handler; at FYNLO_LISTEN only for programs on this machine that ask without a proxy.
        case handlerForThisMachine
        /// The connection itself: it becomes a tablet's WebSocket.
        case session
        /// The connection itself: it sends back what it is sent, as HTTP or as WebSocket.
        case echo
    }

    private var row: Row {
        switch self {
        case .menu: Row(.reading, "/api/v1/menu", label: "menu")
        case .menuCategories: Row(.reading, "/api/v1/menu/categories", label: "menu_categories")
        case .invalidateMenuCache: Row(.post, "/api/v1/menu/cache/invalidate", label: "invalidate_menu_cache")
        case .orders: Row(.reading, "/api/v1/orders", label: "orders")
        case .createOrder: Row(.post, "/api/v1/orders", label: "create_order")
        case .order: Row(.reading, "/api/v1/orders/{order_id}", label: "order")
        case .updateOrderStatus: Row(.patch, "/api/v1/orders/{order_id}/status", label: "update_order_status")
        case .events: Row(.reading, "/api/v1/events", label: "events")
        case .postNotification: Row(.post, "/api/v1/notifications", label: "post_notification")
        case .profile: Row(.reading, "/api/v1/me", label: "profile")
        case .webSocket:
            Row(.get, "/api/v1/websocket/ws/{client_type}/{restaurant_id}", by: .session, label: "socket")
        case .diagnostics: Row(.reading, "/api/v1/websocket/diagnostics", for: .everybody, label: "diagnostics")
        case .closeConnection:
            Row(
                .delete, "/api/v1/websocket/connections/{connection_id}", for: .everybody, label: "close_connection")
        case .metrics: Row(.reading, "/metrics", for: .operators, by: .handlerForThisMachine, label: "metrics")
        case .health: Row(.reading, "/health", for: .operators, label: "health")
        case .healthLive: Row(.reading, "/health/live", for: .everybody, label: "health_live")
        case .healthReady: Row(.reading, "/health/ready", for: .everybody, label: "health_ready")
        case .root: Row(.reading, "/", label: "root")
        case .asyncAPI: Row(.reading, "/asyncapi.json", for: .operators, label: "asyncapi")
        case .clientModule: Row(.reading, "/client.js", label: "client_js")
        case .clientTypes: Row(.reading, "/client.d.ts", label: "client_types")
        case .docs: Row(.reading, "/docs", label: "docs")
        case .openAPI: Row(.reading, "/openapi.json", for: .operators, label: "openapi")
        case .console: Row(.reading, "/console", label: "console")
        case .consoleTablet: Row(.reading, "/console/tablet", label: "console")
        case .consoleAsset: Row(.reading, "/console/assets/{asset}", label: "console_asset")
        case .echo: Row([.get, .post], "/debug/echo", for: .conformanceSuites, by: .echo, label: "socket")
        case .echoJSON: Row(.post, "/debug/json", for: .conformanceSuites, label: "echo_json")
        }
    }

    public var methods: HTTPMethods { Endpoint.rows[rawValue].methods }
    public var path: PathTemplate { Endpoint.rows[rawValue].path }
    public var audience: Audience { Endpoint.rows[rawValue].audience }
    public var responder: Responder { Endpoint.rows[rawValue].responder }
    /// The endpoint in the metrics; some share one.
    public var label: String { Endpoint.rows[rawValue].label }

    private struct Row: Sendable {
        let methods: HTTPMethods
        let path: PathTemplate
        let audience: Audience
        let responder: Responder
        let label: String

        init(
            _ methods: HTTPMethods, _ path: String, for audience: Audience = .users, by responder: Responder = .handler,
            label: String
        ) {
            self.methods = methods
            self.path = PathTemplate(path)
            self.audience = audience
            self.responder = responder
            self.label = label
        }
    }

    /// Made once: a request looks its row up.
    private static let rows = allCases.map(\.row)
}

/// What may stand in place of a segment of a path; the raw value is its name in templates.
public enum PathParameter: String, CaseIterable, Sendable {
    /// One of `ClientType`; any other word makes the path an unknown one.
    case client = "client_type"
    // UUIDs; any other text is an error of its own.
    case restaurant = "restaurant_id"
    case order = "order_id"
    /// As users see it: `ConnectionID.uuid`.
    case connection = "connection_id"
    /// Any text without a slash, the empty one too.
    case asset

    /// What it names, in sentences.
    var noun: String {
        switch self {
        case .client: "client type"
        case .restaurant: "restaurant"
        case .order: "order"
        case .connection: "connection"
        case .asset: "asset"
        }
    }
}

/// A path with its parameters in braces, as OpenAPI writes it: `/api/v1/orders/{order_id}/status`.
public struct PathTemplate: Sendable {
    enum Segment: Sendable {
        /// A word, by its place in the bytes of the text.
        case literal(Range<Int>)
        case parameter(PathParameter)
    }

    public let text: String
    /// What stands between the slashes, in order; at least one.
    let segments: [Segment]

    init(_ text: String) {
        precondition(text.hasPrefix("/"), "a path begins with a slash")
        self.text = text
        let bytes = Array(text.utf8)
        segments = bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map {
            guard $0.first == UInt8(ascii: "{") else { return .literal($0.indices) }
            let name = String(decoding: $0.dropFirst().dropLast(), as: UTF8.self)
            guard let parameter = PathParameter(rawValue: name) else {
                preconditionFailure("a path's parameters are PathParameters")
            }
            return .parameter(parameter)
        }
    }

    public var parameters: [PathParameter] {
        segments.compactMap { if case .parameter(let parameter) = $0 { parameter } else { nil } }
    }
}
