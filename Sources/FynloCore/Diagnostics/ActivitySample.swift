// What happened within one interval, in one restaurant or in all: the numbers behind the console's charts.

/// How many menu reads were answered from each source.
public struct MenuReads: Equatable, Sendable {
    /// Where a menu came from.
    public enum Source: UInt8, CaseIterable, Sendable {
        /// A copy in the process.
        case process
        /// A copy in Redis.
        case redis
        /// PostgreSQL, because there was no copy.
        case miss
        /// PostgreSQL, because Redis was not usable.
        case bypass
        /// A copy that could not be checked, because PostgreSQL was away.
        case stale
        /// No source: the read failed.
        case failed

        /// Its name in diagnostics.
        var name: StaticString {
            switch self {
            case .process: "process"
            case .redis: "redis"
            case .miss: "database"
            case .bypass: "bypass"
            case .stale: "stale"
            case .failed: "failed"
            }
        }
    }

    private var counts = [6 of UInt64](repeating: 0)

    public init() {}

    public subscript(source: Source) -> UInt64 {
        get { counts[Int(source.rawValue)] }
        set { counts[Int(source.rawValue)] = newValue }
    }

    public var isEmpty: Bool { self == MenuReads() }

    public static func == (left: MenuReads, right: MenuReads) -> Bool {
        Source.allCases.allSatisfy { left[$0] == right[$0] }
    }

    /// `{"process":1,"redis":0,"database":1,"bypass":0,"stale":0,"failed":0}`
    public func appendJSON(to output: inout ByteBuffer) {
        output.append("{")
        for source in Source.allCases {
            output.append(source == .process ? "\"" : ",\"")
            output.append(source.name)
            output.append("\":")
            output.append(decimal: self[source])
        }
        output.append("}")
    }
}

/// Observations by bucket of `Histogram(.latency)`.
public struct LatencyCounts: Equatable, Sendable {
    public static let buckets = 16
    private var counts = [16 of UInt64](repeating: 0)

    public init() {}

    /// The count of a bucket; bucket 0 has the smallest values.
    public subscript(bucket: Int) -> UInt64 {
        get { counts[bucket] }
        set { counts[bucket] = newValue }
    }

    public var isEmpty: Bool { self == LatencyCounts() }

    public static func == (left: LatencyCounts, right: LatencyCounts) -> Bool {
        (0..<buckets).allSatisfy { left.counts[$0] == right.counts[$0] }
    }

    /// `[[3,12],[4,1]]`: the buckets that are not empty, each with its count.
    func appendJSON(to output: inout ByteBuffer) {
        output.append("[")
        var isFirst = true
        for bucket in 0..<LatencyCounts.buckets where counts[bucket] > 0 {
            output.append(isFirst ? "[" : ",[")
            isFirst = false
            output.append(decimal: Int64(bucket))
            output.append(",")
            output.append(decimal: counts[bucket])
            output.append("]")
        }
        output.append("]")
    }
}

/// What happened within one interval.
public struct ActivitySample: Equatable, Sendable {
    /// Messages from tablets.
    public var messages: UInt64 = 0
    /// Pings; they count as messages too.
    public var heartbeatsReceived: UInt64 = 0
    /// Pings that were due.
    public var heartbeatsExpected: UInt64 = 0
    public var menuReads = MenuReads()
    /// Durable events, each counted once, by the time from commit to the last socket written.
    public var deliveries = LatencyCounts()

    public init() {}

    /// Adds another sample. Sums wrap around, as counters do.
    public mutating func add(_ other: ActivitySample) {
        messages &+= other.messages
        heartbeatsReceived &+= other.heartbeatsReceived
        heartbeatsExpected &+= other.heartbeatsExpected
        // Most have neither.
        if !other.menuReads.isEmpty {
            for source in MenuReads.Source.allCases { menuReads[source] &+= other.menuReads[source] }
        }
        if !other.deliveries.isEmpty {
            for bucket in 0..<LatencyCounts.buckets { deliveries[bucket] &+= other.deliveries[bucket] }
        }
    }
}
