// Who may do what they ask for over HTTP. Every handler comes here first, so that refusals come in one order: 401 before
// 422 before 403 before 404.

import FynloCore

/// Answers one request.
typealias Reply = (Result<HTTPResponse, APIError>) -> Void

extension APIError {
    /// The words of the contract.
    static let accessDenied = APIError(.accessDenied, "Access denied to this restaurant")
    static let permissionDenied = APIError(.permissionDenied, "Permission denied")
    static let orderNotFound = APIError(.orderNotFound, "There is no such order.")
}

extension AuthenticationHandler {
    /// Who may do something in a restaurant, and what others are told.
    struct Rule: Sendable {
        let allows: @Sendable (AccessRecord, RestaurantID) -> Bool
        let denied: APIError

        /// Everybody who may act for the restaurant.
        static func staff(denied: APIError = .accessDenied) -> Rule {
            Rule(allows: { AccessPolicy.mayAct($0, for: $1) }, denied: denied)
        }

        /// Those who manage it.
        static let management = Rule(allows: { AccessPolicy.mayManage($0, $1) }, denied: .permissionDenied)
    }

    /// The good token of a request; `nil`: the refusal is on its way.
    private func token(of request: HTTPRequest, orTo reply: @escaping Reply) -> AccessToken? {
        switch token(of: request) {
        case .success(let token): return token
        case .failure(let error):
            replyLater(error, reply)
            return nil
        }
    }

    /// Lets a request that names its restaurant through to `then`, or replies with the refusal. A request of nobody known is
    /// not looked into: `parse` is called only with a good token.
    func authorize<Parsed>(
        _ request: HTTPRequest, _ rule: Rule = .staff(), reply: @escaping Reply,
        parse: () throws(APIError) -> Parsed, restaurant: @escaping (Parsed) -> RestaurantID,
        then: @escaping (Parsed, AccessRecord) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        // The user is looked up even when a parameter is bad.
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

    /// Lets the readers of a menu through to `then`, with the newest version of it that is known: those who are known are not
    /// looked up, and when Postgres is away those who lately were in order are let through all the same, `isAway` being true.
    func authorizeReader<Parsed>(
        _ request: HTTPRequest, reply: @escaping Reply, parse: () throws(APIError) -> Parsed,
        restaurant: @escaping (Parsed) -> RestaurantID,
        then: @escaping (_ parsed: Parsed, _ menuVersion: Int64, _ isAway: Bool) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        guard let parsed = try? parse() else {
            // To be refused, in the right order.
            return authorize(request, reply: reply, parse: parse, restaurant: restaurant) { parsed, record in
                then(parsed, record.menuVersion, false)
            }
        }
        let restaurant = restaurant(parsed)
        if let reader = known.reader(token.subject, of: restaurant) {
            return atEndOfTurn { then(parsed, reader.menuVersion, false) }
        }
        known.findReader(token.subject, of: restaurant) { [known] result in
            switch result {
            case .success(.some(let reader)) where reader.record.userIsActive:
                guard AccessPolicy.mayAct(reader.record, for: restaurant) else { return reply(.failure(.accessDenied)) }
                then(parsed, reader.menuVersion, false)
            case .success: reply(.failure(AuthenticationHandler.invalidToken))
            case .failure(let error):
                guard error.isAway, let reader = known.lastReader(token.subject, of: restaurant) else {
                    return reply(.failure(APIError(error)))
                }
                then(parsed, reader.menuVersion, true)
            }
        }
    }

    /// The same for a request that names an order: its own restaurant decides. An order that is not there, and one of a
    /// restaurant that the user may not act for, are the same.
    func authorize<Parsed>(
        _ request: HTTPRequest, for order: OrderID, in orders: OrderRepository, reply: @escaping Reply,
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

    /// The same for what belongs to `restaurant` and is managed by its managers and owners; `nil`: nothing is there. Who may
    /// not act for it is told `unknown`, as is who asks for nothing.
    func authorizeManagement(
        _ request: HTTPRequest, of restaurant: RestaurantID?, unknown: APIError, reply: @escaping Reply,
        then: @escaping (AccessRecord) -> Void
    ) {
        guard let token = token(of: request, orTo: reply) else { return }
        authorizeManagement(token, of: restaurant, unknown: unknown, reply: reply, then: then)
    }

    /// The same for what has to be looked for: `find` is asked only with a good token.
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

    /// Lets managers and owners through to `then`, with the restaurant that they name, or else their own; and platform owners
    /// who name none with `nil`: all of them. What else they ask for is read first.
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
    /// The Idempotency-Key, which plays the part of a message's id; `nil` if there is none.
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
    /// JSON that is of this moment and for this user: no cache keeps it.
    static func json(_ status: Int, _ body: [UInt8], eventSequence: EventSequence? = nil) -> HTTPResponse {
        var response = HTTPResponse(status: status, body: body)
        response.headers.append("Content-Type", "application/json")
        response.headers.append("Cache-Control", "no-store")
        if let eventSequence { response.headers.append("X-Event-Seq", String(eventSequence)) }
        return response
    }
}
