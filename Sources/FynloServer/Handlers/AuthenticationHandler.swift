// Who is there? Tokens are checked here, users looked up, and tablets taken in, in the order of the contract's table.

import FynloCore
import FynloIO

/// Authenticates tablets and requests.
final class AuthenticationHandler {
    private let loop: EventLoop
    private let hub: Hub
    private let feeds: FeedHandler
    private let access: AccessHandler
    private let leases: Leases
    private let users: UserRepository
    let known: AccessLookup
    private var verifier: TokenVerifier
    private let log: Logger

    /// A tablet that waits for its turn. It is handed from one closure to the next: as a value, six texts would be counted
    /// each time.
    private final class Applicant: Sendable {
        let request: AuthenticationRequest
        let restaurant: RestaurantID
        let connection: UInt64
        let receivedAt: Instant
        /// When it is told to come back later.
        let deadline: Instant

        init(_ request: AuthenticationRequest, restaurant: RestaurantID, connection: UInt64, receivedAt: Instant) {
            self.request = request
            self.restaurant = restaurant
            self.connection = connection
            self.receivedAt = receivedAt
            deadline = receivedAt + AuthenticationHandler.patience
        }
    }

    private var applicants = FairQueue<Applicant>()
    private var lookupsUnderWay = 0
    /// The next of them is looked up when there is time.
    private var isAdmitting = false

    /// Look-ups of tablets at the same time: those of a turn are one statement. The fewer there are, the sooner it is the turn
    /// of a restaurant that comes late.
    private static let concurrentLookups = 64
    /// How long a tablet waits for its turn: the others before it have then had more time than a healthy database needs.
    private static let patience = Duration.seconds(5)

    init(
        loop: EventLoop, hub: Hub, feeds: FeedHandler, access: AccessHandler, leases: Leases, users: UserRepository,
        known: AccessLookup, keys: TokenKeyring, policy: TokenPolicy, log: Logger
    ) {
        self.loop = loop
        self.hub = hub
        self.feeds = feeds
        self.access = access
        self.leases = leases
        self.users = users
        self.known = known
        self.log = log
        verifier = TokenVerifier(keys: keys, policy: policy, limitBytes: hub.settings.limits.verifiedTokensBytes)
    }

    /// The keys have been read anew: every token that comes is checked with them.
    func replaceKeys(_ keys: TokenKeyring) {
        verifier.keys = keys
    }

    private func verify(_ token: String) -> Result<AccessToken, TokenError> {
        Result { () throws(TokenError) in
            try verifier.verify(token, now: loop.now.unixTime, isToBeRemembered: false)
        }
    }

    // MARK: Tablets

    /// Finds out about a tablet's `authenticate`; the connection is told, if it is still there. In a storm the tablets wait
    /// here, the restaurants taking turns; FYNLO_MAX_UNAUTHENTICATED bounds how many.
    func authenticate(
        _ request: AuthenticationRequest, restaurant: RestaurantID, connection number: UInt64
    ) {
        applicants.append(
            Applicant(request, restaurant: restaurant, connection: number, receivedAt: loop.now.instant),
            for: restaurant)
        // The connection is asking at this moment, and is not called back from within its own call.
        admitLater()
    }

    private func admitLater() {
        guard !isAdmitting, lookupsUnderWay < AuthenticationHandler.concurrentLookups, !applicants.isEmpty else {
            return
        }
        isAdmitting = true
        loop.later { [weak self] in self?.admitNext() }
    }

    /// For as long as there is time, since each costs the check of a signature (HMAC 2 µs, RSA 30, ECDSA 100).
    private func admitNext() {
        isAdmitting = false
        repeat {
            guard lookupsUnderWay < AuthenticationHandler.concurrentLookups, let applicant = applicants.popFirst()
            else { return }
            guard hub.connection(applicant.connection)?.isAuthenticating == true else { continue }
            guard loop.now.instant < applicant.deadline else {
                answer(applicant, .failed(.unavailable, retryAfter: nil))
                continue
            }
            lookUp(applicant)
        } while !loop.isOverdue
        admitLater()
    }

