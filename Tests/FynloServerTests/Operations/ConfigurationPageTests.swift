import TestSupport
import Testing

@testable import FynloServer

/// The page that operators read has what the program reads.
@Suite("The page on configuration")
struct ConfigurationPageTests {
    @Test("has every variable once, with its default, and no other")
    func variables() throws {
        let page = try Repository.text("docs/operating/configuration.md")
        // | `NAME` | `default`, or nothing | meaning |
        let rows = page.matches(of: /(?m)^\| `([A-Z_]+)` \| (?:`([^`]*)`)? *\|/)
        #expect(rows.map { String($0.1) }.sorted() == Config.variables.map(\.name).sorted())
        let defaults = Dictionary(
            Config.variables.map { ($0.name, $0.fallback) }, uniquingKeysWith: { first, _ in first })
        for row in rows {
            #expect(defaults[String(row.1)] == row.2.map(String.init) ?? "", "\(row.1)")
        }
    }
}
