// The database's behaviour as a plain value: orders, their numbered events, remembered commands and access. It knows neither
// SQL nor time nor concurrency, so it states in a few lines the results that the triggers and functions must have. The
// simulation uses it in place of PostgreSQL; a test compares the two.

public import FynloCore

/// The model of one database.
public struct ModelDatabase: Sendable {
    /// A row of `order_items`.
    public struct Item: Equatable, Sendable {
        public let id: UUID128
        public var name: String
        public var quantity: Int

        public init(id: UUID128, name: String, quantity: Int) {
            self.id = id
            self.name = name
            self.quantity = quantity
        }
    }

    /// A row of `orders`, with its items in the order in which they were entered.
    public struct Order: Equatable, Sendable {
        public let id: OrderID
        public var restaurant: RestaurantID
        public let number: String
        public var status: OrderStatus
        public var notes: String?
        public var items: [Item] = []
        public internal(set) var version: Int32 = 1
        /// Stands for `completed_at`: a new number each time the order is completed.
        var completion: Int?

        public init(
            id: OrderID, restaurant: RestaurantID, number: String, status: OrderStatus = .draft, notes: String? = nil
        ) {
            self.id = id
            self.restaurant = restaurant
            self.number = number
            self.status = status
            self.notes = notes
        }

        /// True if the rows differ in what a writer can say.
        fileprivate func differs(from other: Order) -> Bool {
            restaurant != other.restaurant || status != other.status || notes != other.notes
                || completion != other.completion
        }
    }

    /// A row of `restaurant_events`. Its `data` is what PostgreSQL writes, without `timestamp`, the one member that comes
    /// from the clock.
    public struct LoggedEvent: Equatable, Sendable {
        public let event: DurableEvent
        /// `nil`: another program's.
        public let actor: UserID?
        public let messageID: String?
    }

    /// A restaurant's counters and its log, from which the model never deletes events.
    public struct Stream: Sendable {
        public internal(set) var log: [LoggedEvent] = []
        /// The event before the first that is kept.
        public internal(set) var pruned: EventSequence = 0
        public internal(set) var accessVersion: Int64 = 1
        public internal(set) var menuVersion: Int64 = 1

        /// The newest event.
        public var head: EventSequence { EventSequence(log.count) }

        /// An event by its number, also one that is pruned; `nil` if there is none.
        public subscript(sequence: EventSequence) -> LoggedEvent? {
            (1...max(1, head)).contains(sequence) && head > 0 ? log[Int(sequence) - 1] : nil
        }
    }

    /// A row of `users`, of one restaurant.
    public struct User: Equatable, Sendable {
        public let id: UserID
        public let restaurant: RestaurantID
        public var role: Role
        public var isActive = true

        public init(id: UserID, restaurant: RestaurantID, role: Role = .employee) {
            self.id = id
            self.restaurant = restaurant
            self.role = role
        }

        /// The `sub` of the user's tokens.
        public var subject: String { "subject-\(id)" }
    }

    /// The key under which a command's answer is remembered.
    private struct CommandKey: Hashable {
        let restaurant: RestaurantID
        let user: UserID
        let messageID: String
    }

    private struct Processed {
        let kind: String
        let sequence: EventSequence?
    }

    public private(set) var orders: [OrderID: Order] = [:]
    private var streams: [RestaurantID: Stream] = [:]
    private var users: [String: User] = [:]
    private var processed: [CommandKey: Processed] = [:]
    private var completions = 0
    /// True for a deliberately wrong database, which does not remember answers.
    public var forgetsCommands = false

    public init() {}

    // MARK: Reading

    /// A restaurant's stream; an unknown restaurant has an empty one.
    public func stream(of restaurant: RestaurantID) -> Stream {
        streams[restaurant] ?? Stream()
    }

    /// The orders of a restaurant.
    public func orders(of restaurant: RestaurantID) -> [OrderID: Order] {
        orders.filter { $0.value.restaurant == restaurant }
    }

    /// Up to `limit` events after `sequence` that are kept.
    public func events(of restaurant: RestaurantID, after sequence: EventSequence, limit: Int) -> [DurableEvent] {
        guard let stream = streams[restaurant] else { return [] }
        let first = Int(max(sequence, stream.pruned))
        guard first < stream.log.count else { return [] }
        return stream.log[first..<min(stream.log.count, first + limit)].map(\.event)
    }

