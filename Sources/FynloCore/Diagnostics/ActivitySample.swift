// What happened within a few seconds, in one restaurant or in all of them: the numbers that the charts of the console are of.

/// How many readers of menus were answered from where.
public struct MenuReads: Equatable, Sendable {
    /// Where a menu came from.
    public enum Source: UInt8, CaseIterable, Sendable {
        /// A copy of the process.
        case process
        /// A copy in Redis.
        case redis
        /// PostgreSQL, as there was no copy.
        case miss
        /// PostgreSQL, as Redis was of no use.
        case bypass
        /// A copy that could not be compared, as PostgreSQL was away.
        case stale
        /// Nowhere.
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

/// Observations by the bucket of `Histogram(.latency)` that they lie in.
public struct LatencyCounts: Equatable, Sendable {
    public static let buckets = 16
    private var counts = [16 of UInt64](repeating: 0)

    public init() {}

    /// How many lie in a bucket, of which 0 is that of the least.
    public subscript(bucket: Int) -> UInt64 {
        get { counts[bucket] }
        set { counts[bucket] = newValue }
    }

    public var isEmpty: Bool { self == LatencyCounts() }

    public static func == (left: LatencyCounts, right: LatencyCounts) -> Bool {
        (0..<buckets).allSatisfy { left.counts[$0] == right.counts[$0] }
    }

    /// `[[3,12],[4,1]]`: the buckets in which there are any, each with how many.
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
    /// From tablets.
    public var messages: UInt64 = 0
    /// Pings; among the messages too.
    public var heartbeatsReceived: UInt64 = 0
    /// Pings that were due.
    public var heartbeatsExpected: UInt64 = 0
    public var menuReads = MenuReads()
    /// Durable events, each once, by the time from their commit to the last socket written.
    public var deliveries = LatencyCounts()

    public init() {}

    /// Both together. Sums wrap around, as counters do.
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
