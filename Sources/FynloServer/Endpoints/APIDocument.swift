// The API, described for programs: api/openapi.json has the HTTP side, api/asyncapi.json the messages of the WebSocket. Both are
// compiled in.

import FynloCore

/// Answers `GET /openapi.json` and `GET /asyncapi.json`.
struct APIDocument: Sendable {
    /// OpenAPI 3.1.
    static let openAPI = APIDocument("openapi.json")
    /// AsyncAPI 3.
    static let asyncAPI = APIDocument("asyncapi.json")

    private let file: PublishedFile

    /// JSON, with this program's version.
    var bytes: [UInt8] { file.body }

    private init(_ name: String) {
        // As bytes: to search a string takes a hundred times as long.
        let text = Array(PublishedFile.text(of: name).utf8)
        file = PublishedFile(
            text.replacing(Array("$VERSION".utf8), with: Array(fynloVersion.utf8)), "application/json")
    }

    /// The document is public, and changes with the program only.
    func response(to request: HTTPRequest) -> HTTPResponse {
        file.response(to: request, caching: "public, max-age=300")
    }
}
