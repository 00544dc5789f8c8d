// Everything the core may ask the shell to do. What has an answer gets it back through one of ProtocolStack's `deliver`s.

/// One wish of a connection.
public enum Effect: Sendable {
    /// Answer a request; `deliver(response:)`.
    case respond(HTTPRequest, Route)
    /// The connection is a WebSocket now, not authenticated yet.
    case upgraded
    /// Check who the tablet is and take it in; `deliver(authentication:)`.
    case authenticate(AuthenticationRequest, restaurant: RestaurantID, client: ClientType)
    /// Check a token for a connection that is authenticated; `deliver(reauthentication:)`.
    case reauthenticate(token: String, user: UserID)
    /// Do a command; `deliver(command:)`.
    case storage(StorageRequest)
    /// Send these bytes, one text frame, to every tablet of the restaurant.
    case broadcast(ByteBuffer, restaurant: RestaurantID)
    /// The session is over, authenticated (then it leaves the registry) or not. Once per upgraded connection.
    case sessionEnded(restaurant: RestaurantID, wasAuthenticated: Bool)
}

/// The outcome of an authentication.
public enum AuthenticationOutcome: Equatable, Sendable {
    case accepted(AcceptedIdentity)
    case failed(AuthenticationFailure, retryAfter: Duration?)
}

/// The outcome of a `reauth`.
public enum ReauthenticationOutcome: Equatable, Sendable {
    /// A checked token of the same user, who is still active.
    case accepted(AccessToken)
    case failed(AuthenticationFailure)
}

/// Who a connection acts for, and since when in the stream.
public struct AcceptedIdentity: Equatable, Sendable {
    public let user: UserID
    public let role: Role
    public let restaurant: RestaurantID
    /// The newest event the tablet will not be sent.
    public let sequence: EventSequence
    public let tokenExpiresAt: UnixTime
    /// See AccessToken.endOfUse.
    public let tokenEndsAt: UnixTime

    public init(
        user: UserID, role: Role, restaurant: RestaurantID, sequence: EventSequence, tokenExpiresAt: UnixTime,
        tokenEndsAt: UnixTime
    ) {
        self.user = user
        self.role = role
        self.restaurant = restaurant
        self.sequence = sequence
        self.tokenExpiresAt = tokenExpiresAt
        self.tokenEndsAt = tokenEndsAt
    }
}
