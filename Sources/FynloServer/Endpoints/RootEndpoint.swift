// The front page: what there is at this server, for people as a page and for programs as JSON.

import FynloCore

/// Answers `GET /`.
struct RootEndpoint {
    private let links: PublishedFile

    private static let linked: [(name: String, endpoint: Endpoint)] = [
        ("console", .console), ("tablet", .consoleTablet), ("docs", .docs), ("health", .health), ("openapi", .openAPI),
        ("asyncapi", .asyncAPI),
    ]

    /// Links to what the listener of `router` has: with FYNLO_ADMIN_LISTEN the documents are elsewhere.
    init(router: Router) {
        var body = ByteBuffer()
        body.append("{\"name\":\"fynlo-server\",\"version\":")
        body.append(jsonString: fynloVersion)
        body.append(",\"links\":{")
        for (index, link) in RootEndpoint.linked.filter({ router.has($0.endpoint) }).enumerated() {
            if index > 0 { body.append(",") }
            body.append(jsonString: link.name)
            body.append(":")
            body.append(jsonString: link.endpoint.path.text)
        }
        body.append("}}")
        links = PublishedFile(body.bytes(), "application/json")
    }

    /// Browsers say that they take HTML; programs that would take anything get JSON.
    func response(to request: HTTPRequest) -> HTTPResponse {
        let wantsPage = request.headers.tokens("accept").contains { $0 == "text/html" || $0.hasPrefix("text/html;") }
        let file = wantsPage ? ConsoleEndpoint.files.page(.root) : links
        var response = ConsoleEndpoint.answer(file, "no-cache", request)
        response.headers.append("Vary", "Accept")
        return response
    }
}
