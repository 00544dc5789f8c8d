// Method and path -> Route. The table is made once from Endpoint's rows; a request is compared with the few paths of its length,
// then with those that have parameters, as bytes and without making strings.

/// Finds the route of a request.
public final class Router: Sendable {
    /// Which endpoints a listener has.
    public enum Scope: Sendable {
        /// All of them.
        case everything
        /// Those for users: operators have a listener of their own.
        case service
        /// Those for operators.
        case operations
    }

    /// Paths without parameters, by their length.
    private let fixed: [[KnownPath]]
    /// Those with parameters. Where two fit, the one with more literals stands first.
    private let parametrized: [KnownPath]

    /// `hasEcho` is FYNLO_ECHO: whether the endpoints for conformance suites exist.
    public init(hasEcho: Bool = false, scope: Scope = .everything) {
        let endpoints = Endpoint.allCases.filter { scope.includes($0.audience, hasEcho: hasEcho) }
        let paths = Dictionary(grouping: endpoints, by: \.path.text).values.map(KnownPath.init)
        let longest = paths.map(\.beginning).max() ?? 0
        fixed = (0...longest).map { length in paths.filter { $0.rest.isEmpty && $0.beginning == length } }
        // As text, a literal stands before the brace of a parameter.
        parametrized = paths.filter { !$0.rest.isEmpty }.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }

    /// Whether the listener has this endpoint.
    public func has(_ endpoint: Endpoint) -> Bool {
        (fixed.joined() + parametrized).contains { $0.endpoints.contains { $0.endpoint == endpoint } }
    }

    /// The route for a method and a decoded path. An unknown path is 404, a UUID that is none 400, and a known path with
    /// another method 405 with `Allow`.
    public func route(_ method: HTTPMethod, _ path: String) throws(APIError) -> Route {
        let bytes = path.utf8Span.span
        if bytes.count < fixed.count {
            for known in fixed[bytes.count] where known.begins(bytes) { return Route(try known.endpoint(of: method)) }
        }
        for known in parametrized {
            if let route = try known.route(method, bytes) { return route }
        }
        throw APIError(.notFound, "There is nothing at this path.")
    }
}

extension Router.Scope {
    fileprivate func includes(_ audience: Endpoint.Audience, hasEcho: Bool) -> Bool {
        switch audience {
        case .users: self != .operations
        case .operators: self != .service
        case .everybody: true
        case .conformanceSuites: self != .operations && hasEcho
        }
    }
}

/// A path, with the endpoints that share it. A class, so that looking at one costs one count of references.
private final class KnownPath: Sendable {
    /// The template: of a path without parameters, the path.
    let bytes: [UInt8]
    /// How many of the bytes stand before the first parameter; all, if there is none.
    let beginning: Int
    /// The first parameter and what follows it.
    let rest: [PathTemplate.Segment]
    let endpoints: [(methods: HTTPMethods, endpoint: Endpoint)]
    let methods: HTTPMethods

    /// Takes endpoints with the same path.
    init(_ endpoints: [Endpoint]) {
        let template = endpoints[0].path
        bytes = Array(template.text.utf8)
        beginning = bytes.firstIndex(of: UInt8(ascii: "{")) ?? bytes.count
        rest = Array(template.segments.drop { if case .literal = $0 { true } else { false } })
        self.endpoints = endpoints.map { ($0.methods, $0) }
        methods = endpoints.reduce(into: []) { $0.formUnion($1.methods) }
    }

    /// True when `path` begins as this one does.
    func begins(_ path: Span<UInt8>) -> Bool {
        guard path.count >= beginning else { return false }
        let known = bytes
        return path.extracting(first: beginning).equals(known.span.extracting(first: beginning))
    }

    /// The endpoint of a method at this path.
    func endpoint(of method: HTTPMethod) throws(APIError) -> Endpoint {
        let method = HTTPMethods(method)
        for (methods, endpoint) in endpoints where !methods.isDisjoint(with: method) { return endpoint }
        let names = methods.names.joined(separator: ", ")
        throw APIError(.methodNotAllowed, "This path takes \(names) only.", allowedMethods: names)
    }

    /// The route of a method at a path that may be this one; `nil` if it is another. A path of this form is refused for its
    /// UUIDs first, then for its method.
    func route(_ method: HTTPMethod, _ path: Span<UInt8>) throws(APIError) -> Route? {
        guard begins(path) else { return nil }
        let template = bytes
        var values = PathValues()
        var malformed: PathParameter?
        var start = beginning
        for index in rest.indices {
            let end = path.firstIndex(of: UInt8(ascii: "/"), from: start) ?? path.count
            guard (end == path.count) == (index == rest.count - 1) else { return nil }
            let segment = path.extracting(start..<end)
            switch rest[index] {
            case .literal(let range):
                guard segment.equals(template.span.extracting(range)) else { return nil }
            case .parameter(let parameter):
                switch values.take(parameter, from: segment) {
                case .taken: break
                case .unknownWord: return nil
                case .notUUID: malformed = malformed ?? parameter
                }
            }
            start = end + 1
        }
        if let malformed {
            throw APIError(
                .invalidRequest,
                "The \(malformed.noun) in the path is not a UUID; it looks like 123e4567-e89b-42d3-a456-426614174000.")
        }
        return Route(try endpoint(of: method), values)
    }
}
