import AllocationCounter
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Memory on the message path")
struct AllocationTests {
    /// Rounds of one message each.
    private static let rounds = 200

    /// How many rounds asked for memory `count` times, for each round in which only the server had something to do.
    private func allocations(
        per round: (TestTablet) throws -> Void, on server: TestServer, _ tablet: TestTablet
    ) throws -> [Int] {
        var counts: [Int] = []
        counts.reserveCapacity(AllocationTests.rounds)
        for _ in 0..<AllocationTests.rounds {
            try round(tablet)
            let before = allocation_count()
            try server.loop.turn(timeout: .zero)
            counts.append(allocation_count() - before)
        }
        return counts
    }

    // The compiler puts on the heap what it later finds need not be there: only an optimised build tells.
    #if DEBUG
        private static let isOptimised = false
    #else
        private static let isOptimised = true
    #endif

    @Test(
        "a ping asks for no memory: not the frame, not the message, not the answer, not the turn",
        .enabled(if: isOptimised, "needs an optimised build: scripts/test --allocations"))
    func ping() throws {
        try #require(allocation_count() >= 0, "a sanitizer has an allocator of its own")
        let server = try TestServer(["FYNLO_RATE_BURST": "1000"])
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.staffTablet(at: restaurant)
        tablet.isReading = false
        let ping =
            #"{"id":"p-1","type":"ping","data":{"timestamp":"2026-01-31T18:04:05.123Z","last_seq":7,"rtt_ms":12.5}}"#
        let counts = try allocations(per: { try $0.sayAtOnce(ping) }, on: server, tablet)
        tablet.isReading = true
        try server.wait(for: "the pongs") { tablet.messages("pong").count == AllocationTests.rounds }
        // Some turns also look after Redis, the database or the timers.
        let silent = counts.count { $0 == 0 }
        #expect(silent > AllocationTests.rounds * 9 / 10, "\(counts)")
    }
}
