// The life of an order: its statuses, and the changes between them.

/// The status of an order, in the order of a service.
public enum OrderStatus: String, CaseIterable, Sendable {
    case draft, pending, confirmed, preparing, ready, served, completed, cancelled

    /// True when an order may go from this status to `next`: forwards, also in larger steps, never back; it can be
    /// cancelled until it is completed. Staying is no change and is decided before.
    ///
    /// The server does not call this: the SQL function `fynlo_update_order_status` decides. This is the rule of the
    /// tests' model of the database, which is compared with the real one.
    public func mayBecome(_ next: OrderStatus) -> Bool {
        switch (self, next) {
        case (.completed, _), (.cancelled, _): false
        case (_, .cancelled): true
        default: next.step > step
        }
    }

    /// The names a client may send, for the sentence that refuses another one.
    public static let names = allCases.map(\.rawValue).joined(separator: ", ")

    private var step: Int {
        switch self {
        case .draft: 0
        case .pending: 1
        case .confirmed: 2
        case .preparing: 3
        case .ready: 4
        case .served: 5
        case .completed: 6
        case .cancelled: 7
        }
    }
}
