// Everything the core may ask the shell to do. An answer comes back through one of ProtocolStack's `deliver` methods.

/// One request of a connection to the shell.
public enum Effect: Sendable {
    /// Answer a request; `deliver(response:)`.
    case respond(HTTPRequest, Route)
    /// The connection has become a WebSocket; it is not authenticated yet.
    case upgraded
    /// Check who the tablet is and take it in; `deliver(authentication:)`.
    case authenticate(AuthenticationRequest, restaurant: RestaurantID, client: ClientType)
    /// Check a token for a connection that is authenticated; `deliver(reauthentication:)`.
    case reauthenticate(token: String, user: UserID)
    /// Do a command that came at `receivedAt`; `deliver(command:)`.
    case storage(StorageRequest, receivedAt: Instant)
    /// Send these bytes, one text frame, to every tablet of the restaurant; they came at `receivedAt`.
    case broadcast(ByteBuffer, restaurant: RestaurantID, receivedAt: Instant)
    /// The client has been answered with this error. Nothing is left to do but to count it.
    case refused(APIError.Code)
    /// Send the tablet the events after its `replayPosition`, a part at a time; `deliver(replay:)`.
    case replay(restaurant: RestaurantID)
    /// The session is over. One that was authenticated leaves the registry. Sent once per upgraded connection.
    case sessionEnded(restaurant: RestaurantID, SessionEnd, wasAuthenticated: Bool)
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

/// A part of what a tablet missed.
public enum Replay: Sendable {
    /// The next events, in order.
    case events(ArraySlice<EventFrame>)
    /// Nothing is left to replay: live events follow.
    case finished
    /// The missed events are no longer kept. `head` is the newest event; live events follow it.
    case lost(head: EventSequence)
}

/// The user that a connection acts for, and its place in the stream.
public struct AcceptedIdentity: Equatable, Sendable {
    public let user: UserID
    public let role: Role
    public let restaurant: RestaurantID
    /// The newest event. A tablet that resumes from an earlier one is sent the events in between.
    public let sequence: EventSequence
    /// The earliest event from which the stream can be continued: the one before the first that is kept.
    public let oldestResumable: EventSequence
    public let tokenExpiresAt: UnixTime
    /// See AccessToken.endOfUse.
    public let tokenEndsAt: UnixTime

    public init(
        user: UserID, role: Role, restaurant: RestaurantID, sequence: EventSequence,
        oldestResumable: EventSequence = 0, tokenExpiresAt: UnixTime, tokenEndsAt: UnixTime
    ) {
        self.user = user
        self.role = role
        self.restaurant = restaurant
        self.sequence = sequence
        self.oldestResumable = oldestResumable
        self.tokenExpiresAt = tokenExpiresAt
        self.tokenEndsAt = tokenEndsAt
    }
}
