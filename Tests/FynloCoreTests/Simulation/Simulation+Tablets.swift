// The tablets: their connections, what their people do, and what they make of what they are told.

import FynloCore
import TestSupport

extension Simulation {
    // MARK: Connections

    mutating func dial(_ number: Int) {
        guard tablets[number].session == nil, !tablets[number].isStopped else { return }
        let tablet = tablets[number]
        let life = tablet.tokenEnd.milliseconds - now.unixTime.milliseconds
        if life < 1_500 { renewToken(number) }
        let session = ClientStack(
            identity: ClientIdentity(
                authority: "pos.example.com", restaurant: tablet.restaurant, client: .pos, user: tablet.user.id,
                token: token(number), deviceID: tablet.device),
            limits: Scenario.clientLimits, lastSequence: tablet.lastSequence, using: &generator, now: now)
        tablets[number].session = session
        let index = pick(servers.count)
        let isLost = !isCalm && chance(3)
        let serverLife = ServerLife(server: index, life: lives[index])
        guard servers[index]?.isLeaving == false else {
            note("t\(number) finds no s\(index)")
            return withSession(number) { session, _, events, _ in session.endOfInput(events: &events) }
        }
        let link = links.count
        links.append(Link(tablet: number, server: serverLife, connection: (servers[index]?.lastNumber ?? 0) + 1))
        links[link].isSilent = isLost
        tablets[number].link = link
        note("t\(number) connects to s\(index)")
        turn(serverLife) { _ = $0.adopt(link: link, restaurant: tablet.restaurant) }
        withSession(number) { session, output, _, _ in session.opened(output: &output) }
    }

    private mutating func renewToken(_ number: Int) {
        let life = chance(50) ? milliseconds(2_500...6_000) : .seconds(600)
        let end = now.unixTime.milliseconds + life.inMilliseconds
        tablets[number].tokenEnd = UnixTime(milliseconds: end / 1_000 * 1_000)
    }

    private func token(_ number: Int) -> String {
        let claims = "{\"sub\":\"\(tablets[number].user.subject)\",\"exp\":\(tablets[number].tokenEnd.seconds)}"
        return "eyJhbGciOiJIUzI1NiJ9." + Base64.encode(Array(claims.utf8), as: .url) + ".c2ln"
    }

    /// The app ends at once, and is opened again; its connection does not learn of it.
    mutating func restart(_ number: Int) {
        tablets[number].forgetConnection()
        let delay = milliseconds(100...800)
        plan(.dial(tablet: number), in: delay)
    }

    /// Calls a tablet's session, sends what it says, and deals with what it tells.
    private mutating func withSession(
        _ number: Int, _ body: (inout ClientStack, inout ByteBuffer, inout [ClientEvent], inout ByteBuffer) -> Void
    ) {
        guard var session = tablets[number].session.take() else { return }
        var output = ByteBuffer()
        var events: [ClientEvent] = []
        var input = tablets[number].input
        tablets[number].input = ByteBuffer()
        body(&session, &output, &events, &input)
        tablets[number].input = input
        tablets[number].session = session
        if let link = tablets[number].link { send(output.bytes(), .up, on: link) }
        for event in events { take(event, number) }
        if let deadline = tablets[number].session?.nextDeadline, tablets[number].wakeUp.map({ deadline < $0 }) ?? true {
            tablets[number].wakeUp = deadline
            agenda.plan(.tickTablet(number), at: deadline)
        }
    }

    mutating func receive(_ bytes: [UInt8], _ number: Int) {
        withSession(number) { [now] session, output, events, input in
            input.append(bytes)
            session.receive(&input, now: now, output: &output, events: &events)
        }
        sendCommands(number)
    }

    mutating func endOfInput(_ number: Int) {
        withSession(number) { session, _, events, _ in session.endOfInput(events: &events) }
    }

    mutating func tick(_ number: Int) {
        guard let wakeUp = tablets[number].wakeUp, wakeUp <= now.instant else { return }
        tablets[number].wakeUp = nil
        withSession(number) { [now] session, output, events, _ in
            session.tick(now: now, output: &output, events: &events)
        }
        sendCommands(number)
    }

    mutating func wake(_ number: Int) {
        tablets[number].isStopped = false
        dial(number)
    }

    mutating func readOn(_ number: Int) {
        tablets[number].isAsleep = false
        if let link = tablets[number].link { arriveDown(link) }
    }

    // MARK: What it is told

