// The API, described for programs: api/openapi.json is the HTTP side, api/asyncapi.json the messages of the WebSocket. Both are
// compiled in.

import FynloCore

/// Answers `GET /openapi.json` and `GET /asyncapi.json`.
struct APIDocument: Sendable {
    /// OpenAPI 3.1.
    static let openAPI = APIDocument("openapi.json")
    /// AsyncAPI 3.
    static let asyncAPI = APIDocument("asyncapi.json")

    /// JSON, with this program's version.
    let bytes: [UInt8]
    /// A strong validator: of the bytes, so that all nodes of one version give the same one.
    private let tag: String

    private init(_ name: String) {
        guard let file = EmbeddedFiles.all.first(where: { $0.name == name }) else {
            preconditionFailure("api/\(name) is compiled in")
        }
        // As bytes: to search a string takes a hundred times as long.
        let bytes = Array(file.text.utf8).replacing(Array("$VERSION".utf8), with: Array(fynloVersion.utf8))
        self.bytes = bytes
        tag = "\"" + SHA1.digest(bytes.span).hexadecimal + "\""
    }

    /// The document is public, and changes with the program only.
    func response(to request: HTTPRequest) -> HTTPResponse {
        let isFresh = request.holds(entityTag: tag)
        var response = HTTPResponse(status: isFresh ? 304 : 200, body: isFresh ? [] : bytes)
        if !isFresh { response.headers.append("Content-Type", "application/json") }
        response.headers.append("Cache-Control", "public, max-age=300")
        response.headers.append("ETag", tag)
        return response
    }
}
