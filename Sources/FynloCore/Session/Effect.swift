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
    /// Do a command that came at `receivedAt`; `deliver(command:)`.
    case storage(StorageRequest, receivedAt: Instant)
    /// Send these bytes, one text frame, to every tablet of the restaurant; they came at `receivedAt`.
    case broadcast(ByteBuffer, restaurant: RestaurantID, receivedAt: Instant)
    /// Nothing to do: the client was answered with this error, which is to be counted.
    case refused(APIError.Code)
    /// Send the tablet what it missed, from its `replayPosition` on, a part at a time; `deliver(replay:)`.
    case replay(restaurant: RestaurantID)
    /// The session is over, authenticated (then it leaves the registry) or not. Once per upgraded connection.
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
    /// There are no more: live events follow.
    case finished
    /// They are no longer there. `head` is the newest event, after which live events follow.
    case lost(head: EventSequence)
}

/// Who a connection acts for, and since when in the stream.
public struct AcceptedIdentity: Equatable, Sendable {
    public let user: UserID
    public let role: Role
    public let restaurant: RestaurantID
    /// The newest event; a tablet that resumes from one before it is sent those in between.
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
