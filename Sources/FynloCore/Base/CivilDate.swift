// Dates of the proleptic Gregorian calendar in UTC: milliseconds since 1970 to and from the two text forms in use, RFC 3339 in
// JSON and IMF-fixdate in HTTP. There are no time zones and no leap seconds, so no library is needed.

/// A point in time as people write it, in UTC.
public struct CivilDate: Equatable, Sendable {
    /// 0 to 9999: what RFC 3339 and IMF-fixdate can write.
    public let year: Int
    /// 1 to 12.
    public let month: Int
    /// 1 to 31.
    public let day: Int
    /// 0 to 23.
    public let hour: Int
    public let minute: Int
    public let second: Int
    public let millisecond: Int
    /// 0 is Sunday.
    public let weekday: Int

    private static let millisecondsPerDay: Int64 = 86_400_000
    /// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
    private static let writable: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999

    /// The date of `time`. Times outside the years 0 to 9999 become the first or the last millisecond of that range.
    public init(_ time: UnixTime) {
        let milliseconds = min(max(time.milliseconds, Self.writable.lowerBound), Self.writable.upperBound)
        var days = milliseconds / Self.millisecondsPerDay
        var rest = milliseconds % Self.millisecondsPerDay
        if rest < 0 {
            days -= 1
            rest += Self.millisecondsPerDay
        }
        hour = Int(rest / 3_600_000)
        minute = Int(rest / 60_000 % 60)
        second = Int(rest / 1_000 % 60)
        millisecond = Int(rest % 1_000)
        weekday = Int(((days + 4) % 7 + 7) % 7)

        // Howard Hinnant's civil_from_days: years begin in March, so that the leap day is the last of its year, and
        // repeat every 400 years (146,097 days).
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = Int(dayOfYear - (153 * monthFromMarch + 2) / 5) + 1
        month = Int(monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9)
        year = Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0)
    }

    /// Days from 1970-01-01 to a date that exists.
    fileprivate static func days(year: Int, month: Int, day: Int) -> Int64 {
        let shiftedYear = Int64(month <= 2 ? year - 1 : year)
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * Int64(month > 2 ? month - 3 : month + 9) + 2) / 5 + Int64(day) - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    fileprivate static func days(inMonth month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

extension UnixTime {
    /// Reads a strict RFC 3339 date-time: `2026-01-31T18:04:05Z`, with any number of fraction digits (those after the third are
    /// dropped) and `Z` or a numeric offset. `nil` for anything else, including dates that do not exist and second 60.
    public init?(rfc3339 text: Span<UInt8>) {
        // 2026-01-31T18:04:05 has fixed positions; an optional fraction and the zone follow.
        let punctuation = "    -  -  T  :  :  ".utf8Span.span
        guard text.count > punctuation.count,
            punctuation.indices.allSatisfy({ punctuation[$0] == UInt8(ascii: " ") || punctuation[$0] == text[$0] }),
            let year = text.number(at: 0, digits: 4),
            let month = text.number(at: 5, digits: 2), (1...12).contains(month),
            let day = text.number(at: 8, digits: 2), day >= 1, day <= CivilDate.days(inMonth: month, of: year),
            let hour = text.number(at: 11, digits: 2), hour < 24,
            let minute = text.number(at: 14, digits: 2), minute < 60,
            let second = text.number(at: 17, digits: 2), second < 60
        else { return nil }
        var index = punctuation.count
        var millisecond = 0
        if text[index] == UInt8(ascii: ".") {
            index += 1
            let start = index
            while let digit = text.number(at: index, digits: 1) {
                if index < start + 3 { millisecond = millisecond * 10 + digit }
                index += 1
            }
            guard index > start else { return nil }
            for _ in index..<max(index, start + 3) { millisecond *= 10 }
        }
        guard let offsetMinutes = text.offsetMinutes(at: index) else { return nil }
        let days = CivilDate.days(year: year, month: month, day: day)
        let seconds = days * 86_400 + Int64(hour * 3_600 + (minute - offsetMinutes) * 60 + second)
        self.init(milliseconds: seconds * 1_000 + Int64(millisecond))
    }

    /// Reads a strict RFC 3339 date-time from a string.
    public init?(rfc3339 text: String) {
        self.init(rfc3339: text.utf8Span.span)
    }

    /// `2026-01-31T18:04:05.123Z`.
    public var rfc3339: String {
        var buffer = ByteBuffer()
        buffer.append(rfc3339: self)
        return buffer.withReadable { String(validating: $0) } ?? ""
    }
}

/// A time in RFC 3339 with milliseconds, in UTC: the 24 bytes of `2026-01-31T18:04:05.123Z` as three words, the first byte
/// lowest. Messages contain it twice; it is computed once.
public struct RFC3339Text: Sendable {
    let words: (UInt64, UInt64, UInt64)

    /// The text of `time`.
    public init(_ time: UnixTime) {
        let date = CivilDate(time)
        let dash = UInt64(UInt8(ascii: "-"))
        let colon = UInt64(UInt8(ascii: ":"))
        let century = Self.digits(date.year / 100)
        let year = Self.digits(date.year % 100)
        let month = Self.digits(date.month)
        words.0 = century | year << 16 | dash << 32 | month << 40 | dash << 56
        let hour = Self.digits(date.hour)
        let minute = Self.digits(date.minute)
        words.1 = Self.digits(date.day) | UInt64(UInt8(ascii: "T")) << 16 | hour << 24 | colon << 40 | minute << 48
        let tenth = UInt64(UInt8(ascii: "0")) + UInt64(date.millisecond / 100)
        let second = colon | Self.digits(date.second) << 8 | UInt64(UInt8(ascii: ".")) << 24
        let fraction = tenth << 32 | Self.digits(date.millisecond % 100) << 40
        words.2 = second | fraction | UInt64(UInt8(ascii: "Z")) << 56
    }

    /// Two decimal digits, the first one in the lower byte.
    private static func digits(_ number: Int) -> UInt64 {
        let number = UInt64(truncatingIfNeeded: number)
        return (number / 10 | (number % 10) << 8) &+ 0x3030
    }
}

extension ByteBuffer {
    /// Appends a time in RFC 3339 with milliseconds, in UTC: `2026-01-31T18:04:05.123Z`, always 24 bytes.
    public mutating func append(rfc3339 time: UnixTime) {
        write(atMost: 24) { $0.append(RFC3339Text(time)) }
    }

    /// Appends a time as RFC 9110 §5.6.7 IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`, always 29 bytes.
    public mutating func append(imfFixdate time: UnixTime) {
        write(atMost: 29) { $0.append(imfFixdate: time) }
    }
}

extension ByteWriter {
    /// The time as IMF-fixdate, 29 bytes.
    mutating func append(imfFixdate time: UnixTime) {
        let date = CivilDate(time)
        append(abbreviation: date.weekday, of: "SunMonTueWedThuFriSat")
        append(", ")
        append(twoDigits: date.day)
        append(UInt8(ascii: " "))
        append(abbreviation: date.month - 1, of: "JanFebMarAprMayJunJulAugSepOctNovDec")
        append(UInt8(ascii: " "))
        append(twoDigits: date.year / 100)
        append(twoDigits: date.year % 100)
        append(UInt8(ascii: " "))
        append(twoDigits: date.hour)
        append(UInt8(ascii: ":"))
        append(twoDigits: date.minute)
        append(UInt8(ascii: ":"))
        append(twoDigits: date.second)
        append(" GMT")
    }

    @inline(__always)
    private mutating func append(twoDigits number: Int) {
        let number = UInt8(truncatingIfNeeded: number)
        append(UInt8(ascii: "0") &+ number / 10)
        append(UInt8(ascii: "0") &+ number % 10)
    }

    /// Appends the abbreviation at `index` in a row of three-letter ones.
    @inline(__always)
    private mutating func append(abbreviation index: Int, of names: StaticString) {
        // The names are ASCII literals with a pointer, and `index` comes from a CivilDate: it lies within them.
        let bytes = unsafe UnsafeBufferPointer(start: names.utf8Start, count: names.utf8CodeUnitCount)
        append(unsafe Span(_unsafeElements: bytes).extracting(index * 3..<index * 3 + 3))
    }
}

extension Span where Element == UInt8 {
    /// The number whose decimal digits are at `start`; `nil` if there are other bytes or too few.
    fileprivate func number(at start: Int, digits: Int) -> Int? {
        guard start + digits <= count else { return nil }
        var number = 0
        for index in start..<start + digits {
            let digit = self[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            number = number * 10 + Int(digit)
        }
        return number
    }

    /// The offset from UTC in minutes, east positive, that `Z`, `+hh:mm` or `-hh:mm` at `start` gives; `nil` if there is
    /// anything else, or more.
    fileprivate func offsetMinutes(at start: Int) -> Int? {
        if count == start + 1, self[start] == UInt8(ascii: "Z") { return 0 }
        guard count == start + 6, self[start + 3] == UInt8(ascii: ":"),
            let hours = number(at: start + 1, digits: 2), hours < 24,
            let minutes = number(at: start + 4, digits: 2), minutes < 60
        else { return nil }
        switch self[start] {
        case UInt8(ascii: "+"): return hours * 60 + minutes
        case UInt8(ascii: "-"): return -(hours * 60 + minutes)
        default: return nil
        }
    }
}
