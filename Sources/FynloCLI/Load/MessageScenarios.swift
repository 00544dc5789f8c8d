// The scenarios about messages: ping and pong, and one to many.

import FynloCore
import FynloIO

/// The constant parts of a tablet's message, for each account: everything but its data.
private struct MessageFrame {
    private let head: [UInt8]
    private let tails: [[UInt8]]

    init(type: String, _ plan: LoadPlan, now: UnixTime) {
        head = Array("{\"type\":\"\(type)\",\"data\":{\"timestamp\":\"\(now.rfc3339)\",\"n\":".utf8)
        tails = plan.accounts.map { account in
            Array(",\"restaurant_id\":\"\(account.restaurant)\",\"timestamp\":\"\(now.rfc3339)\"}".utf8)
        }
    }

    func append(_ due: Int64, number: Int64?, account: Int, to output: inout ByteBuffer) {
        output.append(head)
        output.append(decimal: due)
        if let number {
            output.append(",\"k\":")
            output.append(decimal: number)
        }
        output.append("}")
        output.append(tails[account])
    }
}

/// How long after the end of a measurement its messages may still arrive.
private let drainLimit = Duration.seconds(10)

/// Pings from all connections: measures how long the pongs take, and how many arrive per second.
final class PingScenario: LoadScenario {
    let takesWebSockets = true
    let isPrecise = true
    private weak var run: LoadRun?
    private let plan: LoadPlan
    private let frame: MessageFrame
    private var latencies = LatencyHistogram()
    private var sent = 0
    private var answered = 0
    private var answeredInTime = 0
    private var refused = 0
    private var beganAt = Instant(nanoseconds: 0)
    private var endsAt = Instant(nanoseconds: 0)
    private var rate: LoadRate?
    /// The connection whose turn it is, at a fixed rate.
    private var next = 0

    init(_ plan: LoadPlan) {
        self.plan = plan
        frame = MessageFrame(type: "ping", plan, now: SystemClock.now.unixTime)
    }

    func attach(to run: LoadRun) { self.run = run }

    func begin(now: Moment) {
        guard let run else { return }
        beganAt = now.instant
        endsAt = now.instant + plan.duration
        rate = plan.rate.map { LoadRate(perSecond: $0, start: now.instant) }
        guard rate == nil else { return }
        for connection in run.connections where connection.isIn {
            let due = SystemClock.instant
            for _ in 0..<plan.outstanding { ping(connection, due: due) }
            connection.flush()
        }
    }

    private func ping(_ connection: LoadConnection, due: Instant) {
        sent += 1
        connection.inFlight += 1
        connection.say { frame.append(due.nanoseconds, number: nil, account: account(of: connection), to: &$0) }
    }

    private func account(of connection: LoadConnection) -> Int { connection.index % plan.accounts.count }

    func received(_ text: Span<UInt8>, on connection: LoadConnection, now: Moment) {
        switch LoadMessage(text) {
        case .pong(let due):
            guard due >= beganAt.nanoseconds, connection.inFlight > 0 else { return }
            answered += 1
            connection.inFlight -= 1
            latencies.record(nanoseconds: now.instant.nanoseconds - due)
            guard now.instant < endsAt else { return }
            answeredInTime += 1
            if rate == nil { ping(connection, due: now.instant) }
        case .ping: connection.say { $0.append("{\"type\":\"pong\"}") }
        case .error: refused += 1
        case .event, .ack, .other: break
        }
    }

    func tick(now: Moment) -> Bool {
        guard let run else { return true }
        if now.instant < endsAt {
            while let due = rate?.takeDue(now: now.instant) {
                guard let connection = nextConnection(run) else { return true }
                ping(connection, due: due)
                connection.flush()
            }
            return run.inCount == 0
        }
        return answered + lostWithConnections == sent || now.instant >= endsAt + drainLimit
    }

    private func nextConnection(_ run: LoadRun) -> LoadConnection? {
        for _ in 0..<run.connections.count {
            next = (next + 1) % run.connections.count
            if run.connections[next].isIn { return run.connections[next] }
        }
        return nil
    }

    private var lostWithConnections: Int { run?.connections.reduce(0) { $0 + $1.lostInFlight } ?? 0 }

    var progress: String { "\(LoadValue.grouped(answered)) pongs" }

    var lostMessages: Int { sent - answered }

    var result: LoadResult {
        let seconds = plan.duration.inSeconds
        return [
            "seconds": .decimal(seconds, 3), "outstanding": .integer(rate == nil ? plan.outstanding : 0),
            "rate": .integer(plan.rate ?? 0), "sent": .integer(sent), "answered": .integer(answered),
            "refused": .integer(refused), "lost": .integer(lostMessages),
            "per_second": .decimal(Double(answeredInTime) / seconds, 1), "latency_ms": .latencies(latencies),
        ]
    }
}

/// One tablet of each restaurant tells the others: measures how long it takes until the last of them knows.
final class FanOutScenario: LoadScenario {
    let takesWebSockets = true
    let isPrecise = true

