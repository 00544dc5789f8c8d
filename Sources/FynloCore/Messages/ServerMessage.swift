// All that the server may say.

/// What makes a server message's `id` unique without a random number per message.
public enum MessageID: Sendable {
    /// The `number`th message to one connection.
    case direct(ConnectionID, number: UInt64)
    /// A durable event: the same on every node, since it is the same event.
    case event(RestaurantID, EventSequence)
}

/// `authenticated`: the answer to `authenticate` and `reauth`.
public struct Authenticated: Equatable, Sendable {
    public let user: UserID
    public let restaurant: RestaurantID
    public let connection: UUID128
    public let role: Role
    /// The newest event of the restaurant's stream that the tablet will not be sent.
    public let sequence: EventSequence
    public let heartbeatInterval: Duration
    public let tokenExpiresAt: UnixTime
    /// True when the events after `last_seq` follow.
    public let isResumed: Bool

    public init(
        user: UserID, restaurant: RestaurantID, connection: UUID128, role: Role, sequence: EventSequence,
        heartbeatInterval: Duration, tokenExpiresAt: UnixTime, isResumed: Bool
    ) {
        self.user = user
        self.restaurant = restaurant
        self.connection = connection
        self.role = role
        self.sequence = sequence
        self.heartbeatInterval = heartbeatInterval
        self.tokenExpiresAt = tokenExpiresAt
        self.isResumed = isResumed
    }
}

/// A message of the server to one tablet.
public enum ServerMessage: Equatable, Sendable {
    case authenticated(Authenticated)
    /// A refused `authenticate`, before the close, or a refused `reauth`; `retryAfter` is told where it is known.
    case authenticationError(AuthenticationFailure, retryAfter: Duration?)
    case ping
    case tokenExpiring(seconds: Int64)
    case acknowledgement(id: String, sequence: EventSequence?)
    case error(APIError, id: String?)
    case resyncRequired(head: EventSequence)
    /// The server is going away: come back after this long.
    case reconnect(retryAfter: Duration)

    var type: StaticString {
        switch self {
        case .authenticated: "authenticated"
        case .authenticationError: "auth_error"
        case .ping: "ping"
        case .tokenExpiring: "token_expired"
        case .acknowledgement: "ack"
        case .error: "error"
        case .resyncRequired: "resync_required"
        case .reconnect: "reconnect"
        }
    }
}
