// The client for browsers at stable addresses, for pages of other origins and for build tools. The console's own pages load the same
// file under a name that changes with it.

import FynloCore

/// Answers `GET /client.js` and `GET /client.d.ts`.
enum ClientFiles {
    /// console/client.js, with the version that it belongs to.
    private static let module = PublishedFile(
        Array(
            ("// Fynlo \(fynloVersion): the client for browsers.\nexport const VERSION = \"\(fynloVersion)\";\n\n"
                + PublishedFile.text(of: "client.js")).utf8),
        "text/javascript; charset=utf-8")

    /// Its types, for TypeScript and editors. TypeScript has no media type that browsers would show.
    private static let types = PublishedFile(
        Array(("// Fynlo \(fynloVersion): the types of client.js.\n" + PublishedFile.text(of: "client.d.ts")).utf8),
        "text/plain; charset=utf-8")

    static func module(_ request: HTTPRequest) -> HTTPResponse { answer(module, request) }

    static func types(_ request: HTTPRequest) -> HTTPResponse { answer(types, request) }

    /// The address stays when the file changes, so a browser asks each time whether it has. The connection says which origins
    /// may load it, as for every response.
    private static func answer(_ file: PublishedFile, _ request: HTTPRequest) -> HTTPResponse {
        var response = file.response(to: request, caching: "no-cache")
        response.headers.append("X-Content-Type-Options", "nosniff")
        return response
    }
}
