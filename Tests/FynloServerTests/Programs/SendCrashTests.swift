import Foundation
import FynloCore
import Glibc
import Testing

@testable import FynloServer

/// `fynlo send --lines --outbox` as a process, which is told commands and killed.
private final class SendingProcess {
    private let process = Process()
    private let commands = Pipe()
    private let states = Pipe()
    private var unfinished: [UInt8] = []

    init(_ server: ServerProcess, _ user: TestUser, at restaurant: RestaurantID, outbox: String) throws {
        process.executableURL = URL(fileURLWithPath: ServerProcess.program).deletingLastPathComponent()
            .appending(path: "fynlo")
        process.arguments = [
            "send", "--restaurant", "\(restaurant)", "--url", "http://\(server.address)", "--lines", "--outbox", outbox,
        ]
        process.environment = [
            "FYNLO_TOKEN": user.token(), "FYNLO_USER_ID": "\(user.id)",
        ].merging(ServerProcess.sanitizerVariables) { $1 }
        process.standardInput = commands
        process.standardOutput = states
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    func say(_ lines: String) throws {
        try commands.fileHandleForWriting.write(contentsOf: Array(lines.utf8))
    }

    func endOfInput() throws {
        try commands.fileHandleForWriting.close()
    }

    /// The next changes of state; empty at the end.
    func changes() throws -> [Document] {
        let data = states.fileHandleForReading.availableData
        if data.isEmpty { return [] }
        unfinished += data
        var documents: [Document] = []
        while let end = unfinished.firstIndex(of: 0x0a) {
            documents.append(try Document(Array(unfinished[..<end])))
            unfinished.removeSubrange(...end)
        }
        return documents.isEmpty ? try changes() : documents
    }

    /// Kills it at once; what it has told until then.
    func kill() throws -> [Document] {
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        var rest: [Document] = []
        while case let more = try changes(), !more.isEmpty { rest += more }
        return rest
    }

    func waitUntilExit() -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }
}

@Suite("A tablet's program that is killed")
struct SendCrashTests {
    /// FYNLO_TEST_CRASHES asks for more.
    private static let rounds = CommandLine.environment["FYNLO_TEST_CRASHES"].flatMap { Int($0) } ?? 20

    @Test("at any write: every command that was told to be queued takes effect once, in order, and no other twice")
    func kills() throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.employee, at: restaurant)
        let server = try ServerProcess(database, ["FYNLO_RATE_LIMIT": "10000", "FYNLO_RATE_BURST": "10000"])
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var random = SeededRandom(seed: UInt64.random(in: 0...UInt64.max))

        /// Each command moves an order of its own.
        let perRound = 12
        let orders = try database.run(
            """
            insert into orders (restaurant_id) select '\(restaurant)' from generate_series(1, \(Self.rounds * perRound))
            returning id
            """
        ).rows.compactMap { $0.uuid(0) }
        var queued: Set<String> = []
        var acknowledged: [String: Int] = [:]
        var given: [String] = []
        func hear(_ changes: [Document]) {
            for change in changes {
                let id = change["id"].string ?? ""
                switch change["state"].string {
                case "queued": queued.insert(id)
                case "acknowledged":
                    let sequence = change["seq"].integer ?? 0
                    if let before = acknowledged.updateValue(sequence, forKey: id) {
                        #expect(before == sequence, "\(id) got two answers")
                    }
                case "refused": Issue.record("\(change)")
                default: break
                }
            }
        }
        for round in 0..<Self.rounds {
            let sending = try SendingProcess(server, user, at: restaurant, outbox: folder.path + "/outbox")
            let ids = (0..<perRound).map { "\(round)-\($0)" }
            given += ids
            try sending.say(
                ids.enumerated().map { index, id in
                    #"\#(id) order.status_update {"order_id":"\#(orders[round * perRound + index])","status":"ready"}"#
                }.joined(separator: "\n") + "\n")
            // After some number of its words it is killed, in whatever it is doing.
            var patience = Int.random(in: 0...(3 * perRound), using: &random)
            while patience > 0 {
                let changes = try sending.changes()
                if changes.isEmpty { break }
                hear(changes)
                patience -= changes.count
                if given.allSatisfy({ acknowledged[$0] != nil || !queued.contains($0) }),
                    queued.contains(ids[perRound - 1])
                {
                    break
                }
            }
            hear(try sending.kill())
        }
        let last = try SendingProcess(server, user, at: restaurant, outbox: folder.path + "/outbox")
        try last.endOfInput()
        while case let changes = try last.changes(), !changes.isEmpty { hear(changes) }
        #expect(last.waitUntilExit() == 0)

        let made = try database.run(
            "select message_id, seq from restaurant_events where restaurant_id = '\(restaurant)' and message_id is not null order by seq"
        ).rows.map { (id: $0.string(0) ?? "", sequence: $0.integer(1) ?? 0) }
        #expect(Set(made.map(\.id)).count == made.count, "some command took effect twice")
        let effects = Set(made.map(\.id))
        #expect(queued.subtracting(effects).isEmpty, "a command that was queued is lost")
        for (id, sequence) in acknowledged {
            #expect(made.contains { $0.id == id && $0.sequence == Int64(sequence) }, "\(id) was acknowledged")
        }
        let places = made.compactMap { event in given.firstIndex(of: event.id) }
        #expect(places == places.sorted(), "one command has overtaken another")
        #expect(!queued.isEmpty && effects.count > Self.rounds)
        server.stop()
    }
}