    private func lookUp(_ applicant: Applicant) {
        let token: AccessToken
        switch verify(applicant.request.token) {
        case .success(let verified): token = verified
        case .failure(let error):
            log.info(
                "token_refused",
                ["reason": String(describing: error), "connection": hub.name(of: applicant.connection)])
            return answer(applicant, .failed(.invalidToken, retryAfter: nil))
        }
        lookupsUnderWay += 1
        // What the tablet is told of from then on is no news to this process.
        known.access(of: token.subject, to: applicant.restaurant) {
            AccessPolicy.mayAct($0, for: applicant.restaurant)
        } reply: { [weak self] result in
            guard let self else { return }
            self.lookupsUnderWay -= 1
            self.finish(applicant, token, result)
            self.admitLater()
        }
    }

    private func finish(
        _ applicant: Applicant, _ token: AccessToken, _ result: Result<AccessRecord?, PostgresError>
    ) {
        let (request, restaurant) = (applicant.request, applicant.restaurant)
        // Gone while it was looked up: nothing was taken yet, nothing is to be given back.
        guard let connection = hub.connection(applicant.connection), connection.isAuthenticating else { return }
        let record: AccessRecord
        switch result {
        case .failure(let error):
            log.warning(
                "authentication_unavailable",
                ["connection": hub.name(of: applicant.connection), "error": error.description])
            return answer(applicant, .failed(.unavailable, retryAfter: nil))
        case .success(nil):
            return answer(applicant, .failed(.invalidToken, retryAfter: nil))
        case .success(.some(let found)):
            record = found
        }
        let isSameUser = request.user.map { UserID($0) == record.user } ?? true
        guard record.userIsActive, isSameUser else {
            return answer(applicant, .failed(.invalidToken, retryAfter: nil))
        }
        guard let role = record.role, RestaurantID(request.restaurant) == restaurant,
            AccessPolicy.mayAct(record, for: restaurant)
        else { return answer(applicant, .failed(.accessDenied, retryAfter: nil)) }
        // A slot is free again when somebody leaves; nobody knows when that is.
        let full = AuthenticationOutcome.failed(.connectionLimit, retryAfter: .seconds(5))
        guard hub.hasRoom(for: connection, user: record.user, device: request.deviceID, in: restaurant) else {
            return answer(applicant, full)
        }
        let slot = Leases.Applicant(
            connection: applicant.connection, restaurant: restaurant, user: record.user, device: request.deviceID)
        leases.admit(slot) { [weak self] decision in
            guard let self else { return }
            let isIn = decision != .refused && self.takeIn(applicant, token, record, role)
            if isIn { return }
            self.leases.left(applicant.connection, restaurant)
            guard self.hub.connection(applicant.connection)?.isAuthenticating == true else { return }
            self.answer(applicant, full)
        }
    }

    /// False when there is no room after all, or the tablet is gone, which then hears nothing of it.
    private func takeIn(_ applicant: Applicant, _ token: AccessToken, _ record: AccessRecord, _ role: Role) -> Bool {
        let (request, restaurant) = (applicant.request, applicant.restaurant)
        guard let connection = hub.connection(applicant.connection), connection.isAuthenticating,
            hub.admit(
                connection, user: record.user, role: role, device: request.deviceID, version: request.clientVersion,
                to: restaurant)
        else { return false }
        // From here on the tablet is told of every event after `sequence`: it is told so in the same breath.
        let sequence = feeds.join(restaurant, head: record.head)
        access.join(restaurant, version: record.accessVersion)
        answer(
            applicant,
            .accepted(
                AcceptedIdentity(
                    user: record.user, role: role, restaurant: restaurant, sequence: sequence,
                    oldestResumable: record.oldestResumable, tokenExpiresAt: token.expiresAt,
                    tokenEndsAt: token.endOfUse(acceptedAt: loop.now.unixTime, leeway: verifier.policy.leeway))))
        return true
    }

