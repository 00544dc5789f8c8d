// Who may do what they ask for over HTTP. Every endpoint asks here first, so that refusals come in one order: 401 before
// 422 before 403 before 404.

import FynloCore
import FynloIO

/// Answers one request.
typealias Reply = (Result<HTTPResponse, APIError>) -> Void

/// Checks a request's token, its user and the user's rights before the endpoint acts.
final class RequestAuthorizer {
    private let loop: EventLoop
    private let tokens: TokenChecker
    private let users: UserRepository
    private let orders: OrderRepository
    private let known: AccessLookup

    init(
        loop: EventLoop, tokens: TokenChecker, users: UserRepository, orders: OrderRepository,
        known: AccessLookup
    ) {
        self.loop = loop
        self.tokens = tokens
        self.users = users
        self.orders = orders
        self.known = known
    }

    /// Who may do something in a restaurant, and what others are told.
    struct Rule: Sendable {
        let allows: @Sendable (AccessRecord, RestaurantID) -> Bool
        let denied: APIError

        /// Everybody who may act for the restaurant.
        static func staff(denied: APIError = .accessDenied) -> Rule {
            Rule(allows: { AccessPolicy.mayAct($0, for: $1) }, denied: denied)
        }

        /// Those who manage the restaurant.
        static let management = Rule(allows: { AccessPolicy.mayManage($0, $1) }, denied: .permissionDenied)
    }

    // MARK: Tokens and users

    /// The request's token if it is good; `nil`: the refusal is on its way.
    private func token(of request: HTTPRequest, orTo reply: @escaping Reply) -> AccessToken? {
        switch token(of: request) {
        case .success(let token): return token
        case .failure(let error):
            // The connection is asking at this moment, and must not be called back from within its own call.
            loop.atEndOfTurn { reply(.failure(error)) }
            return nil
        }
    }

    private func token(of request: HTTPRequest) -> Result<AccessToken, APIError> {
        let checked = request.headers.withOnlyValue(of: "authorization") { value -> Result<AccessToken, APIError>? in
            RequestAuthorizer.bearerToken(in: value).map { token in
                tokens.check(value.extracting(token)).mapError { _ in RequestAuthorizer.invalidToken }
            }
        }
        return (checked ?? nil) ?? .failure(RequestAuthorizer.tokenMissing)
    }

    /// RFC 6750 §2.1: the scheme in any case, at least one space, the token. A field's value neither begins nor ends with white
    /// space.
    private static func bearerToken(in value: Span<UInt8>) -> Range<Int>? {
        let scheme: StaticString = "bearer "
        let length = scheme.utf8CodeUnitCount
        guard value.count > length, value.extracting(first: length).equalsIgnoringCase(scheme) else { return nil }
        return value.trimming(length..<value.count)
    }

    /// Looks up the user of a token and, if the request is about a restaurant, the user's rights there.
    private func user(
        of token: AccessToken, restaurant: RestaurantID?, reply: @escaping (Result<AccessRecord, APIError>) -> Void
    ) {
        users.access(of: token.subject, to: restaurant) { result in
            switch result {
            case .success(.some(let record)) where record.userIsActive: reply(.success(record))
            case .success: reply(.failure(RequestAuthorizer.invalidToken))
            case .failure(let error): reply(.failure(APIError(error)))
            }
        }
    }

    private static let invalidToken = APIError(
        .invalidToken, "The token is invalid or has expired, or its user may not sign in.")

    private static let tokenMissing = APIError(
        .authenticationRequired, "Send a token in the Authorization field, as Bearer and the token.")

    // MARK: Restaurants

