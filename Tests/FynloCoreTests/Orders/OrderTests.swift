import FynloCore
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

    @Test("the sentence for a wrong status lists all")
    func names() {
        #expect(OrderStatus.names == "draft, pending, confirmed, preparing, ready, served, completed, cancelled")
    }
}
