import FynloCore
import Testing

@Suite("The history of a restaurant's activity")
struct ActivityHistoryTests {
    private static func sample(_ messages: UInt64, received: UInt64 = 0, expected: UInt64 = 0) -> ActivitySample {
        var sample = ActivitySample()
        sample.messages = messages
        sample.heartbeatsReceived = received
        sample.heartbeatsExpected = expected
        return sample
    }

    private static func history(_ messages: [(number: Int64, count: UInt64)]) -> ActivityHistory {
        var history = ActivityHistory()
        for (number, count) in messages { history.append(sample(count), at: number) }
        return history
    }

    private static func messages(_ history: ActivityHistory) -> [UInt64?] { history.samples.map { $0?.messages } }

    /// All parts, with numbers of all lengths.
    private static let busy: ActivitySample = {
        var sample = Self.sample(123_456, received: 19, expected: 20)
        for source in MenuReads.Source.allCases { sample.menuReads[source] = 1 << (UInt64(source.rawValue) * 9) }
        for bucket in 0..<LatencyCounts.buckets { sample.deliveries[bucket] = UInt64(bucket) << UInt64(3 * bucket) }
        return sample
    }()

    private static let greatest: ActivitySample = {
        var sample = Self.sample(.max, received: 0, expected: .max)
        for source in MenuReads.Source.allCases { sample.menuReads[source] = .max }
        for bucket in 0..<LatencyCounts.buckets { sample.deliveries[bucket] = .max }
        return sample
    }()

    @Test(
        "gives back what it was given",
        arguments: [
            ActivitySample(), sample(1), sample(20, received: 20, expected: 20), sample(20, received: 21, expected: 20),
            sample(19, received: 19, expected: 20), sample(0, received: 0, expected: 20), sample(0, received: 5),
            sample(127), sample(128), sample(.max), sample(0, received: .max, expected: 1),
            sample(.max / 2, received: .max / 2 + 1, expected: .max / 2 + 2), busy, greatest,
        ])
    func roundTrip(sample: ActivitySample) {
        var history = ActivityHistory()
        #expect(history.samples.isEmpty && history.isIdle)
        history.append(sample, at: 7)
        #expect(history.samples == [sample] && history.newest == 7)
        history.append(Self.sample(5), at: 8)
        history.append(sample, at: 9)
        #expect(history.samples == [sample, Self.sample(5), sample])
    }

