import Foundation
import FynloCore
import TestSupport
import Testing

@Suite("Order")
struct OrderTests {
    /// `x` where the row's status may become the column's; staying is decided before.
    private static let allowed = """
                  draft pending confirmed preparing ready served completed cancelled
        draft       .      x        x         x       x     x        x         x
        pending     .      .        x         x       x     x        x         x
        confirmed   .      .        .         x       x     x        x         x
        preparing   .      .        .         .       x     x        x         x
        ready       .      .        .         .       .     x        x         x
        served      .      .        .         .       .     .        x         x
        completed   .      .        .         .       .     .        .         .
        cancelled   .      .        .         .       .     .        .         .
        """

    @Test("a status may become any later one, and cancelled until it is completed")
    func transitions() throws {
        let lines = Self.allowed.split(separator: "\n").map { $0.split(separator: " ") }
        let columns = try lines[0].map { try #require(OrderStatus(rawValue: String($0))) }
        #expect(columns == OrderStatus.allCases)
        #expect(lines.count == 9)
        for line in lines.dropFirst() {
            let status = try #require(OrderStatus(rawValue: String(line[0])))
            for (next, mark) in zip(columns, line.dropFirst()) {
                #expect(status.mayBecome(next) == (mark == "x"), "\(status) to \(next)")
            }
        }
    }

    /// The names in quotation marks between two texts, of which the second is the first after the first one.
    private static func names(in path: String, between start: String, and end: String, quote: Character) throws
        -> [String]
    {
        let text = try Repository.text(path)
        let from = try #require(text.range(of: start), "\(path) has no \(start)")
        let to = try #require(text.range(of: end, range: from.upperBound..<text.endIndex))
        let parts = text[from.upperBound..<to.lowerBound].split(separator: quote, omittingEmptySubsequences: false)
        return stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) }
    }

    @Test("everybody who lists the statuses lists the same, in the same order")
    func lists() throws {
        let all = OrderStatus.allCases.map(\.rawValue)
        let schema = "migrations/0001_initial_schema.up.sql"
        #expect(try Self.names(in: schema, between: "status in (", and: ")", quote: "'") == all)
        let steps = try Self.names(in: schema, between: "v_steps constant text[] := array[", and: "]", quote: "'")
        #expect(steps + ["cancelled"] == all)
        #expect(try Self.names(in: "console/orders.js", between: "LIFE = [", and: "]", quote: "\"") == steps)
        let api = try Self.names(
            in: "api/openapi.json", between: "\"In the order of a service.\"", and: "]", quote: "\"")
        #expect(api == ["enum"] + all)
    }

    @Test("the sentence for a wrong status lists all")
    func names() {
        #expect(OrderStatus.names == "draft, pending, confirmed, preparing, ready, served, completed, cancelled")
    }
}
