// Everything a tablet may say.

/// The types of a tablet's messages, besides the transient events. A new one needs its description: the tests compare
/// this list with api/asyncapi.json and docs/protocol.md.
public enum ClientMessageType: CaseIterable, Sendable {
    case authenticate, reauthenticate, ping, pong, orderStatusUpdate

    /// The message's `type`.
    public var name: StaticString {
        switch self {
        case .authenticate: "authenticate"
        case .reauthenticate: "reauth"
        case .ping: "ping"
        case .pong: "pong"
        case .orderStatusUpdate: "order.status_update"
        }
    }
}

/// The kinds of transient events: relayed to every tablet of the restaurant, stored nowhere.
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

    /// The event with this `type`; `nil` if no transient event has it.
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
    /// The tablet's name for itself: a new connection replaces the older one of the same device.
    public let deviceID: String?
    /// The last event the tablet has applied; it asks for those after it.
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
    /// `data` is echoed in the answer. `lastSequence` is the last event the tablet has applied, `roundTripMilliseconds` how
    /// long its previous ping took; both are `nil` if the tablet does not tell.
    case ping(data: Range<Int>?, lastSequence: EventSequence?, roundTripMilliseconds: UInt32?)
    /// The answer to the server's ping. Any frame proves life, so nothing is left to do.
    case pong
    /// `nil` if the message has no token.
    case reauthenticate(token: String?)
    case orderStatusUpdate(OrderStatusUpdate)
    /// `data` is a JSON object.
    case transient(TransientEventType, data: Range<Int>)
}
