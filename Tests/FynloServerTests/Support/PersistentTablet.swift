import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A tablet that goes on with its work whatever happens to the server: it resends what was not answered, and resumes after
/// the last event it has seen.
final class PersistentTablet {
    let restaurant: RestaurantID
    let user: TestUser
    private let name: String
    /// Its own orders, each taken through all statuses.
    private let orders: [OrderID]
    private static let steps: [OrderStatus] = [.pending, .confirmed, .preparing, .ready, .served, .completed]
    /// Commands that were sent and not answered, oldest first.
    private var outstanding: [Int] = []
    private var nextCommand = 0
    private var tablet: TestTablet?
    private var heard = 0
    private var isIn = false

    /// The `seq` of the ack of each command.
    private(set) var acknowledged: [String: Int] = [:]
    /// Every event it was sent, as it came.
    private(set) var record: [Document] = []
    private var lastSequence = 0
    private(set) var surprises: [String] = []

    /// Commands on their way at the same time.
    private static let window = 4

    init(_ name: String, _ user: TestUser, at restaurant: RestaurantID, orders: [OrderID]) {
        self.name = name
        self.user = user
        self.restaurant = restaurant
        self.orders = orders
    }

    func connect(_ loop: EventLoop, _ address: SocketAddress) throws {
        heard = 0
        isIn = false
        let tablet = try TestTablet(
            loop: loop, address: address, target: "/api/v1/websocket/ws/kitchen/\(restaurant)")
        tablet.authenticate(user, at: restaurant, device: name, lastSequence: lastSequence)
        self.tablet = tablet
    }

    /// The server has closed the connection.
    var isDisconnected: Bool { tablet?.isClosed ?? true }

    /// What has arrived and was not looked at is lost.
    func disconnect() {
        tablet?.close()
        tablet = nil
    }

    /// Looks at what has arrived, and goes on.
    func work() {
        guard let tablet else { return }
        while heard < tablet.messages.count {
            hear(tablet.messages[heard])
            heard += 1
        }
        guard isIn else { return }
        while outstanding.count < PersistentTablet.window, nextCommand < commandCount {
            outstanding.append(nextCommand)
            send(nextCommand)
            nextCommand += 1
        }
    }

    var commandCount: Int { orders.count * PersistentTablet.steps.count }
    var isDone: Bool { acknowledged.count == commandCount }

    /// The change that a command makes.
    func change(_ id: String) -> (order: OrderID, status: OrderStatus)? {
        guard let number = id.split(separator: " ").last.flatMap({ Int($0) }) else { return nil }
        let count = PersistentTablet.steps.count
        return (orders[number / count], PersistentTablet.steps[number % count])
    }

    private func send(_ command: Int) {
        let id = "\(name) \(command)"
        guard let (order, status) = change(id) else { return }
        tablet?.update(order, to: status, id: id)
    }

    private func hear(_ message: Document) {
        switch message["type"].string {
        case "authenticated":
            isIn = true
            if message["data"]["resumed"].boolean != true { surprises.append("not resumed") }
            for command in outstanding { send(command) }
        case "ack":
            guard let id = message["data"]["id"].string, let sequence = message["data"]["seq"].integer else {
                return surprises.append("an ack without id or seq: \(message)")
            }
            if acknowledged.updateValue(sequence, forKey: id) != nil { surprises.append("\(id) was answered twice") }
            guard let command = outstanding.first, id == "\(name) \(command)" else {
                return surprises.append("\(id) was answered out of order")
            }
            outstanding.removeFirst()
        case "error", "auth_error", "resync_required":
            surprises.append("\(message)")
        default:
            guard let sequence = message["seq"].integer else { return }
            if sequence != lastSequence + 1 { surprises.append("event \(sequence) came after \(lastSequence)") }
            lastSequence = sequence
            record.append(message)
        }
    }
}

extension PersistentTablet {
    /// The database and what the tablets know are the same.
    static func compare(
        _ database: TestDatabase, _ tablets: [PersistentTablet], run: (() -> Bool) throws -> Bool
    ) throws {
        for restaurant in Set(tablets.map(\.restaurant)) {
            let members = tablets.filter { $0.restaurant == restaurant }
            let log = try database.run(
                """
                select seq, type, data, actor, message_id from restaurant_events
                where restaurant_id = '\(restaurant)' order by seq
                """
            ).rows
            #expect(log.compactMap { $0.integer(0) } == Array(1...Int64(log.count)), "no gap")
            _ = try run { members.allSatisfy { $0.record.count == log.count } }
            let types = log.compactMap { $0.string(1) }
            let data = try log.map { try Document(json: $0.string(2) ?? "") }
            for member in members {
                #expect(member.surprises.isEmpty)
                #expect(member.record.map { $0["type"].string } == types)
                #expect(member.record.map { $0["data"] } == data)
                let mine = log.filter { $0.uuid(3) == member.user.id.uuid }
                let made = Dictionary(grouping: mine) { $0.string(4) ?? "" }
                #expect(made.count == member.commandCount && mine.count == made.count, "each command once")
                for (id, sequence) in member.acknowledged {
                    let event = try #require(made[id]?.first, "\(id) was acknowledged")
                    #expect(event.integer(0) == Int64(sequence))
                    let data = try Document(json: event.string(2) ?? "")
                    let change = try #require(member.change(id))
                    #expect(data["order_id"].string == change.order.description)
                    #expect(data["status"].string == change.status.rawValue)
                }
            }
        }
        let unfinished = try database.value("select count(*) from orders where status <> 'completed'")
        #expect(unfinished == "0")
    }
}
