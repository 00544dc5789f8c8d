// A durable event: a row of `restaurant_events`, as it travels from the database to the tablets.

/// The types of durable events. The database writes them and tablets read them; the server passes on whatever type a row
/// has. The tests compare this list with the migrations, api/asyncapi.json and docs/protocol.md.
public enum DurableEventType: String, CaseIterable, Sendable {
    case orderCreated = "order.created"
    case orderUpdated = "order.updated"
    case orderStatusChanged = "order.status_changed"
    case orderDeleted = "order.deleted"
    case menuUpdated = "menu.updated"
    case systemNotification = "system.notification"
}

/// One row of a restaurant's event stream.
public struct DurableEvent: Equatable, Sendable {
    public let restaurant: RestaurantID
    public let sequence: EventSequence
    /// `order.created`, `order.status_changed` …: the message's `type`.
    public let type: String
    /// The message's `data`: a JSON object, as the database wrote it.
    public let data: [UInt8]
    public let createdAt: UnixTime

    public init(
        restaurant: RestaurantID, sequence: EventSequence, type: String, data: [UInt8], createdAt: UnixTime
    ) {
        self.restaurant = restaurant
        self.sequence = sequence
        self.type = type
        self.data = data
        self.createdAt = createdAt
    }
}

extension DurableEvent {
    /// The version that a `menu.updated` tells; `nil` for other events.
    public var menuVersion: Int64? {
        guard type == DurableEventType.menuUpdated.rawValue else { return nil }
        let text = data.span
        var version: Int64?
        _ = try? JSON.scanObject(text) { key, value in
            if JSON.equals(key, "version", in: text) { version = JSON.integer(value, in: text) }
        }
        return version
    }
}
