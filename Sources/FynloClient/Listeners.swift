// Listeners, by the name of an event.

/// The name of an event, as tablets know it: `connect`, `disconnect`, `order.created`, …
public struct EventName: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral {
    public let rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    public init(stringLiteral name: String) {
        rawValue = name
    }
}

extension EventName {
    /// The client's state has changed.
    public static let state: EventName = "state"
    public static let connect: EventName = "connect"
    public static let disconnect: EventName = "disconnect"
    public static let authError: EventName = "auth_error"
    public static let error: EventName = "error"
    public static let maxReconnectAttempts: EventName = "max_reconnect_attempts"
    /// A command's state has changed.
    public static let command: EventName = "command"
    /// A message of any type.
    public static let message: EventName = "message"

    public static let tokenRefreshed: EventName = "token:refreshed"
    public static let tokenRefreshFailed: EventName = "token:refresh:failed"
    public static let tokenCleared: EventName = "token:cleared"

    /// The events of the client itself, as opposed to the server's messages.
    static let ofClient: Set<EventName> = [
        .state, .connect, .disconnect, .authError, .error, .maxReconnectAttempts, .command, .message,
    ]
}

/// What `on` and `once` return, for `off`.
public struct Subscription: Hashable, Sendable {
    fileprivate let number: UInt64
    fileprivate let name: EventName
}

/// The listeners of one object, called in the order in which they were added. A listener removed during an event is not called
/// for it any more; one added during an event is called from the next on.
struct Listeners<Event> {
    private struct Listener {
        let number: UInt64
        let isForOnce: Bool
        let call: (Event) -> Void
    }

    private var listeners: [EventName: [Listener]] = [:]
    private var last: UInt64 = 0

    mutating func add(_ name: EventName, isForOnce: Bool, _ call: @escaping (Event) -> Void) -> Subscription {
        last += 1
        listeners[name, default: []].append(Listener(number: last, isForOnce: isForOnce, call: call))
        return Subscription(number: last, name: name)
    }

    mutating func remove(_ subscription: Subscription) {
        listeners[subscription.name]?.removeAll { $0.number == subscription.number }
        if listeners[subscription.name]?.isEmpty == true { listeners[subscription.name] = nil }
    }

    /// The numbers of the listeners to call now, in order.
    func numbers(of name: EventName) -> [UInt64] {
        listeners[name]?.map(\.number) ?? []
    }

    /// The listener, if it is still there. A one-time listener is removed.
    mutating func take(_ number: UInt64, of name: EventName) -> ((Event) -> Void)? {
        guard let listener = listeners[name]?.first(where: { $0.number == number }) else { return nil }
        if listener.isForOnce { remove(Subscription(number: number, name: name)) }
        return listener.call
    }
}
