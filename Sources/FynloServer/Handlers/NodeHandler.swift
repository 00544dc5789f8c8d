// The other processes: what happens here is told to them, and what they tell is handed to the feeds, the tablets and the
// knowledge of menus. Alone, or without Redis, nothing of this happens, and the pulse finds what is durable.

import FynloCore
import FynloIO

/// Speaks for this process on the bus.
final class NodeHandler {
    private let loop: EventLoop
    private let hub: Hub
    private let feeds: FeedHandler
    private let known: AccessLookup
    private let bus: EventBus?
    private let directory: NodeDirectory?
    private let log: Logger
    /// Asks the database for heads and versions at once.
    var askPulse: () -> Void = {}
    /// How the tablets of a restaurant, or of all, are in this process.
    var describe: (RestaurantID?, NodeMessage.ReportForm) -> [UInt8]? = { _, _ in nil }

    /// What becomes of the answers to questions of this process.
    private var questions: [UInt64: (_ answer: NodeMessage.Content, _ node: UInt64) -> Void] = [:]
    private var lastRequest: UInt64 = 0

    /// How long other processes have to answer.
    private static let patience = Duration.seconds(1)
    /// Reports of all the others together; one that is too much is left out.
    private static let gatheredBytes = 8 << 20

    /// `bus` and `directory`: `nil` without Redis.
    init(
        loop: EventLoop, hub: Hub, feeds: FeedHandler, known: AccessLookup, bus: EventBus?,
        directory: NodeDirectory?, log: Logger
    ) {
        self.loop = loop
        self.hub = hub
        self.feeds = feeds
        self.known = known
        self.bus = bus
        self.directory = directory
        self.log = log
    }

    func start() {
        guard let bus else { return }
        bus.received = { [weak self] content, node in self?.receive(content, from: node) }
        bus.whenCaughtUp = { [weak self] in
            self?.directory?.register()
            // What was said meanwhile was not heard.
            self?.askPulse()
        }
        feeds.whenJoined = { [weak bus] in bus?.want($0, true) }
        feeds.whenCommitted = { [weak bus] in bus?.announce($0, head: $1) }
        bus.open()
        directory?.start()
    }

    func stop() {
        askPulse = {}
        feeds.whenJoined = { _ in }
        feeds.whenCommitted = { _, _ in }
        describe = { _, _ in nil }
        questions = [:]
        directory?.stop()
        bus?.close()
    }

    // MARK: Telling

    /// The last tablet has left.
    func leave(_ restaurant: RestaurantID) {
        bus?.want(restaurant, false)
    }

    /// A tablet here says something to the whole restaurant: one text frame.
    func relay(_ frame: ByteBuffer, to restaurant: RestaurantID) {
        bus?.relay(frame, to: restaurant)
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
        case .locate(let id, let request):
            bus?.publish(.located(tablet(id)?.restaurant, request: request), to: .node(node))
        case .close(let id, let cause, let request):
            let connection = tablet(id)
            if let connection { close(connection, cause) }
            bus?.publish(.closed(wasThere: connection != nil, request: request), to: .node(node))
        case .gather(let restaurant, let form, let request):
            guard let body = describe(restaurant, form) else { return }
            bus?.publish(.report(body: body, request: request), to: .node(node))
        case .located(_, let request), .closed(_, let request), .report(_, let request):
            questions[request]?(content, node)
        }
    }

    /// An authenticated connection of this process.
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

    /// What came of asking one process.
    private enum Answer {
        case content(NodeMessage.Content)
        /// There is no such process: what it had is gone.
        case nobody
        case silence
    }

    /// True for a connection that another process would know of.
    func isElsewhere(_ connection: ConnectionID) -> Bool { bus != nil && connection.node != hub.node }

    /// Which restaurant a connection of another process belongs to; `nil`: there is no such connection.
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

    /// Closes a connection of another process with 4006; true if it was there.
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

    /// A connection of another process gives way to a newer one of the same device. If this is lost, that process finds out
    /// when it reviews its slots.
    func replace(_ connection: ConnectionID) {
        bus?.publish(.close(connection, .replaced, request: 0), to: .node(connection.node))
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
        bus.publish(question, to: .node(node)) { [weak self] listeners in
            guard let listeners else { return finish(.silence) }
            guard listeners == 0 else { return }
            // It may have lost its Redis for a moment.
            self?.directory?.isLeased(node) { finish($0 == false ? .nobody : .silence) }
        }
    }

    // MARK: Gathering

    /// What other processes tell of their tablets.
    struct Reports {
        /// By process.
        var bodies: [(node: UInt64, body: [UInt8])] = []
        /// Those that did not answer; `nil`: Redis cannot tell.
        var silent: [UInt64]?
    }

    private final class Gathering {
        var bodies: [UInt64: [UInt8]] = [:]
        var bytes = 0
        /// Those that are known to be there.
        var others: Set<UInt64>?
        /// Processes that heard the question, this one included.
        var listeners: Int64?

        var isComplete: Bool {
            guard let others, let listeners else { return false }
            return others.isSubset(of: bodies.keys) && bodies.count >= listeners - 1
        }

        var reports: Reports {
            Reports(
                bodies: bodies.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
                silent: others.map { $0.subtracting(bodies.keys).sorted() })
        }
    }

    /// Asks all other processes how the tablets of a restaurant, or of all, are; the reply comes when all have answered, or
    /// after a second.
    func gather(_ restaurant: RestaurantID?, _ form: NodeMessage.ReportForm, reply: @escaping (Reports) -> Void) {
        guard let bus, let directory else { return reply(Reports(silent: [])) }
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
        bus.publish(.gather(restaurant, form, request: request), to: .all) { listeners in
            gathering.listeners = listeners
            if listeners == nil || gathering.isComplete { finish() }
        }
        directory.others { others in
            gathering.others = others.map(Set.init)
            if others == nil || gathering.isComplete { finish() }
        }
    }
}

extension APIError {
    /// A process that holds a connection could not be asked.
    static func silentNode(_ node: UInt64) -> APIError {
        APIError(
            .unavailable,
            "Node \(EventBus.name(of: node)), which this connection is on, did not answer within a second; try again.",
            retryAfter: .seconds(1))
    }
}