    /// The users with a connection's subject, as `fynlo_access` sees them.
    public func access(of subject: String, to restaurant: RestaurantID) -> AccessRecord? {
        guard let user = users[subject] else { return nil }
        let stream = stream(of: restaurant)
        return AccessRecord(
            user: user.id, role: user.role, userIsActive: user.isActive, homeRestaurant: user.restaurant,
            isMember: false, restaurantIsActive: streams[restaurant] != nil, head: stream.head,
            oldestResumable: stream.pruned, menuVersion: stream.menuVersion, accessVersion: stream.accessVersion)
    }

    public func counters(of restaurant: RestaurantID) -> StreamCounters? {
        streams[restaurant].map {
            StreamCounters(
                restaurant: restaurant, head: $0.head, menuVersion: $0.menuVersion, accessVersion: $0.accessVersion)
        }
    }

    // MARK: Restaurants and users

    public mutating func add(_ restaurant: RestaurantID) {
        streams[restaurant] = Stream()
    }

    public mutating func add(_ user: User) {
        users[user.subject] = user
    }

    /// Changes a user; whom it concerns is told by the version of the access.
    public mutating func change(_ subject: String, _ body: (inout User) -> Void) {
        guard var user = users[subject] else { return }
        let before = user
        body(&user)
        guard user != before else { return }
        users[subject] = user
        streams[user.restaurant]?.accessVersion += 1
    }

    /// Forgets the events up to `sequence`.
    public mutating func prune(_ restaurant: RestaurantID, through sequence: EventSequence) {
        guard let stream = streams[restaurant] else { return }
        streams[restaurant]?.pruned = min(max(stream.pruned, sequence), stream.head)
    }

    // MARK: Commands

    /// What `fynlo_update_order_status` answers.
    public struct CommandResult: Equatable, Sendable {
        public enum Outcome: String, Sendable {
            case ack, duplicate
            case idReused = "id_reused"
            case orderNotFound = "order_not_found"
            case versionConflict = "version_conflict"
            case invalidTransition = "invalid_transition"
        }

        public let outcome: Outcome
        /// `answer.seq`, now or when the id came first.
        public var sequence: EventSequence?
        /// The event this very call made.
        public var event: LoggedEvent?
        /// The order as it is, where the change was refused.
        public var order: Order?
    }

    /// `fynlo_update_order_status`.
    public mutating func updateStatus(
        _ update: OrderStatusUpdate, restaurant: RestaurantID, user: UserID, messageID: String?, at time: UnixTime
    ) -> CommandResult {
        let key = messageID.map { CommandKey(restaurant: restaurant, user: user, messageID: $0) }
        if let key, let known = processed[key], !forgetsCommands {
            guard known.kind == ModelDatabase.statusUpdate else { return CommandResult(outcome: .idReused) }
            return CommandResult(outcome: .duplicate, sequence: known.sequence)
        }
        guard let order = orders[update.order], order.restaurant == restaurant else {
            return CommandResult(outcome: .orderNotFound)
        }
        if let expected = update.expectedVersion, expected != order.version {
            return CommandResult(outcome: .versionConflict, order: order)
        }
        guard order.status == update.status || order.status.mayBecome(update.status) else {
            return CommandResult(outcome: .invalidTransition, order: order)
        }
        var result = CommandResult(outcome: .ack)
        var transaction = begin()
        transaction.update(order.id) { $0.status = update.status }
        if transaction.hasChanges {
            commit(transaction, by: user, messageID: messageID, at: time)
            result.event = streams[restaurant]?.log.last
            result.sequence = result.event?.event.sequence
        }
        if let key { processed[key] = Processed(kind: ModelDatabase.statusUpdate, sequence: result.sequence) }
        return result
    }

    /// Another kind of command has used an id.
    public mutating func useID(_ messageID: String, restaurant: RestaurantID, user: UserID, kind: String) {
        processed[CommandKey(restaurant: restaurant, user: user, messageID: messageID)] = Processed(
            kind: kind, sequence: nil)
    }

    private static let statusUpdate = "order.status_update"

    // MARK: Transactions

    /// What another program writes between BEGIN and COMMIT. A copy of it is a savepoint.
    public struct Transaction: Sendable {
        private struct Note {
            let restaurant: RestaurantID
            let order: OrderID
            /// The order before the transaction's first change of it; `nil` if it did not exist.
            let before: Order?
            /// The order's items before the first change of one; `nil` if none was changed.
            var itemsBefore: [Item]?
        }

        public fileprivate(set) var orders: [OrderID: Order]
        fileprivate var completions: Int
        private var notes: [Note] = []

        fileprivate init(orders: [OrderID: Order], completions: Int) {
            self.orders = orders
            self.completions = completions
        }

        fileprivate var hasChanges: Bool { !notes.isEmpty }

