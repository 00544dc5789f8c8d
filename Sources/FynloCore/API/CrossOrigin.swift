// What pages of other origins may do with the REST API, by the Fetch standard's CORS protocol. Tokens are sent in
// Authorization, never in cookies, so no credentials are involved. A page of the server's own origin needs none of this.

/// The fields of answers to pages of listed origins.
struct CrossOrigin: Sendable {
    /// FYNLO_ALLOWED_ORIGINS, in lower case. If empty, answers have no fields about origins.
    private let allowedOrigins: [String]

    private static let requestFields = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-ID"
    private static let exposedFields =
        "ETag, Link, Location, Retry-After, X-Cache, X-Event-Seq, X-Menu-Version, X-Request-ID, X-Total-Count"
    /// In seconds: how long a browser may remember the answer to a preflight.
    private static let maximumAge = "600"

    init(_ allowedOrigins: [String]) {
        self.allowedOrigins = allowedOrigins.map { $0.lowercased() }
    }

    /// The origin of the page that sent a request, as it was written; `nil` if there is none or it is not listed.
    func listedOrigin(of request: HTTPRequest) -> String? {
        guard !allowedOrigins.isEmpty, request.headers.count("origin") == 1,
            let origin = request.headers.first("origin"), allowedOrigins.contains(origin.lowercased())
        else { return nil }
        return origin
    }

    /// Lets the page read a response. Vary tells caches that the response depends on the origin.
    func permit(_ origin: String?, to response: inout HTTPResponse) {
        guard !allowedOrigins.isEmpty else { return }
        response.headers.append("Vary", "Origin")
        guard let origin else { return }
        response.headers.append("Access-Control-Allow-Origin", origin)
        response.headers.append("Access-Control-Expose-Headers", CrossOrigin.exposedFields)
    }

    /// The answer to OPTIONS on a path that takes `methods`: a listed origin's preflight is told what its page may send, any
    /// other request gets only Allow (RFC 9110 §9.3.7). No token is required, since browsers send none with a preflight.
    func options(_ request: HTTPRequest, methods: String) -> HTTPResponse {
        var response = HTTPResponse(status: 204)
        response.headers.append("Allow", methods + ", OPTIONS")
        if listedOrigin(of: request) != nil, request.headers.count("access-control-request-method") > 0 {
            response.headers.append("Access-Control-Allow-Methods", methods)
            response.headers.append("Access-Control-Allow-Headers", CrossOrigin.requestFields)
            response.headers.append("Access-Control-Max-Age", CrossOrigin.maximumAge)
        }
        return response
    }
}