    private mutating func take(_ event: ClientEvent, _ number: Int) {
        switch event {
        case .connected(let welcome):
            note("t\(number) is in, at \(welcome.sequence ?? -1)\(welcome.isResumed ? ", resumed" : "")")
            oracle.count(welcome.isResumed ? "resumptions" : "fresh starts")
            tablets[number].policy.reset()
            tablets[number].lacksPlace = false
            if tablets[number].next == nil {
                tablets[number].startOver(after: welcome.sequence ?? 0)
                askForSnapshot(number)
            }
        case .message(let message):
            take(message, number)
        case .unreadable:
            oracle.object("tablet \(number) cannot read what it was sent")
        case .answered(let id, let outcome):
            if id.hasPrefix("t"), let command = Wire.command(id) { answered(command, outcome, number) }
        case .closed(let closure):
            closed(closure, number)
        case .pong, .pongMissed, .error, .reauthenticated, .reauthenticationRefused:
            break
        }
    }

    private mutating func take(_ message: ReceivedMessage, _ number: Int) {
        let tablet = tablets[number]
        if message.sequence != nil {
            oracle.received(message, by: tablet, in: database.stream(of: tablet.restaurant))
            let (order, seen) = Simulation.change(message)
            if let order, let broken = tablets[number].take(message.sequence ?? 0, order: order, seen: seen) {
                oracle.object("tablet \(number): \(broken)")
            }
            return
        }
        switch message.type {
        case "resync_required":
            note("t\(number) has to reload")
            oracle.count("resyncs")
            var head: EventSequence = 0
            message.forEachDataMember { key, value, text in
                if JSON.equals(key, "seq", in: text) { head = JSON.integer(value, in: text) ?? 0 }
            }
            tablets[number].startOver(after: head)
            askForSnapshot(number)
        case "token_expired":
            renewToken(number)
            let data = "{\"token\":\"\(token(number))\"}"
            tablets[number].renewals += 1
            let id = "r\(tablets[number].renewals)"
            withSession(number) { [now] session, output, _, _ in
                _ = try? session.send("reauth", data: data, id: id, now: now, output: &output)
            }
        case "kitchen.item_ready":
            message.forEachDataMember { key, value, text in
                guard JSON.equals(key, "restaurant", in: text) else { return }
                if JSON.string(value, in: text) != tablet.restaurant.description {
                    oracle.object("tablet \(number) got a message of another restaurant")
                }
            }
        default:
            break
        }
    }

    /// What an event says of its order.
    private static func change(_ message: ReceivedMessage) -> (OrderID?, Seen?) {
        var order: OrderID?
        var status = ""
        var version: Int64 = 0
        message.forEachDataMember { key, value, text in
            if JSON.equals(key, "order_id", in: text) {
                order = JSON.string(value, in: text).flatMap { OrderID($0) }
            } else if JSON.equals(key, "status", in: text) {
                status = JSON.string(value, in: text) ?? ""
            } else if JSON.equals(key, "version", in: text) {
                version = JSON.integer(value, in: text) ?? 0
            }
        }
        return (order, message.type == "order.deleted" ? nil : Seen(status: status, version: Int32(version)))
    }

    private mutating func closed(_ closure: ClientClosure, _ number: Int) {
        note("t\(number) is closed: \(closure.code) \(closure.refusal?.code ?? closure.reason)")
        oracle.count("closed \(closure.code)")
        if let link = tablets[number].link { closeByTablet(link) }
        tablets[number].forgetConnection()
        tablets[number].lacksPlace = closure.refusal?.code == "connection_limit"
        if let code = closure.refusal?.code { oracle.count("refused: \(code)") }
        var delay = tablets[number].policy.nextDelay(using: &generator)
        switch closure.reconnection {
        case .afterDelay(let least):
            if let least { delay = max(delay, least) }
        case .withNewToken:
            tablets[number].tokenEnd = UnixTime(milliseconds: 0)
        case .never:
            guard [CloseReason.accessRevoked.code, CloseReason.replaced.code].contains(closure.code) else {
                return oracle.object("tablet \(number) is told never to return: \(closure.code) \(closure.reason)")
            }
            tablets[number].isStopped = true
            return plan(.wakeTablet(number), in: .seconds(2))
        }
        plan(.dial(tablet: number), in: min(delay, .seconds(isCalm ? 1 : 3)))
    }

    // MARK: Commands

    mutating func act(_ number: Int) {
        repeatedly(.act(tablet: number), scenario.commandInterval)
        guard !isCalm else { return }
        if scenario.hasSleepers, chance(10), !tablets[number].isAsleep {
            note("t\(number) falls asleep")
            tablets[number].isAsleep = true
            let delay = milliseconds(500...6_000)
            plan(.readOn(tablet: number), in: delay)
        }
        let isFlood = scenario.hasFlood && number == 0 && chance(20)
        for _ in 0..<(isFlood ? 40 : 1) { addCommand(number) }
        sendCommands(number, isFlood: isFlood)
    }

