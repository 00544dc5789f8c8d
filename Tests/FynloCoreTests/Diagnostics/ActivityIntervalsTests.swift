import FynloCore
import Testing

@Suite("The intervals of activity")
struct ActivityIntervalsTests {
    @Test(
        "are numbered from 1970 on, and over a moment before they are",
        arguments: [
            // milliseconds, the last one that is over, until the next one is
            (0, -1, 15_000), (1, -1, 14_999), (13_999, -1, 1_001), (14_000, 0, 16_000), (14_999, 0, 15_001),
            (15_000, 0, 15_000), (15_001, 0, 14_999), (29_000, 1, 16_000), (-1, -1, 15_001), (-1_000, -1, 16_000),
            (-1_001, -2, 1_001), (-15_000, -2, 15_000), (1_769_882_400_000, 117_992_159, 15_000),
        ] as [(Int64, Int64, Int64)])
    func numbers(time: Int64, last: Int64, next: Int64) {
        let intervals = ActivityIntervals(length: .seconds(15))
        #expect(intervals.last(at: UnixTime(milliseconds: time)) == last)
        #expect(intervals.untilNext(after: UnixTime(milliseconds: time)) == .milliseconds(next))
    }

    @Test(
        "follow one another without a gap, however early or late the timer is",
        arguments: [-400, -1, 0, 1, 900] as [Int64])
    func timers(error: Int64) {
        let intervals = ActivityIntervals(length: .seconds(15))
        var now = UnixTime(milliseconds: 1_769_882_407_123)
        var last = intervals.last(at: now)
        for _ in 0..<100 {
            now.milliseconds += intervals.untilNext(after: now).inMilliseconds + error
            #expect(intervals.last(at: now) == last + 1)
            last += 1
        }
    }

    @Test("may be as short as a millisecond")
    func short() {
        let intervals = ActivityIntervals(length: .milliseconds(1))
        #expect(intervals.last(at: UnixTime(milliseconds: 7)) == 6)
        #expect(intervals.untilNext(after: UnixTime(milliseconds: 7)) == .milliseconds(1))
    }
}
