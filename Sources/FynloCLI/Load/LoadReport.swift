// The result of a load test: JSON for programs, lines for people.

import FynloCore
import FynloIO
import Glibc

/// Named values, in order.
struct LoadResult: ExpressibleByDictionaryLiteral {
    struct Member {
        let name: String
        let value: LoadValue
    }

    private(set) var members: [Member] = []

    init() {}

    init(dictionaryLiteral members: (String, LoadValue)...) {
        for (name, value) in members { append(name, value) }
    }

    mutating func append(_ name: String, _ value: LoadValue) {
        members.append(Member(name: name, value: value))
    }

    /// Appends it as a JSON object.
    func append(to output: inout ByteBuffer) {
        output.append("{")
        for (index, member) in members.enumerated() {
            if index > 0 { output.append(",") }
            output.append(jsonString: member.name)
            output.append(":")
            member.value.append(to: &output)
        }
        output.append("}")
    }

    /// The lines for a person; a group of groups takes several.
    func lines(prefix: String = "") -> [String] {
        members.flatMap { member -> [String] in
            let label = prefix + member.name.replacing("_", with: " ")
            if case .group(let inner) = member.value {
                if inner.members.isEmpty { return [] }
                if inner.hasGroups { return inner.lines(prefix: label + " ") }
            }
            return [label + String(repeating: " ", count: max(1, 28 - label.count)) + member.value.shown]
        }
    }

    private var hasGroups: Bool {
        members.contains { if case .group = $0.value { true } else { false } }
    }
}

