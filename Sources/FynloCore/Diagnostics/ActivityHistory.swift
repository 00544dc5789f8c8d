// The last 15 minutes of one restaurant, or of all, in as few bytes as possible: there are thousands of restaurants, and nobody
// looks at most of them.
//
//     number:     …  118  119  120  121  122  123        intervals since 1970: the same for every process, so that samples of
//     measured:        0    1    1    0    1    1        several can be added up
//     bytes:                   [4 20][0][5 21 2][4 20]   the last samples; before them, nothing happened
//
// A sample begins with a byte that says which of its parts follow, each as a variable-length integer (7 bits a byte, lowest
// first). A sample in which nothing happened is that byte alone. Parts are stored as differences from related ones:
//
//     1  heartbeats expected
//     2  heartbeats received − expected, zigzag: 0, −1, 1, −2, …
//     4  messages − heartbeats received, zigzag
//     8  menu reads: a byte of bits for their sources, then those counts
//     16 deliveries: two bytes of bits for their buckets, then those counts

/// Samples of one interval each: at most the last sixty.
public struct ActivityHistory: Sendable {
    /// How many samples are kept.
    public static let capacity: Int64 = 60

    /// The number of the last sample's interval, counted from 1970. Meaningless in an empty history.
    public private(set) var newest: Int64 = 0
    /// Bit n is set if the interval `newest - n` was measured.
    private var measured: UInt64 = 0
    private var bytes: [UInt8] = []
    /// How many samples are in `bytes`.
    private var stored: UInt8 = 0

    private static let window: UInt64 = 1 << UInt64(capacity) - 1
    /// Memory grows in steps of this size, since doubling would waste a third.
    private static let growthBytes = 64

    public init() {}

    /// A history that was measured whenever the other was, and in which nothing happened.
    public init(idleAs other: ActivityHistory) {
        newest = other.newest
        measured = other.measured
    }

    /// True if nothing happened in any measured interval.
    public var isIdle: Bool { stored == 0 }

    /// The bytes it has allocated.
    public var capacityInBytes: Int { bytes.capacity }

    // MARK: Adding

    /// Adds what happened in an interval. Skipped intervals count as not measured. If the clock was set back, samples of times
    /// that are now in the future are dropped; a second sample of the same interval is added to the first.
    public mutating func append(_ sample: ActivitySample, at number: Int64) {
        var sample = sample
        var step: Int64 = 1
        if measured != 0 {
            let (difference, isFar) = number.subtractingReportingOverflow(newest)
            if isFar || difference.magnitude >= UInt64(ActivityHistory.capacity) {
                self = ActivityHistory()
            } else if difference <= 0 {
                sample.add(removeLast(Int(1 - difference)))
            } else {
                step = difference
            }
        }
        measured = (measured << UInt64(step) | 1) & ActivityHistory.window
        newest = number
        // A gap has no sample; the samples around it are found by counting.
        if stored > 0 { for _ in 1..<step { write(ActivitySample()) } }
        write(sample)
        trim()
    }

    /// Removes the last samples and returns the first of them.
    private mutating func removeLast(_ count: Int) -> ActivitySample {
        var first = ActivitySample()
        let kept = Int(stored) - count
        if stored > 0 {
            var reader = Reader()
            for _ in 0..<max(0, kept) { _ = reader.sample(in: bytes.span) }
            let end = reader.position
            if kept >= 0 { first = reader.sample(in: bytes.span) }
            bytes.removeSubrange(end...)
        }
        stored = UInt8(max(0, kept))
        newest -= Int64(count)
        measured >>= UInt64(count)
        return first
    }

    /// Drops what is too old, and empty samples at the front.
    private mutating func trim() {
        var reader = Reader()
        while stored > 0, Int64(stored) > ActivityHistory.capacity || bytes[reader.position] == 0 {
            _ = reader.sample(in: bytes.span)
            stored -= 1
        }
        if reader.position > 0 { bytes.removeSubrange(..<reader.position) }
        // An idle one costs nothing.
        if bytes.isEmpty, bytes.capacity > 0 { bytes = [] }
    }

    private mutating func write(_ sample: ActivitySample) {
        if bytes.capacity - bytes.count < 16 { bytes.reserveCapacity(bytes.count + ActivityHistory.growthBytes) }
        stored += 1
        let start = bytes.count
        bytes.append(0)
        var parts: UInt8 = 0
        func part(_ bit: UInt8, _ number: UInt64) {
            guard number != 0 else { return }
            parts |= bit
            ActivityHistory.append(number, to: &bytes)
        }
        part(1, sample.heartbeatsExpected)
        part(2, ActivityHistory.zigzag(sample.heartbeatsReceived &- sample.heartbeatsExpected))
        part(4, ActivityHistory.zigzag(sample.messages &- sample.heartbeatsReceived))
        if !sample.menuReads.isEmpty {
            parts |= 8
            let place = bytes.count
            bytes.append(0)
            for source in MenuReads.Source.allCases where sample.menuReads[source] > 0 {
                bytes[place] |= 1 << source.rawValue
                ActivityHistory.append(sample.menuReads[source], to: &bytes)
            }
        }
        if !sample.deliveries.isEmpty {
            parts |= 16
            let place = bytes.count
            bytes += [0, 0]
            for bucket in 0..<LatencyCounts.buckets where sample.deliveries[bucket] > 0 {
                bytes[place + bucket / 8] |= 1 << UInt8(bucket % 8)
                ActivityHistory.append(sample.deliveries[bucket], to: &bytes)
            }
        }
        bytes[start] = parts
    }

