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
        /// What the tablet calls itself.
        public let device: Device?
        /// The role the user had when the connection was taken in.
        public let role: Role
        /// What the shell knows the tablet's program by; 0: it did not say.
        public let version: UInt16
    }

    /// A tablet's name for itself. Nearly all draw a UUID: as text each would take 80 bytes more.
    public enum Device: Hashable, Sendable {
        case uuid(UUID128)
        case name(String)

        public init(_ text: String) {
            // Names that differ in nothing but case are two.
            if let uuid = UUID128(lowercase: text.utf8Span.span) { self = .uuid(uuid) } else { self = .name(text) }
        }

        /// As the tablet wrote it.
        public var text: String {
            switch self {
            case .uuid(let uuid): uuid.description
            case .name(let name): name
            }
        }
    }

    // A restaurant has about a hundred tablets: scanning an array that small beats hashing, and holds less memory.
    private var rooms: [RestaurantID: [Member]] = [:]
    private static let roomStep = 4

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
        let replaced = ConnectionRegistry.seat(member, in: &rooms[restaurant, default: []])
        if replaced == nil { count += 1 }
        return .admitted(replacing: replaced)
    }

    /// Adds a member, in the place of the same device's older one, whose number is returned.
    private static func seat(_ member: Member, in room: inout [Member]) -> UInt64? {
        var replaced: UInt64?
        if let device = member.device,
            let index = room.firstIndex(where: { $0.user == member.user && $0.device == device })
        {
            replaced = room[index].connection
            room.remove(at: index)
        }
        // In small steps: there are as many rooms as restaurants, and each would hold twice what it needs.
        if room.count == room.capacity { room.reserveCapacity(room.count + roomStep) }
        room.append(member)
        return replaced
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
        self.init(
            connection: connection, user: user, device: device.map(ConnectionRegistry.Device.init), role: role,
            version: version)
    }
}