    /// Lets a request that names its restaurant through to `then`, or replies with the refusal. `parse` is called only once the
    /// token is known to be good.
    func authorize<Parsed>(
        _ request: HTTPRequest, _ rule: Rule = .staff(), reply: @escaping Reply,
        parse: () throws(APIError) -> Parsed, restaurant: @escaping (Parsed) -> RestaurantID,
        then: @escaping (Parsed, AccessRecord) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        // The user is looked up even if a parameter is bad: 401 comes before 422.
        let parsed = Result { () throws(APIError) in try parse() }
        let asked = (try? parsed.get()).map(restaurant)
        user(of: token, restaurant: asked) { result in
            do throws(APIError) {
                let record = try result.get()
                let value = try parsed.get()
                guard rule.allows(record, restaurant(value)) else { throw rule.denied }
                then(value, record)
            } catch {
                reply(.failure(error))
            }
        }
    }

    /// Lets a menu's readers through to `then`, with the newest version of the menu that is known. Readers who were looked up
    /// recently are not looked up again. While Postgres is unavailable, readers who had access recently are let through, and
    /// `isAway` is true.
    func authorizeReader<Parsed>(
        _ request: HTTPRequest, reply: @escaping Reply, parse: () throws(APIError) -> Parsed,
        restaurant: @escaping (Parsed) -> RestaurantID,
        then: @escaping (_ parsed: Parsed, _ menuVersion: Int64, _ isAway: Bool) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        guard let parsed = try? parse() else {
            // This refuses the request, in the right order.
            return authorize(request, reply: reply, parse: parse, restaurant: restaurant) { parsed, record in
                then(parsed, record.menuVersion, false)
            }
        }
        let restaurant = restaurant(parsed)
        if let reader = known.reader(token.subject, of: restaurant) {
            return loop.atEndOfTurn { then(parsed, reader.menuVersion, false) }
        }
        known.findReader(token.subject, of: restaurant) { [known] result in
            switch result {
            case .success(.some(let reader)) where reader.record.userIsActive:
                guard AccessPolicy.mayAct(reader.record, for: restaurant) else { return reply(.failure(.accessDenied)) }
                then(parsed, reader.menuVersion, false)
            case .success: reply(.failure(RequestAuthorizer.invalidToken))
            case .failure(let error):
                guard error.isAway, let reader = known.lastReader(token.subject, of: restaurant) else {
                    return reply(.failure(APIError(error)))
                }
                then(parsed, reader.menuVersion, true)
            }
        }
    }

    /// Lets a request that names an order through to `then` if the user may act for the order's restaurant. An order that does
    /// not exist and one of a restaurant that the user may not act for get the same refusal.
    func authorize<Parsed>(
        _ request: HTTPRequest, for order: OrderID, reply: @escaping Reply,
        parse: () throws(APIError) -> Parsed, then: @escaping (Parsed, AccessRecord, RestaurantID) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        let parsed = Result { () throws(APIError) in try parse() }
        orders.restaurant(of: order) { [self] found in
            let restaurant: RestaurantID?
            switch found {
            case .success(let id): restaurant = id
            case .failure(let error): return reply(.failure(APIError(error)))
            }
            user(of: token, restaurant: restaurant) { result in
                do throws(APIError) {
                    let record = try result.get()
                    let value = try parsed.get()
                    guard let restaurant, AccessPolicy.mayAct(record, for: restaurant) else {
                        throw .orderNotFound
                    }
                    then(value, record, restaurant)
                } catch {
                    reply(.failure(error))
                }
            }
        }
    }

    /// Lets managers and owners of `restaurant` through to `then`. The refusal is `unknown` for users who may not act for the
    /// restaurant, and for a `restaurant` of `nil`: what the request names does not exist.
    func authorizeManagement(
        _ request: HTTPRequest, of restaurant: RestaurantID?, unknown: APIError, reply: @escaping Reply,
        then: @escaping (AccessRecord) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        authorizeManagement(token, of: restaurant, unknown: unknown, reply: reply, then: then)
    }

    /// Lets managers and owners through to `then` for something whose restaurant has to be looked up: `find` is called only once
    /// the token is known to be good.
    func authorizeManagement(
        _ request: HTTPRequest, find: (@escaping (Result<RestaurantID?, APIError>) -> Void) -> Void, unknown: APIError,
        reply: @escaping Reply, then: @escaping (AccessRecord) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        find { [self] found in
            switch found {
            case .success(let restaurant):
                authorizeManagement(token, of: restaurant, unknown: unknown, reply: reply, then: then)
            case .failure(let error): reply(.failure(error))
            }
        }
    }