    @Test("keeps the last sixty, and none of what is older")
    func wrapping() {
        var history = ActivityHistory()
        for number in 0..<1_000 as Range<Int64> {
            history.append(number.isMultiple(of: 3) ? Self.busy : Self.sample(UInt64(number)), at: number)
            #expect(history.samples.count == min(60, Int(number) + 1))
        }
        #expect(
            history.samples
                == (940..<1_000).map { $0.isMultiple(of: 3) ? Self.busy : Self.sample(UInt64($0)) })
    }

    @Test(
        "tells what was not measured from what did not happen; a clock put back takes what it had ahead of it along",
        arguments: [
            ([(1, 5), (2, 0), (3, 6)], [5, 0, 6]),
            // Gaps, with and without something before them.
            ([(1, 5), (4, 6)], [5, nil, nil, 6]), ([(1, 0), (4, 6)], [0, nil, nil, 6]),
            ([(1, 0), (4, 0)], [0, nil, nil, 0]), ([(1, 5), (2, 0), (4, 0), (5, 0)], [5, 0, nil, 0, 0]),
            // As far as anything is kept, and further.
            ([(1, 5), (60, 6)], [5] + Array(repeating: nil, count: 58) + [6]), ([(1, 5), (61, 6)], [6]),
            ([(1, 5), (2, 6), (61, 7)], [6] + Array(repeating: nil, count: 58) + [7]),
            ([(1, 5), (1_000_000, 6)], [6]),
            // Back.
            ([(1, 5), (2, 6), (2, 7)], [5, 13]), ([(1, 5), (2, 6), (1, 7)], [12]), ([(1, 5), (2, 0), (2, 7)], [5, 7]),
            ([(1, 0), (2, 0), (2, 0)], [0, 0]), ([(3, 5), (4, 6), (1, 7)], [7]),
            ([(1, 5), (2, 6), (3, 7), (2, 8), (3, 9)], [5, 14, 9]), ([(1, 5), (4, 6), (3, 7)], [5, nil, 7]),
            ([(1, 5), (4, 6), (2, 7)], [5, 7]), ([(100, 5), (40, 6)], [6]), ([(100, 5), (41, 6)], [6]),
            // Beyond all reason.
            ([(.max, 5), (.min, 6), (.max, 7)], [7]), ([(.min, 5), (0, 6)], [6]), ([(0, 5), (.min, 6)], [6]),
            ([(-1, 5), (0, 6), (1, 7)], [5, 6, 7]), ([(.max - 1, 5), (.max, 6)], [5, 6]),
        ] as [([(Int64, UInt64)], [UInt64?])])
    func time(given: [(Int64, UInt64)], expected: [UInt64?]) {
        let history = Self.history(given)
        #expect(Self.messages(history) == expected)
        #expect(history.newest == given.last?.0)
        #expect(history.isIdle == expected.allSatisfy { ($0 ?? 0) == 0 })
    }

    @Test("agrees with a table of what happened when, whatever happens", arguments: 0..<20 as Range<UInt64>)
    func model(seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func random(_ limit: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % limit
        }
        var table: [Int64: ActivitySample] = [:]
        var history = ActivityHistory()
        var number: Int64 = 1_000
        for _ in 0..<400 {
            switch random(20) {
            case 0: number += Int64(random(70))
            case 1: number -= Int64(random(5))
            default: number += 1
            }
            var sample = ActivitySample()
            if random(3) > 0 {
                sample = Self.sample(random(300), received: random(40), expected: random(40))
                if random(2) == 0 { sample.menuReads[.redis] = random(1 << 20) }
                if random(2) == 0 { sample.deliveries[Int(random(16))] = random(1 << 10) }
            }
            history.append(sample, at: number)
            sample.add(table[number] ?? ActivitySample())
            table[number] = sample
            table = table.filter { $0.key <= number && $0.key > number - ActivityHistory.capacity }
            let first = table.keys.min() ?? number
            let agrees = history.samples == (first...number).map { table[$0] }
            #expect(agrees, "seed \(seed), at \(number)")
        }
    }

    @Test("one that is idle where another one is has the same times, and holds no memory")
    func idle() {
        let other = Self.history([(1, 5), (3, 6)])
        var history = ActivityHistory(idleAs: other)
        #expect(Self.messages(history) == [0, nil, 0] && history.isIdle && history.capacityInBytes == 0)
        history.append(Self.sample(9), at: 5)
        #expect(Self.messages(history) == [0, nil, 0, nil, 9])
        for number in 6...65 as ClosedRange<Int64> { history.append(ActivitySample(), at: number) }
        #expect(history.isIdle && history.capacityInBytes == 0 && Self.messages(history).count == 60)
    }

    @Test("takes two or three bytes a sample where tablets only ping, and little more than what is in it elsewhere")
    func memory() {
        #expect(MemoryLayout<ActivityHistory>.stride <= 32)
        var (quiet, lively) = (ActivityHistory(), ActivityHistory())
        for number in 0..<200 as Range<Int64> {
            let received = UInt64(19 + number % 3)
            quiet.append(Self.sample(received, received: received, expected: 20), at: number)
            var sample = Self.sample(received + 90, received: received, expected: 20)
            sample.menuReads[.process] = 300
            sample.menuReads[.redis] = 12
            for bucket in 3..<7 { sample.deliveries[bucket] = 40 }
            lively.append(sample, at: number)
        }
        #expect(quiet.capacityInBytes <= 288, "\(quiet.capacityInBytes)")
        #expect(lively.capacityInBytes <= 1_088, "\(lively.capacityInBytes)")
    }

    @Test("is written in columns, with null where nothing was measured and without sources that nobody read from")
    func json() throws {
        var history = ActivityHistory()
        func text() -> String {
            var output = ByteBuffer()
            history.appendJSON(to: &output, interval: .seconds(15))
            return String(decoding: output.bytes(), as: UTF8.self)
        }
        let bounds = "[0.5,1,2,5,10,20,50,100,200,500,1000,2000,5000,10000,30000]"
        #expect(
            text() == """
                {"interval_ms":15000,"start":null,"messages":[],"heartbeats_received":[],"heartbeats_expected":[],\
                "menu_reads":{},"delivery_bounds_ms":\(bounds),"deliveries":[]}
                """)
        var sample = Self.sample(9, received: 3, expected: 4)
        sample.menuReads[.miss] = 2
        sample.deliveries[0] = 1
        sample.deliveries[15] = 7
        // 2026-01-31T18:00:00Z is the beginning of an interval.
        let number: Int64 = 1_769_882_400 / 15
        history.append(sample, at: number)
        history.append(ActivitySample(), at: number + 2)
        #expect(
            text() == """
                {"interval_ms":15000,"start":"2026-01-31T18:00:00.000Z","messages":[9,null,0],\
                "heartbeats_received":[3,null,0],"heartbeats_expected":[4,null,0],"menu_reads":{"database":[2,null,0]},\
                "delivery_bounds_ms":\(bounds),"deliveries":[[[0,1],[15,7]],null,[]]}
                """)
    }
}
