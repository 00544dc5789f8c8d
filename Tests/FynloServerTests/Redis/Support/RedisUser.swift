import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A connection under test, its loop, and what it said. Its limits are patient, as the machine may be busy.
final class RedisUser {
    typealias Answer = Result<RedisReply, RedisError>

    let loop: EventLoop
    let connection: RedisConnection
    private let notes: Notes

    private final class Notes {
        var lines: [String] = []
    }

    static var patient: RedisConnection.Limits {
        var limits = RedisConnection.Limits()
        limits.silence = .seconds(10)
        limits.backoff = .milliseconds(10)...(.milliseconds(50))
        return limits
    }

    init(_ loop: EventLoop, _ url: String, limits: RedisConnection.Limits = patient) throws {
        let notes = Notes()
        self.notes = notes
        self.loop = loop
        connection = RedisConnection(loop: loop, settings: try RedisSettings(url), limits: limits) { level, sentence in
            notes.lines.append("\(level): \(sentence)")
        }
    }

    /// Level and sentence of each line logged.
    var log: [String] { notes.lines }

    deinit {
        connection.close()
        try? loop.turn(timeout: .zero)  // the loop lets go of it
    }

    func open() throws {
        connection.open()
        try untilReady()
    }

    func untilReady() throws {
        try #require(try loop.run(until: { connection.isReady }, for: Duration.seconds(20).patient), "\(log)")
    }

    func until(_ condition: () -> Bool) throws {
        try #require(try loop.run(until: condition, for: Duration.seconds(20).patient), "\(log)")
    }

    /// The answer to a command that is given within the turn in which it is sent; nil when it waits.
    func askWithinOneTurn(_ arguments: RedisArgument...) throws -> Answer? {
        let answers = Answers()
        connection.send(arguments, budget: .seconds(10), reply: answers.take)
        #expect(answers.all.isEmpty, "replied from within send")
        try loop.turn(timeout: .zero)
        return answers.all.first
    }

    /// Sends one command and turns the loop until it is answered.
    func ask(_ arguments: RedisArgument..., budget: Duration = .seconds(10)) throws -> Answer {
        let answers = Answers()
        connection.send(arguments, budget: budget, reply: answers.take)
        #expect(answers.all.isEmpty, "replied from within send")
        try until { !answers.all.isEmpty }
        return try #require(answers.all.first)
    }
}

/// Collects answers in the order in which they come.
final class Answers {
    private(set) var all: [RedisUser.Answer] = []

    func take(_ answer: RedisUser.Answer) {
        all.append(answer)
    }
}

extension RedisReply {
    static func text(_ text: String) -> RedisReply {
        .string(Array(text.utf8))
    }
}
