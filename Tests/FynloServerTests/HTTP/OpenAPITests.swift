import Foundation
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The OpenAPI document")
struct OpenAPITests {
    private let document: OpenAPIDocument

    init() throws {
        document = try OpenAPIDocument(OpenAPI.document)
    }

    // MARK: Routes

    /// The routes without the values in their paths: a new one has to be given its place here, and so in the document.
    enum Endpoint: CaseIterable {
        case webSocket, echo, echoJSON, menu, menuCategories, invalidateMenuCache, orders, createOrder, order
        case updateOrderStatus, events, postNotification, diagnostics, closeConnection
        case metrics, health, healthLive, healthReady, openAPI
        case profile, console, consoleTablet, consoleAsset

        init(_ route: Route) {
            self =
                switch route {
                case .webSocket: .webSocket
                case .echo: .echo
                case .echoJSON: .echoJSON
                case .menu: .menu
                case .menuCategories: .menuCategories
                case .invalidateMenuCache: .invalidateMenuCache
                case .orders: .orders
                case .createOrder: .createOrder
                case .order: .order
                case .updateOrderStatus: .updateOrderStatus
                case .events: .events
                case .postNotification: .postNotification
                case .diagnostics: .diagnostics
                case .closeConnection: .closeConnection
                case .metrics: .metrics
                case .health: .health
                case .healthLive: .healthLive
                case .healthReady: .healthReady
                case .openAPI: .openAPI
                case .profile: .profile
                case .console(.console): .console
                case .console(.tablet): .consoleTablet
                case .consoleAsset: .consoleAsset
                }
        }

        /// The path in the document, and whether it is there: those for conformance suites are not.
        var place: (path: String, isDescribed: Bool) {
            switch self {
            case .webSocket: ("/api/v1/websocket/ws/{client_type}/{restaurant_id}", true)
            case .echo: ("/debug/echo", false)
            case .echoJSON: ("/debug/json", false)
            case .menu: ("/api/v1/menu", true)
            case .menuCategories: ("/api/v1/menu/categories", true)
            case .invalidateMenuCache: ("/api/v1/menu/cache/invalidate", true)
            case .orders, .createOrder: ("/api/v1/orders", true)
            case .order: ("/api/v1/orders/{order_id}", true)
            case .updateOrderStatus: ("/api/v1/orders/{order_id}/status", true)
            case .events: ("/api/v1/events", true)
            case .postNotification: ("/api/v1/notifications", true)
            case .diagnostics: ("/api/v1/websocket/diagnostics", true)
            case .closeConnection: ("/api/v1/websocket/connections/{connection_id}", true)
            case .metrics: ("/metrics", true)
            case .health: ("/health", true)
            case .healthLive: ("/health/live", true)
            case .healthReady: ("/health/ready", true)
            case .openAPI: ("/openapi.json", true)
            case .profile: ("/api/v1/me", true)
            case .console: ("/console", true)
            case .consoleTablet: ("/console/tablet", true)
            case .consoleAsset: ("/console/assets/{asset}", true)
            }
        }
    }

    @Test("has every route with the methods it takes, and nothing else")
    func routes() {
        let methods: [HTTPMethod] = [.get, .head, .post, .put, .patch, .delete, .options, .other("TRACE")]
        var described: Set<String> = []
        for endpoint in Endpoint.allCases {
            let (template, isDescribed) = endpoint.place
            let path = template.replacing("{client_type}", with: "pos")
                .replacing(/\{[a-z]+_id\}/, with: "11111111-1111-4111-8111-111111111111")
            let router = Router(hasEcho: !isDescribed)
            let routes = methods.map { method in try? router.route(method, path) }
            #expect(routes.compactMap { $0 }.map(Endpoint.init).contains(endpoint), "\(path)")
            for (method, route) in zip(methods, routes) {
                let operation = document.operation(method.name, template)
                #expect((operation != nil) == (route != nil && isDescribed), "\(method.name) \(template)")
            }
            if isDescribed { described.insert(template) }
        }
        #expect(Set(document.paths) == described)
        #expect(Set(document.operations.map(\.id)).count == document.operations.count, "each has an id of its own")
    }

    @Test("has the parameters of its paths, and wants a token where one is asked for")
    func pathParameters() {
        for operation in document.operations {
            let names = operation.path.matches(of: /\{([a-z_]+)\}/).map { String($0.output.1) }
            let parameters = operation.parameters(in: "path")
            #expect(parameters.compactMap { $0["name"].string } == names, "\(operation.name)")
            #expect(parameters.allSatisfy { $0["required"] == .boolean(true) }, "\(operation.name)")
            #expect(operation.parameters(in: "header").contains { $0["name"].string == "X-Request-ID" })
            let isOpen = operation.document["security"] == .array([])
            #expect(isOpen == (operation.document["responses"]["401"] == .null), "\(operation.name)")
        }
    }

    // MARK: The text itself

    /// Every value in a document.
    private func walk(_ document: Document, _ visit: (Document) -> Void) {
        visit(document)
        for value in document.members.values { walk(value, visit) }
        for value in document.elements { walk(value, visit) }
    }

    @Test("refers to what is there, and has nothing that is not referred to")
    func references() {
        var references: Set<String> = []
        walk(document.root) { if let reference = $0["$ref"].string { references.insert(reference) } }
        for reference in references {
            #expect(document.schemas.target(reference) != .null, "\(reference)")
        }
        for (kind, components) in document.root["components"].members where kind != "securitySchemes" {
            for name in components.members.keys {
                #expect(references.contains("#/components/\(kind)/\(name)"), "\(kind) \(name)")
            }
        }
    }

