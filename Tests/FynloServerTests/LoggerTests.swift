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
        let log = Logger(level: .info, format: .json, descriptor: ends.writer.rawValue)
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
}
