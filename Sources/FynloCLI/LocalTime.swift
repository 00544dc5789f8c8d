// Times in the local time zone.

import FynloCore
import Glibc

/// A time in the local time zone.
struct LocalTime {
    private let fields: tm

    init(_ time: UnixTime) {
        var seconds = time_t(time.seconds)
        var fields = tm()
        localtime_r(&seconds, &fields)
        self.fields = fields
    }

    /// `2026-01-31 18:04`.
    var minutes: String {
        let date = [fields.tm_year + 1900, fields.tm_mon + 1, fields.tm_mday].map { LocalTime.digits(Int($0), 2) }
        return date.joined(separator: "-") + " " + clock([fields.tm_hour, fields.tm_min])
    }

    /// `18:04:05`.
    var seconds: String { clock([fields.tm_hour, fields.tm_min, fields.tm_sec]) }

    private func clock(_ parts: [Int32]) -> String {
        parts.map { LocalTime.digits(Int($0), 2) }.joined(separator: ":")
    }

    /// The number padded with leading zeros.
    static func digits(_ number: Int, _ count: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }
}
