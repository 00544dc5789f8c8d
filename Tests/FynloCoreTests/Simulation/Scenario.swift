// What kind of day a seed makes: how many take part, and what goes wrong how often.

import FynloCore

/// The dice of one simulation.
struct Scenario {
    /// Deliberate mistakes, to see that they are found.
    enum Mistake: CaseIterable {
        /// The database forgets which commands it has done.
        case forgottenCommands
        /// The database answers, and commits afterwards, if nothing comes in between.
        case answerBeforeCommit
        /// The server tells of an event that is not committed yet.
        case eventBeforeCommit
    }

    var servers: Int
    var restaurants: Int
    var tablets: Int
    /// How long things happen before the world calms down.
    var duration: Duration
    /// Commands that a tablet sends without waiting.
    var eagerness: Int
    /// Events of the days before.
    var history: Int
    /// How many of 100 questions to the database get lost in some way.
    var lostQuestions: Int
    /// How many of 100 hints get lost.
    var lostHints: Int
    /// Mean times between …
    var commandInterval: Duration
    var foreignInterval: Duration
    var cutInterval: Duration?
    var crashInterval: Duration?
    var outageInterval: Duration?
    var accessInterval: Duration?
    var pruneInterval: Duration?
    /// Tablets that stop reading, now and then.
    var hasSleepers: Bool
    /// Bytes that relayed messages are filled up with.
    var padding: Int
    /// A tablet sends far too much.
    var hasFlood: Bool
    var mistake: Mistake?

    init(using generator: inout some RandomNumberGenerator) {
        func one(of count: Int) -> Bool { Int.random(in: 0..<count, using: &generator) == 0 }
        func seconds(_ range: ClosedRange<Int>, unlessOneOf count: Int) -> Duration? {
            let value = Duration.milliseconds(Int.random(in: range, using: &generator))
            return one(of: count) ? nil : value
        }
        servers = Int.random(in: 1...3, using: &generator)
        restaurants = Int.random(in: 1...2, using: &generator)
        tablets = Int.random(in: 2...5, using: &generator)
        duration = .milliseconds(Int.random(in: 4_000...8_000, using: &generator))
        eagerness = [1, 1, 3, 8][Int.random(in: 0..<4, using: &generator)]
        history = one(of: 12) ? Int.random(in: 190...420, using: &generator) : Int.random(in: 0...12, using: &generator)
        lostQuestions = [0, 2, 10][Int.random(in: 0..<3, using: &generator)]
        lostHints = [0, 30, 100][Int.random(in: 0..<3, using: &generator)]
        commandInterval = .milliseconds(Int.random(in: 400...1_500, using: &generator))
        foreignInterval = .milliseconds(Int.random(in: 300...1_500, using: &generator))
        cutInterval = seconds(600...4_000, unlessOneOf: 4)
        crashInterval = seconds(1_500...6_000, unlessOneOf: 3)
        outageInterval = seconds(1_500...6_000, unlessOneOf: 2)
        accessInterval = seconds(1_000...4_000, unlessOneOf: 2)
        pruneInterval = seconds(300...3_000, unlessOneOf: 2)
        hasSleepers = one(of: 10)
        padding = hasSleepers ? 6_000 : 0
        hasFlood = one(of: 16)
    }

    /// Small enough to be reached.
    var limits: Limits {
        var limits = Limits()
        limits.connections = 12
        limits.unauthenticatedConnections = 3
        limits.connectionsPerRestaurant = 4
        limits.connectionsPerUser = 2
        limits.authenticationTimeout = .seconds(3)
        limits.idlePing = .seconds(2)
        limits.staleAfter = .seconds(4)
        limits.sweepInterval = .milliseconds(1_500)
        limits.heartbeatInterval = .milliseconds(1_700)
        limits.tokenWarning = .seconds(2)
        limits.tokenLeeway = .seconds(1)
        limits.closeTimeout = .seconds(1)
        limits.messagesPerSecond = 10
        limits.messageBurst = 20
        limits.rateRefusals = 12
        // What is replayed at once has to fit in.
        limits.sendQueueBytes = history > 100 ? 80_000 : 20_000
        limits.waitingCommands = 4
        limits.replayedEvents = 300
        return limits
    }

    static var clientLimits: ClientLimits {
        var limits = ClientLimits()
        limits.connectTimeout = .seconds(3)
        limits.authenticationTimeout = .seconds(7)
        limits.pongTimeout = .seconds(1)
        limits.commandTimeout = .seconds(8)
        limits.closeTimeout = .seconds(1)
        return limits
    }
}