    private func answer(_ applicant: Applicant, _ outcome: AuthenticationOutcome) {
        if case .accepted = outcome { hub.metrics.authenticated += 1 }
        hub.metrics.authenticationTime.observe(SystemClock.instant - applicant.receivedAt)
        hub.connection(applicant.connection)?.deliver(authentication: outcome)
    }

    /// The outcome of a tablet's `reauth`: a valid token of the same, active user.
    func reauthenticate(_ token: String, user: UserID, connection number: UInt64) {
        func answer(_ outcome: ReauthenticationOutcome) {
            if case .accepted = outcome {
                hub.metrics.reauthenticated += 1
            } else {
                hub.metrics.reauthenticationFailures += 1
            }
            loop.atEndOfTurn { [hub] in hub.connection(number)?.deliver(reauthentication: outcome) }
        }
        guard case .success(let verified) = verify(token) else { return answer(.failed(.invalidToken)) }
        users.access(of: verified.subject, to: nil) { result in
            switch result {
            case .success(.some(let record)) where record.userIsActive && record.user == user:
                answer(.accepted(verified))
            case .success: answer(.failed(.invalidToken))
            case .failure: answer(.failed(.unavailable))
            }
        }
    }

    // MARK: Requests

    /// Checks the token of a request.
    func token(of request: HTTPRequest) -> Result<AccessToken, APIError> {
        let verified = request.headers.withOnlyValue(of: "authorization") { value -> Result<AccessToken, APIError>? in
            AuthenticationHandler.bearerToken(in: value).map { token in
                Result { () throws(TokenError) in
                    try verifier.verify(value.extracting(token), now: loop.now.unixTime)
                }.mapError { _ in AuthenticationHandler.invalidToken }
            }
        }
        return (verified ?? nil) ?? .failure(AuthenticationHandler.tokenMissing)
    }

    /// Looks up the user of a token, together with the restaurant a request is about, if it is about one.
    func user(
        of token: AccessToken, restaurant: RestaurantID?, reply: @escaping (Result<AccessRecord, APIError>) -> Void
    ) {
        users.access(of: token.subject, to: restaurant) { result in
            switch result {
            case .success(.some(let record)) where record.userIsActive: reply(.success(record))
            case .success: reply(.failure(AuthenticationHandler.invalidToken))
            case .failure(let error): reply(.failure(APIError(error)))
            }
        }
    }

    /// Refuses a request at the end of the turn.
    func replyLater(_ error: APIError, _ reply: @escaping Reply) {
        atEndOfTurn { reply(.failure(error)) }
    }

    /// The connection is asking at this moment, and is not called back from within its own call.
    func atEndOfTurn(_ work: @escaping () -> Void) {
        loop.atEndOfTurn(work)
    }

    static let invalidToken = APIError(
        .invalidToken, "The token is invalid or has expired, or its user may not sign in.")

    private static let tokenMissing = APIError(
        .authenticationRequired, "Send a token in the Authorization field, as Bearer and the token.")

    /// RFC 6750 §2.1: the scheme in any case, one space or more, the token. A field's value has no white space at its ends.
    private static func bearerToken(in value: Span<UInt8>) -> Range<Int>? {
        let scheme: StaticString = "bearer "
        let length = scheme.utf8CodeUnitCount
        guard value.count > length, value.extracting(first: length).equalsIgnoringCase(scheme) else { return nil }
        return value.trimming(length..<value.count)
    }
}

extension APIError {
    /// What users are told of a failure of Postgres.
    init(_ error: PostgresError) {
        if error.isTimeout {
            self = .queryTimeout
        } else if error.isTemporary {
            self = .unavailable
        } else {
            self.init(.internalError, "The server could not do this; the operator finds the reason in its log.")
        }
    }
}
