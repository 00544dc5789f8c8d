import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

@Suite("The log")
struct LoggerTests {
    /// Both ends of a pipe; the reading one does not wait.
    private struct Ends: ~Copyable {
        let reader: FileDescriptor
        let writer: FileDescriptor

        init() throws {
            var numbers: [Int32] = [0, 0]
            try #require(pipe(&numbers) == 0)
            reader = FileDescriptor(owning: numbers[0])
            writer = FileDescriptor(owning: numbers[1])
            _ = fcntl(numbers[0], F_SETFL, O_NONBLOCK)
        }

        /// All that was written.
        borrowing func read() -> String {
            var text: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = Glibc.read(reader.rawValue, &chunk, chunk.count)
                guard count > 0 else { return String(decoding: text, as: UTF8.self) }
                text += chunk[..<count]
            }
        }
    }

    @Test("writes one line per event, of at least its level")
    func lines() throws {
        let ends = try Ends()
        let log = Logger(level: .info, format: .json, descriptor: ends.writer.rawValue)
        log.debug("quiet")
        log.info("first", ["text": "a \"b\"\n\u{0}c", "more": "d"])
        log.error("second")
        let lines = ends.read().split(separator: "\n").map { try? Document(json: String($0)) }
        #expect(lines.count == 2)
        #expect(lines.first??["event"].string == "first")
        #expect(lines.first??["text"].string == "a \"b\"\n\u{0}c")
        #expect(lines.last??["level"].string == "error")
        let text = Logger(level: .debug, format: .text, descriptor: ends.writer.rawValue)
        text.warning("third", ["text": "one\ntwo"])
        #expect(ends.read().split(separator: "\n").count == 1)
    }

    @Test(
        "cuts long values instead of losing the line",
        arguments: [
            String(repeating: "x", count: 1_000_000), String(repeating: "é", count: 5_000),
            String(repeating: "\u{1}", count: 5_000),
            // One character, as Unicode counts.
            "e" + String(repeating: "\u{301}", count: 50_000),
        ])
    func longValues(value: String) throws {
        let ends = try Ends()
        for format in [Logger.Format.json, .text] {
            let log = Logger(level: .info, format: format, descriptor: ends.writer.rawValue)
            log.info("long", ["one": value, "two": value])
            #expect(log.droppedLines == 0)
            let line = ends.read()
            #expect((200...4_096).contains(line.utf8.count))
            #expect(line.hasSuffix("\n"))
            if format == .json { #expect(try Document(json: line)["event"].string == "long") }
        }
    }

    @Test("drops lines, and counts them, rather than wait for a reader")
    func nobodyReads() throws {
        let ends = try Ends()
        let log = Logger(level: .info, format: .json, descriptor: ends.writer.rawValue, repetition: .unlimited)
        let start = SystemClock.instant
        for _ in 0..<5_000 { log.info("noise", ["text": "0123456789012345678901234567890123456789"]) }
        #expect(SystemClock.instant - start < .seconds(5))
        #expect(log.droppedLines > 0)
        let lines = ends.read().split(separator: "\n")
        #expect(lines.count == 5_000 - log.droppedLines)
        #expect(lines.allSatisfy { $0.hasSuffix("}") })
        log.info("again")
        #expect(ends.read().contains("again"))
    }

    @Test("writes an event so many times in a window, and then how many more there were")
    func repetition() throws {
        let ends = try Ends()
        let log = Logger(
            level: .info, format: .text, descriptor: ends.writer.rawValue,
            repetition: LogRepetition(lines: 3, window: .seconds(60)))
        var delays: [Duration] = []
        log.whenRepeating = { delays.append($0) }
        for _ in 0..<10 { log.info("again") }
        log.warning("other")
        #expect(ends.read().split(separator: "\n").count == 4)
        #expect(delays.count == 1 && delays.allSatisfy { $0 <= .seconds(60) && $0 > .seconds(30) })
        log.summarize()
        #expect(ends.read().isEmpty, "its time is not over")
        log.summarize(isFinal: true)
        #expect(ends.read().hasSuffix(" info again repeated 7 times\n"))
        log.summarize(isFinal: true)
        #expect(ends.read().isEmpty)
        let json = Logger(
            level: .info, format: .json, descriptor: ends.writer.rawValue,
            repetition: LogRepetition(lines: 1, window: .seconds(60)))
        for _ in 0..<3 { json.error("again") }
        _ = ends.read()
        json.summarize(isFinal: true)
        let summary = try Document(json: ends.read())
        #expect(summary["event"].string == "again" && summary["repeated"].integer == 2)
        #expect(summary["level"].string == "error")
    }

    @Test("windows of repetition begin anew, each with its own count")
    func windows() {
        var repetition = LogRepetition(lines: 2, window: .seconds(10))
        func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }
        func isWritten(_ verdict: LogRepetition.Verdict) -> Bool {
            switch verdict {
            case .written, .writtenAfter: true
            case .firstLeftOut, .leftOut: false
            }
        }
        let written = [0, 1, 2, 9, 10, 11, 12, 30].map { isWritten(repetition.admit(.info, "event", now: at($0))) }
        #expect(written == [true, true, false, false, true, true, false, true])
        #expect(repetition.take(at(39)).isEmpty)
        #expect(repetition.take(at(40)).isEmpty, "nothing was left out")
        for _ in 0..<5 { _ = repetition.admit(.info, "event", now: at(50)) }
        if case .writtenAfter(let summary) = repetition.admit(.info, "event", now: at(60)) {
            #expect(summary.count == 3)
        } else {
            Issue.record("the last window's count is told")
        }
    }

    @Test(
        "writes how urgent a line is where the journal reads, and nowhere else", arguments: [Logger.Format.text, .json])
    func journal(format: Logger.Format) throws {
        let ends = try Ends()
        var information = stat()
        try #require(fstat(ends.writer.rawValue, &information) == 0)
        for (stream, isJournal) in [
            ("\(information.st_dev):\(information.st_ino)", true), ("\(information.st_dev):1", false), ("", false),
        ] {
            let log = Logger(
                level: .debug, format: format, descriptor: ends.writer.rawValue, journalStream: stream)
            log.debug("a")
            log.info("b")
            log.warning("c")
            log.error("d")
            let prefixes = ends.read().split(separator: "\n").map { String($0.prefix(3)) }
            #expect(prefixes.count == 4)
            #expect((prefixes == ["<7>", "<6>", "<4>", "<3>"]) == isJournal)
        }
    }

    @Test("its level can be changed at any time, and says so")
    func level() throws {
        let ends = try Ends()
        let log = Logger(level: .error, format: .json, descriptor: ends.writer.rawValue)
        log.debug("one")
        log.setLevel(.debug)
        log.debug("two")
        log.setLevel(.error)
        log.debug("three")
        let events = try ends.read().split(separator: "\n").map { try Document(json: String($0))["event"].string }
        #expect(events == ["log_level", "two", "log_level"])
    }
}
