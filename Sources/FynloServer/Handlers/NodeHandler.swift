// The other processes: what happens here is told to them, and what they tell is handed to the feeds, the tablets and the
// knowledge of menus. Alone, or without Redis, nothing of this happens, and the pulse finds what is durable.

import FynloCore
import FynloIO

/// Speaks for this process on the bus.
final class NodeHandler {
    private let hub: Hub
    private let feeds: FeedHandler
    private let known: RestaurantKnowledge
    private let bus: EventBus?
    /// Asks the database for heads and versions at once.
    var askPulse: () -> Void = {}

    /// `bus`: `nil` without Redis.
    init(hub: Hub, feeds: FeedHandler, known: RestaurantKnowledge, bus: EventBus?) {
        self.hub = hub
        self.feeds = feeds
        self.known = known
        self.bus = bus
    }

    func start() {
        guard let bus else { return }
        bus.received = { [weak self] content, node in self?.receive(content, from: node) }
        // What was said meanwhile was not heard.
        bus.whenCaughtUp = { [weak self] in self?.askPulse() }
        feeds.whenJoined = { [weak bus] in bus?.want($0, true) }
        feeds.whenCommitted = { [weak bus] in bus?.announce($0, head: $1) }
        bus.open()
    }

    func stop() {
        askPulse = {}
        feeds.whenJoined = { _ in }
        feeds.whenCommitted = { _, _ in }
        bus?.close()
    }

    // MARK: Telling

    /// The last tablet has left.
    func leave(_ restaurant: RestaurantID) {
        bus?.want(restaurant, false)
    }

    /// A tablet here says something to the whole restaurant: one text frame.
    func relay(_ frame: ByteBuffer, to restaurant: RestaurantID) {
        guard let bus, let content = NodeMessage.Content(relaying: frame, to: restaurant) else { return }
        bus.publish(content, to: .restaurant(restaurant))
    }

    /// A device came here whose older connection is another process'.
    func replaced(_ connection: ConnectionID) {
        bus?.publish(.close(connection, .replaced, request: 0), to: .node(connection.node))
    }

    /// A menu was invalidated here.
    func menuUpdated(_ restaurant: RestaurantID, to version: Int64) {
        bus?.publish(.menu(restaurant, version: version), to: .all)
    }

    // MARK: Hearing

    private func receive(_ content: NodeMessage.Content, from node: UInt64) {
        switch content {
        case .head(let restaurant, let head):
            feeds.hint(restaurant, head: head)
        case .transient(let restaurant, let payload):
            guard hub.hasListeners(restaurant) else { return }
            var frame = ByteBuffer()
            WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { $0.append(payload) }
            hub.relay(frame, receivedAt: nil, to: restaurant)
        case .menu(let restaurant, let version):
            // Not believed, but asked about, and what is known is not relied on before that is answered.
            known.hint(StreamCounters(restaurant: restaurant, head: 0, menuVersion: version, accessVersion: 0))
            if hub.hasListeners(restaurant) || known.watched.contains(restaurant) { askPulse() }
        case .close(let connection, .replaced, _):
            // If it is lost, the next review of the slots finds it.
            if connection.node == hub.node { hub.connection(connection.number)?.close(.replaced) }
        case .locate, .located, .close, .closed, .gather, .report:
            break
        }
    }
}
