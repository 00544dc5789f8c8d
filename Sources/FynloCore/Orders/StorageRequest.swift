// The requests of the core to storage, so that a simulation can answer them in place of the database.

/// One request to storage. The shell carries it out and delivers the answer to the connection that asked, if it is
/// still there.
public enum StorageRequest: Equatable, Sendable {
    /// Change an order's status for a user; the change is remembered by `messageID`. Answered by CommandAnswer.
    case updateOrderStatus(OrderStatusUpdate, restaurant: RestaurantID, user: UserID, messageID: String?)
}
