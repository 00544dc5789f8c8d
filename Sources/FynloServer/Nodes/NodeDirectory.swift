// Which processes there are, in Redis, so that one that does not answer can be named.
//
//     fynlo:1:nodes          a hash   node -> what it says of itself
//     fynlo:1:node:{node}    there as long as a node renews it
//
// A node that ended without a word is struck off by whoever looks next: it neither listens nor is its key there.

import FynloCore
import FynloIO

/// The processes that share a Redis.
final class NodeDirectory: EventSource {
    private let loop: EventLoop
    private let redis: RedisConnection
    private let node: UInt64
    private let keyPrefix: String
    private let started: UnixTime
    private var timer: SourceToken?

    private static let interval = Duration.seconds(1)
    private static let budget = Duration.seconds(1)
    /// More nodes than serve one database.
    private static let maximumNodes = 1_024

    /// Keys begin with `keyPrefix`.
    init(loop: EventLoop, redis: RedisConnection, node: UInt64, keyPrefix: String) {
        self.loop = loop
        self.redis = redis
        self.node = node
        self.keyPrefix = keyPrefix
        started = loop.now.unixTime
    }

    func start() {
        let timer = loop.add(timer: self)
        self.timer = timer
        loop.wake(timer, by: loop.now.instant + NodeDirectory.interval)
    }

    /// Strikes this process off.
    func stop() {
        if let timer { loop.remove(timer) }
        timer = nil
        guard redis.isReady else { return }
        redis.send(["HDEL", .text(keyPrefix + "nodes"), .text(EventBus.name(of: node))]) { _ in }
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        register()
        return now.instant + NodeDirectory.interval
    }

    /// Puts this process in, again if it is there.
    func register() {
        guard redis.isReady else { return }
        redis.send(
            [
                "HSET", .text(keyPrefix + "nodes"), .text(EventBus.name(of: node)),
                .text("{\"started\":\(started.milliseconds)}"),
            ], budget: NodeDirectory.budget
        ) { _ in }
    }

    /// The other processes that are there; `nil`: Redis cannot tell.
    func others(reply: @escaping ([UInt64]?) -> Void) {
        redis.send(["HKEYS", .text(keyPrefix + "nodes")], budget: NodeDirectory.budget) { [weak self] result in
            guard let self, case .success(.array(let fields)) = result else { return reply(nil) }
            let nodes = fields.prefix(NodeDirectory.maximumNodes).compactMap { field -> UInt64? in
                guard case .string(let name) = field, name.count == 16 else { return nil }
                return UInt64(String(decoding: name, as: UTF8.self), radix: 16)
            }
            self.present(nodes.filter { $0 != self.node }, reply: reply)
        }
    }

    /// Is this process there, as far as its key tells? `nil`: Redis cannot tell.
    func isLeased(_ node: UInt64, reply: @escaping (Bool?) -> Void) {
        redis.send(["EXISTS", .text(lease(node))], budget: NodeDirectory.budget) { result in
            guard case .success(.integer(let count)) = result else { return reply(nil) }
            reply(count > 0)
        }
    }

    private func lease(_ node: UInt64) -> String { "\(keyPrefix)node:\(EventBus.name(of: node))" }

    /// Those of the nodes whose key is there, or that listen; the others are struck off.
    private func present(_ nodes: [UInt64], reply: @escaping ([UInt64]?) -> Void) {
        guard !nodes.isEmpty else { return reply([]) }
        var leased: [RedisReply]?
        redis.send(["MGET"] + nodes.map { .text(lease($0)) }, budget: NodeDirectory.budget) { result in
            if case .success(.array(let values)) = result { leased = values }
        }
        let channels = nodes.map { RedisArgument.text("\(keyPrefix)n:\(EventBus.name(of: $0))") }
        redis.send(["PUBSUB", "NUMSUB"] + channels, budget: NodeDirectory.budget) { [weak self] result in
            // Answers come in the order of the questions.
            guard let self, let leased, leased.count == nodes.count, case .success(.array(let counts)) = result,
                counts.count == 2 * nodes.count
            else { return reply(nil) }
            var there: [UInt64] = []
            for (place, node) in nodes.enumerated() {
                if leased[place] != .null || counts[2 * place + 1] != .integer(0) {
                    there.append(node)
                } else {
                    self.redis.send(["HDEL", .text(self.keyPrefix + "nodes"), .text(EventBus.name(of: node))]) { _ in }
                }
            }
            reply(there)
        }
    }
}
