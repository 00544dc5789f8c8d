// Limits repeated log lines: a thousand lines of one event per second tell no more than fifty of them and a count.

import FynloCore

/// Decides per event which lines of the log are written: a number of them in a window of time, then a count of the others.
struct LogRepetition {
    /// The decision on a line.
    enum Verdict {
        case written
        /// Written as the first line of a new window, after the count of the lines left out in the last one.
        case writtenAfter(Summary)
        /// Left out and counted; the window ends after this time.
        case firstLeftOut(Duration)
        case leftOut
    }

    /// The lines left out.
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

    /// Writes at most `lines` lines of an event within `window`, which begins with the first of them.
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

    /// The lines left out in windows that have ended at `now`, or in all windows; each is reported once.
    mutating func take(_ now: Instant?) -> [Summary] {
        let ended = windows.filter { _, window in now.map { window.end <= $0 } ?? true }
        for key in ended.keys { windows[key] = nil }
        return ended.values.filter { $0.count > lines }.map {
            Summary(level: $0.level, event: $0.event, count: $0.count - lines)
        }
    }
}
