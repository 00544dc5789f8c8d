import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("A server that is killed")
struct CrashTests {
    /// How often; FYNLO_TEST_CRASHES asks for more.
    private static let rounds = CommandLine.environment["FYNLO_TEST_CRASHES"].flatMap { Int($0) } ?? 20

    @Test("at any moment, under the load of fifty tablets, loses no command and no event, and does nothing twice")
    func kills() throws {
        let database = try TestDatabase()
        var random = SeededRandom(seed: UInt64.random(in: 0...UInt64.max))
        let loop = try EventLoop()
        defer { loop.close() }
        var tablets: [PersistentTablet] = []
        for number in 0..<5 {
            let restaurant = try database.addRestaurant()
            for place in 0..<10 {
                let orders = try database.run(
                    """
                    insert into orders (restaurant_id) select '\(restaurant)' from generate_series(1, 4 + \(Self.rounds))
                    returning id
                    """
                ).rows.compactMap { $0.uuid(0).map(OrderID.init) }
                tablets.append(
                    PersistentTablet(
                        "tablet \(number)-\(place)", try database.addUser(.employee, at: restaurant), at: restaurant,
                        orders: orders))
            }
        }
        // The orders that were there before are events, too: every tablet resumes from the very beginning.
        func acknowledged() -> Int { tablets.reduce(0) { $0 + $1.acknowledged.count } }
        func run(until condition: () -> Bool, for limit: Duration = .seconds(60)) throws -> Bool {
            try loop.run(
                until: {
                    for tablet in tablets { tablet.work() }
                    return condition()
                }, for: limit)
        }

        let all = tablets.reduce(0) { $0 + $1.commandCount }
        let variables = ["FYNLO_RATE_LIMIT": "10000", "FYNLO_RATE_BURST": "10000", "FYNLO_LOG": "info"]
        for round in 0..<Self.rounds {
            let server = try ServerProcess(database, variables)
            for tablet in tablets { try tablet.connect(loop, server.address) }
            // Sometimes before anybody is in, sometimes in the middle of the work.
            let goal = min(acknowledged() + random.below(all / Self.rounds + 1), all - 50)
            #expect(try run { acknowledged() >= goal }, "round \(round): \(acknowledged()) of \(goal)")
            if round % 4 == 0 {
                try database.run("update orders set notes = 'round \(round)' where order_number like '%7'")
            }
            server.kill()
            for tablet in tablets { tablet.disconnect() }
        }
        let server = try ServerProcess(database, variables)
        for tablet in tablets { try tablet.connect(loop, server.address) }
        #expect(try run { tablets.allSatisfy(\.isDone) }, "\(acknowledged()) of \(all)")
        try PersistentTablet.compare(database, tablets) { try run(until: $0) }
        for tablet in tablets { tablet.disconnect() }
        server.stop()
    }
}
