// The log: one line per event on standard error, written with one call, never waited for. Tokens, passwords and personal
// data have no field to be in.

import FynloCore
import FynloIO
import Glibc

/// Writes events as lines: for people on a terminal, as JSON for programs.
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

        static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }
    }

    enum Format { case text, json }

    private let level: Level
    private let format: Format
    private let descriptor: Int32
    /// Lines that nobody was there to take.
    private(set) var droppedLines = 0

    /// Longer lines are cut: a pipe takes this much at once or nothing (PIPE_BUF).
    private static let maximumLineBytes = 4_096

    init(level: Level, format: Format, descriptor: Int32 = STDERR_FILENO) {
        self.level = level
        self.format = format
        self.descriptor = descriptor
    }

    func debug(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.debug, event, fields) }
    func info(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.info, event, fields) }
    func warning(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.warning, event, fields) }
    func error(_ event: StaticString, _ fields: KeyValuePairs<String, String> = [:]) { log(.error, event, fields) }

    private func log(_ level: Level, _ event: StaticString, _ fields: KeyValuePairs<String, String>) {
        guard level >= self.level else { return }
        var line = ByteBuffer()
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
        }
        line.append("\n")
        write(line)
    }

    /// A field's value, cut so that a line with several of them stays whole. Counted in bytes, as a character may have any
    /// number of them; each may become six when it is escaped.
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