    /// An outstanding event.
    private struct Event {
        var number: Int64 = 0
        var missing = 0
        var due: Int64 = 0
    }

    /// A restaurant's tablets.
    private final class Group {
        var members: [LoadConnection] = []
        var sender = 0
        var number: Int64
        /// The outstanding events by number, in a ring.
        var events: [Event]
        var rate: LoadRate?

        init(number: Int64, events: Int) {
            self.number = number
            self.events = Array(repeating: Event(), count: events)
        }
    }

    private weak var run: LoadRun?
    private let plan: LoadPlan
    private let frame: MessageFrame
    private var groups: [Group] = []
    /// The group of each connection, by the connection's index.
    private var groupOf: [Int] = []
    private var deliveries = LatencyHistogram()
    private var last = LatencyHistogram()
    private var sent = 0
    private var complete = 0
    private var deliveredInTime = 0
    private var expected = 0
    private var refused = 0
    private var beganAt = Instant(nanoseconds: 0)
    private var endsAt = Instant(nanoseconds: 0)

    init(_ plan: LoadPlan) {
        self.plan = plan
        frame = MessageFrame(type: "kitchen.item_ready", plan, now: SystemClock.now.unixTime)
    }

    func attach(to run: LoadRun) { self.run = run }

    func begin(now: Moment) {
        guard let run else { return }
        beganAt = now.instant
        endsAt = now.instant + plan.duration
        // Events of another run in the same restaurant must not be counted.
        let first = Int64(truncatingIfNeeded: run.generator.next() >> 24)
        var indices: [RestaurantID: Int] = [:]
        groupOf = Array(repeating: 0, count: run.connections.count)
        for connection in run.connections where connection.isIn {
            let index = indices[connection.account.restaurant] ?? groups.count
            if index == groups.count {
                indices[connection.account.restaurant] = index
                // At a fixed rate, a slow server lets any number of events add up.
                groups.append(Group(number: first, events: plan.rate == nil ? plan.outstanding : 4_096))
            }
            groups[index].members.append(connection)
            groupOf[connection.index] = index
        }
        for group in groups {
            group.rate = plan.rate.map { LoadRate(perSecond: $0, start: now.instant) }
            guard group.rate == nil else { continue }
            for _ in 0..<plan.outstanding { tell(group, due: SystemClock.instant) }
        }
    }

    private func tell(_ group: Group, due: Instant) {
        let members = group.members.count { $0.isIn }
        guard members > 0 else { return }
        while !group.members[group.sender].isIn { group.sender = (group.sender + 1) % group.members.count }
        let sender = group.members[group.sender]
        group.number += 1
        group.events[Int(group.number % Int64(group.events.count))] = Event(
            number: group.number, missing: members, due: due.nanoseconds)
        sent += 1
        expected += members
        sender.say {
            frame.append(
                due.nanoseconds, number: group.number, account: sender.index % plan.accounts.count, to: &$0)
        }
        sender.flush()
    }

    func received(_ text: Span<UInt8>, on connection: LoadConnection, now: Moment) {
        switch LoadMessage(text) {
        case .event(let number, let due):
            guard !groups.isEmpty, number > 0 else { return }
            let group = groups[groupOf[connection.index]]
            let slot = Int(number % Int64(group.events.count))
            guard group.events[slot].number == number, group.events[slot].due == due else { return }
            deliveries.record(nanoseconds: now.instant.nanoseconds - due)
            if now.instant < endsAt { deliveredInTime += 1 }
            group.events[slot].missing -= 1
            guard group.events[slot].missing == 0 else { return }
            complete += 1
            last.record(nanoseconds: now.instant.nanoseconds - due)
            if group.rate == nil, now.instant < endsAt { tell(group, due: now.instant) }
        case .ping: connection.say { $0.append("{\"type\":\"pong\"}") }
        case .error: refused += 1
        case .pong, .ack, .other: break
        }
    }

    func tick(now: Moment) -> Bool {
        guard let run else { return true }
        if now.instant < endsAt {
            for group in groups {
                while let due = group.rate?.takeDue(now: now.instant) { tell(group, due: due) }
            }
            return run.inCount == 0
        }
        return deliveries.count >= expected || now.instant >= endsAt + drainLimit
    }

    var progress: String { "\(LoadValue.grouped(deliveries.count)) deliveries" }

    var lostMessages: Int { expected - deliveries.count }

    var result: LoadResult {
        let seconds = plan.duration.inSeconds
        return [
            "seconds": .decimal(seconds, 3), "restaurants": .integer(groups.count),
            "outstanding": .integer(plan.rate == nil ? plan.outstanding : 0), "rate": .integer(plan.rate ?? 0),
            "events": .integer(sent), "complete": .integer(complete), "refused": .integer(refused),
            "deliveries": .integer(deliveries.count), "lost": .integer(lostMessages),
            "deliveries_per_second": .decimal(Double(deliveredInTime) / seconds, 1),
            "delivery_latency_ms": .latencies(deliveries), "last_receipt_latency_ms": .latencies(last),
        ]
    }
}