        private func note(of order: Order) -> Int? {
            notes.firstIndex { $0.restaurant == order.restaurant && $0.order == order.id }
        }

        private mutating func noteBefore(_ order: Order) {
            if note(of: order) == nil {
                notes.append(Note(restaurant: order.restaurant, order: order.id, before: order))
            }
        }

        private mutating func noteNew(_ order: Order) {
            if note(of: order) == nil {
                notes.append(Note(restaurant: order.restaurant, order: order.id, before: nil))
            }
        }

        public mutating func insert(_ order: Order) {
            var order = order
            order.items = []
            complete(&order, from: nil)
            orders[order.id] = order
            noteNew(order)
        }

        /// One UPDATE of one order; its items are not changed by it.
        public mutating func update(_ id: OrderID, _ body: (inout Order) -> Void) {
            guard let before = orders[id] else { return }
            var order = before
            body(&order)
            order.items = before.items
            complete(&order, from: before)
            guard order.differs(from: before) else { return }
            order.version = before.version + 1
            orders[id] = order
            noteBefore(before)
            if order.restaurant != before.restaurant { noteNew(order) }
        }

        public mutating func delete(_ id: OrderID) {
            guard let before = orders.removeValue(forKey: id) else { return }
            noteBefore(before)
        }

        /// One statement that changes items of an order.
        public mutating func updateItems(of id: OrderID, _ body: (inout [Item]) -> Void) {
            guard var order = orders[id] else { return }
            let before = order
            body(&order.items)
            guard order.items != before.items else { return }
            noteBefore(before)
            guard let index = note(of: before) else { return }
            if let first = notes[index].before {
                if notes[index].itemsBefore == nil { notes[index].itemsBefore = before.items }
                // Once per transaction, unless the row has been changed since it was noted.
                if first.version == order.version { order.version += 1 }
            }
            orders[id] = order
        }

        private mutating func complete(_ order: inout Order, from before: Order?) {
            if order.status != .completed {
                order.completion = nil
            } else if before?.completion == nil {
                completions += 1
                order.completion = completions
            }
        }

        /// The events as the transaction commits, by restaurant and in order: type, and `data` as text.
        fileprivate func changes(by actor: UserID?) -> [(restaurant: RestaurantID, type: String, data: String)] {
            notes.compactMap { note in
                let after = orders[note.order].flatMap { $0.restaurant == note.restaurant ? $0 : nil }
                guard let order = after ?? note.before,
                    let type = Transaction.type(from: note.before, to: after, itemsBefore: note.itemsBefore)
                else { return nil }
                let oldStatus = type == "order.status_changed" ? note.before?.status : nil
                return (note.restaurant, type, Transaction.data(of: order, oldStatus: oldStatus, by: actor))
            }
        }

        private static func type(from before: Order?, to after: Order?, itemsBefore: [Item]?) -> String? {
            guard let before else { return after == nil ? nil : "order.created" }
            guard let after else { return "order.deleted" }
            if after.status != before.status { return "order.status_changed" }
            if after.differs(from: before) { return "order.updated" }
            if let itemsBefore, itemsBefore != after.items { return "order.updated" }
            return nil
        }

        /// As PostgreSQL writes jsonb: shorter names first.
        private static func data(of order: Order, oldStatus: OrderStatus?, by actor: UserID?) -> String {
            let old = oldStatus.map { "\"old_status\": \"\($0.rawValue)\", " } ?? ""
            let author = actor.map { "\"\($0)\"" } ?? "null"
            return """
                {"status": "\(order.status.rawValue)", "version": \(order.version), "order_id": "\(order.id)", \
                \(old)"updated_by": \(author), "order_number": "\(order.number)"}
                """
        }
    }

    public func begin() -> Transaction {
        Transaction(orders: orders, completions: completions)
    }

    /// Commits; there is no other transaction at the same time. Returns the restaurants whose streams have moved.
    @discardableResult
    public mutating func commit(
        _ transaction: Transaction, by actor: UserID? = nil, messageID: String? = nil, at time: UnixTime
    ) -> [RestaurantID] {
        orders = transaction.orders
        completions = transaction.completions
        var touched: [RestaurantID] = []
        for change in transaction.changes(by: actor) {
            guard let sequence = streams[change.restaurant].map({ $0.head + 1 }) else { continue }
            let event = DurableEvent(
                restaurant: change.restaurant, sequence: sequence, type: change.type, data: Array(change.data.utf8),
                createdAt: time)
            streams[change.restaurant]?.log.append(LoggedEvent(event: event, actor: actor, messageID: messageID))
            if !touched.contains(change.restaurant) { touched.append(change.restaurant) }
        }
        return touched
    }
}