    private mutating func addCommand(_ number: Int) {
        let restaurant = chance(5) ? restaurants[pick(restaurants.count)] : tablets[number].restaurant
        guard let orders = orderIDs[restaurant], !orders.isEmpty, !chance(scenario.hasSleepers ? 50 : 15) else {
            let padding = String(repeating: "x", count: scenario.padding)
            let data = "{\"restaurant\":\"\(tablets[number].restaurant)\",\"padding\":\"\(padding)\"}"
            return tablets[number].commands.append(SimulatedTablet.Command(type: "kitchen.item_ready", data: data))
        }
        let order = orders[max(0, orders.count - 1 - pick(5))]
        let status = OrderStatus.allCases[pick(OrderStatus.allCases.count)]
        var data = "{\"order_id\":\"\(order)\",\"status\":\"\(status.rawValue)\""
        if chance(25), let seen = tablets[number].copy[order] { data += ",\"expected_version\":\(seen.version)" }
        tablets[number].commands.append(
            SimulatedTablet.Command(type: "order.status_update", data: data + "}"))
    }

    /// Sends what waits, in order, as far as the tablet does not want to wait for answers.
    mutating func sendCommands(_ number: Int, isFlood: Bool = false) {
        guard tablets[number].isConnected, let link = tablets[number].link else { return }
        let first = tablets[number].firstOpen
        guard first < tablets[number].commands.count else { return }
        let window = isFlood ? 100 : tablets[number].window
        var unanswered = tablets[number].commands[first...].count { $0.isSent && !$0.isSettled }
        for index in first..<tablets[number].commands.count where unanswered < window {
            let command = tablets[number].commands[index]
            guard !command.isSent, !command.isSettled else { continue }
            unanswered += 1
            let id = tablets[number].id(index)
            withSession(number) { [now] session, output, _, _ in
                _ = try? session.send(command.type, data: command.data, id: id, now: now, output: &output)
            }
            guard tablets[number].link == link else { return }
            links[link].marks.append((links[link].up.sent, index))
            tablets[number].commands[index].isSent = true
            tablets[number].commands[index].wasSent = true
        }
    }

    private mutating func answered(_ command: Int, _ outcome: CommandOutcome, _ number: Int) {
        let id = tablets[number].id(command)
        let isTransient = tablets[number].commands[command].isTransient
        note("t\(number): \(id) \(Simulation.brief(outcome))")
        switch outcome {
        case .acknowledged(let sequence, _):
            oracle.acknowledged(id, sequence: sequence, isTransient: isTransient)
            tablets[number].settle(command)
        case .refused(let error, _) where ["unavailable", "rate_limited"].contains(error.code):
            oracle.count("asked to send again: \(error.code)")
            again(command, number)
        case .refused(let error, _):
            oracle.count("refused: \(error.code)")
            oracle.refused(id, error.code)
            tablets[number].settle(command)
        case .timedOut:
            again(command, number)
        }
    }

    private mutating func again(_ command: Int, _ number: Int) {
        if tablets[number].commands[command].isTransient { return tablets[number].settle(command) }
        tablets[number].commands[command].isSent = false
    }

    private static func brief(_ outcome: CommandOutcome) -> String {
        switch outcome {
        case .acknowledged(let sequence, _): "ack \(sequence.map(String.init) ?? "")"
        case .refused(let error, _): error.code
        case .timedOut: "timed out"
        }
    }

    // MARK: Snapshots

    private mutating func askForSnapshot(_ number: Int) {
        let delay = milliseconds(1...200)
        plan(.takeSnapshot(tablet: number, life: tablets[number].snapshotLife), in: delay)
    }

    mutating func takeSnapshot(_ number: Int, _ life: Int) {
        guard tablets[number].snapshotLife == life else { return }
        if isDatabaseAway { return plan(.takeSnapshot(tablet: number, life: life), in: .milliseconds(300)) }
        let delay = milliseconds(1...200)
        plan(
            .giveSnapshot(tablet: number, life: life, database.snapshot(of: tablets[number].restaurant)), in: delay)
    }

    mutating func giveSnapshot(_ number: Int, _ life: Int, _ snapshot: Snapshot) {
        guard tablets[number].snapshotLife == life else { return }
        note("t\(number) loads the state at \(snapshot.sequence)")
        tablets[number].load(snapshot)
    }
}
