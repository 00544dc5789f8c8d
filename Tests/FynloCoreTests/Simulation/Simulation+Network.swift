// Links, and the turns of the servers at their ends.

import FynloCore
import TestSupport

extension Simulation {
    // MARK: Servers

    mutating func start(server index: Int) {
        guard servers[index] == nil else { return }
        lives[index] += 1
        nodes += 1
        let life = ServerLife(server: index, life: lives[index])
        servers[index] = SimulatedServer(life: life, node: nodes, settings: settings, now: now)
        note("s\(index) starts")
        let delay = milliseconds(0...900)
        plan(.pulse(life), in: delay)
    }

    func isAlive(_ life: ServerLife) -> Bool {
        lives[life.server] == life.life && servers[life.server] != nil
    }

    mutating func pulse(_ life: ServerLife) {
        guard isAlive(life) else { return }
        turn(life) { $0.pulse() }
        plan(.pulse(life), in: .milliseconds(900))
    }

    /// One turn of a server's loop.
    mutating func turn(_ life: ServerLife, _ body: (inout SimulatedServer) -> Void) {
        guard isAlive(life), var server = servers[life.server].take() else { return }
        server.now = now
        body(&server)
        server.endTurn()
        var closedLinks: [(link: Int, isReset: Bool)] = []
        while !server.outbox.unflushed.isEmpty {
            let batch = server.outbox.unflushed
            server.outbox.unflushed = []
            for number in batch {
                guard let link = server.connections[number]?.link else { continue }
                let bytes = server.write(number, window: Link.window - links[link].down.inFlight)
                send(bytes, .down, on: link)
            }
        }
        for link in server.outbox.halfClosed { finish(.down, link) }
        server.outbox.halfClosed = []
        swap(&closedLinks, &server.outbox.closed)
        for (link, isReset) in closedLinks { closeByServer(link, isReset: isReset) }
        for (number, deadline) in server.outbox.wakeUps { agenda.plan(.tickConnection(life, number), at: deadline) }
        server.outbox.wakeUps = []
        if server.outbox.wantsNextTurn { plan(.nextTurn(life), in: .microseconds(100)) }
        server.outbox.wantsNextTurn = false
        let questions = server.outbox.questions
        server.outbox.questions = []
        for question in questions {
            judge(question, server)
            ask(question, life)
        }
        for broken in server.violations + server.brokenLimits() { oracle.object("s\(life.server): \(broken)") }
        for (restaurant, missing, head) in server.resyncs {
            oracle.resynced(
                from: missing, to: head, in: database.stream(of: restaurant), limit: settings.limits.replayedEvents)
        }
        server.resyncs = []
        for what in server.seen { oracle.count(what) }
        server.seen = []
        servers[life.server] = server
    }

    /// Is a command's turn come?
    private mutating func judge(_ question: Question, _ server: SimulatedServer) {
        guard case .command(.updateOrderStatus(_, _, _, let id), let number) = question,
            let connection = server.connections[number], let command = id.flatMap(Wire.command)
        else { return }
        oracle.began(command, of: tablets[links[connection.link].tablet], putOff: connection.wire.putOff)
    }

    mutating func crashSomething() {
        repeatedly(.crash(server: 0), scenario.crashInterval)
        let index = pick(servers.count)
        guard !isCalm, servers[index]?.isLeaving == false else { return }
        guard !chance(40) else { return drain(index) }
        note("s\(index) crashes")
        oracle.count("crashes")
        end(index)
    }

    /// The server is told to stop, and takes at most so long; perhaps not long enough for everybody.
    private mutating func drain(_ index: Int) {
        note("s\(index) drains")
        oracle.count("drains")
        let life = ServerLife(server: index, life: lives[index])
        turn(life) { $0.leaveAll() }
        let patience = milliseconds(50...6_000)
        plan(.endDrain(life), in: patience)
    }

    mutating func endDrain(_ life: ServerLife) {
        guard isAlive(life), let server = servers[life.server] else { return }
        note("s\(life.server) ends, \(server.connections.count) connections are left")
        if server.connections.isEmpty { oracle.count("drains to the end") }
        end(life.server)
    }

    private mutating func end(_ index: Int) {
        guard let server = servers[index].take() else { return }
        lives[index] += 1
        for number in server.connections.keys.sorted() {
            guard let link = server.connections[number]?.link else { continue }
            links[link].isClosedByServer = true
            if chance(50) { links[link].down.dropAll() }
            finish(.down, link)
        }
        let delay = milliseconds(100...1_500)
        plan(.restart(server: index), in: delay)
    }

