import Foundation
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// What the document says of parameters and bodies is what the server takes: the bounds come from the document.
@Suite("The input that the OpenAPI document describes")
struct OpenAPIInputTests {
    private let document: OpenAPIDocument
    private let server: TestServer
    private let client: OpenAPIClient

    init() throws {
        document = try OpenAPIDocument(APIDocument.openAPI.bytes)
        server = try TestServer()
        client = try OpenAPIClient(on: server)
    }

    // MARK: Queries

    /// Values that a schema does not allow, and some that it does.
    private func samples(of schema: Document) -> (refused: [String], accepted: [String]) {
        let names = schema["enum"].elements.compactMap(\.string)
        if !names.isEmpty { return (["", "nonsense", names[0].uppercased()], names) }
        switch (schema["type"].string, schema["format"].string) {
        case ("integer", let format):
            let least = schema["minimum"].integer ?? 0
            let most = format == "int64" ? Int.max : schema["maximum"].integer ?? 0
            let beyond = "\(Decimal(most) + 1)"
            return (["", "x", "1.5", "+1", " 1", "\(least - 1)", beyond], ["\(least)", "\(most)", "00\(least)"])
        case ("boolean", _): return (["", "maybe", "2", "yes"], ["true", "false", "TRUE", "1", "0"])
        case (_, "uuid"): return (["", "7", "11111111-1111-4111-8111-11111111111"], [])
        case (_, "date-time"):
            return (["", "yesterday", "2026-01-31", "2026-01-31T18:04:05"], ["2026-01-31T18:04:05.123Z"])
        default: return ([], [])
        }
    }

    @Test("parameters out of range are 422 by name, those within are taken, defaults are what is taken without")
    func parameters() throws {
        for operation in document.operations where operation.id != "openWebSocket" {
            let base = try client.send(operation)
            for parameter in operation.parameters(in: "query") {
                let name = parameter["name"].string ?? ""
                let schema = document.resolved(parameter["schema"])
                let (refused, accepted) = samples(of: schema)
                #expect(!refused.isEmpty, "\(operation.name) \(name)")
                for value in refused {
                    try expectRefusal(client.send(operation, query: [name: value]), operation, name, value)
                }
                for value in accepted {
                    let answer = try client.send(operation, query: [name: value])
                    #expect(answer.status != 422, "\(operation.name) \(name)=\(value)")
                }
                let twice = accepted.first ?? client.orders.restaurant.description
                try expectRefusal(
                    client.send(operation, query: [name: "\(twice)&\(name)=\(twice)"]), operation, name, "twice")
                if parameter["required"] == .boolean(true) {
                    try expectRefusal(client.send(operation, query: [name: nil]), operation, name, "missing")
                }
                if let fallback = schema["default"].scalar {
                    let answer = try client.send(operation, query: [name: fallback])
                    #expect(answer.body == base.body, "\(operation.name) \(name)")
                    #expect(answer.headers.first("link") == base.headers.first("link"), "\(operation.name) \(name)")
                }
            }
        }
    }

    private func expectRefusal(
        _ answer: HTTPResponse, _ operation: OpenAPIDocument.Operation, _ name: String, _ value: String
    ) throws {
        #expect(answer.status == 422, "\(operation.name) \(name)=\(value)")
        guard operation.method != "head" else { return }
        let detail = try Document(answer.body)["detail"].string
        #expect(detail?.hasPrefix("\(name) ") == true, "\(operation.name) \(name)=\(value): \(detail ?? "")")
    }

    @Test("a parameter that an operation does not have is not looked at")
    func otherParameters() throws {
        let operations = document.operations.filter { $0.id != "openWebSocket" }
        let all = Set(operations.flatMap { $0.parameters(in: "query").compactMap { $0["name"].string } })
        #expect(all.count > 7)
        for operation in operations where operation.method != "head" {
            let own = operation.parameters(in: "query").compactMap { $0["name"].string }
            for name in all.subtracting(own) {
                let answer = try client.send(operation, query: [name: "%3F"])
                #expect(answer.status < 300, "\(operation.name) \(name)")
            }
        }
    }

    // MARK: Bodies

