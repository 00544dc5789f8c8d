// All that a tablet may say.

/// The kinds of transient events: relayed to the restaurant as they are, kept nowhere.
public enum TransientEventType: CaseIterable, Sendable {
    case kitchenItemStarted, kitchenItemReady, kitchenOrderReady
    case tableOccupied, tableAvailable, tableReserved, tableCleaned

    /// The message's `type`.
    public var name: StaticString {
        switch self {
        case .kitchenItemStarted: "kitchen.item_started"
        case .kitchenItemReady: "kitchen.item_ready"
        case .kitchenOrderReady: "kitchen.order_ready"
        case .tableOccupied: "table.occupied"
        case .tableAvailable: "table.available"
        case .tableReserved: "table.reserved"
        case .tableCleaned: "table.cleaned"
        }
    }

    /// That of a message's `type`; `nil` if it is no transient event.
    init?(_ type: JSONValue, in text: Span<UInt8>) {
        for event in TransientEventType.allCases where JSON.equals(type, event.name, in: text) {
            self = event
            return
        }
        return nil
    }
}

/// The first message: who the tablet is. All three generations' layouts end up here.
public struct AuthenticationRequest: Equatable, Sendable {
    public let token: String
    /// `nil` for a token that came in the query (FYNLO_ALLOW_QUERY_TOKEN), which speaks for itself.
    public let user: String?
    public let restaurant: String
    /// Free text, for diagnostics.
    public let clientType: String?
    /// Free text, for diagnostics.
    public let clientVersion: String?
    /// What the tablet calls itself: its newest connection replaces its older one.
    public let deviceID: String?
    /// The last event the tablet has applied: it wants those after.
    public let lastSequence: EventSequence?

    public init(
        token: String, user: String?, restaurant: String, clientType: String? = nil, clientVersion: String? = nil,
        deviceID: String? = nil, lastSequence: EventSequence? = nil
    ) {
        self.token = token
        self.user = user
        self.restaurant = restaurant
        self.clientType = clientType
        self.clientVersion = clientVersion
        self.deviceID = deviceID
        self.lastSequence = lastSequence
    }
}

/// One message of a tablet. Ranges are positions in the message's text, so that reading a message copies nothing.
public enum ClientMessage: Equatable, Sendable {
    /// `nil`: a required field is missing.
    case authenticate(AuthenticationRequest?)
    /// `data` is the ping's, to be echoed; `lastSequence` how far the tablet has applied the events, and
    /// `roundTripMilliseconds` how long the pong before took to come back, if it tells.
    case ping(data: Range<Int>?, lastSequence: EventSequence?, roundTripMilliseconds: UInt32?)
    /// The answer to our ping; any frame proves life, so there is nothing to do.
    case pong
    /// `nil`: there is no token in it.
    case reauthenticate(token: String?)
    case orderStatusUpdate(OrderStatusUpdate)
    /// `data` is a JSON object.
    case transient(TransientEventType, data: Range<Int>)
}