    // MARK: Links

    /// Bytes go on their way, in pieces.
    mutating func send(_ bytes: [UInt8], _ direction: Direction, on link: Int) {
        guard !bytes.isEmpty else { return }
        var start = 0
        let pieces = chance(80) ? 1 : 1 + pick(4)
        for piece in 1...pieces {
            let end = piece == pieces ? bytes.count : min(bytes.count, start + 1 + pick(max(1, bytes.count - start)))
            guard end > start else { continue }
            let latency = chance(95) || isCalm ? milliseconds(1...30) : milliseconds(30...700)
            let part = start == 0 && end == bytes.count ? bytes : Array(bytes[start..<end])
            let due =
                direction == .up
                ? links[link].up.send(part, due: now.instant + latency)
                : links[link].down.send(part, due: now.instant + latency)
            if !links[link].isSilent { agenda.plan(.arrive(link: link, direction), at: due) }
            start = end
        }
    }

    /// The end goes on its way.
    private mutating func finish(_ direction: Direction, _ link: Int) {
        let latency = milliseconds(1...30)
        let due =
            direction == .up
            ? links[link].up.finish(due: now.instant + latency) : links[link].down.finish(due: now.instant + latency)
        if !links[link].isSilent { agenda.plan(.arrive(link: link, direction), at: due) }
    }

    mutating func arriveUp(_ index: Int) {
        let link = links[index]
        guard !link.isSilent, !link.isClosedByServer, isAlive(link.server),
            let connection = servers[link.server.server]?.connections[link.connection]
        else { return }
        guard connection.canRead || connection.queue.isLingering else {
            // The kernel keeps it.
            return plan(.arrive(link: index, .up), in: .milliseconds(20))
        }
        let bytes = links[index].up.take(now: now.instant)
        let received = links[index].up.received
        let commands = links[index].marks.prefix { $0.end <= received }.map(\.command)
        links[index].marks.removeFirst(commands.count)
        let isOver = links[index].up.isOver(now: now.instant)
        guard !bytes.isEmpty || isOver else { return }
        note("s\(link.server.server) reads \(bytes.count) bytes of t\(link.tablet)\(isOver ? ", the end" : "")")
        turn(link.server) { server in
            if !bytes.isEmpty { server.receive(bytes, commands: commands, from: link.connection) }
            if isOver { server.endOfInput(from: link.connection) }
        }
    }

    mutating func arriveDown(_ index: Int) {
        let link = links[index]
        guard !link.isSilent, !link.isClosedByTablet, tablets[link.tablet].link == index,
            !tablets[link.tablet].isAsleep
        else { return }
        let bytes = links[index].down.take(now: now.instant)
        let isOver = links[index].down.isOver(now: now.instant)
        if !bytes.isEmpty { receive(bytes, link.tablet) }
        if isOver, tablets[link.tablet].link == index { endOfInput(link.tablet) }
        turn(link.server) { $0.becameWritable(link.connection) }
    }

    private mutating func closeByServer(_ link: Int, isReset: Bool) {
        guard !links[link].isClosedByServer else { return }
        links[link].isClosedByServer = true
        if isReset { links[link].down.dropAll() }
        finish(.down, link)
    }

    mutating func closeByTablet(_ link: Int) {
        links[link].isClosedByTablet = true
        finish(.up, link)
    }

    /// Both ends learn that the connection is gone.
    mutating func reset(link index: Int) {
        links[index].isSilent = false
        links[index].up.dropAll()
        links[index].down.dropAll()
        links[index].marks = []
        finish(.up, index)
        finish(.down, index)
    }

    mutating func cutSomething() {
        repeatedly(.cut(link: 0), scenario.cutInterval)
        let open = tablets.compactMap(\.link)
        guard !isCalm, !open.isEmpty else { return }
        let index = open[pick(open.count)]
        let tablet = links[index].tablet
        if chance(50) {
            note("the link of t\(tablet) is cut")
            oracle.count("cuts")
            reset(link: index)
        } else {
            note("the link of t\(tablet) goes silent")
            oracle.count("silences")
            links[index].isSilent = true
            if chance(50) { restart(tablet) }
        }
    }
}
