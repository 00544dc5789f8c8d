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
        let longest = paths.map(\.beginning.count).max() ?? 0
        fixed = (0...longest).map { length in paths.filter { $0.rest.isEmpty && $0.beginning.count == length } }
        parametrized = paths.filter { !$0.rest.isEmpty }.sorted {
            ($0.beginning.count, $1.parameterCount) > ($1.beginning.count, $0.parameterCount)
        }
    }

    /// The route for a method and a decoded path. An unknown path is 404, a UUID that is none 400, and a known path with
    /// another method 405 with `Allow`.
    public func route(_ method: HTTPMethod, _ path: String) throws(APIError) -> Route {
        let bytes = path.utf8Span.span
        if bytes.count < fixed.count {
            for index in fixed[bytes.count].indices where fixed[bytes.count][index].begins(bytes) {
                return try fixed[bytes.count][index].route(method)
            }
        }
        for index in parametrized.indices {
            if let route = try parametrized[index].route(method, bytes) { return route }
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

/// A path, with the endpoints that share it.
private struct KnownPath: Sendable {
    /// The whole path, or what stands before its first parameter.
    let beginning: [UInt8]
    /// The first parameter and what follows it.
    let rest: [PathTemplate.Segment]
    let endpoints: [(methods: HTTPMethods, route: Route)]
    let methods: HTTPMethods

    /// Takes endpoints with the same path.
    init(_ endpoints: [Endpoint]) {
        let segments = endpoints.first?.path.segments ?? []
        let literals = segments.prefix { if case .literal = $0 { true } else { false } }
        var beginning: [UInt8] = []
        for case .literal(let text) in literals { beginning += [UInt8(ascii: "/")] + text }
        rest = Array(segments[literals.endIndex...])
        self.beginning = rest.isEmpty ? beginning : beginning + [UInt8(ascii: "/")]
        self.endpoints = endpoints.map { ($0.methods, Route($0)) }
        methods = endpoints.reduce(into: []) { $0.formUnion($1.methods) }
    }

    /// True when `path` begins as this one does.
    func begins(_ path: Span<UInt8>) -> Bool {
        path.count >= beginning.count && path.extracting(first: beginning.count).equals(beginning.span)
    }

    var parameterCount: Int {
        rest.count { if case .parameter = $0 { true } else { false } }
    }

    /// The route of a method at this path.
    func route(_ method: HTTPMethod) throws(APIError) -> Route {
        let method = HTTPMethods(method)
        for index in endpoints.indices where !endpoints[index].methods.isDisjoint(with: method) {
            return endpoints[index].route
        }
        let names = methods.names.joined(separator: ", ")
        throw APIError(.methodNotAllowed, "This path takes \(names) only.", allowedMethods: names)
    }

    /// The route of a method at a path that may be this one; `nil` if it is another. A path of this form is refused for its
    /// UUIDs first, then for its method.
    func route(_ method: HTTPMethod, _ path: Span<UInt8>) throws(APIError) -> Route? {
        guard begins(path) else { return nil }
        var values = endpoints[0].route
        var malformed: PathParameter?
        var start = beginning.count
        for index in rest.indices {
            let end = path.firstIndex(of: UInt8(ascii: "/"), from: start) ?? path.count
            guard (end == path.count) == (index == rest.count - 1) else { return nil }
            let segment = path.extracting(start..<end)
            switch rest[index] {
            case .literal(let text):
                guard segment.equals(text.span) else { return nil }
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
        return try route(method).with(valuesOf: values)
    }
}
