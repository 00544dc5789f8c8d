import FynloCore
import Testing

@Suite("CivilDate")
struct CivilDateTests {
    @Test(
        "writes and reads the dates people know",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_000, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_769_882_645_123, "2026-01-31T18:04:05.123Z", "Sat, 31 Jan 2026 18:04:05 GMT"),
            (-1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 GMT"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z", "Sat, 01 Jan 0000 00:00:00 GMT"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] as [(Int64, String, String)])
    func knownDates(milliseconds: Int64, rfc3339: String, imfFixdate: String) {
        let time = UnixTime(milliseconds: milliseconds)
        #expect(time.rfc3339 == rfc3339)
        #expect(UnixTime(rfc3339: rfc3339) == time)
        var buffer = ByteBuffer()
        buffer.append(imfFixdate: time)
        #expect(buffer.bytes() == Array(imfFixdate.utf8))
    }

    @Test("writes times beyond the years 0 to 9999 as the nearest time within them", arguments: [Int64.min, .max])
    func clamping(milliseconds: Int64) {
        let text = UnixTime(milliseconds: milliseconds).rfc3339
        #expect(text == (milliseconds < 0 ? "0000-01-01T00:00:00.000Z" : "9999-12-31T23:59:59.999Z"))
    }

    @Test("reads back every day that it writes, and days follow each other")
    func everyDay() {
        // The calendar repeats every 400 years: here from 1889 on.
        let start = Int64(-2_556_144_000_000)
        var previous = CivilDate(UnixTime(milliseconds: start))
        var milliseconds = start + 86_400_000
        while milliseconds <= start + 146_097 * 86_400_000 {
            let date = CivilDate(UnixTime(milliseconds: milliseconds))
            let isNextDay = date.year == previous.year && date.month == previous.month && date.day == previous.day + 1
            let isNextMonth = date.year == previous.year && date.month == previous.month + 1 && date.day == 1
            let isNextYear = date.year == previous.year + 1 && date.month == 1 && date.day == 1
            guard isNextDay || isNextMonth || isNextYear, date.weekday == (previous.weekday + 1) % 7 else {
                Issue.record("\(previous) is followed by \(date)")
                return
            }
            previous = date
            milliseconds += 86_400_000
        }
        for day in stride(from: Int64(-719_528), to: 2_932_897, by: 97) {
            let time = UnixTime(milliseconds: day * 86_400_000 + 45_296_789)
            guard UnixTime(rfc3339: time.rfc3339) == time else {
                Issue.record("\(time.rfc3339) is not read back")
                return
            }
        }
    }

    @Test(
        "reads every RFC 3339 form of a time",
        arguments: [
            ("2026-01-31T18:04:05Z", 1_769_882_645_000),
            ("2026-01-31T18:04:05.1Z", 1_769_882_645_100),
            ("2026-01-31T18:04:05.12Z", 1_769_882_645_120),
            ("2026-01-31T18:04:05.123999Z", 1_769_882_645_123),
            ("2026-01-31T18:04:05.123456+00:00", 1_769_882_645_123),
            ("2026-01-31T18:04:05-00:00", 1_769_882_645_000),
            ("2026-01-31T20:04:05+02:00", 1_769_882_645_000),
            ("2026-01-31T12:34:05-05:30", 1_769_882_645_000),
            ("2026-02-01T00:04:05+06:00", 1_769_882_645_000),
        ] as [(String, Int64)])
    func reading(text: String, milliseconds: Int64) {
        #expect(UnixTime(rfc3339: text)?.milliseconds == milliseconds)
    }

    @Test(
        "refuses what is not an RFC 3339 time",
        arguments: [
            "", "2026", "2026-01-31", "2026-01-31T18:04:05", "2026-01-31 18:04:05Z", "2026-01-31t18:04:05Z",
            "2026-01-31T18:04:05z", "2026-01-31T18:04Z", "2026-1-31T18:04:05Z", "26-01-31T18:04:05Z",
            "2026-00-31T18:04:05Z", "2026-13-31T18:04:05Z", "2026-01-00T18:04:05Z", "2026-01-32T18:04:05Z",
            "2026-02-29T18:04:05Z", "2100-02-29T18:04:05Z", "2026-04-31T18:04:05Z", "2026-01-31T24:00:00Z",
            "2026-01-31T18:60:05Z", "2026-01-31T18:04:60Z", "2026-01-31T18:04:05.Z", "2026-01-31T18:04:05.1",
            "2026-01-31T18:04:05,1Z", "2026-01-31T18:04:05+2:00", "2026-01-31T18:04:05+0200",
            "2026-01-31T18:04:05+24:00", "2026-01-31T18:04:05+02:60", "2026-01-31T18:04:05ZZ",
            "2026-01-31T18:04:05 Z", "2026-01-31T18:04:05Z ", " 2026-01-31T18:04:05Z", "+026-01-31T18:04:05Z",
            "2026-01-31T18:04:05+-2:00", "2026-01-31T-8:04:05Z", "２026-01-31T18:04:05Z", "\0026-01-31T18:04:05Z",
        ])
    func refusals(text: String) {
        #expect(UnixTime(rfc3339: text) == nil)
    }
}
