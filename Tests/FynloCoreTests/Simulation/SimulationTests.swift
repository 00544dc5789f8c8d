import Foundation
import Testing

/// FYNLO_SIMULATION_SEEDS=10000 runs that many days instead of 500; FYNLO_SIMULATION_SEED=123 runs that one and prints
/// what happened.
@Suite("Simulated days")
struct SimulationTests {
    private static func number(_ variable: String) -> UInt64? {
        ProcessInfo.processInfo.environment[variable].flatMap { UInt64($0) }
    }

    @Test("nothing is lost, nothing comes twice, nobody sees what is not theirs")
    func days() {
        if let seed = Self.number("FYNLO_SIMULATION_SEED") {
            let day = Self.run(seed, isTraced: true)
            print(day.traceLines.joined(separator: "\n"))
            #expect(day.oracle.violation == nil)
            return
        }
        let count = Self.number("FYNLO_SIMULATION_SEEDS") ?? 500
        var seen: [String: Int] = [:]
        var failures = 0
        for seed in 0..<count where failures < 5 {
            let day = Self.run(seed)
            seen.merge(day.oracle.seen) { $0 + $1 }
            guard let violation = day.oracle.violation else { continue }
            failures += 1
            let lines = Self.run(seed, isTraced: true).traceLines.suffix(60).joined(separator: "\n")
            Issue.record("FYNLO_SIMULATION_SEED=\(seed): \(violation)\n\(lines)")
        }
        // Days on which nothing happens prove nothing.
        if count >= 500 { for what in Self.everything { #expect(seen[what, default: 0] > 0, "\(what)") } }
        if count > 500 { for (what, times) in seen.sorted(by: { $0.key < $1.key }) { print("\(what): \(times)") } }
    }

    private static let everything = [
        "events", "fresh starts", "resumptions", "replays", "resyncs", "repeated commands", "unknown outcomes",
        "renewed tokens", "full", "crashes", "drains", "drains to the end",
        "goodbyes before the last answer", "outages", "cuts", "silences", "revocations checked",
        "asked to send again: unavailable", "asked to send again: rate_limited", "refused: invalid_transition",
        "refused: order_not_found", "refused: version_conflict", "refused: connection_limit", "refused: invalid_token",
        "refused: unavailable", "closed by the server: 4000", "closed by the server: 4003",
        "closed by the server: 4004",
        "closed by the server: 4005", "closed by the server: 4006", "closed by the server: 4008",
        "closed by the server: 4010", "closed by the server: 4011", "cuts within a frame", "ends that were awaited",
        "ends that never came",
    ]

    @Test("a database that breaks a promise is found out", arguments: Scenario.Mistake.allCases)
    func mistakes(mistake: Scenario.Mistake) {
        let found = (0..<50 as Range<UInt64>).first { Self.run($0, mistake: mistake).oracle.violation != nil }
        #expect(found != nil)
    }

    @Test("the same seed is the same day")
    func replay() {
        for seed in 0..<5 as Range<UInt64> {
            let lines = Self.run(seed, isTraced: true).traceLines
            #expect(lines.count > 50)
            #expect(Self.run(seed, isTraced: true).traceLines == lines)
        }
    }

    private static func run(
        _ seed: UInt64, mistake: Scenario.Mistake? = nil, isTraced: Bool = false
    ) -> Simulation {
        var simulation = Simulation(seed: seed, mistake: mistake, isTraced: isTraced)
        simulation.run()
        return simulation
    }
}
