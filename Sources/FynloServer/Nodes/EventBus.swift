// Hints and transient events from process to process over Redis' pub/sub: the fast way. What must not be lost is in Postgres,
// where the pulse finds it within a second, whatever becomes of Redis.
//
//     fynlo:1:r:{restaurant}   what is for one restaurant; subscribed to as long as it has tablets here
//     fynlo:1:n:{node}         what is for one process
//     fynlo:1:all              what is for all
//
// Redis takes commands and sends messages over connections of their own: a subscriber may do little else.

import FynloCore
import FynloIO

/// What is said between the processes that share a Redis.
final class EventBus: EventSource {
    /// Where a message goes.
    enum Channel: Equatable {
        case restaurant(RestaurantID)
        case node(UInt64)
        case all
    }

    /// What passed.
    struct Figures {
        /// Handed to Redis.
        var sent: [NodeMessage.Kind: UInt64] = [:]
        /// Not handed to Redis, or lost with the connection to it.
        var unsent: UInt64 = 0
        /// Of other processes.
        var received: [NodeMessage.Kind: UInt64] = [:]
        var otherVersions: UInt64 = 0
        /// Not of any program we know, or not where it belongs.
        var unreadable: UInt64 = 0
    }

    /// Something that another process says.
    var received: (_ content: NodeMessage.Content, _ node: UInt64) -> Void = { _, _ in }
    /// All channels are subscribed to again: something may have been missed.
    var whenCaughtUp: () -> Void = {}

    private(set) var figures = Figures()

    private let loop: EventLoop
    private let publisher: RedisConnection
    private let subscriber: RedisConnection
    private let node: UInt64
    private let log: Logger
    /// Begins every key and channel: `fynlo:1:`.
    let keyPrefix: String
    private var timer: SourceToken?

    /// Restaurants with tablets here.
    private var wanted: Set<RestaurantID> = []
    /// Those that Redis was asked for; true once it has agreed.
    private var channels: [RestaurantID: Bool] = [:]
    /// Those that may have to be asked for, or given up.
    private var changed: [RestaurantID] = []
    private var requestsUnderWay = 0
    private var isCatchingUp = false
    /// This process' own channel and that of all.
    private var ownChannels = 0
    /// Before a restaurant's identifier.
    private let restaurantChannels: [UInt8]
    private let relayBeginning: [UInt8]
    /// Counts what is lost on its way. Made once: every relayed message has it.
    private var whenRelayed: PendingRequest.Reply = { _ in }
    /// The newest events of this turn.
    private var heads: [RestaurantID: EventSequence] = [:]

    /// Channels asked for at the same time: Redis answers each, and may not be asked for more than it may answer late.
    private static let concurrentRequests = 512
    /// A subscriber to whom nobody speaks finds out by this that Redis is lost.
    private static let pingInterval = Duration.seconds(1)
    /// Nobody waits for these answers.
    private static let budget = Duration.seconds(5)

    /// Publishes by `publisher`, which stays its owner's, and subscribes by a connection of its own.
    init(
        loop: EventLoop, settings: RedisSettings, publisher: RedisConnection, node: UInt64, keyPrefix: String,
        log: Logger
    ) {
        self.loop = loop
        self.publisher = publisher
        self.node = node
        self.keyPrefix = keyPrefix
        self.log = log
        restaurantChannels = Array("\(keyPrefix)r:".utf8)
        relayBeginning = NodeMessage.relayBeginning(of: node)
        subscriber = RedisConnection(loop: loop, settings: settings) { level, text in
            if level == "info" {
                log.info("redis_subscriber", ["detail": text])
            } else {
                log.warning("redis_subscriber", ["detail": text])
            }
        }
        // Most of what is heard is one's own, and need not be read to be passed over.
        subscriber.ownBeginning = NodeMessage.beginning(of: node)
        whenRelayed = { [weak self] result in
            if case .failure = result { self?.figures.unsent += 1 }
        }
    }

    func open() {
        subscriber.readyHandler = { [weak self] in self?.subscribeAnew() }
        subscriber.pushHandler = { [weak self] in self?.receive($0) }
        subscriber.open()
        let timer = loop.add(timer: self)
        self.timer = timer
        loop.wake(timer, by: loop.now.instant + EventBus.pingInterval)
    }

    func close() {
        if let timer { loop.remove(timer) }
        timer = nil
        subscriber.close()
        received = { _, _ in }
        whenCaughtUp = {}
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        if subscriber.isReady { subscriber.send(["PING"], budget: EventBus.budget) { _ in } }
        return now.instant + EventBus.pingInterval
    }

    // MARK: Subscribing

    /// True when this process hears what is meant for it.
    var isListening: Bool { subscriber.isReady && ownChannels == 2 }

    /// True when Redis has agreed to send what is meant for a restaurant.
    func isSubscribed(to restaurant: RestaurantID) -> Bool { isListening && channels[restaurant] == true }

