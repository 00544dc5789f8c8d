// Every endpoint there is.

/// What a tablet says it is: a label, which demands no role.
public enum ClientType: String, CaseIterable, Sendable {
    case pos, kitchen, management, platform
}

/// A page of the console.
public enum ConsolePage: String, CaseIterable, Sendable {
    /// For those who manage restaurants.
    case console
    /// A tablet, for demonstrations.
    case tablet
}

/// One endpoint with the parts of its path that are values.
public enum Route: Equatable, Sendable {
    case webSocket(client: ClientType, restaurant: RestaurantID)
    case echo
    case echoJSON
    case menu
    case menuCategories
    case invalidateMenuCache
    case orders
    case createOrder
    case order(OrderID)
    case updateOrderStatus(OrderID)
    case events
    case postNotification
    /// Who the token speaks for.
    case profile
    case diagnostics
    /// The connection as its users see it: `ConnectionID.uuid`.
    case closeConnection(UUID128)
    case metrics
    case health
    case healthLive
    case healthReady
    case openAPI
    case console(ConsolePage)
    /// A file of the console's pages, by its name in their paths.
    case consoleAsset(String)
}