    private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        var rest = number
        while rest > 0x7f {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// Zigzag encoding: small differences of either sign become small numbers.
    private static func zigzag(_ difference: UInt64) -> UInt64 {
        let number = Int64(bitPattern: difference)
        return UInt64(bitPattern: number << 1 ^ number >> 63)
    }

    // MARK: Reading

    /// The samples from the first measured interval to the newest; `nil` for an interval that was not measured.
    public var samples: [ActivitySample?] {
        let count = Int64.bitWidth - measured.leadingZeroBitCount
        var samples: [ActivitySample?] = []
        samples.reserveCapacity(count)
        var reader = Reader()
        for age in (0..<count).reversed() {
            let sample = age < Int(stored) ? reader.sample(in: bytes.span) : ActivitySample()
            samples.append(measured >> UInt64(age) & 1 == 1 ? sample : nil)
        }
        return samples
    }

    /// The position of the reader in the bytes.
    private struct Reader {
        var position = 0

        private mutating func byte(_ bytes: Span<UInt8>) -> UInt8 {
            guard position < bytes.count else { return 0 }
            position += 1
            return bytes[position - 1]
        }

        private mutating func number(_ bytes: Span<UInt8>) -> UInt64 {
            var number: UInt64 = 0
            var shift: UInt64 = 0
            while true {
                let next = byte(bytes)
                number |= UInt64(next & 0x7f) << shift
                guard next > 0x7f else { return number }
                shift += 7
            }
        }

        private mutating func difference(_ bytes: Span<UInt8>) -> UInt64 {
            let number = number(bytes)
            return number >> 1 ^ (0 &- (number & 1))
        }

        mutating func sample(in bytes: Span<UInt8>) -> ActivitySample {
            var sample = ActivitySample()
            let parts = byte(bytes)
            if parts & 1 != 0 { sample.heartbeatsExpected = number(bytes) }
            sample.heartbeatsReceived = sample.heartbeatsExpected &+ (parts & 2 != 0 ? difference(bytes) : 0)
            sample.messages = sample.heartbeatsReceived &+ (parts & 4 != 0 ? difference(bytes) : 0)
            if parts & 8 != 0 {
                let sources = byte(bytes)
                for source in MenuReads.Source.allCases where sources >> source.rawValue & 1 == 1 {
                    sample.menuReads[source] = number(bytes)
                }
            }
            if parts & 16 != 0 {
                let buckets = UInt16(byte(bytes)) | UInt16(byte(bytes)) << 8
                for bucket in 0..<LatencyCounts.buckets where buckets >> UInt16(bucket) & 1 == 1 {
                    sample.deliveries[bucket] = number(bytes)
                }
            }
            return sample
        }
    }

    // MARK: JSON

    /// One object with a column for each number. Every column has an element for each interval since the first measured one, and
    /// `null` for those that were not measured:
    ///
    ///     {"interval_ms": 15000, "start": "2026-01-31T18:00:00.000Z", "messages": [12, null, 0], "heartbeats_received": […],
    ///      "heartbeats_expected": […], "menu_reads": {"process": […]}, "delivery_bounds_ms": [0.5, 1, …],
    ///      "deliveries": [[[3, 12], [4, 1]], null, []]}
    ///
    /// `start` is when the first interval began; if it is `null`, the columns are empty. Sources from which no menu was read are
    /// left out. A pair of `deliveries` is the index of a bound, from 0, and how many took no longer than it but longer than the
    /// bound before; the index after the last bound has the rest.
    public func appendJSON(to output: inout ByteBuffer, interval: Duration) {
        let samples = samples
        let milliseconds = interval.inMilliseconds
        output.append("{\"interval_ms\":")
        output.append(decimal: milliseconds)
        output.append(",\"start\":")
        if samples.isEmpty {
            output.append("null")
        } else {
            let first = newest &- Int64(samples.count - 1)
            output.append(json: UnixTime(milliseconds: first &* milliseconds))
        }
        func column(_ name: StaticString, _ write: (ActivitySample, inout ByteBuffer) -> Void) {
            output.append("\"")
            output.append(name)
            output.append("\":[")
            for (index, sample) in samples.enumerated() {
                if index > 0 { output.append(",") }
                if let sample { write(sample, &output) } else { output.append("null") }
            }
            output.append("]")
        }
        output.append(",")
        column("messages") { $1.append(decimal: $0.messages) }
        output.append(",")
        column("heartbeats_received") { $1.append(decimal: $0.heartbeatsReceived) }
        output.append(",")
        column("heartbeats_expected") { $1.append(decimal: $0.heartbeatsExpected) }
        output.append(",\"menu_reads\":{")
        var isFirst = true
        for source in MenuReads.Source.allCases where samples.contains(where: { ($0?.menuReads[source] ?? 0) > 0 }) {
            if !isFirst { output.append(",") }
            isFirst = false
            column(source.name) { $1.append(decimal: $0.menuReads[source]) }
        }
        output.append("},\"delivery_bounds_ms\":[\(Histogram.Scale.latency.millisecondsText)],")
        column("deliveries") { $0.deliveries.appendJSON(to: &$1) }
        output.append("}")
    }
}
