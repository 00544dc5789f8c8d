// The database, its other writers, and all that can happen between a question and its answer.

import FynloCore
import TestSupport

extension Simulation {
    // MARK: Questions

    mutating func ask(_ question: Question, _ life: ServerLife) {
        questions += 1
        var ask = Asked(life: life, question: question)
        var isExecuted = true
        if isDatabaseAway {
            isExecuted = false
            let delay = chance(70) ? milliseconds(1...50) : milliseconds(500...2_000)
            failLater(questions, question, in: delay)
        } else if !isCalm, chance(scenario.lostQuestions) {
            // Lost on the way there, on the way back, or done after everybody has given up.
            ask.isAnswerLost = true
            isExecuted = chance(60)
            let delay = milliseconds(1...2_000)
            failLater(questions, question, in: delay)
        }
        asked[questions] = ask
        guard isExecuted else { return }
        let delay = ask.isAnswerLost && chance(50) ? milliseconds(200...3_000) : milliseconds(1...25)
        plan(.execute(question: questions), in: delay)
    }

    private mutating func failLater(_ number: Int, _ question: Question, in delay: Duration) {
        switch question {
        case .counters, .rights: troubleUntil = max(troubleUntil, now.instant + delay)
        case .access, .renewal, .command, .events, .replay: break
        }
        plan(.fail(question: number), in: delay)
    }

    mutating func execute(_ number: Int) {
        guard let ask = asked[number] else { return }
        // The commands of a server that has crashed may have been on their way.
        var isWanted = isAlive(ask.life)
        if !isWanted, case .command = ask.question { isWanted = chance(50) }
        guard isWanted else {
            asked[number] = nil
            return
        }
        if isDatabaseAway, !ask.isAnswerLost {
            return failLater(number, ask.question, in: .milliseconds(5))
        }
        if isDatabaseAway { return }
        if scenario.mistake == .eventBeforeCommit, !ask.isAnnounced, case .command = ask.question {
            return announce(number, ask)
        }
        let answer = perform(ask.question)
        asked[number]?.answer = answer
        guard !ask.isAnswerLost else { return }
        var delay = milliseconds(1...25)
        // What was looked up may be old when it is heard of.
        if case .access = ask.question, chance(40) { delay = milliseconds(25...400) }
        plan(.answer(question: number), in: delay)
    }

    private mutating func announce(_ number: Int, _ ask: Asked) {
        asked[number]?.isAnnounced = true
        var copy = database
        if case .command(_, .some(let event)) = copy.execute(ask.question, at: now.unixTime) {
            turn(ask.life) { $0.committed(event) }
        }
        let delay = milliseconds(1...50)
        plan(.execute(question: number), in: delay)
    }

    private mutating func perform(_ question: Question) -> Answer {
        guard case .command(.updateOrderStatus(let update, let restaurant, let user, let id), _) = question else {
            return database.execute(question, at: now.unixTime)
        }
        if scenario.mistake == .answerBeforeCommit {
            var copy = database
            let late = LateCommit(update: update, restaurant: restaurant, user: user, messageID: id)
            if !chance(10) {
                let delay = milliseconds(0...200)
                plan(.commitLate(late), in: delay)
            }
            return copy.execute(question, at: now.unixTime)
        }
        let head = database.stream(of: restaurant).head
        let answer = database.execute(question, at: now.unixTime)
        let log = database.stream(of: restaurant).log
        if oracle.hasDecided(id) { oracle.count("repeated commands") }
        oracle.decided(id)
        oracle.logged(log[Int(head)...])
        note("db: \(id ?? "") \(update.status) -> \(log.count > head ? "event \(log.count)" : "\(answer)")")
        if log.count > head { hintServers([restaurant]) }
        return answer
    }

    mutating func commit(_ late: LateCommit) {
        let head = database.stream(of: late.restaurant).head
        _ = database.updateStatus(
            late.update, restaurant: late.restaurant, user: late.user, messageID: late.messageID, at: now.unixTime)
        oracle.decided(late.messageID)
        oracle.logged(database.stream(of: late.restaurant).log[Int(head)...])
    }

    mutating func answer(_ number: Int) {
        guard let ask = asked.removeValue(forKey: number) else { return }
        turn(ask.life) { $0.deliver(ask.answer, to: ask.question) }
    }

    mutating func fail(_ number: Int) {
        guard let ask = asked[number] else { return }
        if !ask.isAnswerLost { asked[number] = nil }
        if case .command(.updateOrderStatus(_, _, _, let id), _) = ask.question {
            note("s\(ask.life.server) gets no answer to \(id ?? "")")
            oracle.count("unknown outcomes")
        }
        turn(ask.life) { $0.deliver(.unavailable, to: ask.question) }
    }

    mutating func loseDatabase() {
        repeatedly(.loseDatabase, scenario.outageInterval)
        guard !isCalm, !isDatabaseAway else { return }
        note("the database is away")
        oracle.count("outages")
        isDatabaseAway = true
        let delay = milliseconds(100...2_000)
        troubleUntil = max(troubleUntil, now.instant + delay)
        plan(.findDatabase, in: delay)
    }

    mutating func findDatabase() {
        if isDatabaseAway { note("the database is back") }
        isDatabaseAway = false
    }

    // MARK: Hints

