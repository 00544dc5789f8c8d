// The other processes ("nodes"): what happens here is told to them, and what they tell goes to the feeds, the tablets and
// the knowledge of menus. Without a bus nothing of this happens, and the pulse finds what is durable.

import FynloCore
import FynloIO

/// Speaks for this node on the bus.
final class NodeHandler {
    private let loop: EventLoop
    private let hub: Hub
    private let feeds: FeedHandler
    private let known: AccessLookup
    /// `nil`: this node is alone.
    private let bus: (any NodeBus)?
    private let log: Logger
    /// Asks the database for heads and versions at once.
    @SetOnce var askPulse: () -> Void = {}
    /// Describes this node's tablets of one restaurant, or of all; `nil`: the description is too long.
    @SetOnce var describe: (RestaurantID?, NodeMessage.ReportForm) -> [UInt8]? = { _, _ in nil }

    /// Takes the answers to this node's questions, by request.
    private var questions: [UInt64: (_ answer: NodeMessage.Content, _ node: UInt64) -> Void] = [:]
    private var lastRequest: UInt64 = 0

    /// How long other nodes have to answer.
    private static let patience = Duration.seconds(1)
    /// The most bytes of the other nodes' reports together; a report that exceeds them is left out.
    private static let gatheredBytes = 8 << 20

    init(
        loop: EventLoop, hub: Hub, feeds: FeedHandler, known: AccessLookup, bus: (any NodeBus)?, log: Logger
    ) {
        self.loop = loop
        self.hub = hub
        self.feeds = feeds
        self.known = known
        self.bus = bus
        self.log = log
    }

    func start() {
        bus?.open()
    }

    func stop() {
        questions = [:]
        bus?.close()
    }

    // MARK: Telling

    /// The first tablet of a restaurant has joined.
    func join(_ restaurant: RestaurantID) {
        bus?.want(restaurant, true)
    }

    /// The last tablet of a restaurant has left.
    func leave(_ restaurant: RestaurantID) {
        bus?.want(restaurant, false)
    }

    /// This node has committed an event.
    func committed(_ restaurant: RestaurantID, head: EventSequence) {
        bus?.announce(restaurant, head: head)
    }

    /// A tablet of this node says something to its whole restaurant: one text frame.
    func relay(_ frame: ByteBuffer, to restaurant: RestaurantID) {
        bus?.relay(frame, to: restaurant)
    }

    /// A menu was invalidated on this node.
    func menuUpdated(_ restaurant: RestaurantID, to version: Int64) {
        bus?.tellAll(.menu(restaurant, version: version))
    }

    // MARK: Hearing

    /// Takes a message of another node.
    func receive(_ content: NodeMessage.Content, from node: UInt64) {
        switch content {
        case .head(let restaurant, let head):
            feeds.hint(restaurant, head: head)
        case .transient(let restaurant, let payload):
            guard hub.hasListeners(restaurant) else { return }
            var frame = ByteBuffer()
            WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { $0.append(payload) }
            hub.relay(frame, receivedAt: nil, to: restaurant)
        case .menu(let restaurant, let version):
            // Only a hint: the pulse asks Postgres, and until it has the answer, what is known is not relied on.
            known.hint(StreamCounters(restaurant: restaurant, head: 0, menuVersion: version, accessVersion: 0))
            if hub.hasListeners(restaurant) || known.watched.contains(restaurant) { askPulse() }
        case .locate(let id, let request):
            bus?.tell(node, .located(tablet(id)?.restaurant, request: request))
        case .close(let id, let cause, let request):
            let connection = tablet(id)
            if let connection { close(connection, cause) }
            bus?.tell(node, .closed(wasThere: connection != nil, request: request))
        case .gather(let restaurant, let form, let request):
            guard let body = describe(restaurant, form) else { return }
            bus?.tell(node, .report(body: body, request: request))
        case .located(_, let request), .closed(_, let request), .report(_, let request):
            questions[request]?(content, node)
        }
    }

    /// An authenticated connection of this node.
    private func tablet(_ id: ConnectionID) -> ClientConnection? {
        guard let connection = hub.connection(id.number), connection.id == id, connection.user != nil else {
            return nil
        }
        return connection
    }

    private func close(_ connection: ClientConnection, _ cause: NodeMessage.CloseCause) {
        switch cause {
        case .replaced:
            connection.close(.replaced)
        case .revoked:
            log.info("closed_by_administrator", ["connection": connection.id.uuid.description])
            connection.close(.accessRevoked)
        }
    }

    // MARK: Asking

    /// The outcome of a question to one node.
    private enum Answer {
        case content(NodeMessage.Content)
        /// There is no such node: its connections are gone.
        case nobody
        case silence
    }

    /// True for a connection that belongs to another node.
    func isElsewhere(_ connection: ConnectionID) -> Bool { bus != nil && connection.node != hub.node }

