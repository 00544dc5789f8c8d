// The client for browsers under addresses that stay, for pages of other origins and for build tools. The console's own pages load
// the same file under a name that changes with it.

import FynloCore

/// Answers `GET /client.js` and `GET /client.d.ts`.
enum ClientFiles {
    private struct File {
        let body: [UInt8]
        let mediaType: String
        let tag: String

        init(_ text: String, _ mediaType: String) {
            let body = Array(text.utf8)
            self.body = body
            self.mediaType = mediaType
            tag = "\"" + SHA1.digest(body.span).hexadecimal + "\""
        }
    }

    /// console/client.js, with the version that it belongs to.
    private static let module = File(
        "// Fynlo \(fynloVersion): the client for browsers.\nexport const VERSION = \"\(fynloVersion)\";\n\n"
            + embedded("client.js"),
        "text/javascript; charset=utf-8")

    /// Its types, for TypeScript and editors. There is no media type of its own that browsers would show.
    private static let types = File(
        "// Fynlo \(fynloVersion): the types of client.js.\n" + embedded("client.d.ts"), "text/plain; charset=utf-8")

    private static func embedded(_ name: String) -> String {
        guard let file = EmbeddedFiles.all.first(where: { $0.name == name }) else {
            preconditionFailure("console/\(name) is compiled in")
        }
        return file.text
    }

    static func module(_ request: HTTPRequest) -> HTTPResponse { answer(module, request) }

    static func types(_ request: HTTPRequest) -> HTTPResponse { answer(types, request) }

    /// The address stays when the file changes, so a browser asks each time whether it has. Which origins may load it, the
    /// connection says, as for every answer.
    private static func answer(_ file: File, _ request: HTTPRequest) -> HTTPResponse {
        let isFresh = request.holds(entityTag: file.tag)
        var response = HTTPResponse(status: isFresh ? 304 : 200, body: isFresh ? [] : file.body)
        if !isFresh { response.headers.append("Content-Type", file.mediaType) }
        response.headers.append("Cache-Control", "no-cache")
        response.headers.append("ETag", file.tag)
        response.headers.append("X-Content-Type-Options", "nosniff")
        return response
    }
}
