// Who may do what in which restaurant.

/// `users.role`.
public enum Role: String, CaseIterable, Sendable {
    case platformOwner = "platform_owner"
    case restaurantOwner = "restaurant_owner"
    case manager
    case employee
}

/// The database's data on a user and the restaurant that the user wants to act for.
public struct AccessRecord: Equatable, Sendable {
    public var user: UserID
    /// `nil` for a role that this version does not know: such a user may do nothing.
    public var role: Role?
    public var userIsActive: Bool
    public var homeRestaurant: RestaurantID?
    /// True when `user_restaurants` lists the restaurant for the user.
    public var isMember: Bool
    /// The restaurant exists and is active.
    public var restaurantIsActive: Bool
    /// The restaurant's newest event.
    public var head: EventSequence
    /// The number before that of the oldest stored event.
    public var oldestResumable: EventSequence
    /// The restaurant's menu version.
    public var menuVersion: Int64
    /// The version of the restaurant's access rights in which these rights were found.
    public var accessVersion: Int64

    public init(
        user: UserID, role: Role?, userIsActive: Bool, homeRestaurant: RestaurantID?, isMember: Bool,
        restaurantIsActive: Bool, head: EventSequence,
        oldestResumable: EventSequence = 0, menuVersion: Int64, accessVersion: Int64 = 0
    ) {
        self.user = user
        self.role = role
        self.userIsActive = userIsActive
        self.homeRestaurant = homeRestaurant
        self.isMember = isMember
        self.restaurantIsActive = restaurantIsActive
        self.head = head
        self.oldestResumable = oldestResumable
        self.menuVersion = menuVersion
        self.accessVersion = accessVersion
    }
}

/// The rules, as questions.
public enum AccessPolicy {
    /// May this user act for this restaurant? Users may act for their own restaurant and those listed for them, platform owners
    /// for any; nobody for an inactive one.
    public static func mayAct(_ record: AccessRecord, for restaurant: RestaurantID) -> Bool {
        guard record.userIsActive, record.restaurantIsActive, let role = record.role else { return false }
        switch role {
        case .platformOwner: return true
        case .restaurantOwner, .manager, .employee:
            return record.homeRestaurant == restaurant || record.isMember
        }
    }
    /// May this user manage this restaurant, for example send a notification to all of its tablets? Its managers and owners
    /// may, and platform owners.
    public static func mayManage(_ record: AccessRecord, _ restaurant: RestaurantID) -> Bool {
        guard mayAct(record, for: restaurant), let role = record.role else { return false }
        switch role {
        case .platformOwner, .restaurantOwner, .manager: return true
        case .employee: return false
        }
    }
}
