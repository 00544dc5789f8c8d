// Which nodes there are, in Redis, so that one that does not answer can be named: a hash of all nodes, beside each node's
// lease (see RedisKeys for both).
//
// A node that ended without saying so neither listens nor has a lease; whoever looks next deletes it.

import FynloCore
import FynloIO

/// The nodes that share a Redis.
final class NodeDirectory: EventSource {
    private let loop: EventLoop
    private let redis: RedisConnection
    private let node: UInt64
    private let keys: RedisKeys
    private let started: UnixTime
    private var timer: SourceToken?

    private static let interval = Duration.seconds(1)
    private static let budget = Duration.seconds(1)
    /// More nodes than serve one database.
    private static let maximumNodes = 1_024

    init(loop: EventLoop, redis: RedisConnection, node: UInt64, keys: RedisKeys) {
        self.loop = loop
        self.redis = redis
        self.node = node
        self.keys = keys
        started = loop.now.unixTime
    }

    func start() {
        let timer = loop.add(timer: self)
        self.timer = timer
        loop.wake(timer, by: loop.now.instant + NodeDirectory.interval)
    }

    /// Deletes this node.
    func stop() {
        if let timer { loop.remove(timer) }
        timer = nil
        guard redis.isReady else { return }
        redis.send(["HDEL", .text(keys.nodes), .text(ConnectionID.nodeName(node))]) { _ in }
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        register()
        return now.instant + NodeDirectory.interval
    }

    /// Enters this node, whether it is there already or not.
    func register() {
        guard redis.isReady else { return }
        redis.send(
            [
                "HSET", .text(keys.nodes), .text(ConnectionID.nodeName(node)),
                .text("{\"started\":\(started.milliseconds)}"),
            ], budget: NodeDirectory.budget
        ) { _ in }
    }

    /// The other nodes; `nil`: Redis cannot tell.
    func others(reply: @escaping ([UInt64]?) -> Void) {
        redis.send(["HKEYS", .text(keys.nodes)], budget: NodeDirectory.budget) { [weak self] result in
            guard let self, case .success(.array(let fields)) = result else { return reply(nil) }
            let nodes = fields.prefix(NodeDirectory.maximumNodes).compactMap { field -> UInt64? in
                guard case .string(let name) = field, name.count == 16 else { return nil }
                return UInt64(String(decoding: name, as: UTF8.self), radix: 16)
            }
            self.present(nodes.filter { $0 != self.node }, reply: reply)
        }
    }

    /// Whether a node has its lease; `nil`: Redis cannot tell.
    func isLeased(_ node: UInt64, reply: @escaping (Bool?) -> Void) {
        redis.send(["EXISTS", .text(keys.lease(node))], budget: NodeDirectory.budget) { result in
            guard case .success(.integer(let count)) = result else { return reply(nil) }
            reply(count > 0)
        }
    }

    /// The nodes that have a lease or listen; the others are deleted.
    private func present(_ nodes: [UInt64], reply: @escaping ([UInt64]?) -> Void) {
        guard !nodes.isEmpty else { return reply([]) }
        var leased: [RedisReply]?
        redis.send(["MGET"] + nodes.map { .text(keys.lease($0)) }, budget: NodeDirectory.budget) { result in
            if case .success(.array(let values)) = result { leased = values }
        }
        let channels = nodes.map { RedisArgument.text(keys.channel(ofNode: $0)) }
        redis.send(["PUBSUB", "NUMSUB"] + channels, budget: NodeDirectory.budget) { [weak self] result in
            // Redis answers in order, so `leased` has been set.
            guard let self, let leased, leased.count == nodes.count, case .success(.array(let counts)) = result,
                counts.count == 2 * nodes.count
            else { return reply(nil) }
            var there: [UInt64] = []
            for (place, node) in nodes.enumerated() {
                if leased[place] != .null || counts[2 * place + 1] != .integer(0) {
                    there.append(node)
                } else {
                    self.redis.send(["HDEL", .text(self.keys.nodes), .text(ConnectionID.nodeName(node))]) { _ in }
                }
            }
            reply(there)
        }
    }
}