    /// Tells the servers how far streams have come, perhaps.
    private mutating func hintServers(_ touched: [RestaurantID]) {
        for restaurant in touched {
            guard let counters = database.counters(of: restaurant) else { continue }
            for index in servers.indices where servers[index] != nil && !chance(scenario.lostHints) {
                let delay = milliseconds(1...60)
                plan(.hint(ServerLife(server: index, life: lives[index]), counters), in: delay)
            }
        }
    }

    // MARK: Other writers

    private mutating func newOrder(at restaurant: RestaurantID) -> ModelDatabase.Order {
        orderNumbers += 1
        return ModelDatabase.Order(
            id: OrderID(UUID128(high: 0xcccc, low: UInt64(orderNumbers))), restaurant: restaurant,
            number: "ORD-\(orderNumbers)")
    }

    mutating func addOrder(to restaurant: RestaurantID) {
        let order = newOrder(at: restaurant)
        var transaction = database.begin()
        transaction.insert(order)
        database.commit(transaction, at: now.unixTime)
        orderIDs[restaurant]?.append(order.id)
    }

    /// An event of the days before.
    mutating func writeHistory() {
        let restaurant = restaurants[0]
        var transaction = database.begin()
        if let order = orderIDs[restaurant]?.first { transaction.update(order) { $0.notes = "\($0.version)" } }
        database.commit(transaction, at: now.unixTime)
    }

    mutating func writeForeign() {
        repeatedly(.writeForeign, scenario.foreignInterval)
        var transaction = database.begin()
        var created: [(RestaurantID, OrderID)] = []
        func insertOrder(at restaurant: RestaurantID) {
            let order = newOrder(at: restaurant)
            transaction.insert(order)
            created.append((restaurant, order.id))
        }
        for _ in 0..<(1 + pick(3)) {
            let restaurant = restaurants[pick(restaurants.count)]
            guard let orders = orderIDs[restaurant], !orders.isEmpty else { continue }
            let order = orders[pick(orders.count)]
            switch pick(8) {
            case 0, 1:
                insertOrder(at: restaurant)
            case 2: transaction.delete(order)
            case 3:
                let item = ModelDatabase.Item(
                    id: UUID128(high: 0xdddd, low: generator.next()), name: "Taco", quantity: 1)
                transaction.updateItems(of: order) { $0.append(item) }
            case 4: transaction.update(order) { $0.notes = "\($0.version)" }
            default:
                let choice = pick(OrderStatus.allCases.count)
                let status = OrderStatus.allCases[choice]
                transaction.update(order) { order in
                    order.status = status
                    // So that whatever comes together, something has changed.
                    order.notes = "\(order.version)"
                }
            }
        }
        // What was pruned before anybody read it shows by the next event, so there is to be one everywhere.
        if isCalm { for restaurant in restaurants { insertOrder(at: restaurant) } }
        let touched = database.commit(transaction, at: now.unixTime)
        for (restaurant, order) in created { orderIDs[restaurant]?.append(order) }
        let heads = restaurants.map { database.stream(of: $0).head }
        note("another program writes: heads \(heads)")
        hintServers(touched)
    }

    mutating func prune() {
        repeatedly(.prune, scenario.pruneInterval)
        guard !isCalm else { return }
        let restaurant = restaurants[pick(restaurants.count)]
        let head = database.stream(of: restaurant).head
        let kept = EventSequence(pick(12))
        note("events up to \(head - kept) are pruned")
        database.prune(restaurant, through: head - kept)
    }

    // MARK: Access

    mutating func changeUser() {
        repeatedly(.changeUser, scenario.accessInterval)
        guard !isCalm else { return }
        // Best at the moment when they are let in.
        let entering = tablets.filter { $0.session?.state == .authenticating }
        let concerned = !entering.isEmpty && chance(70) ? entering : tablets
        let user = concerned[pick(concerned.count)].user
        let isRoleChange = chance(30)
        database.change(user.subject) { user in
            if isRoleChange {
                user.role = user.role == .employee ? .manager : .employee
            } else {
                user.isActive.toggle()
            }
        }
        note("\(user.subject.suffix(4)) changes")
        oracle.count("changes of access")
        oracle.revocations.append((user.subject, user.restaurant, now.instant))
        let number = oracle.revocations.count - 1
        plan(.checkRevocation(number), in: .seconds(2))
        hintServers([user.restaurant])
    }

    /// Nobody is there any more by rights that have ended.
    mutating func checkRevocation(_ index: Int) {
        let revocation = oracle.revocations[index]
        guard !oracle.revocations[(index + 1)...].contains(where: { $0.subject == revocation.subject }), !isCalm else {
            return
        }
        let since = max(revocation.at, troubleUntil)
        guard now.instant - since >= .seconds(2) else {
            return agenda.plan(.checkRevocation(index), at: since + .seconds(2))
        }
        guard let record = database.access(of: revocation.subject, to: revocation.restaurant) else { return }
        for server in servers.compactMap(\.self) {
            for member in server.registry.members(of: revocation.restaurant) where member.user == record.user {
                if !record.userIsActive || record.role != member.role {
                    oracle.object("\(revocation.subject) is still connected to s\(server.life.server)")
                }
            }
        }
        oracle.count("revocations checked")
    }
}
