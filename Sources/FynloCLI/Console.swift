// Standard output for results, standard error for everything else. Each line is written with one call.

import Glibc

/// The program's terminal, pipes or files.
enum Console {
    /// True if a person reads the results.
    static let isTerminal = isatty(STDOUT_FILENO) == 1

    /// True if lines may have colours (https://no-color.org).
    static let hasColour = isTerminal && (environment("NO_COLOR") ?? "").isEmpty && environment("TERM") != "dumb"

    /// Writes to standard output. False if its reader is gone, or if the reader has stalled and the program is told to end.
    static func write(_ bytes: [UInt8]) -> Bool {
        write(bytes, to: STDOUT_FILENO)
    }

    /// Writes one line to standard error.
    static func note(_ sentence: String) {
        _ = write(printable(Array("fynlo: \(sentence)".utf8)) + [0x0a], to: STDERR_FILENO)
    }

    /// Writes a help text; returns the exit code.
    static func help(_ text: String) -> Int32 {
        _ = write(Array(text.utf8))
        return ExitCode.done
    }

    /// A variable of the environment; `nil` when it is not set.
    static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    /// Text from outside as one line that cannot control a terminal: control characters, including U+0080 to U+009F, are
    /// replaced.
    static func printable(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == 0xc2, index + 1 < bytes.count, bytes[index + 1] < 0xa0 {
                result.append(UInt8(ascii: "?"))
                index += 1
            } else if byte < 0x20 {
                result.append(UInt8(ascii: " "))
            } else {
                result.append(byte == 0x7f ? UInt8(ascii: "?") : byte)
            }
            index += 1
        }
        return result
    }

    /// Text from outside that cannot control a terminal, with its line breaks kept.
    static func printableLines(_ bytes: [UInt8]) -> [UInt8] {
        let lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false).map { printable(Array($0)) }
        return Array(lines.joined(separator: [0x0a]))
    }

    /// A JSON text on one line: in valid JSON, line breaks occur only between tokens.
    static func jsonLine(_ json: [UInt8]) -> [UInt8] {
        json.map { $0 < 0x20 ? UInt8(ascii: " ") : $0 } + [0x0a]
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard waitForRoom(in: descriptor) else { return false }
            // A pipe that is ready accepts this much without blocking (pipe(7)); while blocked, the program would ignore signals.
            let count = rest.prefix(Int(PIPE_BUF)).withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            // Another program on the same terminal may have made it non-blocking.
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Waits for room to write. False if the program is told to end first.
    private static func waitForRoom(in descriptor: Int32) -> Bool {
        var place = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        var patience: Int32 = 0
        // A failed descriptor is ready too: the write reports the error.
        while poll(&place, 1, patience) <= 0 {
            if isToldToEnd { return false }
            patience = 100
        }
        return true
    }

    /// True if INT or TERM is pending, for a program that handles signals in its loop; others have already ended.
    private static var isToldToEnd: Bool {
        var pending = sigset_t()
        return sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1)
    }
}
