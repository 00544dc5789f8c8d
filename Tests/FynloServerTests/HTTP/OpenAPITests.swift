import Foundation
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The OpenAPI document")
struct OpenAPITests {
    private let document: OpenAPIDocument

    init() throws {
        document = try OpenAPIDocument(APIDocument.openAPI.bytes)
    }

    // MARK: Routes

    @Test("has every endpoint with the methods it takes, and nothing else")
    func endpoints() {
        let methods: [HTTPMethod] = [.get, .head, .post, .put, .patch, .delete, .options, .other("TRACE")]
        let described = Endpoint.allCases.filter { $0.audience != .conformanceSuites }
        for (path, endpoints) in Dictionary(grouping: described, by: \.path.text) {
            let taken = endpoints.reduce(into: HTTPMethods()) { $0.formUnion($1.methods) }
            for method in methods {
                let isTaken = !taken.isDisjoint(with: HTTPMethods(method))
                #expect((document.operation(method.name, path) != nil) == isTaken, "\(method.name) \(path)")
            }
        }
        #expect(Set(document.paths) == Set(described.map(\.path.text)))
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
        #expect(!String(decoding: APIDocument.openAPI.bytes, as: UTF8.self).contains("$VERSION"))
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
        #expect(answer.body == APIDocument.openAPI.bytes)
        #expect(answer.headers.first("content-type") == "application/json")
        #expect(answer.headers.first("cache-control") == "public, max-age=300")
        let tag = try #require(answer.headers.first("etag"))
        for (field, status) in [
            (tag, 304), ("W/\(tag)", 304), ("\"x\", \(tag)", 304), ("*", 304), ("\"x\"", 200), ("", 200),
        ] {
            for method in [HTTPMethod.get, .head] {
                let again = try server.request(method, "/openapi.json?x=1", headers: ["If-None-Match": field])
                #expect(again.status == status, "\(field)")
                #expect(again.body == (status == 200 && method == .get ? APIDocument.openAPI.bytes : []), "\(field)")
                #expect(again.headers.first("etag") == tag, "\(field)")
            }
        }
    }
}
