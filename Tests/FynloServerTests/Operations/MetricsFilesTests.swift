import Foundation
import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

/// Alerts, the dashboard and the documentation name the metrics that a server has.
@Suite("Alerts, the dashboard and the table of metrics")
struct MetricsFilesTests {
    /// The metrics that a text names, without the suffixes of histograms.
    private func names(in text: String, of metrics: Exposition) -> Set<String> {
        Set(
            text.matches(of: /\bfynlo_[a-z_]+/).map { match in
                let name = String(match.output)
                for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
                    let family = String(name.dropLast(suffix.count))
                    if metrics.kinds[family] == "histogram" { return family }
                }
                return name
            })
    }

    @Test("name metrics and labels that there are, and all of them are on the dashboard and in the table")
    func names() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        tablet.say(type: "ping", data: "{\"last_seq\":0}")
        try server.wait(for: "a pong") { tablet.messages("pong").count == 1 }
        let metrics = try server.metrics()
        let families = Set(metrics.kinds.keys)
        let alerts = try Repository.text("deploy/alerts.yml")
        let dashboard = try Repository.text("deploy/grafana-dashboard.json")
        #expect(names(in: alerts, of: metrics).subtracting(families) == [])
        #expect(names(in: dashboard, of: metrics).symmetricDifference(families) == [])
        let table = try Repository.text("docs/operating/metrics.md").split(separator: "\n").filter {
            $0.hasPrefix("| `fynlo_")
        }
        #expect(Set(table.compactMap { $0.firstMatch(of: /fynlo_[a-z_]+/).map { String($0.output) } }) == families)
        #expect(table.count == families.count)
        for line in table {
            let columns = line.split(separator: "|").map { $0.trimmingWhitespace() }
            let name = try #require(columns[0].firstMatch(of: /fynlo_[a-z_]+/)).output
            #expect(columns[0].contains("(histogram)") == (metrics.kinds[String(name)] == "histogram"), "\(line)")
            let labels = columns.count == 3 ? Set(columns[1].split(separator: ", ").map(String.init)) : []
            let seen = metrics.values.keys.filter { $0.name.hasPrefix(name) && $0.name.count - name.count < 8 }
                .reduce(into: Set<String>()) { $0.formUnion($1.labels.keys) }.subtracting(["le"])
            #expect(labels == seen || metrics.values.keys.allSatisfy { $0.name != name }, "\(line)")
        }
        for text in [alerts, dashboard] {
            // Every value that a label is compared with, of labels that have a few.
            for match in text.matches(of: /(state|code|kind|result)=~?\\?"([a-z0-9_|]+)\\?"/) {
                for value in match.2.split(separator: "|") {
                    let isThere = metrics.values.keys.contains { $0.labels[String(match.1)] == String(value) }
                    #expect(isThere, "\(match.output.0)")
                }
            }
        }
    }

    @Test("a dashboard is JSON that Grafana takes, its panels apart")
    func dashboard() throws {
        let document = try Document(Array(Repository.text("deploy/grafana-dashboard.json").utf8))
        let panels = document["panels"].elements
        #expect(panels.count > 20)
        #expect(Set(panels.compactMap { $0["id"].integer }).count == panels.count)
        let places = panels.compactMap { panel -> String? in
            let place = panel["gridPos"]
            return place["x"].integer.flatMap { x in place["y"].integer.map { "\(x) \($0)" } }
        }
        #expect(Set(places).count == panels.count)
    }

    @Test("promtool finds nothing wrong, where it is installed")
    func promtool() throws {
        let paths = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/promtool" }
        guard let program = paths.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else { return }
        let server = try TestServer()
        let answer = try server.request(.get, "/metrics")
        let rules = Repository.root.appending(path: "deploy/alerts.yml").path(percentEncoded: false)
        for (arguments, input) in [(["check", "rules", rules], []), (["check", "metrics"], answer.body)] {
            let process = Process()
            process.executableURL = URL(filePath: program)
            process.arguments = arguments
            let (standardInput, output) = (Pipe(), Pipe())
            process.standardInput = standardInput
            process.standardOutput = output
            process.standardError = output
            try process.run()
            try standardInput.fileHandleForWriting.write(contentsOf: Data(input))
            try standardInput.fileHandleForWriting.close()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 0, "\(arguments): \(text)")
        }
    }
}