/// One value of a result.
indirect enum LoadValue {
    case text(String)
    case boolean(Bool)
    case integer(Int)
    /// A number with this many decimals.
    case decimal(Double, Int)
    case group(LoadResult)

    /// Percentiles in milliseconds.
    static func latencies(_ histogram: LatencyHistogram) -> LoadValue {
        func milliseconds(_ duration: Duration) -> LoadValue { .decimal(Double(duration.inNanoseconds) / 1e6, 3) }
        return .group([
            "count": .integer(histogram.count), "min": milliseconds(histogram.minimum),
            "mean": milliseconds(histogram.mean), "p50": milliseconds(histogram.percentile(50)),
            "p95": milliseconds(histogram.percentile(95)), "p99": milliseconds(histogram.percentile(99)),
            "p99.9": milliseconds(histogram.percentile(99.9)), "max": milliseconds(histogram.maximum),
        ])
    }

    /// Appends it as JSON.
    func append(to output: inout ByteBuffer) {
        switch self {
        case .text(let text): output.append(jsonString: text)
        case .boolean(let value): output.append(value ? "true" : "false")
        case .integer(let number): output.append(String(number))
        case .decimal(let number, let digits): output.append(LoadValue.fixed(number, digits))
        case .group(let members): members.append(to: &output)
        }
    }

    /// The value for a person.
    var shown: String {
        switch self {
        case .text(let text): text
        case .boolean(let value): value ? "yes" : "no"
        case .integer(let number): LoadValue.grouped(number)
        case .decimal(let number, let digits): LoadValue.fixed(number, digits)
        case .group(let result): result.members.map { "\($0.name) \($0.value.shown)" }.joined(separator: "  ")
        }
    }

    /// `12,345`.
    static func grouped(_ number: Int) -> String {
        var digits = String(number.magnitude)
        var text = ""
        while digits.count > 3 {
            text = "," + digits.suffix(3) + text
            digits.removeLast(3)
        }
        return (number < 0 ? "-" : "") + digits + text
    }

    /// A number with exactly this many decimals.
    static func fixed(_ number: Double, _ digits: Int) -> String {
        guard number.isFinite, abs(number) < 1e15 else { return "0" }
        var power: Int64 = 1
        for _ in 0..<digits { power *= 10 }
        let scaled = Int64((abs(number) * Double(power)).rounded())
        let sign = number < 0 && scaled != 0 ? "-" : ""
        guard digits > 0 else { return sign + String(scaled) }
        let fraction = String(scaled % power)
        return sign + String(scaled / power) + "." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}

/// The line of progress on a terminal.
struct LoadProgress {
    private static let isShown = isatty(STDERR_FILENO) == 1
    private var nextAt = Instant(nanoseconds: .min)
    private var hasLine = false

    mutating func show(_ text: @autoclosure () -> String, now: Moment) {
        guard LoadProgress.isShown, now.instant >= nextAt else { return }
        nextAt = now.instant + .milliseconds(500)
        hasLine = true
        LoadProgress.write("\r\u{1b}[K\(text())")
    }

    mutating func clear() {
        if hasLine { LoadProgress.write("\r\u{1b}[K") }
        hasLine = false
    }

    private static func write(_ text: String) {
        _ = Array(text.utf8).withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// The resources that the measurement used: of this process, and of the server's if it is known.
struct LoadUsage {
    private struct Sample {
        var processor = Duration.zero
        var wall = Instant(nanoseconds: 0)
    }

    /// The figures at the start, at the start of the measurement, if it began, and at its end.
    private struct Times {
        let start: Sample
        var measuring: Sample?
        var end: Sample

        init(_ start: Sample) {
            self.start = start
            end = start
        }
    }

    private let serverProcess: Int?
    private var ownTimes: Times
    private var serverTimes: Times
    private var serverMemory: (start: Int?, end: Int?)
    private var ownMemory = 0

    init(server process: Int?) {
        serverProcess = process
        let (own, server) = LoadUsage.samples(process)
        ownTimes = Times(own)
        serverTimes = Times(server)
        serverMemory.start = process.flatMap { LoadUsage.residentKibibytes($0) }
    }

    mutating func startMeasuring() {
        (ownTimes.measuring, serverTimes.measuring) = LoadUsage.samples(serverProcess)
    }

    mutating func stop() {
        (ownTimes.end, serverTimes.end) = LoadUsage.samples(serverProcess)
        serverMemory.end = serverProcess.flatMap { LoadUsage.residentKibibytes($0) }
        ownMemory = LoadUsage.residentKibibytes(Int(getpid())) ?? 0
    }

    /// The figures of this process.
    var own: LoadResult {
        var result = LoadUsage.members(ownTimes)
        result.append("resident_kib", .integer(ownMemory))
        return result
    }

    /// The figures of the server's process; `nil` if it is unknown.
    var servers: LoadResult? {
        guard serverProcess != nil else { return nil }
        var result = LoadUsage.members(serverTimes)
        result.append("resident_kib_before", .integer(serverMemory.start ?? 0))
        result.append("resident_kib", .integer(serverMemory.end ?? 0))
        return result
    }

    private static func members(_ times: Times) -> LoadResult {
        let (start, middle, end) = (times.start, times.measuring ?? times.end, times.end)
        func share(_ from: Sample, _ to: Sample) -> Double {
            let wall = (to.wall - from.wall).inSeconds
            return wall > 0 ? (to.processor - from.processor).inSeconds / wall : 0
        }
        return [
            "connect_cpu_seconds": .decimal((middle.processor - start.processor).inSeconds, 6),
            "connect_cores": .decimal(share(start, middle), 3),
            "cpu_seconds": .decimal((end.processor - middle.processor).inSeconds, 6),
            "cores": .decimal(share(middle, end), 3),
        ]
    }

    private static func samples(_ process: Int?) -> (own: Sample, server: Sample) {
        let processor = SystemClock.processorTime
        let wall = SystemClock.instant
        let servers = process.flatMap { SystemClock.processorTime(of: $0) } ?? .zero
        return (Sample(processor: processor, wall: wall), Sample(processor: servers, wall: wall))
    }

    private static func residentKibibytes(_ process: Int) -> Int? {
        guard let bytes = File.contents(of: "/proc/\(process)/status", limit: 65_536) else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line?.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Int($0) }
    }
}
