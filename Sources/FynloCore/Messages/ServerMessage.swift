// Everything the server may say to one tablet. Events go to all tablets of a restaurant, and are not here.

/// The types of the messages about a connection and its commands. A new one needs its description: the tests compare this
/// list with api/asyncapi.json and docs/protocol.md.
public enum ServerMessageType: CaseIterable, Sendable {
    case authenticated, authenticationError, ping, pong, tokenExpired, acknowledgement, error, resyncRequired, reconnect

    /// The message's `type`.
    public var name: StaticString {
        switch self {
        case .authenticated: "authenticated"
        case .authenticationError: "auth_error"
        case .ping: "ping"
        case .pong: "pong"
        case .tokenExpired: "token_expired"
        case .acknowledgement: "ack"
        case .error: "error"
        case .resyncRequired: "resync_required"
        case .reconnect: "reconnect"
        }
    }
}

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
    /// The head of the restaurant's stream: events after it are sent live, those before it only to a tablet that resumes.
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

/// A message of the server to one tablet. `pong` is the exception: it is written without being made a value.
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

    var type: ServerMessageType {
        switch self {
        case .authenticated: .authenticated
        case .authenticationError: .authenticationError
        case .ping: .ping
        case .tokenExpiring: .tokenExpired
        case .acknowledgement: .acknowledgement
        case .error: .error
        case .resyncRequired: .resyncRequired
        case .reconnect: .reconnect
        }
    }
}
