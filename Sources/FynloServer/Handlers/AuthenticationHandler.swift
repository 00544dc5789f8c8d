// Lets tablets in: checks their tokens, looks their users up, and finds room for them, in the order of the contract's table.

import FynloCore
import FynloIO

/// Carries out the `authenticate` and `reauth` of tablets.
final class AuthenticationHandler {
    private let loop: EventLoop
    private let hub: Hub
    private let feeds: FeedHandler
    private let access: AccessHandler
    private let leases: Leases
    private let users: UserRepository
    private let known: AccessLookup
    private let tokens: TokenChecker
    private let log: Logger

    /// A tablet that waits for its turn. It is a class because closures hand it on: each copy of a value would retain six
    /// strings.
    private final class Applicant: Sendable {
        let request: AuthenticationRequest
        let restaurant: RestaurantID
        let connection: UInt64
        let receivedAt: Instant
        /// When the tablet is told to come back later.
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
    /// `admitNext` is scheduled.
    private var isAdmitting = false

    /// Tablets that are looked up at the same time; those of one turn share one statement. The fewer they are, the sooner a
    /// restaurant that comes late gets its turn.
    private static let concurrentLookups = 64
    /// How long a tablet waits for its turn. By then a healthy database would have served those before it.
    private static let patience = Duration.seconds(5)

    init(
        loop: EventLoop, hub: Hub, feeds: FeedHandler, access: AccessHandler, leases: Leases, users: UserRepository,
        known: AccessLookup, tokens: TokenChecker, log: Logger
    ) {
        self.loop = loop
        self.hub = hub
        self.feeds = feeds
        self.access = access
        self.leases = leases
        self.users = users
        self.known = known
        self.tokens = tokens
        self.log = log
    }

    /// Decides on a tablet's `authenticate` and tells the connection, if it still exists. In a storm the tablets wait here and
    /// the restaurants take turns; FYNLO_MAX_UNAUTHENTICATED bounds how many wait.
    func authenticate(
        _ request: AuthenticationRequest, restaurant: RestaurantID, connection number: UInt64
    ) {
        applicants.append(
            Applicant(request, restaurant: restaurant, connection: number, receivedAt: loop.now.instant),
            for: restaurant)
        // The connection is asking at this moment, and must not be called back from within its own call.
        admitLater()
    }

    private func admitLater() {
        guard !isAdmitting, lookupsUnderWay < AuthenticationHandler.concurrentLookups, !applicants.isEmpty else {
            return
        }
        isAdmitting = true
        loop.later { [weak self] in self?.admitNext() }
    }

    /// Goes on while the turn has time, since each tablet costs the check of a signature (HMAC 2 µs, RSA 30 µs, ECDSA 100 µs).
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
        switch tokens.check(applicant.request.token) {
        case .success(let verified): token = verified
        case .failure(let error):
            log.info(
                "token_refused",
                ["reason": String(describing: error), "connection": hub.name(of: applicant.connection)])
            return answer(applicant, .failed(.invalidToken, retryAfter: nil))
        }
        lookupsUnderWay += 1
        // What the answer says of the restaurant is remembered, so that the tablet's next requests need no look-up.
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
        // The tablet may have left during the look-up. It has no slot yet, so there is nothing to give back.
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
        // A slot becomes free when a tablet leaves, and nobody knows when that will be.
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

    /// False if there is no room after all, or if the tablet has left and is told nothing.
    private func takeIn(_ applicant: Applicant, _ token: AccessToken, _ record: AccessRecord, _ role: Role) -> Bool {
        let (request, restaurant) = (applicant.request, applicant.restaurant)
        guard let connection = hub.connection(applicant.connection), connection.isAuthenticating,
            hub.admit(
                connection, user: record.user, role: role, device: request.deviceID, version: request.clientVersion,
                to: restaurant)
        else { return false }
        // From here on the tablet receives every event after `sequence`, so its answer with that number is sent in the same call.
        let sequence = feeds.join(restaurant, head: record.head)
        access.join(restaurant, version: record.accessVersion)
        answer(
            applicant,
            .accepted(
                AcceptedIdentity(
                    user: record.user, role: role, restaurant: restaurant, sequence: sequence,
                    oldestResumable: record.oldestResumable, tokenExpiresAt: token.expiresAt,
                    tokenEndsAt: tokens.endOfUse(of: token))))
        return true
    }

    private func answer(_ applicant: Applicant, _ outcome: AuthenticationOutcome) {
        if case .accepted = outcome { hub.metrics.authenticated += 1 }
        hub.metrics.authenticationTime.observe(SystemClock.instant - applicant.receivedAt)
        hub.connection(applicant.connection)?.deliver(authentication: outcome)
    }

    /// Decides on a tablet's `reauth`: it takes a valid token of the same user, who is still active.
    func reauthenticate(_ token: String, user: UserID, connection number: UInt64) {
        func answer(_ outcome: ReauthenticationOutcome) {
            if case .accepted = outcome {
                hub.metrics.reauthenticated += 1
            } else {
                hub.metrics.reauthenticationFailures += 1
            }
            loop.atEndOfTurn { [hub] in hub.connection(number)?.deliver(reauthentication: outcome) }
        }
        guard case .success(let verified) = tokens.check(token) else { return answer(.failed(.invalidToken)) }
        users.access(of: verified.subject, to: nil) { result in
            switch result {
            case .success(.some(let record)) where record.userIsActive && record.user == user:
                answer(.accepted(verified))
            case .success: answer(.failed(.invalidToken))
            case .failure: answer(.failed(.unavailable))
            }
        }
    }
}
