import FynloCore
import TestSupport
import Testing

@testable import FynloServer

/// The same random requests to the model of the database, which the simulation takes for the truth, and to PostgreSQL.
/// FYNLO_TEST_DIFFERENTIAL_SEEDS=1000 makes more of them.
@Suite("The model of the database and PostgreSQL")
struct DifferentialTests {
    @Test("answer alike, and write the same log")
    func alike() throws {
        let database = try TestDatabase()
        let seeds = CommandLine.environment["FYNLO_TEST_DIFFERENTIAL_SEEDS"].flatMap { UInt64($0) } ?? 20
        for seed in 0..<seeds {
            var pair = try ModelAndPostgres(database, seed: seed)
            for step in 0..<200 {
                guard try pair.step() else {
                    Issue.record("seed \(seed), step \(step): \(pair.difference)\n\(pair.lastStatements)")
                    return
                }
            }
            guard try pair.compareAll() else {
                Issue.record("seed \(seed): \(pair.difference)")
                return
            }
        }
    }
}

/// Both, with the dice that decide what they are asked.
private struct ModelAndPostgres {
    private let database: TestDatabase
    private var model = ModelDatabase()
    private var random: SeededRandom
    private let seed: UInt64
    private let restaurants: [RestaurantID]
    private let users: [UserID]
    private var orders: [OrderID] = []
    private var messageIDs: [String] = []
    private var made: UInt64 = 0
    /// What the two disagree about.
    private(set) var difference = ""
    private(set) var lastStatements = ""

    init(_ database: TestDatabase, seed: UInt64) throws {
        self.database = database
        self.seed = seed
        random = SeededRandom(seed: seed)
        restaurants = (0..<2).map { RestaurantID(UUID128(high: seed << 8 | 1, low: $0)) }
        users = (0..<3).map { UserID(UUID128(high: seed << 8 | 2, low: $0)) }
        for restaurant in restaurants {
            try database.run("insert into restaurants (id, name) values ('\(restaurant)', 'Casa')")
            model.add(restaurant)
        }
    }

    private mutating func newUUID() -> UUID128 {
        made += 1
        return UUID128(high: seed << 8 | 3, low: made)
    }

    // MARK: Steps

    /// One random request to both; false if they answered differently.
    mutating func step() throws -> Bool {
        switch random.below(20) {
        case 0...9: return try command() && compareHeads()
        case 10: return try useID()
        default: return try transaction() && compareHeads()
        }
    }

    private mutating func command() throws -> Bool {
        let update = OrderStatusUpdate(
            order: anOrder(), status: random.pick(OrderStatus.allCases),
            expectedVersion: random.below(3) == 0 ? Int32(1 + random.below(6)) : nil)
        let (restaurant, user) = (random.pick(restaurants), random.pick(users))
        if messageIDs.isEmpty || random.below(4) > 0 { messageIDs.append("m\(messageIDs.count)") }
        let messageID =
            random.below(8) == 0 ? nil : messageIDs[messageIDs.count - 1 - random.below(min(6, messageIDs.count))]
        lastStatements = """
            select outcome, answer ->> 'id', answer ->> 'seq', answer -> 'order' ->> 'id', answer -> 'order' ->> 'status',
                answer -> 'order' ->> 'version', answer -> 'order' ->> 'notes',
                jsonb_array_length(answer -> 'order' -> 'items')::text,
                event_seq::text, event_type, (event_data - 'timestamp')::text, event_actor::text, event_message_id
            from fynlo_update_order_status(
                '\(restaurant)', '\(user)', \(literal(messageID)), '\(update.order)', '\(update.status.rawValue)',
                \(update.expectedVersion.map(String.init) ?? "null"))
            """
        let theirs = try rows(lastStatements, columns: 13)
        let result = model.updateStatus(
            update, restaurant: restaurant, user: user, messageID: messageID, at: UnixTime(milliseconds: 0))
        let isDone = result.outcome == .ack || result.outcome == .duplicate
        var ours: [String?] = [result.outcome.rawValue, isDone ? messageID : nil, result.sequence.map(String.init)]
        ours += [result.order?.id.description, result.order?.status.rawValue, result.order.map { String($0.version) }]
        ours += [result.order?.notes, result.order.map { String($0.items.count) }]
        ours += result.event.map { Array(Self.row($0)[1...]) } ?? [nil, nil, nil, nil, nil]
        return same([ours], theirs)
    }

    /// Another kind of command takes an id for itself.
    private mutating func useID() throws -> Bool {
        messageIDs.append("m\(messageIDs.count)")
        let (restaurant, user, messageID) = (
            random.pick(restaurants), random.pick(users), messageIDs[messageIDs.count - 1]
        )
        model.useID(messageID, restaurant: restaurant, user: user, kind: "order.create")
        lastStatements = """
            insert into processed_commands (restaurant_id, user_id, message_id, kind)
            values ('\(restaurant)', '\(user)', '\(messageID)', 'order.create')
            """
        try database.run(lastStatements)
        return true
    }

    /// Another program's transaction, which may go back to a savepoint, or end without a trace.
    private mutating func transaction() throws -> Bool {
        var transaction = model.begin()
        var savepoint = transaction
        var statements = ["begin", "savepoint s"]
        let ordersBefore = orders
        for _ in 0..<(1 + random.below(5)) {
            switch random.below(12) {
            case 0:
                statements.append("savepoint s")
                savepoint = transaction
            case 1:
                statements.append("rollback to s")
                transaction = savepoint
            default:
                statements.append(change(&transaction))
            }
        }
        let isCommitted = random.below(6) > 0
        statements.append(isCommitted ? "commit" : "rollback")
        lastStatements = statements.joined(separator: ";\n")
        try database.run(lastStatements)
        if isCommitted {
            model.commit(transaction, at: UnixTime(milliseconds: 0))
        } else {
            orders = ordersBefore
        }
        return true
    }