    /// Values that a schema of a member does not allow, and some that it does.
    private func bodySamples(of schema: Document, _ valid: Document) -> (refused: [Document], accepted: [Document]) {
        let types = schema["type"].string.map { [$0] } ?? schema["type"].elements.compactMap(\.string)
        var refused: [Document] = [.boolean(true)]
        var accepted: [Document] = types.contains("null") ? [.null] : []
        if case .array(let names) = schema["enum"] {
            refused.append(.string("nonsense"))
            accepted += names
        }
        if types.contains("string") {
            refused += [.number(7), .array([])]
            if schema["format"].string == "uuid" { refused.append(.string("7")) }
            if let most = schema["maxLength"].integer {
                refused.append(.string(String(repeating: "x", count: most + 1)))
                accepted.append(.string(String(repeating: "x", count: most)))
                // Bytes are counted.
                refused.append(.string(String(repeating: "é", count: most / 2 + 1)))
            }
            if (schema["minLength"].integer ?? 0) > 0 { refused.append(.string("")) }
        }
        if types.contains("integer"), let least = schema["minimum"].number, let most = schema["maximum"].number {
            refused += [.number(least - 1), .number(most + 1), .number(1.5), .string("1")]
            accepted += [.number(least), .number(most)]
        }
        if types.contains("number"), let least = schema["minimum"].number, let most = schema["maximum"].number {
            let cent = Decimal(1) / 100
            refused += [.number(least - cent), .number(most + cent), .number(cent / 10), .string("1")]
            accepted.append(.number(least))
        }
        if types.contains("array") {
            refused.append(.object([:]))
            if let least = schema["minItems"].integer, let most = schema["maxItems"].integer {
                let element = valid[0]
                refused += [
                    .array(Array(repeating: element, count: least - 1)),
                    .array(Array(repeating: element, count: most + 1)),
                ]
                accepted.append(.array(Array(repeating: element, count: most)))
            }
        }
        if types.contains("object") { refused.append(.array([])) }
        return (refused, accepted)
    }

    @Test("members of a body out of range are 422 by name, those within are taken")
    func members() throws {
        for operation in document.operations {
            guard let schema = operation.body.map(document.resolved) else { continue }
            let body = try Document(json: client.body(of: operation))
            #expect(document.schemas.findings(body, schema) == [])
            try check(operation, schema, body, "") { $0 }
            let items = schema["properties"]["items"]["items"]
            guard items != .null else { continue }
            try check(operation, document.resolved(items), body["items"][0], "items[0].") { item in
                body.replacing("items", with: .array([item]))
            }
        }
    }

    /// Tries every member of `object`, which has its place in the body that `embed` makes.
    private func check(
        _ operation: OpenAPIDocument.Operation, _ schema: Document, _ object: Document, _ path: String,
        _ embed: (Document) -> Document
    ) throws {
        func send(_ name: String, _ value: Document?) throws -> HTTPResponse {
            try client.send(operation, body: embed(object.replacing(name, with: value)).json)
        }
        let more = try send("colour", .string("blue"))
        #expect(more.status < 300, "\(operation.name) with what nobody asks for")
        let required = schema["required"].elements.compactMap(\.string)
        #expect(!schema["properties"].members.isEmpty)
        for (name, reference) in schema["properties"].members.sorted(by: { $0.key < $1.key }) {
            let (refused, accepted) = bodySamples(of: document.resolved(reference), object[name])
            for value in refused + (required.contains(name) ? [.null] : []) {
                let answer = try send(name, value)
                try expectRefusal(answer, operation, path + name, String(value.json.prefix(80)))
            }
            for value in accepted {
                let answer = try send(name, value)
                #expect([200, 201, 202, 409].contains(answer.status), "\(operation.name) \(path)\(name) \(value.json)")
            }
            let without = try send(name, nil)
            if required.contains(name) {
                try expectRefusal(without, operation, path + name, "missing")
            } else {
                #expect(without.status < 300, "\(operation.name) without \(path)\(name)")
            }
        }
    }

    @Test("a key that is too long, empty, or no printable ASCII is 422 by name")
    func keys() throws {
        let operations = document.operations.filter { operation in
            operation.parameters(in: "header").contains { $0["name"].string == "Idempotency-Key" }
        }
        #expect(operations.map(\.id) == ["postNotification", "createOrder", "updateOrderStatus"])
        for operation in operations {
            let parameter = operation.parameters(in: "header").first { $0["name"].string == "Idempotency-Key" }
            let most = parameter?["schema"]["maxLength"].integer ?? 0
            for key in ["", "é", String(repeating: "x", count: most + 1)] {
                let answer = try client.send(operation, headers: ["Idempotency-Key": key])
                try expectRefusal(answer, operation, "Idempotency-Key", key)
            }
            let key = operation.id + String(repeating: "~", count: most - operation.id.utf8.count)
            #expect(try client.send(operation, headers: ["Idempotency-Key": key]).status < 300, "\(operation.name)")
        }
    }
}
