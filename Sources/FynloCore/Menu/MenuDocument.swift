// A menu part in the form that is sent. It is read far more often than it changes, so what its responses have in common (the
// body, its entity tag and the header fields) is made once.

/// Where a document came from: the X-Cache field.
public enum CacheState: String, Sendable {
    case hit = "HIT"
    case miss = "MISS"
    /// A copy that could not be checked, because PostgreSQL is away.
    case stale = "STALE"
    /// Read from PostgreSQL, because Redis is not usable.
    case bypass = "BYPASS"
}

/// A page, or the list of categories, at one version of the menu.
public final class MenuDocument: Sendable {
    public let part: MenuPart
    /// The version of the menu it belongs to.
    public let version: Int64
    /// The number of matching products on all pages, or of categories.
    public let total: Int64
    /// A JSON array.
    public let body: [UInt8]
    /// The ETag field: a strong validator made from the bytes, so that all nodes give the same one.
    public let tag: String
    /// The responses of a hit: to clients that have the document already, and to the others.
    private let unchangedHit: HTTPResponse
    private let hit: HTTPResponse

    /// `digest` is the body's, by the function that all nodes use.
    public init(_ part: MenuPart, version: Int64, total: Int64, body: [UInt8], digest: [UInt8]) {
        self.part = part
        self.version = version
        self.total = total
        self.body = body
        tag = "\"" + digest.hexadecimal + "\""
        var fields: [(name: String, value: String)] = [
            ("Cache-Control", "private, no-cache"), ("Vary", "Authorization"), ("ETag", tag),
            ("X-Menu-Version", String(version)),
        ]
        if case .page(let page) = part {
            fields.append(("X-Total-Count", String(total)))
            fields.append(("Link", MenuDocument.links(page, total: total)))
        }
        fields.append(("X-Cache", CacheState.hit.rawValue))
        unchangedHit = HTTPResponse(status: 304, headers: HTTPHeaders(fields))
        hit = HTTPResponse(
            status: 200, headers: HTTPHeaders([("Content-Type", "application/json")] + fields), body: body)
    }

    /// The response to a request: 304 if the client has the document.
    public func response(to request: HTTPRequest, from state: CacheState) -> HTTPResponse {
        var response = request.holds(entityTag: tag) ? unchangedHit : hit
        if state != .hit { response.headers.set("X-Cache", state.rawValue) }
        return response
    }

    private static func links(_ page: MenuPageRequest, total: Int64) -> String {
        var query = "restaurant_id=\(page.restaurant)"
        if let category = page.category { query += "&category=\(category)" }
        if page.includesInactive { query += "&include_inactive=true" }
        return PageLinks.field("/api/v1/menu", query: query, page: page.page, limit: page.limit, total: total)
    }
}
