// The log: one line per event on standard error, written with one call that never waits. Repeated events are counted instead
// of written. No field may hold tokens, passwords or personal data.

import FynloCore
import FynloIO
import Glibc

/// Writes events as lines: as text for people on a terminal, as JSON for programs.
final class Logger {
    enum Level: Int, CaseIterable, Comparable {
        case debug, info, warning, error

        var name: String {
            switch self {
            case .debug: "debug"
            case .info: "info"
            case .warning: "warning"
            case .error: "error"
            }
        }

        init?(name: String) {
            guard let level = Level.allCases.first(where: { $0.name == name }) else { return nil }
            self = level
        }

        /// syslog(3): 7 is a debug message, 3 an error.
        fileprivate var syslogPriority: UInt64 {
            switch self {
            case .debug: 7
            case .info: 6
            case .warning: 4
            case .error: 3
            }
        }

        static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }
    }

    enum Format { case text, json }

    private(set) var level: Level
    private let format: Format
    private let isJournal: Bool
    private let descriptor: Int32
    private var repetition: LogRepetition
    /// Called when lines are being left out: `summarize` has to be called after this time.
    @SetOnce var whenRepeating: (Duration) -> Void = { _ in }
    /// Lines that were lost because nobody read them in time.
    private(set) var droppedLines = 0

    /// Longer lines are dropped: only up to this length does a pipe take all of a line or nothing (PIPE_BUF).
    private static let maximumLineBytes = 4_096

    /// `journalStream` is the value of JOURNAL_STREAM: if the journal reads the log, each line begins with its priority.
    init(
        level: Level, format: Format, descriptor: Int32 = STDERR_FILENO, journalStream: String? = nil,
        repetition: LogRepetition = LogRepetition()
    ) {
        self.level = level
        self.format = format
        self.descriptor = descriptor
        self.repetition = repetition
        isJournal = journalStream.map { $0 == Logger.stream(of: descriptor) } ?? false
    }

    /// Device and inode, as JOURNAL_STREAM has them (systemd.exec(5)).
    private static func stream(of descriptor: Int32) -> String? {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return nil }
        return "\(information.st_dev):\(information.st_ino)"
    }

    func debug(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.debug, event, fields) }
    func info(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.info, event, fields) }
    func warning(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.warning, event, fields) }
    func error(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.error, event, fields) }

    /// Changes the level, and logs the change.
    func setLevel(_ level: Level) {
        self.level = level
        write(.info, "log_level", ["now": level.name])
    }

    /// Writes how often lines were left out: those whose time is over, or finally all of them.
    func summarize(isFinal: Bool = false) {
        for summary in repetition.take(isFinal ? nil : SystemClock.instant) {
            write(summary.level, summary.event, [:], repeated: summary.count)
        }
    }

    func log(_ level: Level, _ event: StaticString, _ fields: KeyValuePairs<String, String>) {
        guard level >= self.level else { return }
        // At the level of debugging nothing is left out.
        if level > .debug {
            switch repetition.admit(level, event, now: SystemClock.instant) {
            case .written: break
            case .leftOut: return
            case .firstLeftOut(let delay): return whenRepeating(delay)
            case .writtenAfter(let summary): write(summary.level, summary.event, [:], repeated: summary.count)
            }
        }
        write(level, event, fields)
    }

    /// Writes one line; `repeated` is how many more were left out.
    private func write(
        _ level: Level, _ event: StaticString, _ fields: KeyValuePairs<String, String>, repeated: Int? = nil
    ) {
        var line = ByteBuffer()
        if isJournal {
            line.append("<")
            line.append(decimal: level.syslogPriority)
            line.append(">")
        }
        switch format {
        case .json:
            line.append("{\"time\":")
            line.append(json: SystemClock.now.unixTime)
            line.append(",\"level\":\"")
            line.append(level.name)
            line.append("\",\"event\":\"")
            line.append(event)
            line.append("\"")
            for (name, value) in fields {
                line.append(",")
                line.append(jsonString: name)
                line.append(":")
                line.append(jsonString: Logger.shortened(value))
            }
            if let repeated { line.append(",\"repeated\":\(repeated)") }
            line.append("}")
        case .text:
            line.append(rfc3339: SystemClock.now.unixTime)
            line.append(" ")
            line.append(level.name)
            line.append(" ")
            line.append(event)
            for (name, value) in fields {
                line.append(" ")
                line.append(name)
                line.append("=")
                line.append(jsonString: Logger.shortened(value))
            }
            if let repeated { line.append(" repeated \(repeated) times") }
        }
        line.append("\n")
        write(line)
    }

    /// A field's value, shortened so that a line with several fields fits. Counted in bytes, since a character may consist of any
    /// number of them; escaping may turn each into six.
    private static func shortened(_ value: String) -> String {
        value.utf8.count <= 320 ? value : String(decoding: value.utf8.prefix(317), as: UTF8.self) + "…"
    }

    private func write(_ line: ByteBuffer) {
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard line.count <= Logger.maximumLineBytes, Glibc.poll(&poll, 1, 0) == 1, poll.revents & Int16(POLLOUT) != 0
        else {
            droppedLines += 1
            return
        }
        let written = line.withReadable { bytes in
            bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        }
        if written != line.count { droppedLines += 1 }
    }
}
