// The same event a thousand times a second tells no more than fifty of them and a number.

import FynloCore

/// Decides which lines of the log are written, event by event: so many in a window of time, then a count of the others.
struct LogRepetition {
    /// What becomes of a line.
    enum Verdict {
        case written
        /// It is the first line of a new window; the last one left lines out, whose number has not been told yet.
        case writtenAfter(Summary)
        /// Counted; the window ends after this time.
        case firstLeftOut(Duration)
        case leftOut
    }

    /// Lines that were left out.
    struct Summary {
        let level: Logger.Level
        let event: StaticString
        let count: Int
    }

    private struct Window {
        let level: Logger.Level
        let event: StaticString
        let end: Instant
        var count = 1
    }

    private let lines: Int
    private let length: Duration
    private var windows: [String: Window] = [:]

    /// At most `lines` of an event within `window`, which begins with the first of them.
    init(lines: Int = 50, window: Duration = .seconds(10)) {
        self.lines = lines
        length = window
    }

    /// Every line is written.
    static let unlimited = LogRepetition(lines: .max)

    mutating func admit(_ level: Logger.Level, _ event: StaticString, now: Instant) -> Verdict {
        let key = event.description
        guard var window = windows[key], now < window.end else {
            let last = windows.updateValue(Window(level: level, event: event, end: now + length), forKey: key)
            guard let last, last.count > lines else { return .written }
            return .writtenAfter(Summary(level: last.level, event: last.event, count: last.count - lines))
        }
        window.count += 1
        windows[key] = window
        if window.count <= lines { return .written }
        return window.count == lines + 1 ? .firstLeftOut(window.end - now) : .leftOut
    }

    /// The lines left out in windows that are over at `now`, or in all of them; each is told once.
    mutating func take(_ now: Instant?) -> [Summary] {
        let ended = windows.filter { _, window in now.map { window.end <= $0 } ?? true }
        for key in ended.keys { windows[key] = nil }
        return ended.values.filter { $0.count > lines }.map {
            Summary(level: $0.level, event: $0.event, count: $0.count - lines)
        }
    }
}
