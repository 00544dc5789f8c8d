// A day in the life of several servers, one database and many tablets, decided by one number. Nothing in it is real but the
// core: its values get the bytes and the time, and a model of the log judges what they make of them. The same seed is the
// same day, to the last byte.

import FynloCore
import TestSupport

/// The simulated world.
struct Simulation {
    /// A question on its way to the database.
    struct Asked {
        let life: ServerLife
        let question: Question
        var answer = Answer.unavailable
        var isAnswerLost = false
        /// See Scenario.Mistake.eventBeforeCommit.
        var isAnnounced = false
    }

    let seed: UInt64
    let scenario: Scenario
    let settings: SessionSettings
    var generator: SeededBytes
    var clock = VirtualClock()
    var agenda = Agenda()
    var isCalm = false
    var isOver = false
    private var quietChecks = 0

    var database = ModelDatabase()
    let restaurants: [RestaurantID]
    var orderNumbers = 0
    var orderIDs: [RestaurantID: [OrderID]] = [:]
    var isDatabaseAway = false
    /// Until when a server had no answer to what tells it of rights that have ended.
    var troubleUntil = Instant(nanoseconds: 0)
    var asked: [Int: Asked] = [:]
    var questions = 0

    var servers: [SimulatedServer?] = []
    var lives: [Int] = []
    var nodes: UInt64 = 0
    var tablets: [SimulatedTablet] = []
    var links: [Link] = []

    var oracle = Oracle()
    private var trace: Trace

    init(seed: UInt64, mistake: Scenario.Mistake? = nil, isTraced: Bool = false) {
        self.seed = seed
        var generator = SeededBytes(seed &+ 1)
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..<8 { _ = generator.next() }
        var scenario = Scenario(using: &generator)
        scenario.mistake = mistake
        self.scenario = scenario
        settings = SessionSettings(limits: scenario.limits)
        self.generator = generator
        restaurants = (0..<scenario.restaurants).map { RestaurantID(UUID128(high: 0x1111, low: UInt64($0))) }
        trace = Trace(isKept: isTraced)
        database.forgetsCommands = mistake == .forgottenCommands
        setUp()
    }

    /// Runs the day to its end, or to the first broken promise.
    mutating func run() {
        while !isOver, oracle.violation == nil, let next = agenda.next() {
            clock.advance(to: next.time)
            happen(next.happening)
        }
        if !isOver, oracle.violation == nil { oracle.object("nothing happens any more") }
    }

    /// The last steps, for a person.
    var traceLines: [String] { trace.lines }

    mutating func note(_ line: @autoclosure () -> String) {
        trace.note(now.instant, line)
    }

    // MARK: Dice

    var now: Moment { clock.now }

    mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &generator) < percent
    }

    mutating func pick(_ count: Int) -> Int {
        Int.random(in: 0..<count, using: &generator)
    }

    mutating func milliseconds(_ range: ClosedRange<Int>) -> Duration {
        .microseconds(Int.random(in: range.lowerBound * 1_000...range.upperBound * 1_000, using: &generator))
    }

    /// A time with the given mean.
    mutating func around(_ mean: Duration) -> Duration {
        let mean = Int(mean.inMilliseconds)
        return milliseconds(mean / 5...mean * 9 / 5)
    }

    mutating func plan(_ happening: Happening, in delay: Duration) {
        agenda.plan(happening, at: now.instant + delay)
    }

    /// Plans something again, as long as the world has not calmed down.
    mutating func repeatedly(_ happening: Happening, _ interval: Duration?) {
        guard let interval, !isCalm else { return }
        let delay = around(interval)
        plan(happening, in: delay)
    }

    // MARK: The day

    private mutating func setUp() {
        for restaurant in restaurants {
            database.add(restaurant)
            orderIDs[restaurant] = []
            for _ in 0..<4 { addOrder(to: restaurant) }
        }
        for _ in 0..<scenario.history { writeHistory() }
        for index in 0..<scenario.servers {
            servers.append(nil)
            lives.append(0)
            start(server: index)
        }
        for number in 0..<scenario.tablets {
            let restaurant = restaurants[number % restaurants.count]
            // Two tablets may have one user; a few old ones have no name.
            let user = ModelDatabase.User(
                id: UserID(UUID128(high: 0xaaaa, low: UInt64(chance(30) ? number % restaurants.count : number))),
                restaurant: restaurant)
            database.add(user)
            tablets.append(
                SimulatedTablet(
                    number: number, restaurant: restaurant, user: user, device: chance(80) ? "d\(number)" : nil,
                    window: scenario.eagerness))
            let delay = milliseconds(0...500)
            plan(.dial(tablet: number), in: delay)
            repeatedly(.act(tablet: number), scenario.commandInterval)
        }
        repeatedly(.writeForeign, scenario.foreignInterval)
        repeatedly(.cut(link: 0), scenario.cutInterval)
        repeatedly(.crash(server: 0), scenario.crashInterval)
        repeatedly(.loseDatabase, scenario.outageInterval)
        repeatedly(.changeUser, scenario.accessInterval)
        repeatedly(.prune, scenario.pruneInterval)
        plan(.calmDown, in: scenario.duration)
    }

    private mutating func happen(_ happening: Happening) {
        switch happening {
        case .dial(let tablet): dial(tablet)
        case .arrive(let link, .up): arriveUp(link)
        case .arrive(let link, .down): arriveDown(link)
        case .cut: cutSomething()
        case .tickConnection(let life, let number): turn(life) { $0.tick(number) }
        case .tickTablet(let tablet): tick(tablet)
        case .nextTurn(let life): turn(life) { $0.beginTurn() }
        case .pulse(let life): pulse(life)
        case .execute(let question): execute(question)
        case .answer(let question): answer(question)
        case .fail(let question): fail(question)
        case .hint(let life, let counters):
            note("s\(life.server) is told of \(counters.head)")
            turn(life) { $0.hint(counters) }
        case .commitLate(let late): commit(late)
        case .act(let tablet): act(tablet)
        case .wakeTablet(let tablet): wake(tablet)
        case .readOn(let tablet): readOn(tablet)
        case .takeSnapshot(let tablet, let life): takeSnapshot(tablet, life)
        case .giveSnapshot(let tablet, let life, let snapshot): giveSnapshot(tablet, life, snapshot)
        case .writeForeign: writeForeign()
        case .changeUser: changeUser()
        case .prune: prune()
        case .crash: crashSomething()
        case .endDrain(let life): endDrain(life)
        case .restart(let server): start(server: server)
        case .loseDatabase: loseDatabase()
        case .findDatabase: findDatabase()
        case .checkRevocation(let index): checkRevocation(index)
        case .calmDown: calmDown()
        case .checkQuiet: checkQuiet()
        }
    }

    // MARK: The end

    /// Nothing goes wrong any more: everybody has to come to the same view of things.
    private mutating func calmDown() {
        note("the world calms down")
        isCalm = true
        findDatabase()
        for index in servers.indices where servers[index] == nil { start(server: index) }
        for index in links.indices where links[index].isSilent { reset(link: index) }
        for tablet in tablets {
            database.change(tablet.user.subject) { user in
                user.isActive = true
                user.role = tablet.user.role
            }
            tablets[tablet.number].isAsleep = false
            plan(.readOn(tablet: tablet.number), in: .zero)
            plan(.wakeTablet(tablet.number), in: .milliseconds(3_000))
        }
        plan(.writeForeign, in: .milliseconds(100))
        plan(.checkQuiet, in: .milliseconds(4_000))
    }

    private mutating func checkQuiet() {
        let restless = tablets.filter { !isSettled($0) }
        guard restless.isEmpty else {
            quietChecks += 1
            if quietChecks < 60 { return plan(.checkQuiet, in: .seconds(1)) }
            return oracle.object(
                "these do not come to rest: " + restless.map(\.state).joined(separator: ", "))
        }
        isOver = true
        for tablet in tablets where tablet.isConnected {
            if tablet.copy != database.snapshot(of: tablet.restaurant).orders {
                oracle.object("the copy of tablet \(tablet.number) differs from the database")
            }
        }
        for server in servers.compactMap(\.self) {
            for broken in server.brokenLimits() { oracle.object(broken) }
        }
        for restaurant in restaurants where database.stream(of: restaurant).head > 0 {
            oracle.count("events", Int(database.stream(of: restaurant).head))
        }
    }

    private func isSettled(_ tablet: SimulatedTablet) -> Bool {
        if tablet.lacksPlace, !tablet.isConnected { return true }
        return tablet.isConnected && !tablet.awaitsSnapshot && tablet.firstOpen == tablet.commands.count
            && tablet.session?.lastSequence == database.stream(of: tablet.restaurant).head
    }
}

/// The last lines of what happened, kept only when somebody wants to read them: a run is made again for that.
struct Trace {
    let isKept: Bool
    private(set) var lines: [String] = []

    init(isKept: Bool) {
        self.isKept = isKept
    }

    mutating func note(_ now: Instant, _ line: () -> String) {
        guard isKept else { return }
        if lines.count >= 400 { lines.removeFirst(200) }
        let time = (now - VirtualClock().now.instant).inNanoseconds / 1_000
        lines.append("\(time / 1_000_000).\(String(1_000_000 + time % 1_000_000).dropFirst()) \(line())")
    }
}
