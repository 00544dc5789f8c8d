// The menu over HTTP: who may read it, where it comes from, and the header fields that let clients keep copies.

import FynloCore

/// Answers the routes of the menu.
final class MenuEndpoint {
    private let authorizer: RequestAuthorizer
    private let known: AccessLookup
    private let menus: MenuRepository
    private let cache: MenuCache
    private let nodes: NodeHandler
    private let log: Logger

    init(
        authorizer: RequestAuthorizer, known: AccessLookup, menus: MenuRepository, cache: MenuCache,
        nodes: NodeHandler, log: Logger
    ) {
        self.authorizer = authorizer
        self.known = known
        self.menus = menus
        self.cache = cache
        self.nodes = nodes
        self.log = log
    }

    /// `GET /api/v1/menu`.
    func page(_ request: HTTPRequest, reply: @escaping Reply) {
        read(request, reply) { () throws(APIError) in
            .page(try MenuEndpoint.pageRequest(request))
        }
    }

    /// `GET /api/v1/menu/categories`.
    func categories(_ request: HTTPRequest, reply: @escaping Reply) {
        read(request, reply) { () throws(APIError) in
            .categories(try QueryParameters(request).restaurant())
        }
    }

    private func read(_ request: HTTPRequest, _ reply: @escaping Reply, parse: () throws(APIError) -> MenuPart) {
        authorizer.authorizeReader(request, reply: reply, parse: parse) {
            $0.restaurant
        } then: { [cache, log] part, version, isAway in
            guard isAway else {
                return cache.document(part, version: version) { result in
                    switch result {
                    case .success((let document, let state)):
                        reply(.success(document.response(to: request, from: state)))
                    case .failure(let error):
                        reply(.failure(log.failure("menu_unread", error, of: request)))
                    }
                }
            }
            cache.copy(of: part, version: version) { document in
                guard let document else { return reply(.failure(.unavailable)) }
                reply(.success(document.response(to: request, from: .stale)))
            }
        }
    }

    /// `POST /api/v1/menu/cache/invalidate`.
    func invalidate(_ request: HTTPRequest, reply: @escaping Reply) {
        authorizer.authorize(request, .staff(denied: .permissionDenied), reply: reply) { () throws(APIError) in
            try QueryParameters(request).restaurant()
        } restaurant: {
            $0
        } then: { [menus, nodes, log, known] restaurant, _ in
            menus.invalidate(restaurant) { result in
                switch result {
                case .success(let version):
                    known.menuUpdated(restaurant, to: version)
                    nodes.menuUpdated(restaurant, to: version)
                    var response = HTTPResponse(
                        status: 200, body: Array("{\"success\":true,\"message\":\"Menu cache invalidated\"}".utf8))
                    response.headers.append("Content-Type", "application/json")
                    response.headers.append("Cache-Control", "no-store")
                    reply(.success(response))
                case .failure(let error):
                    let refusal = log.failure("menu_not_invalidated", error, of: request)
                    // A time-out is 503 too: no query was too slow, but a change was not recorded.
                    reply(.failure(error.isTimeout ? .unavailable : refusal))
                }
            }
        }
    }

    private static func pageRequest(_ request: HTTPRequest) throws(APIError) -> MenuPageRequest {
        let parameters = try QueryParameters(request)
        return MenuPageRequest(
            restaurant: try parameters.restaurant(),
            category: try parameters.uuid("category").map(CategoryID.init),
            page: try parameters.integer("page", in: 1...1_000_000, default: 1),
            limit: try parameters.integer("limit", in: 1...100, default: 50),
            includesInactive: try parameters.boolean("include_inactive", default: false))
    }
}