    /// A random change of an order or its items, made in the model; returns its statement.
    private mutating func change(_ transaction: inout ModelDatabase.Transaction) -> String {
        let order = anOrder()
        let status = random.pick(OrderStatus.allCases)
        let notes = random.below(3) == 0 ? nil : "note \(random.below(3))"
        let items = transaction.orders[order]?.items ?? []
        switch random.below(12) {
        case 0, 1, 2:
            let restaurant = random.pick(restaurants)
            let new = ModelDatabase.Order(
                id: OrderID(newUUID()), restaurant: restaurant, number: "N\(seed)-\(made)", status: status, notes: notes
            )
            transaction.insert(new)
            orders.append(new.id)
            return """
                insert into orders (id, restaurant_id, order_number, status, notes)
                values ('\(new.id)', '\(restaurant)', '\(new.number)', '\(status.rawValue)', \(literal(notes)))
                """
        case 3:
            transaction.delete(order)
            return "delete from orders where id = '\(order)'"
        case 4:
            transaction.update(order) { $0.notes = notes }
            return "update orders set notes = \(literal(notes)) where id = '\(order)'"
        case 5:
            transaction.update(order) { order in
                order.status = status
                order.notes = notes
            }
            return "update orders set status = '\(status.rawValue)', notes = \(literal(notes)) where id = '\(order)'"
        case 6:
            let restaurant = random.pick(restaurants)
            transaction.update(order) { $0.restaurant = restaurant }
            return "update orders set restaurant_id = '\(restaurant)' where id = '\(order)'"
        case 7, 8:
            guard transaction.orders[order] != nil else { return "select 1" }
            let item = ModelDatabase.Item(id: newUUID(), name: "Taco", quantity: 1 + random.below(3))
            transaction.updateItems(of: order) { $0.append(item) }
            return """
                insert into order_items (id, order_id, product_name, quantity)
                values ('\(item.id)', '\(order)', 'Taco', \(item.quantity))
                """
        case 9 where !items.isEmpty:
            let index = random.below(items.count)
            let quantity = 1 + random.below(3)
            transaction.updateItems(of: order) { $0[index].quantity = quantity }
            return "update order_items set quantity = \(quantity) where id = '\(items[index].id)'"
        case 10 where !items.isEmpty:
            let index = random.below(items.count)
            transaction.updateItems(of: order) { $0.remove(at: index) }
            return "delete from order_items where id = '\(items[index].id)'"
        default:
            transaction.update(order) { $0.status = status }
            return "update orders set status = '\(status.rawValue)' where id = '\(order)'"
        }
    }

    /// Mostly one that is there.
    private mutating func anOrder() -> OrderID {
        guard !orders.isEmpty, random.below(20) > 0 else { return OrderID(UUID128(high: 0, low: 1)) }
        return orders[orders.count - 1 - random.below(min(12, orders.count))]
    }

    // MARK: Comparing

    private mutating func compareHeads() throws -> Bool {
        let theirs = try rows(
            "select restaurant_id::text, head::text from restaurant_streams where \(ofThisSeed) order by 1", columns: 2)
        return same(restaurants.map { [$0.description, String(model.stream(of: $0).head)] }, theirs)
    }

    /// The whole log and all orders.
    mutating func compareAll() throws -> Bool {
        let theirLog = try rows(
            """
            select restaurant_id::text, seq::text, type, (data - 'timestamp')::text, actor::text, message_id
            from restaurant_events e where \(ofThisSeed) order by e.restaurant_id, e.seq
            """, columns: 6)
        let ourLog = restaurants.flatMap { model.stream(of: $0).log }.map(Self.row)
        let theirOrders = try rows(
            """
            select id::text, restaurant_id::text, order_number, status, version::text, notes,
                (select coalesce(string_agg(i.id || ' ' || i.quantity, ',' order by sort_order), '')
                from order_items i where order_id = o.id)
            from orders o where \(ofThisSeed) order by id
            """, columns: 7)
        let ourOrders = model.orders.values.sorted { $0.id.uuid < $1.id.uuid }.map { order -> [String?] in
            [
                order.id.description, order.restaurant.description, order.number, order.status.rawValue,
                String(order.version), order.notes,
                order.items.map { "\($0.id) \($0.quantity)" }.joined(separator: ","),
            ]
        }
        return same(ourLog, theirLog) && same(ourOrders, theirOrders)
    }

    private var ofThisSeed: String {
        "restaurant_id in (" + restaurants.map { "'\($0)'" }.joined(separator: ",") + ")"
    }

    /// A row of the log, as both tell it.
    private static func row(_ logged: ModelDatabase.LoggedEvent) -> [String?] {
        let event = logged.event
        return [
            event.restaurant.description, String(event.sequence), event.type,
            String(decoding: event.data, as: UTF8.self),
            logged.actor?.description, logged.messageID,
        ]
    }

    private func rows(_ sql: String, columns: Int) throws -> [[String?]] {
        try database.run(sql).rows.map { row in (0..<columns).map { row.string($0) } }
    }

    private func literal(_ text: String?) -> String {
        text.map { "'\($0)'" } ?? "null"
    }

    private mutating func same(_ ours: [[String?]], _ theirs: [[String?]]) -> Bool {
        guard ours != theirs else { return true }
        let index = zip(ours, theirs).enumerated().first { $1.0 != $1.1 }?.offset ?? min(ours.count, theirs.count)
        difference = """
            the model has \(ours.indices.contains(index) ? "\(ours[index])" : "nothing"), \
            PostgreSQL \(theirs.indices.contains(index) ? "\(theirs[index])" : "nothing")
            """
        return false
    }
}
