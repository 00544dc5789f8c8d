// How far a restaurant's stream and the versions of its menu and its access have come.

/// The counters of one restaurant, as the pulse reads them and as a notification of Postgres tells them.
public struct StreamCounters: Equatable, Sendable {
    public let restaurant: RestaurantID
    /// The newest event.
    public let head: EventSequence
    public let menuVersion: Int64
    /// Moves when a user's right to act for the restaurant may have changed.
    public let accessVersion: Int64

    public init(restaurant: RestaurantID, head: EventSequence, menuVersion: Int64, accessVersion: Int64) {
        self.restaurant = restaurant
        self.head = head
        self.menuVersion = menuVersion
        self.accessVersion = accessVersion
    }

    /// Reads "restaurant head menu_version access_version"; `nil` for anything else, which any program may send.
    public init?(notification: String) {
        let parts = notification.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 4, let restaurant = RestaurantID(String(parts[0])), let head = Int64(parts[1]),
            let menuVersion = Int64(parts[2]), let accessVersion = Int64(parts[3])
        else { return nil }
        self.init(restaurant: restaurant, head: head, menuVersion: menuVersion, accessVersion: accessVersion)
    }
}
