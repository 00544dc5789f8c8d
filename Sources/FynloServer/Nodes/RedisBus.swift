// The bus between nodes over Redis pub/sub: hints and transient events. Redis sends messages and takes commands over
// different connections, since a subscriber may do little else. The channels are in RedisKeys; a node hears those of the
// restaurants it has tablets of.

import FynloCore
import FynloIO

/// Connects the nodes that share a Redis.
final class RedisBus: NodeBus, EventSource {
    private enum Channel: Equatable {
        case restaurant(RestaurantID)
        case node(UInt64)
        case all
    }

    @SetOnce var received: (_ content: NodeMessage.Content, _ node: UInt64) -> Void = { _, _ in }
    @SetOnce var whenCaughtUp: () -> Void = {}

    private let loop: EventLoop
    private let publisher: RedisConnection
    private let subscriber: RedisConnection
    private let node: UInt64
    private let log: Logger
    let keys: RedisKeys
    private let directory: NodeDirectory
    /// What this node has said and heard.
    private var counts = NodeBusFigures()
    private var timer: SourceToken?

    /// Restaurants with tablets on this node.
    private var wanted: Set<RestaurantID> = []
    /// Restaurants whose channels Redis was asked for; true once it has agreed.
    private var channels: [RestaurantID: Bool] = [:]
    /// Restaurants whose channels may have to be subscribed to, or unsubscribed from.
    private var changed: [RestaurantID] = []
    private var requestsUnderWay = 0
    private var isCatchingUp = false
    /// Of this node's own channel and that of all nodes, how many are subscribed to.
    private var ownChannels = 0
    /// What precedes a restaurant's identifier in the name of its channel.
    private let restaurantChannels: [UInt8]
    private let relayBeginning: [UInt8]
    /// Counts what is lost on its way. Every relayed message uses it, so it is made once.
    private var whenRelayed: PendingRequest.Reply = { _ in }
    /// The newest event of each restaurant in this turn.
    private var heads: [RestaurantID: EventSequence] = [:]

    /// Channels asked for at the same time. Redis answers each request, and the connection bounds how many answers may be due.
    private static let concurrentRequests = 512
    /// How often the subscriber pings Redis, since it would not notice a loss while no messages come.
    private static let pingInterval = Duration.seconds(1)
    /// Long, since nobody waits for these answers.
    private static let budget = Duration.seconds(5)

    /// Publishes over `publisher`, which its owner keeps, and subscribes over a connection of its own.
    init(
        loop: EventLoop, settings: RedisSettings, publisher: RedisConnection, node: UInt64, keys: RedisKeys, log: Logger
    ) {
        self.loop = loop
        self.publisher = publisher
        self.node = node
        self.keys = keys
        self.log = log
        directory = NodeDirectory(loop: loop, redis: publisher, node: node, keys: keys)
        restaurantChannels = Array(keys.restaurantChannelPrefix.utf8)
        relayBeginning = NodeMessage.relayBeginning(of: node)
        subscriber = RedisConnection(loop: loop, settings: settings) { level, sentence in
            log.log(level, "redis_subscriber", ["detail": sentence])
        }
        // Most of what comes is what this node said itself, and need not be read to be passed over.
        subscriber.ownBeginning = NodeMessage.beginning(of: node)
        whenRelayed = { [weak self] result in
            if case .failure = result { self?.counts.unsent += 1 }
        }
        subscriber.whenReady = { [weak self] in self?.subscribeAnew() }
        subscriber.pushHandler = { [weak self] in self?.receive($0) }
    }

    func open() {
        subscriber.open()
        let timer = loop.add(timer: self)
        self.timer = timer
        loop.wake(timer, by: loop.now.instant + RedisBus.pingInterval)
        directory.start()
    }

    func close() {
        directory.stop()
        if let timer { loop.remove(timer) }
        timer = nil
        subscriber.close()
        $received.clear()
        $whenCaughtUp.clear()
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        if subscriber.isReady { subscriber.send(["PING"], budget: RedisBus.budget) { _ in } }
        return now.instant + RedisBus.pingInterval
    }

    // MARK: Subscribing

    var isListening: Bool { subscriber.isReady && ownChannels == 2 }

    /// True if Redis has agreed to send what is meant for a restaurant.
    func isSubscribed(to restaurant: RestaurantID) -> Bool { isListening && channels[restaurant] == true }

    var channelCount: Int { channels.values.count(where: \.self) + ownChannels }

    var figures: NodeBusFigures {
        var figures = counts
        figures.losses = subscriber.figures.losses
        return figures
    }

    func want(_ restaurant: RestaurantID, _ isWanted: Bool) {
        if isWanted { wanted.insert(restaurant) } else { wanted.remove(restaurant) }
        // A new connection will ask for everything that is wanted then.
        guard subscriber.isReady else { return }
        changed.append(restaurant)
        ask()
    }

    private func subscribeAnew() {
        channels = [:]
        ownChannels = 0
        changed = Array(wanted)
        isCatchingUp = true
        for channel in [Channel.node(node), .all] {
            request("SUBSCRIBE", channel) { [weak self] isDone in
                if isDone { self?.ownChannels += 1 }
            }
        }
        ask()
    }

    private func ask() {
        guard subscriber.isReady else { return }
        while requestsUnderWay < RedisBus.concurrentRequests, let restaurant = changed.popLast() {
            let isWanted = wanted.contains(restaurant)
            guard isWanted != (channels[restaurant] != nil) else { continue }
            guard isWanted else {
                channels[restaurant] = nil
                request("UNSUBSCRIBE", .restaurant(restaurant)) { _ in }
                continue
            }
            channels[restaurant] = false
            request("SUBSCRIBE", .restaurant(restaurant)) { [weak self] isDone in
                if isDone, self?.channels[restaurant] != nil { self?.channels[restaurant] = true }
            }
        }
        guard isCatchingUp, requestsUnderWay == 0 else { return }
        isCatchingUp = false
        directory.register()
        whenCaughtUp()
    }

