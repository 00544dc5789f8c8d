import Testing

@testable import FynloCore

/// An OpenAPI document, and whether answers are what it promises.
struct OpenAPIDocument {
    let root: Document
    let schemas: SchemaCheck

    /// A method of a path.
    struct Operation {
        let method: String
        /// With its parameters in braces.
        let path: String
        let document: Document
        /// Those of the path too.
        let parameters: [Document]

        var name: String { "\(method.uppercased()) \(path)" }
        var id: String { document["operationId"].string ?? "" }
        /// The schema of the body it takes; `nil` if it takes none.
        var body: Document? {
            let content = document["requestBody"]["content"]["application/json"]
            return content == .null ? nil : content["schema"]
        }

        func parameters(in place: String) -> [Document] { parameters.filter { $0["in"].string == place } }
    }

    private static let methods = ["get", "head", "post", "put", "patch", "delete", "options", "trace"]

    init(_ bytes: [UInt8]) throws {
        root = try Document(bytes)
        schemas = SchemaCheck(root: root)
    }

    // MARK: Looking things up

    /// What a value stands for, if it is a reference.
    func resolved(_ document: Document) -> Document {
        document["$ref"].string.map(schemas.target) ?? document
    }

    var paths: [String] { root["paths"].members.keys.sorted() }

    var operations: [Operation] {
        paths.flatMap { path in OpenAPIDocument.methods.compactMap { operation($0, path) } }
    }

    func operation(_ method: String, _ path: String) -> Operation? {
        let item = root["paths"][path]
        let document = item[method.lowercased()]
        guard document != .null else { return nil }
        let parameters = (item["parameters"].elements + document["parameters"].elements).map(resolved)
        return Operation(method: method.lowercased(), path: path, document: document, parameters: parameters)
    }

    func operation(_ id: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Operation {
        try #require(operations.first { $0.id == id }, "an operation \(id)", sourceLocation: sourceLocation)
    }

    // MARK: Answers

    /// What an answer has, or lacks, against its description; empty: it is as described.
    func findings(_ answer: HTTPResponse, to operation: Operation) -> [String] {
        let responses = operation.document["responses"]
        let own = responses[String(answer.status)]
        let described = resolved(own == .null ? responses["default"] : own)
        guard described != .null else { return ["\(operation.name) \(answer.status) is not described"] }
        let findings =
            fieldFindings(answer, described) + bodyFindings(answer, described, isHead: operation.method == "head")
        return findings.map { "\(operation.name) \(answer.status): \($0)" }
    }

    /// What every answer may have: OpenAPI describes the content apart from the fields, and the connection not at all.
    private static let general: Set<String> = ["date", "content-length", "content-type", "connection"]

    private func fieldFindings(_ answer: HTTPResponse, _ described: Document) -> [String] {
        var findings: [String] = []
        var unknown = Set(answer.headers.names).subtracting(OpenAPIDocument.general)
        for (name, reference) in described["headers"].members.sorted(by: { $0.key < $1.key }) {
            let field = resolved(reference)
            unknown.remove(name.lowercased())
            guard let value = answer.headers.first(name.lowercased()) else {
                if field["required"] == .boolean(true) { findings.append("\(name) is missing") }
                continue
            }
            let isNumber = field["schema"]["type"].string == "integer"
            let json = isNumber ? (try? Document(json: value)) ?? .null : .string(value)
            findings += schemas.findings(json, field["schema"], at: name)
        }
        return findings + unknown.sorted().map { "\($0) is not described" }
    }

    private func bodyFindings(_ answer: HTTPResponse, _ described: Document, isHead: Bool) -> [String] {
        let type = answer.headers.first("content-type")
        guard described["content"] != .null else {
            return type == nil && answer.body.isEmpty ? [] : ["a body is not described"]
        }
        guard let type, case .object(let content) = described["content"][type] else {
            return ["the type \(type ?? "none") is not described"]
        }
        guard !isHead else { return answer.body.isEmpty ? [] : ["HEAD has a body"] }
        if type.hasPrefix("text/") || type.hasPrefix("image/") {
            return schemas.findings(.string(String(decoding: answer.body, as: UTF8.self)), content["schema"] ?? .null)
        }
        guard let body = try? Document(answer.body) else { return ["the body is not JSON"] }
        return schemas.findings(body, content["schema"] ?? .null)
    }
}

extension HTTPHeaders {
    /// In small letters, as they come.
    var names: [String] {
        (0..<count).map { name(at: $0).lowercased() }
    }
}