    /// Channels that Redis sends the messages of.
    var channelCount: Int { channels.values.count(where: \.self) + ownChannels }

    /// Connections for messages that were lost or could not be made.
    var losses: UInt64 { subscriber.figures.losses }

    /// A restaurant has tablets here, or has none any more.
    func want(_ restaurant: RestaurantID, _ isWanted: Bool) {
        if isWanted { wanted.insert(restaurant) } else { wanted.remove(restaurant) }
        // A new connection asks for all that is wanted then.
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
        while requestsUnderWay < EventBus.concurrentRequests, let restaurant = changed.popLast() {
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
        whenCaughtUp()
    }

    private func request(_ command: RedisArgument, _ channel: Channel, done: @escaping (Bool) -> Void) {
        requestsUnderWay += 1
        subscriber.send([command, .text(name(of: channel))], budget: EventBus.budget) { [weak self] result in
            guard let self else { return }
            self.requestsUnderWay -= 1
            switch result {
            case .success(.array): done(true)
            case .success(let reply):
                // Without the channel there is the pulse.
                self.log.warning("redis_refuses_channel", ["channel": self.name(of: channel), "reply": "\(reply)"])
            case .failure: break
            }
            self.ask()
        }
    }

    private func name(of channel: Channel) -> String {
        switch channel {
        case .restaurant(let restaurant): return "\(keyPrefix)r:\(restaurant)"
        case .node(let node): return "\(keyPrefix)n:\(EventBus.name(of: node))"
        case .all: return "\(keyPrefix)all"
        }
    }

    /// A process in keys, channels and sentences.
    static func name(of node: UInt64) -> String {
        var name = ByteBuffer()
        name.append(hexadecimal: node)
        return String(decoding: name.bytes(), as: UTF8.self)
    }

    // MARK: Saying

    /// This process has committed an event: the others with tablets of the restaurant read it at once. What is committed in one
    /// turn is told of at its end, together.
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

    /// Says something. `then` is told how many processes hear it on their channels; `nil`: Redis cannot be asked.
    func publish(_ content: NodeMessage.Content, to channel: Channel, then: @escaping (Int64?) -> Void = { _ in }) {
        guard publisher.isReady else {
            figures.unsent += 1
            return loop.atEndOfTurn { then(nil) }
        }
        var bytes = ByteBuffer(capacity: 512)
        bytes.append(NodeMessage(node: node, content))
        figures.sent[content.kind, default: 0] += 1
        let arguments: [RedisArgument] = ["PUBLISH", .text(name(of: channel)), .bytes(bytes.bytes())]
        publisher.send(arguments, budget: EventBus.budget) { [weak self] result in
            switch result {
            case .success(.integer(let count)): then(count)
            case .success: then(nil)
            case .failure:
                self?.figures.unsent += 1
                then(nil)
            }
        }
    }

    /// Says what is in a text frame to a restaurant's tablets elsewhere. By far the most of what is said: it is written straight
    /// into the command.
    func relay(_ frame: ByteBuffer, to restaurant: RestaurantID) {
        guard publisher.isReady else {
            figures.unsent += 1
            return
        }
        figures.sent[.transient, default: 0] += 1
        let payload = frame.withReadable { NodeMessage.relayPayload(of: $0) }
        let channelBytes = restaurantChannels.count + EventBus.identifierBytes
        let messageBytes =
            relayBeginning.count + EventBus.identifierBytes + NodeMessage.relayEnd.utf8CodeUnitCount + payload.count
        let bound = EventBus.framingBytes + channelBytes + messageBytes
        publisher.send(atMost: bound, budget: EventBus.budget, reply: whenRelayed) { output in
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

    /// A UUID as text.
    private static let identifierBytes = 36
    /// What stands around channel and message, at most.
    private static let framingBytes = 80

    // MARK: Hearing

    private func receive(_ push: RedisReply) {
        guard case .array(let parts) = push, parts.count == 3, case .string(let channel) = parts[1],
            case .string(let bytes) = parts[2]
        else { return }
        switch NodeMessage.read(bytes.span) {
        case .otherVersion: figures.otherVersions += 1
        case .unreadable: figures.unreadable += 1
        case .message(let message):
            guard message.node != node else { return }
            guard channel.elementsEqual(name(of: place(of: message.content)).utf8) else {
                figures.unreadable += 1
                return
            }
            figures.received[message.content.kind, default: 0] += 1
            received(message.content, message.node)
        }
    }

    /// The channel on which something is said. What is for one restaurant is believed on its own channel only.
    private func place(of content: NodeMessage.Content) -> Channel {
        switch content {
        case .head(let restaurant, _), .transient(let restaurant, _): .restaurant(restaurant)
        case .menu, .gather: .all
        case .locate, .located, .close, .closed, .report: .node(node)
        }
    }
}
