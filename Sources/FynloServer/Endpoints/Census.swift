// Who is there, counted in one pass over the connections when metrics are asked for: 0.3 µs each, and nothing in between.

import FynloCore

/// The connections of a moment.
struct Census {
    /// Tablets of a restaurant, or of several, that are alike.
    struct Group {
        let restaurant: String
        let client: ClientType
        let phase: ServerSession.Phase
        let count: Int
    }

    /// One restaurant, or what several have together.
    private struct Room {
        /// By client type and phase, at the place that `index` tells.
        var counts = [Int](repeating: 0, count: clients.count * phases.count)
        /// Only authenticated tablets make a restaurant busy, as anybody may name any in a path.
        var authenticated = 0
        /// The least that a tablet has told to have applied; negative: none has told.
        var told: EventSequence = -1
        var lag: EventSequence = -1
    }

    private var places: [RestaurantID: Int] = [:]
    private var rooms: [Room] = []
    /// Authenticated ones.
    private(set) var tablets: [ClientConnection] = []
    private(set) var totals = Metrics.SessionTotals()
    private(set) var sockets = 0
    private(set) var webSockets = 0
    private(set) var queuedBytes = 0

    private static let clients = ClientType.allCases
    private static let phases = ServerSession.Phase.allCases

    init(hub: Hub, feeds: FeedHandler) {
        tablets.reserveCapacity(hub.tabletCount)
        for connection in hub.allConnections {
            sockets += 1
            queuedBytes += connection.queuedBytes
            if connection.isWebSocket { webSockets += 1 }
            guard let session = connection.sessionSummary else { continue }
            let place = place(of: session.restaurant)
            rooms[place].counts[Census.index(session.client, session.phase)] += 1
            if session.phase == .closing { continue }
            let isAuthenticated = session.phase != .authenticating
            totals += hub.ledger.totals(of: connection, wasAuthenticated: isAuthenticated)
            guard isAuthenticated else { continue }
            tablets.append(connection)
            rooms[place].authenticated += 1
            let told = connection.counts.toldSequence
            if told >= 0, rooms[place].told < 0 || told < rooms[place].told { rooms[place].told = told }
        }
        for (restaurant, place) in places where rooms[place].told >= 0 {
            let told = rooms[place].told
            rooms[place].lag = max(0, (feeds.head(of: restaurant) ?? told) - told)
        }
    }

    private mutating func place(of restaurant: RestaurantID) -> Int {
        if let place = places[restaurant] { return place }
        places[restaurant] = rooms.count
        rooms.append(Room())
        return rooms.count - 1
    }

    private static func index(_ client: ClientType, _ phase: ServerSession.Phase) -> Int {
        guard let client = clients.firstIndex(of: client), let phase = phases.firstIndex(of: phase) else {
            preconditionFailure("allCases has every case")
        }
        return client * phases.count + phase
    }

    /// The restaurants with the most tablets by name, in order, and all the others together.
    private func named(_ limit: Int) -> [(String, Room)] {
        let busy = places.filter { rooms[$0.value].authenticated > 0 }
            .sorted { (rooms[$0.value].authenticated, $1.key.uuid) > (rooms[$1.value].authenticated, $0.key.uuid) }
            .prefix(limit)
        let names = Set(busy.map(\.key))
        var other = Room()
        for (restaurant, place) in places where !names.contains(restaurant) {
            for index in other.counts.indices { other.counts[index] += rooms[place].counts[index] }
            other.lag = max(other.lag, rooms[place].lag)
        }
        return busy.map { ($0.key.description, rooms[$0.value]) }.sorted { $0.0 < $1.0 } + [("other", other)]
    }

    /// How many there are of each kind that there is.
    func connections(restaurants limit: Int) -> [Group] {
        var groups: [Group] = []
        for (name, room) in named(limit) {
            for client in Census.clients {
                for phase in Census.phases {
                    let count = room.counts[Census.index(client, phase)]
                    if count > 0 { groups.append(Group(restaurant: name, client: client, phase: phase, count: count)) }
                }
            }
        }
        return groups
    }

    /// How far behind the tablet furthest behind is, of the restaurants whose tablets tell.
    func lags(restaurants limit: Int) -> [(String, EventSequence)] {
        named(limit).filter { $0.1.lag >= 0 }.map { ($0.0, $0.1.lag) }
    }
}