    /// Asks which restaurant a connection of another node belongs to; `nil`: there is no such connection.
    func locate(_ connection: ConnectionID, reply: @escaping (Result<RestaurantID?, APIError>) -> Void) {
        let request = newRequest()
        ask(connection.node, .locate(connection, request: request), request) { answer in
            switch answer {
            case .content(.located(let restaurant, _)): reply(.success(restaurant))
            case .nobody: reply(.success(nil))
            case .content, .silence: reply(.failure(.silentNode(connection.node)))
            }
        }
    }

    /// Closes a connection of another node with 4006; the reply is true if it was there.
    func revoke(_ connection: ConnectionID, reply: @escaping (Result<Bool, APIError>) -> Void) {
        let request = newRequest()
        ask(connection.node, .close(connection, .revoked, request: request), request) { answer in
            switch answer {
            case .content(.closed(let wasThere, _)): reply(.success(wasThere))
            case .nobody: reply(.success(false))
            case .content, .silence: reply(.failure(.silentNode(connection.node)))
            }
        }
    }

    /// Has another node close a connection that gives way to a newer one of the same device. If this message is lost, that node
    /// finds out when it reviews its slots.
    func replace(_ connection: ConnectionID) {
        bus?.tell(connection.node, .close(connection, .replaced, request: 0))
    }

    private func newRequest() -> UInt64 {
        lastRequest += 1
        return lastRequest
    }

    private func ask(
        _ node: UInt64, _ question: NodeMessage.Content, _ request: UInt64, reply: @escaping (Answer) -> Void
    ) {
        guard let bus else { return loop.atEndOfTurn { reply(.silence) } }
        let finish = { [weak self] (answer: Answer) in
            if self?.questions.removeValue(forKey: request) != nil { reply(answer) }
        }
        questions[request] = { content, sender in
            if sender == node { finish(.content(content)) }
        }
        loop.after(NodeHandler.patience) { finish(.silence) }
        bus.tell(node, question) { [weak bus] receipt in
            switch receipt {
            case .unsent: finish(.silence)
            case .sent(receivers: 0):
                // Nobody has heard the question, but the node may only have lost its bus for a moment.
                bus?.exists(node) { finish($0 == false ? .nobody : .silence) }
            case .sent: break
            }
        }
    }

    // MARK: Gathering

    /// What other nodes report of their tablets.
    struct Reports {
        /// In the order of the nodes' names.
        var bodies: [(node: UInt64, body: [UInt8])] = []
        /// The nodes that did not answer; `nil`: nobody can tell which nodes there are.
        var silent: [UInt64]?
    }

    private final class Gathering {
        var bodies: [UInt64: [UInt8]] = [:]
        var bytes = 0
        /// The other nodes, once they are known.
        var others: Set<UInt64>?
        /// What became of the question, once that is known.
        var receipt: NodeBusReceipt?

        /// Every node that is known, or that is counted as having heard the question, has answered. This node hears it too.
        var isComplete: Bool {
            guard let others, case .sent(let receivers) = receipt, others.isSubset(of: bodies.keys) else {
                return false
            }
            return receivers.map { bodies.count >= $0 - 1 } ?? true
        }

        var reports: Reports {
            Reports(
                bodies: bodies.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
                silent: others.map { $0.subtracting(bodies.keys).sorted() })
        }
    }

    /// Asks all other nodes about the tablets of one restaurant, or of all. The reply comes when all have answered, and after a
    /// second at the latest.
    func gather(_ restaurant: RestaurantID?, _ form: NodeMessage.ReportForm, reply: @escaping (Reports) -> Void) {
        guard let bus else { return reply(Reports(silent: [])) }
        guard bus.isListening else { return reply(Reports(silent: nil)) }
        let request = newRequest()
        let gathering = Gathering()
        let finish = { [weak self] in
            if self?.questions.removeValue(forKey: request) != nil { reply(gathering.reports) }
        }
        questions[request] = { content, sender in
            guard case .report(let body, _) = content, gathering.bytes + body.count <= NodeHandler.gatheredBytes,
                form == .text || (try? JSON.scan(body.span))?.kind == .object
            else { return }
            gathering.bytes += body.count
            gathering.bodies[sender] = body
            if gathering.isComplete { finish() }
        }
        loop.after(NodeHandler.patience) { finish() }
        bus.tellAll(.gather(restaurant, form, request: request)) { receipt in
            gathering.receipt = receipt
            if receipt == .unsent || gathering.isComplete { finish() }
        }
        bus.others { others in
            gathering.others = others.map(Set.init)
            if others == nil || gathering.isComplete { finish() }
        }
    }
}

extension APIError {
    /// The node that holds a connection could not be asked.
    static func silentNode(_ node: UInt64) -> APIError {
        APIError(
            .unavailable,
            "Node \(ConnectionID.nodeName(node)), which this connection is on, did not answer within a second; try again.",
            retryAfter: .seconds(1))
    }
}
