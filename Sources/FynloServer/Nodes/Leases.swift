// Connection slots that all nodes count together. Redis holds the table. A node keeps its slots by renewing its lease every
// 3 s, and writes them again if the lease had expired: Redis was emptied or restarted, or the node stood still. Nobody waits
// for Redis longer than the budget; then the node's own count decides, and the table is updated afterwards.

import FynloCore
import FynloIO

/// Applies the limits of restaurants and users across nodes.
final class Leases: EventSource {
    /// A connection that asks for a slot.
    struct Applicant {
        let connection: UInt64
        let restaurant: RestaurantID
        let user: UserID
        let device: String?
    }

    /// The answer to an applicant.
    enum Decision {
        /// The count of all nodes allows it.
        case admitted
        /// The restaurant or the user has as many connections as it may have.
        case refused
        /// Only this node's own count is known.
        case unknown
    }

    /// Counters for the metrics.
    struct Figures {
        var decidedByAll: UInt64 = 0
        var decidedAlone: UInt64 = 0
        var renewed: UInt64 = 0
        var lapsed: UInt64 = 0
        var notRenewed: UInt64 = 0
    }

    /// What does not change while the node runs.
    struct Settings {
        let keys: RedisKeys
        let limits: Limits
        let terms: LeaseTerms
        /// How long an applicant waits for Redis.
        let redisBudget: Duration
    }

    private let loop: EventLoop
    private let redis: RedisConnection?
    private let settings: Settings
    private let node: UInt64
    private let keys: RedisKeys
    /// The key of this node's lease.
    private let lease: RedisArgument
    private let log: Logger
    private var book: LeaseBook
    private var token: SourceToken?
    private var writesUnderWay = 0
    private var isReturnScheduled = false
    private var isRenewing = false
    private var hasLoggedRefusal = false
    private(set) var figures = Figures()
    /// How many applicants wait for Redis.
    private(set) var applicants = 0

    /// The restaurants that have tablets on this node.
    @SetOnce var restaurants: () -> [RestaurantID] = { [] }
    /// This node's tablets of a restaurant.
    @SetOnce var members: (RestaurantID) -> [ConnectionRegistry.Member] = { _ in [] }
    /// Called when one of this node's connections has no slot any more, with the reason.
    @SetOnce var close: (UInt64, CloseReason) -> Void = { _, _ in }
    /// Called when a connection of another node has lost its slot to a newer one of the same device.
    @SetOnce var whenReplacedElsewhere: (ConnectionID) -> Void = { _ in }

    /// Restaurants whose slots are written at the same time, so that other commands to Redis find room between them.
    private static let concurrentWrites = 32
    /// The budget of commands that nobody waits for.
    private static let patience = Duration.seconds(2)

    init(loop: EventLoop, redis: RedisConnection?, node: UInt64, settings: Settings, log: Logger) {
        self.loop = loop
        self.redis = redis
        self.node = node
        self.settings = settings
        self.log = log
        keys = settings.keys
        lease = .text(keys.lease(node))
        book = LeaseBook(terms: settings.terms)
    }

