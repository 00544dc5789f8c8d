// All that the core may ask of storage, so that a simulation can answer it in the database's place.

/// One request to storage. The shell carries it out and delivers the answer to the connection that asked, if it is
/// still there.
public enum StorageRequest: Equatable, Sendable {
    /// Change an order's status for a user; `messageID` is what the change is remembered by. Answered by CommandAnswer.
    case updateOrderStatus(OrderStatusUpdate, restaurant: RestaurantID, user: UserID, messageID: String?)
}
