// Who is where: the authenticated connections of each restaurant, in identifiers only, with the limits per restaurant and
// per user. The connections themselves are the shell's.

/// What becomes of a tablet that proved who it is.
public enum Admission: Equatable, Sendable {
    /// It is in; `replacing` is the number of the same device's older connection, which has left and is to be closed.
    case admitted(replacing: UInt64?)
    /// The restaurant or the user has all the connections it may have.
    case refused
}

/// The authenticated connections of one process, by restaurant.
public struct ConnectionRegistry: Sendable {
    /// One authenticated connection.
    public struct Member: Equatable, Sendable {
        /// ConnectionID.number.
        public let connection: UInt64
        public let user: UserID
        /// The role the user had when the connection was taken in.
        public let role: Role
        /// What the shell knows the tablet's program by; 0: it did not say.
        public let version: UInt16
        public let device: String?
    }

    // A restaurant has about a hundred tablets: scanning an array that small beats hashing, and holds less memory.
    private var rooms: [RestaurantID: [Member]] = [:]

    public init() {}

    /// How many authenticated connections there are.
    public private(set) var count = 0

    /// The restaurants with at least one connection.
    public var restaurants: some Collection<RestaurantID> { rooms.keys }

    /// The connections of a restaurant, oldest first.
    public func members(of restaurant: RestaurantID) -> [Member] {
        rooms[restaurant] ?? []
    }

    /// Would `admit` take it in?
    public func admits(_ member: Member, to restaurant: RestaurantID, perRestaurant: Int, perUser: Int) -> Bool {
        let room = rooms[restaurant] ?? []
        var (count, ofUser) = (room.count, 0)
        for other in room where other.user == member.user {
            if let device = member.device, other.device == device { count -= 1 } else { ofUser += 1 }
        }
        return count < perRestaurant && ofUser < perUser
    }

    /// Takes a connection in, or refuses it. A connection with the same user and device replaces the older one before
    /// the limits are counted: a tablet never locks itself out with its own dead connection.
    public mutating func admit(
        _ member: Member, to restaurant: RestaurantID, perRestaurant: Int, perUser: Int
    ) -> Admission {
        guard admits(member, to: restaurant, perRestaurant: perRestaurant, perUser: perUser) else { return .refused }
        var room = rooms[restaurant] ?? []
        var replaced: UInt64?
        if let device = member.device,
            let index = room.firstIndex(where: { $0.user == member.user && $0.device == device })
        {
            replaced = room[index].connection
            room.remove(at: index)
        }
        room.append(member)
        rooms[restaurant] = room
        if replaced == nil { count += 1 }
        return .admitted(replacing: replaced)
    }

    /// Lets a connection go; true when it was in.
    @discardableResult
    public mutating func remove(_ connection: UInt64, from restaurant: RestaurantID) -> Bool {
        guard var room = rooms[restaurant], let index = room.firstIndex(where: { $0.connection == connection }) else {
            return false
        }
        // Emptied first, so that the array is changed in place.
        rooms[restaurant] = nil
        room.remove(at: index)
        if !room.isEmpty { rooms[restaurant] = room }
        count -= 1
        return true
    }
}

extension ConnectionRegistry.Member {
    public init(_ connection: UInt64, user: UserID, role: Role = .employee, device: String?, version: UInt16 = 0) {
        self.init(connection: connection, user: user, role: role, version: version, device: device)
    }
}
