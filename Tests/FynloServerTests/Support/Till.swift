import FynloClient
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A till with the client library, an outbox in a file, and a record of all that it was told.
final class Till {
    let client: FynloClient.Client
    let tokens: TokenSource
    /// Every durable event, as it came.
    private(set) var record: [Document] = []
    /// The numbers of the events that commands made.
    private(set) var acknowledged: [String: EventSequence] = [:]
    /// Commands that were refused, and commands that got a second final state.
    private(set) var surprises: [String] = []
    private(set) var ends: [ClientClosure] = []
    private(set) var connections = 0
    private(set) var states: [ClientSession.State] = []
    private let restaurant: RestaurantID
    private let head: EventSequence

    /// - Parameters:
    ///   - head: the events after it are told; 0: those of the rows that were there before, too.
    ///   - refresh: how long the tokens are good that the till gets; `nil`: the identity provider is away.
    init(
        _ loop: EventLoop, _ server: ServerURL, _ user: TestUser, at restaurant: RestaurantID, outbox: String,
        after head: EventSequence = 0, firstToken: Int64 = 3_600, device: String = "till",
        refresh: @escaping () -> Int64? = { 3_600 }
    ) throws {
        self.restaurant = restaurant
        self.head = head
        var settings = FynloClient.Client.Settings(server: server, restaurant: restaurant, user: user.id)
        settings.deviceID = device
        settings.lastSequence = head
        settings.session.limits.connectTimeout = Duration.seconds(2).patient
        settings.session.limits.pongTimeout = Duration.milliseconds(300).patient
        tokens = try TokenSource(loop: loop, token: user.token(expiresIn: firstToken)) { _, reply in
            reply(refresh().map { .success(user.token(expiresIn: $0)) } ?? .failure(.unreachable("Away.")))
        }
        client = try Client(
            loop: loop, settings: settings, tokens: tokens, outbox: try FileOutbox(loop: loop, path: outbox))
        client.on(.message) { [unowned self] event in
            guard case .message(let message) = event, message.sequence != nil else { return }
            if let document = try? Document(message.json) { record.append(document) }
        }
        client.on(.command) { [unowned self] event in
            switch event {
            case .command(let id, .acknowledged(let sequence)):
                if acknowledged.updateValue(sequence ?? 0, forKey: id) != nil { surprises.append("\(id) twice") }
            case .command(let id, .refused(let error)): surprises.append("\(id): \(error)")
            default: break
            }
        }
        client.on(.disconnect) { [unowned self] event in
            if case .disconnect(let closure, _) = event { ends.append(closure) }
        }
        client.on(.connect) { [unowned self] _ in connections += 1 }
        client.on(.state) { [unowned self] event in
            if case .state(let state) = event { states.append(state) }
        }
    }

    func update(_ order: OrderID, to status: OrderStatus, id: String) throws {
        try client.send(
            "order.status_update", data: #"{"order_id":"\#(order)","status":"\#(status.rawValue)"}"#, id: id)
    }

    func close() {
        client.close()
        tokens.close()
    }

    /// The record and the log are equal, and each command that was acknowledged has made one event, and no other has.
    func compare(with database: TestDatabase, others: [Till]) throws {
        let log = try database.run(
            """
            select seq, type, data, message_id from restaurant_events
            where restaurant_id = '\(restaurant)' and seq > \(head) order by seq
            """)
        #expect(record.count == log.rows.count)
        for (told, row) in zip(record, log.rows) {
            #expect(told["seq"].integer.map(String.init) == row.string(0))
            #expect(told["type"].string == row.string(1))
            #expect(told["data"] == (try? Document(json: row.string(2) ?? "")))
        }
        var made: [String: String] = [:]
        for row in log.rows {
            guard let id = row.string(3) else { continue }
            #expect(made[id] == nil, "\(id) took effect twice")
            made[id] = row.string(0)
        }
        let acknowledged = others.filter { $0.restaurant == restaurant }.reduce(into: [:]) { all, till in
            all.merge(till.acknowledged.mapValues(String.init)) { first, _ in first }
        }
        #expect(made == acknowledged)
    }
}