    private func request(_ command: RedisArgument, _ channel: Channel, done: @escaping (Bool) -> Void) {
        requestsUnderWay += 1
        subscriber.send([command, .text(name(of: channel))], budget: RedisBus.budget) { [weak self] result in
            guard let self else { return }
            self.requestsUnderWay -= 1
            switch result {
            case .success(.array): done(true)
            case .success(let reply):
                // Without the channel, the pulse still finds what is durable.
                self.log.warning("redis_refuses_channel", ["channel": self.name(of: channel), "reply": "\(reply)"])
            case .failure: break
            }
            self.ask()
        }
    }

    private func name(of channel: Channel) -> String {
        switch channel {
        case .restaurant(let restaurant): keys.channel(of: restaurant)
        case .node(let node): keys.channel(ofNode: node)
        case .all: keys.channelOfAll
        }
    }

    // MARK: Speaking

    func announce(_ restaurant: RestaurantID, head: EventSequence) {
        if heads.isEmpty {
            loop.atEndOfTurn { [weak self] in self?.announceHeads() }
        }
        heads[restaurant] = max(head, heads[restaurant] ?? 0)
    }

    private func announceHeads() {
        let news = heads
        heads.removeAll(keepingCapacity: true)
        for (restaurant, head) in news { publish(.head(restaurant, head), to: .restaurant(restaurant)) }
    }

    func tell(_ node: UInt64, _ content: NodeMessage.Content, then: @escaping (NodeBusReceipt) -> Void) {
        publish(content, to: .node(node), then: then)
    }

    func tellAll(_ content: NodeMessage.Content, then: @escaping (NodeBusReceipt) -> Void) {
        publish(content, to: .all, then: then)
    }

    private func publish(
        _ content: NodeMessage.Content, to channel: Channel, then: @escaping (NodeBusReceipt) -> Void = { _ in }
    ) {
        guard publisher.isReady else {
            counts.unsent += 1
            return loop.atEndOfTurn { then(.unsent) }
        }
        var bytes = ByteBuffer(capacity: 512)
        bytes.append(NodeMessage(node: node, content))
        counts.sent[content.kind, default: 0] += 1
        let arguments: [RedisArgument] = ["PUBLISH", .text(name(of: channel)), .bytes(bytes.bytes())]
        publisher.send(arguments, budget: RedisBus.budget) { [weak self] result in
            switch result {
            case .success(.integer(let count)): then(.sent(receivers: Int(clamping: count)))
            case .success: then(.unsent)
            case .failure:
                self?.counts.unsent += 1
                then(.unsent)
            }
        }
    }

    /// Most messages are relayed frames, so they are written straight into the command.
    func relay(_ frame: ByteBuffer, to restaurant: RestaurantID) {
        guard publisher.isReady else {
            counts.unsent += 1
            return
        }
        counts.sent[.transient, default: 0] += 1
        let payload = frame.withReadable { NodeMessage.relayPayload(of: $0) }
        let channelBytes = restaurantChannels.count + RedisBus.identifierBytes
        let messageBytes =
            relayBeginning.count + RedisBus.identifierBytes + NodeMessage.relayEnd.utf8CodeUnitCount + payload.count
        let bound = RedisBus.framingBytes + channelBytes + messageBytes
        publisher.send(atMost: bound, budget: RedisBus.budget, reply: whenRelayed) { output in
            output.write(atMost: bound) { command in
                command.append("*3\r\n$7\r\nPUBLISH\r\n$")
                command.append(decimal: UInt64(channelBytes))
                command.append("\r\n")
                command.append(restaurantChannels)
                command.append(restaurant.uuid)
                command.append("\r\n$")
                command.append(decimal: UInt64(messageBytes))
                command.append("\r\n")
                command.append(relayBeginning)
                command.append(restaurant.uuid)
                command.append(NodeMessage.relayEnd)
                frame.withReadable { command.append($0.extracting(payload)) }
                command.append("\r\n")
            }
        }
    }

    /// The length of a UUID as text.
    private static let identifierBytes = 36
    /// The most that surrounds channel and message in the command.
    private static let framingBytes = 80

    // MARK: Nodes

    func others(reply: @escaping ([UInt64]?) -> Void) { directory.others(reply: reply) }

    func exists(_ node: UInt64, reply: @escaping (Bool?) -> Void) { directory.isLeased(node, reply: reply) }

    // MARK: Hearing

    private func receive(_ push: RedisReply) {
        guard case .array(let parts) = push, parts.count == 3, case .string(let channel) = parts[1],
            case .string(let bytes) = parts[2]
        else { return }
        switch NodeMessage.read(bytes.span) {
        case .otherVersion: counts.otherVersions += 1
        case .unreadable: counts.unreadable += 1
        case .message(let message):
            guard message.node != node else { return }
            guard channel.elementsEqual(name(of: place(of: message.content)).utf8) else {
                counts.unreadable += 1
                return
            }
            counts.received[message.content.kind, default: 0] += 1
            received(message.content, message.node)
        }
    }

    /// The channel to which a message belongs. A message for one restaurant is believed only on that restaurant's channel.
    private func place(of content: NodeMessage.Content) -> Channel {
        switch content {
        case .head(let restaurant, _), .transient(let restaurant, _): .restaurant(restaurant)
        case .menu, .gather: .all
        case .locate, .located, .close, .closed, .report: .node(node)
        }
    }
}
