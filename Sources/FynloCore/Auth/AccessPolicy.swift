// Who may do what in which restaurant.

/// `users.role`.
public enum Role: String, CaseIterable, Sendable {
    case platformOwner = "platform_owner"
    case restaurantOwner = "restaurant_owner"
    case manager
    case employee
}

/// What the database knows of a user and the restaurant they want to act for.
public struct AccessRecord: Equatable, Sendable {
    public var user: UserID
    /// `nil` for a role that this version does not know: it may do nothing.
    public var role: Role?
    public var userIsActive: Bool
    public var homeRestaurant: RestaurantID?
    /// True when `user_restaurants` lists the restaurant for the user.
    public var isMember: Bool
    /// The restaurant exists and is active.
    public var restaurantIsActive: Bool
    /// The restaurant's newest event.
    public var head: EventSequence
    /// The event before the first that is kept.
    public var oldestResumable: EventSequence
    /// The restaurant's menu version.
    public var menuVersion: Int64
    /// The version of the access to the restaurant that these rights belong to.
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
    /// May this user act for this restaurant? Their own, the ones listed for them, or, for platform owners, any; never an
    /// inactive one.
    public static func mayAct(_ record: AccessRecord, for restaurant: RestaurantID) -> Bool {
        guard record.userIsActive, record.restaurantIsActive, let role = record.role else { return false }
        switch role {
        case .platformOwner: return true
        case .restaurantOwner, .manager, .employee:
            return record.homeRestaurant == restaurant || record.isMember
        }
    }
    /// May this user manage this restaurant: speak to all of its tablets, for one? Its managers and owners, and platform
    /// owners.
    public static func mayManage(_ record: AccessRecord, _ restaurant: RestaurantID) -> Bool {
        guard mayAct(record, for: restaurant), let role = record.role else { return false }
        switch role {
        case .platformOwner, .restaurantOwner, .manager: return true
        case .employee: return false
        }
    }
}
