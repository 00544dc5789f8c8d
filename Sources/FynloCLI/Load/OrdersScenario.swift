// The scenario that needs the database: changes of orders, each committed before it is answered.

import FynloCore
import FynloIO

/// Every tablet moves one order of its restaurant after the other from `draft` to `pending`: measures how many per second.
final class OrdersScenario: LoadScenario {
    let takesWebSockets = true
    let isPrecise = true
    private weak var run: LoadRun?
    private let plan: LoadPlan
    /// The orders that no tablet has taken yet.
    private var orders: [RestaurantID: [OrderID]]
    /// When the command that a connection waits for was sent, by the connection's index.
    private var sentAt: [Instant?] = []
    private var latencies = LatencyHistogram()
    private var sent = 0
    private var acknowledged = 0
    private var refused = 0
    private var beganAt = Instant(nanoseconds: 0)
    private var endsAt = Instant(nanoseconds: 0)
    private var lastAnswerAt = Instant(nanoseconds: 0)

    /// How long after the end answers may still arrive.
    private static let drainLimit = Duration.seconds(10)

    init(_ plan: LoadPlan) {
        self.plan = plan
        orders = plan.orders.mapValues { $0.reversed() }
    }

    func attach(to run: LoadRun) { self.run = run }

    func begin(now: Moment) {
        guard let run else { return }
        beganAt = now.instant
        lastAnswerAt = now.instant
        endsAt = now.instant + plan.duration
        sentAt = Array(repeating: nil, count: run.connections.count)
        for connection in run.connections where connection.isIn {
            change(on: connection, now: SystemClock.instant)
            connection.flush()
        }
    }

    private func change(on connection: LoadConnection, now: Instant) {
        guard let run, let order = orders[connection.account.restaurant]?.popLast() else { return }
        sent += 1
        sentAt[connection.index] = now
        let id = "\(run.name)-\(sent)"
        connection.say {
            $0.append("{\"id\":\"\(id)\",\"type\":\"order.status_update\",\"data\":{\"order_id\":\"")
            $0.append(order.uuid)
            $0.append("\",\"status\":\"pending\"}}")
        }
    }

    func received(_ text: Span<UInt8>, on connection: LoadConnection, now: Moment) {
        switch LoadMessage(text) {
        case .ack: answered(connection, now: now.instant) { acknowledged += 1 }
        case .error: answered(connection, now: now.instant) { refused += 1 }
        case .ping: connection.say { $0.append("{\"type\":\"pong\"}") }
        case .pong, .event, .other: break
        }
    }

    private func answered(_ connection: LoadConnection, now: Instant, count: () -> Void) {
        guard connection.index < sentAt.count, let since = sentAt[connection.index].take() else { return }
        latencies.record(now - since)
        lastAnswerAt = now
        count()
        if now < endsAt { change(on: connection, now: now) }
    }

    func tick(now: Moment) -> Bool {
        guard now.instant < endsAt else { return lostMessages == 0 || now.instant >= endsAt + Self.drainLimit }
        return run?.inCount == 0 || lostMessages == 0
    }

    var progress: String { "\(LoadValue.grouped(acknowledged)) orders" }

    var lostMessages: Int { sent - acknowledged - refused }

    var result: LoadResult {
        let seconds = (lastAnswerAt - beganAt).inSeconds
        return [
            "seconds": .decimal(seconds, 3), "sent": .integer(sent), "acknowledged": .integer(acknowledged),
            "refused": .integer(refused), "lost": .integer(lostMessages),
            "left": .integer(orders.values.reduce(0) { $0 + $1.count }),
            "per_second": .decimal(seconds > 0 ? Double(acknowledged) / seconds : 0, 1),
            "latency_ms": .latencies(latencies),
        ]
    }
}