    /// Takes part as soon as Redis is connected.
    func start() {
        guard redis != nil else { return }
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: loop.now.instant + settings.terms.renewalInterval)
    }

    /// Gives up all slots at once, by deleting the lease.
    func stop() {
        if let token { loop.remove(token) }
        token = nil
        guard let redis else { return }
        if redis.isReady { redis.send(["DEL", lease]) { _ in } }
    }

    /// True if the limits hold for all nodes together.
    var isShared: Bool {
        guard let redis, redis.isReady else { return false }
        return book.isShared(now: loop.now.instant)
    }

    // MARK: Asking for a slot

    /// Asks for a slot. The reply comes at once if there is no Redis, and within the budget otherwise. A caller that does not
    /// use the slot gives it back by `left`.
    func admit(_ applicant: Applicant, reply: @escaping (Decision) -> Void) {
        guard let redis else { return reply(.unknown) }
        guard redis.isReady else {
            admitAlone(applicant, wasAsked: false)
            return reply(.unknown)
        }
        let slot = ConnectionID(node: node, number: applicant.connection)
        applicants += 1
        redis.run(
            SlotScripts.admit,
            keys: [keys.slots(applicant.restaurant), lease],
            [
                .text(keys.leasePrefix), .slot(slot), .uuid(applicant.user.uuid),
                .text(applicant.device ?? ""), .integer(Int64(settings.limits.connectionsPerRestaurant)),
                .integer(Int64(settings.limits.connectionsPerUser)),
            ], budget: settings.redisBudget
        ) { [weak self] result in
            guard let self else { return }
            self.applicants -= 1
            reply(self.decide(applicant, result))
        }
    }

    private func decide(_ applicant: Applicant, _ result: Result<RedisReply, RedisError>) -> Decision {
        if case .success(.array(let answer)) = result {
            switch answer.first {
            case .string(Array("in".utf8)):
                guard answer.count >= 2, case .string(let text) = answer[1],
                    let order = Int64(decimal: text.span)
                else { break }
                figures.decidedByAll += 1
                book.admitted(applicant.connection, order: order)
                tell(replaced: answer.dropFirst(2))
                return .admitted
            case .string(Array("full".utf8)):
                figures.decidedByAll += 1
                return .refused
            case .string(Array("lapsed".utf8)): renew()
            default: break
            }
        }
        note(result)
        admitAlone(applicant, wasAsked: true)
        return .unknown
    }

    private func admitAlone(_ applicant: Applicant, wasAsked: Bool) {
        figures.decidedAlone += 1
        book.admittedAlone(
            applicant.connection, to: applicant.restaurant, mayBeWritten: wasAsked, now: loop.now.unixTime)
    }

    /// Connections of this node are skipped: the hub closes them when it admits the newer one.
    private func tell(replaced names: some Sequence<RedisReply>) {
        for case .string(let name) in names {
            guard let connection = ConnectionID(slotName: name), connection.node != node else { continue }
            whenReplacedElsewhere(connection)
        }
    }

    /// Logs, once, that Redis refuses commands: the operator has to know.
    private func note(_ result: Result<RedisReply, RedisError>) {
        guard case .success(.error(let text)) = result, !hasLoggedRefusal else { return }
        hasLoggedRefusal = true
        log.warning("limits_not_shared", ["error": String(text.prefix(200))])
    }

    // MARK: Giving it back

    /// A connection that asked for a slot has ended, or was not admitted.
    func left(_ connection: UInt64, _ restaurant: RestaurantID) {
        book.left(connection, restaurant)
        guard redis != nil, !isReturnScheduled else { return }
        isReturnScheduled = true
        loop.atEndOfTurn { [weak self] in
            self?.isReturnScheduled = false
            self?.giveBack()
        }
    }

    private func giveBack() {
        guard let redis, redis.isReady else { return }
        for (restaurant, connections) in book.takeReturned() {
            let names = connections.map { RedisArgument.slot(ConnectionID(node: node, number: $0)) }
            redis.send(
                ["HDEL", keys.slots(restaurant)] + names, budget: Leases.patience
            ) { [weak self] result in
                if case .success(.integer) = result { return }
                self?.book.notReturned(connections, restaurant)
            }
        }
    }

    // MARK: Keeping it

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        renew()
        return now.instant + settings.terms.renewalInterval
    }

    /// Renews the lease; also called as soon as Redis is connected.
    func renew() {
        guard let redis, redis.isReady, !isRenewing else { return }
        isRenewing = true
        let sentAt = SystemClock.instant
        redis.run(
            SlotScripts.renew, keys: [lease],
            [.integer(settings.terms.lifetime.inMilliseconds)], budget: Leases.patience
        ) { [weak self] result in
            guard let self else { return }
            self.isRenewing = false
            guard case .success(.integer(let wasThere)) = result else {
                self.figures.notRenewed += 1
                return self.note(result)
            }
            if self.isShared { self.hasLoggedRefusal = false }
            self.renewed(sentAt: sentAt, wasThere: wasThere == 1)
        }
        giveBack()
    }

    private func renewed(sentAt: Instant, wasThere: Bool) {
        let restaurants = restaurants()
        switch book.renewed(sentAt: sentAt, wasThere: wasThere, restaurants: restaurants) {
        case .held: figures.renewed += 1
        case .first: break
        case .lapsed:
            figures.lapsed += 1
            log.warning("lease_lapsed", ["restaurants": String(restaurants.count)])
        }
        writeAll()
        for restaurant in book.review(restaurants) { review(restaurant) }
    }

    private func writeAll() {
        while writesUnderWay < Leases.concurrentWrites, redis?.isReady == true, let restaurant = book.nextToWrite() {
            writesUnderWay += 1
            write(restaurant) { [weak self] isDone in
                guard let self else { return }
                self.writesUnderWay -= 1
                // The next renewal tries again.
                guard isDone else { return self.book.notWritten(restaurant) }
                self.book.written(restaurant)
                self.writeAll()
            }
        }
    }

    /// Compares the slots of a restaurant with the table, which finds whatever was lost on the way.
    private func review(_ restaurant: RestaurantID) {
        write(restaurant) { _ in }
    }

    /// Writes the slots of a restaurant, and closes the connections that get none.
    private func write(_ restaurant: RestaurantID, done: @escaping (Bool) -> Void) {
        let members = Dictionary(uniqueKeysWithValues: members(restaurant).map { ($0.connection, $0) })
        let slots = book.write(members.keys)
        guard let redis, !slots.isEmpty else { return loop.atEndOfTurn { done(true) } }
        var arguments: [RedisArgument] = [
            .text(keys.leasePrefix), .integer(Int64(settings.limits.connectionsPerRestaurant)),
            .integer(Int64(settings.limits.connectionsPerUser)),
        ]
        for (connection, order) in slots {
            guard let member = members[connection] else { continue }
            arguments += [
                .slot(ConnectionID(node: node, number: connection)), .uuid(member.user.uuid),
                .integer(order), .text(member.device?.text ?? ""),
            ]
        }
        redis.run(
            SlotScripts.readmit,
            keys: [keys.slots(restaurant), lease], arguments,
            budget: Leases.patience
        ) { [weak self] result in
            guard let self else { return }
            guard case .success(.array(let answer)) = result, answer.count >= slots.count,
                answer.first != .string(Array("lapsed".utf8))
            else {
                self.note(result)
                return done(false)
            }
            // The newest first.
            for (slot, verdict) in zip(slots, answer).reversed() { self.take(verdict, slot.connection, restaurant) }
            self.tell(replaced: answer.dropFirst(slots.count))
            done(true)
        }
    }

    private func take(_ verdict: RedisReply, _ connection: UInt64, _ restaurant: RestaurantID) {
        guard book.holds(connection) else {
            // The connection has ended, and its slot may have been written after it was given back.
            book.notReturned([connection], restaurant)
            return giveBack()
        }
        switch verdict {
        case .string(Array("full".utf8)):
            log.info("over_limit", ["connection": ConnectionID(node: node, number: connection).uuid.description])
            close(connection, .goingAway)
        case .string(Array("replaced".utf8)): close(connection, .replaced)
        default: break
        }
    }
}
