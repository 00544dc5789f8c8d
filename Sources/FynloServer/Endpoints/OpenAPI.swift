// The HTTP API, described for programs: api/openapi.json, compiled in.

import FynloCore

/// Answers `GET /openapi.json`.
enum OpenAPI {
    /// OpenAPI 3.1 in JSON, with this program's version.
    static let document: [UInt8] = {
        guard let file = EmbeddedFiles.all.first(where: { $0.name == "openapi.json" }) else {
            preconditionFailure("api/openapi.json is compiled in")
        }
        return Array(file.text.replacing("$VERSION", with: fynloVersion).utf8)
    }()

    /// A strong validator: of the bytes, so that all nodes of one version give the same one.
    private static let tag = "\"" + SHA1.digest(document.span).hexadecimal + "\""

    /// The document is public, and changes with the program only.
    static func response(to request: HTTPRequest) -> HTTPResponse {
        let isFresh = request.holds(entityTag: tag)
        var response = HTTPResponse(status: isFresh ? 304 : 200, body: isFresh ? [] : document)
        if !isFresh { response.headers.append("Content-Type", "application/json") }
        response.headers.append("Cache-Control", "public, max-age=300")
        response.headers.append("ETag", tag)
        return response
    }
}