    @Test("has examples and defaults that are like their schemas")
    func examples() {
        var count = 0
        walk(document.root) { value in
            if value["example"] != .null, value["schema"] != .null {
                count += 1
                #expect(document.schemas.findings(value["example"], value["schema"]) == [])
            }
            if value["default"] != .null, value["type"] != .null {
                count += 1
                #expect(document.schemas.findings(value["default"], value) == [])
            }
        }
        #expect(count > 20)
    }

    @Test("has this program's version, its error codes, statuses and client types")
    func vocabulary() throws {
        #expect(document.root["info"]["version"].string == fynloVersion)
        #expect(!String(decoding: OpenAPI.document, as: UTF8.self).contains("$VERSION"))
        let schemas = document.root["components"]["schemas"]
        #expect(schemas["ErrorCode"]["enum"].elements.compactMap(\.string) == APIError.Code.allCases.map(\.rawValue))
        #expect(schemas["OrderStatus"]["enum"].elements.compactMap(\.string) == OrderStatus.allCases.map(\.rawValue))
        let socket = try document.operation("openWebSocket")
        let clients = socket.parameters(in: "path")[0]["schema"]["enum"].elements.compactMap(\.string)
        #expect(clients == ClientType.allCases.map(\.rawValue))
    }

    @Test("gives each error code the status it has, and leaves none of them out")
    func codes() throws {
        var described: Set<APIError.Code> = []
        walk(document.root) { value in
            let (status, code) = (value["properties"]["status"], value["properties"]["code"])
            let names = code["const"].string.map { [$0] } ?? code["enum"].elements.compactMap(\.string)
            let statuses = status["const"].integer.map { [$0] } ?? status["enum"].elements.compactMap(\.integer)
            for code in names.compactMap(APIError.Code.init) {
                described.insert(code)
                // What cannot be read as HTTP, or is too large, has the parser's status.
                #expect(statuses.contains(code.usualStatus) || code == .invalidRequest, "\(code)")
            }
        }
        let socketOnly: Set<APIError.Code> = [.invalidMessage, .unknownType, .rateLimited]
        #expect(described == Set(APIError.Code.allCases).subtracting(socketOnly))
    }

    @Test("has the limits that are in force")
    func limits() {
        let limits = Limits()
        let schemas = document.root["components"]["schemas"]
        let order = schemas["NewOrder"]["properties"]
        let item = schemas["NewOrderItem"]["properties"]
        let notification = schemas["NewNotification"]["properties"]
        let rows: [(Document, String, Int)] = [
            (order["table_number"], "maxLength", limits.labelBytes),
            (order["order_type"], "maxLength", limits.labelBytes),
            (order["customer_name"], "maxLength", limits.nameBytes), (order["notes"], "maxLength", limits.noteBytes),
            (order["items"], "maxItems", limits.orderItems), (item["product_name"], "maxLength", limits.nameBytes),
            (item["quantity"], "maximum", Int(limits.itemQuantity)),
            (item["special_instructions"], "maxLength", limits.noteBytes),
            (notification["title"], "maxLength", limits.nameBytes),
            (notification["message"], "maxLength", limits.noteBytes),
            (document.root["components"]["parameters"]["Limit"]["schema"], "maximum", limits.ordersPerPage),
            (
                document.root["components"]["parameters"]["IdempotencyKey"]["schema"], "maxLength",
                limits.commandIDBytes
            ),
            (
                document.root["components"]["responses"]["Events"]["content"]["application/json"]["schema"],
                "maxItems", limits.eventsPerPage
            ),
        ]
        for (schema, keyword, limit) in rows { #expect(schema[keyword].integer == limit, "\(schema)") }
        #expect(schemas["Amount"]["maximum"].number == Decimal(Money.maximum.cents) / 100)
        #expect(schemas["NewAmount"]["maximum"].number == Decimal(Money.maximum.cents) / 100)
        for (schema, bytes) in [
            (item["modifiers"], limits.modifiersBytes), (notification["data"], limits.transientDataBytes),
        ] {
            #expect(schema["description"].string?.contains(grouped(bytes)) == true, "\(bytes)")
        }
        for operation in document.operations where operation.body != nil {
            let description = operation.document["requestBody"]["description"].string
            #expect(description?.contains(grouped(limits.requestBodyBytes)) == true, "\(operation.name)")
            #expect(description?.contains("\(JSON.maximumDepth) levels") == true, "\(operation.name)")
        }
    }

    /// As people write it: `131,072`.
    private func grouped(_ number: Int) -> String {
        number < 1_000 ? "\(number)" : "\(number / 1_000),\(String(number % 1_000 + 1_000).dropFirst())"
    }

    // MARK: Serving it

    @Test("is served to anybody, and need not be fetched twice")
    func served() throws {
        let server = try TestServer()
        let answer = try server.request(.get, "/openapi.json")
        #expect(answer.status == 200)
        #expect(answer.body == OpenAPI.document)
        #expect(answer.headers.first("content-type") == "application/json")
        #expect(answer.headers.first("cache-control") == "public, max-age=300")
        let tag = try #require(answer.headers.first("etag"))
        for (field, status) in [
            (tag, 304), ("W/\(tag)", 304), ("\"x\", \(tag)", 304), ("*", 304), ("\"x\"", 200), ("", 200),
        ] {
            for method in [HTTPMethod.get, .head] {
                let again = try server.request(method, "/openapi.json?x=1", headers: ["If-None-Match": field])
                #expect(again.status == status, "\(field)")
                #expect(again.body == (status == 200 && method == .get ? OpenAPI.document : []), "\(field)")
                #expect(again.headers.first("etag") == tag, "\(field)")
            }
        }
    }
}