    private func authorizeManagement(
        _ token: AccessToken, of restaurant: RestaurantID?, unknown: APIError, reply: @escaping Reply,
        then: @escaping (AccessRecord) -> Void
    ) {
        user(of: token, restaurant: restaurant) { result in
            do throws(APIError) {
                let record = try result.get()
                guard let restaurant, AccessPolicy.mayAct(record, for: restaurant) else { throw unknown }
                guard AccessPolicy.mayManage(record, restaurant) else { throw .permissionDenied }
                then(record)
            } catch {
                reply(.failure(error))
            }
        }
    }

    /// Lets any active user of a known role through to `then`.
    func authorizeUser(
        _ request: HTTPRequest, reply: @escaping Reply, then: @escaping (AccessRecord, Role) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        user(of: token, restaurant: nil) { result in
            do throws(APIError) {
                let record = try result.get()
                guard let role = record.role else { throw .permissionDenied }
                then(record, role)
            } catch {
                reply(.failure(error))
            }
        }
    }

    /// Lets managers and owners through to `then`, with the restaurant that they name or else their own. Platform owners who
    /// name none get `nil`, which means all restaurants. `parse` reads the other parameters.
    func authorizeDiagnostics<Parsed>(
        _ request: HTTPRequest, reply: @escaping Reply, parse: (QueryParameters) throws(APIError) -> Parsed,
        then: @escaping (RestaurantID?, Parsed) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        let asked = Result { () throws(APIError) in
            let parameters = try QueryParameters(request)
            return (
                restaurant: try parameters.uuid("restaurant_id").map(RestaurantID.init), parsed: try parse(parameters)
            )
        }
        func check(_ record: AccessRecord, _ restaurant: RestaurantID, _ parsed: Parsed) {
            if AccessPolicy.mayManage(record, restaurant) {
                then(restaurant, parsed)
            } else {
                reply(.failure(.permissionDenied))
            }
        }
        user(of: token, restaurant: (try? asked.get())?.restaurant) { [self] result in
            do throws(APIError) {
                let record = try result.get()
                let (named, parsed) = try asked.get()
                if let named { return check(record, named, parsed) }
                if record.role == .platformOwner { return then(nil, parsed) }
                guard let role = record.role, role != .employee else { throw .permissionDenied }
                guard let home = record.homeRestaurant else {
                    throw APIError(.invalidParameter, "restaurant_id is missing; give the restaurant's UUID.")
                }
                user(of: token, restaurant: home) { result in
                    switch result {
                    case .success(let record): check(record, home, parsed)
                    case .failure(let error): reply(.failure(error))
                    }
                }
            } catch {
                reply(.failure(error))
            }
        }
    }
}

extension HTTPRequest {
    /// The Idempotency-Key, which takes the place of a message's id; `nil` if there is none.
    func idempotencyKey(_ limits: Limits) throws(APIError) -> String? {
        let values = headers.values("idempotency-key")
        guard let key = values.first else { return nil }
        guard values.count == 1, (1...limits.commandIDBytes).contains(key.utf8.count),
            key.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
        else {
            throw APIError(
                .invalidParameter,
                "Idempotency-Key has to be given once, as 1 to \(limits.commandIDBytes) printable ASCII characters.")
        }
        return key
    }
}

extension HTTPResponse {
    /// JSON that describes this moment to this user: no cache may keep it.
    static func json(_ status: Int, _ body: [UInt8], eventSequence: EventSequence? = nil) -> HTTPResponse {
        var response = HTTPResponse(status: status, body: body)
        response.headers.append("Content-Type", "application/json")
        response.headers.append("Cache-Control", "no-store")
        if let eventSequence { response.headers.append("X-Event-Seq", String(eventSequence)) }
        return response
    }
}
