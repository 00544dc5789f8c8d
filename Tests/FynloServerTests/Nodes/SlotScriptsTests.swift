import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// The rules of the scripts, written down a second time.
private struct SlotTable {
    struct Slot: Equatable {
        let user: UserID
        let order: Int64
        let device: String
    }

    let perRestaurant: Int
    let perUser: Int
    var slots: [String: Slot] = [:]
    var nodes: Set<String> = []

    mutating func dropDead() {
        slots = slots.filter { nodes.contains(String($0.key.prefix(16))) }
    }

    private func hasRoom(_ user: UserID, without name: String?) -> Bool {
        let rest = slots.filter { $0.key != name }
        return rest.count < perRestaurant && rest.count { $0.value.user == user } < perUser
    }

    private func rival(of slot: Slot) -> (key: String, value: Slot)? {
        slot.device.isEmpty ? nil : slots.first { $0.value.user == slot.user && $0.value.device == slot.device }
    }

    /// The connections replaced; `nil`: there is no room.
    mutating func admit(_ name: String, _ slot: Slot) -> [String]? {
        let rival = rival(of: slot)
        guard hasRoom(slot.user, without: rival?.key) else { return nil }
        if let rival { slots[rival.key] = nil }
        slots[name] = slot
        return rival.map { [$0.key] } ?? []
    }

    mutating func readmit(_ mine: [(name: String, slot: Slot)]) -> [String] {
        for (name, _) in mine { slots[name] = nil }
        var replaced: [String] = []
        let verdicts = mine.map { name, slot in
            let rival = rival(of: slot)
            if let rival, rival.value.order > slot.order { return "replaced" }
            guard hasRoom(slot.user, without: rival?.key) else { return "full" }
            if let rival {
                slots[rival.key] = nil
                replaced.append(rival.key)
            }
            slots[name] = slot
            return "kept"
        }
        return verdicts + replaced
    }
}

@Suite("The table of slots")
struct SlotScriptsTests {
    private static func words(_ reply: RedisReply) -> [String] {
        guard case .array(let elements) = reply else { return [] }
        return elements.map {
            if case .string(let bytes) = $0 { String(decoding: bytes, as: UTF8.self) } else { "?" }
        }
    }

    @Test("does in Redis what its rules say, whatever is asked in whatever order", arguments: [1, 2, 3])
    func rules(seed: UInt64) throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let shared = try SharedRedis()
        let redis = try RedisUser(loop, shared.url)
        try redis.open()
        var random = SeededRandom(seed: seed)
        let restaurant = RestaurantID(TestDatabase.randomUUID())
        let names = RedisKeys(prefix: shared.prefix)
        let key = names.slots(restaurant)
        let nodes = (0..<3).map { _ in ConnectionID.nodeName(UInt64.random(in: .min ... .max)) }
        let users = (0..<4).map { _ in UserID(TestDatabase.randomUUID()) }
        let devices = ["", "", "tablet 1", "tablet\n2", "a b  c "]
        var table = SlotTable(perRestaurant: 6, perUser: 3)
        /// What each node has let in, oldest first.
        var members: [String: [(name: String, slot: SlotTable.Slot)]] = [:]
        var count = 0

        func run(_ script: RedisScript, _ node: String, _ arguments: [RedisArgument]) throws -> [String] {
            let answers = Answers()
            redis.connection.run(
                script, keys: [key, .text(names.leasePrefix + node)],
                [.text(names.leasePrefix)] + arguments, budget: .seconds(10), reply: answers.take)
            try redis.until { !answers.all.isEmpty }
            return Self.words(try answers.all[0].get())
        }

        for step in 0..<400 {
            let node = nodes[Int.random(in: 0..<3, using: &random)]
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                let name = node + "-" + String(count, radix: 16)
                count += 1
                let user = users[Int.random(in: 0..<4, using: &random)]
                let device = devices[Int.random(in: 0..<devices.count, using: &random)]
                let answer = try run(
                    SlotScripts.admit, node, [.text(name), .text(user.description), .text(device), 6, 3])
                guard table.nodes.contains(node) else {
                    #expect(answer == ["lapsed"])
                    continue
                }
                table.dropDead()
                let newest = table.slots.values.map(\.order).max() ?? 0
                let order = answer.count > 1 ? Int64(answer[1]) ?? 0 : 0
                let slot = SlotTable.Slot(user: user, order: order, device: device)
                if let replaced = table.admit(name, slot) {
                    #expect(answer == ["in", "\(order)"] + replaced, "step \(step)")
                    #expect(order > newest)
                    members[node, default: []].append((name, slot))
                } else {
                    #expect(answer == ["full"], "step \(step)")
                }
            case 5, 6:
                guard let gone = members[node]?.indices.randomElement(using: &random) else { continue }
                let name = members[node, default: []].remove(at: gone).name
                table.slots[name] = nil
                _ = try redis.ask("HDEL", key, .text(name))
            case 7:
                let mine = members[node] ?? []
                let arguments = mine.flatMap { name, slot -> [RedisArgument] in
                    [.text(name), .text(slot.user.description), .integer(slot.order), .text(slot.device)]
                }
                let answer = try run(SlotScripts.readmit, node, [6, 3] + arguments)
                guard table.nodes.contains(node) else {
                    #expect(answer == ["lapsed"])
                    continue
                }
                table.dropDead()
                #expect(answer == table.readmit(mine), "step \(step)")
                members[node] = zip(mine, answer).filter { $1 == "kept" }.map(\.0)
            case 8:
                table.nodes.remove(node)
                _ = try redis.ask("DEL", .text(names.leasePrefix + node))
            default:
                table.nodes.insert(node)
                _ = try redis.ask("SET", .text(names.leasePrefix + node), "1")
            }
            #expect(table.slots.count <= 6)
        }
        _ = try redis.ask("DEL", key, .text(names.leasePrefix + nodes[0]), .text(names.leasePrefix + nodes[1]))
        _ = try redis.ask("DEL", .text(names.leasePrefix + nodes[2]))
    }

    @Test("drops what is no slot, and counts the rest")
    func rubbish() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let shared = try SharedRedis()
        let redis = try RedisUser(loop, shared.url)
        try redis.open()
        let names = RedisKeys(prefix: shared.prefix)
        let key = names.slots(RestaurantID(TestDatabase.randomUUID()))
        let node = ConnectionID.nodeName(7)
        _ = try redis.ask("SET", .text(names.leasePrefix + node), "1")
        let rubbish = ["", "u", "u 1", "u x d", "u -1 d", "u 99999999999999999 d", "u 1e9 d", "\0 \0", " 1 "]
        for (number, value) in rubbish.enumerated() {
            _ = try redis.ask("HSET", key, .text("\(node)-\(number)"), .text(value))
        }
        for field in ["", "x", "\0", ConnectionID.nodeName(8) + "-1"] {
            _ = try redis.ask("HSET", key, .text(field), "user 1 ")
        }
        _ = try redis.ask("HSET", key, .text(node + "-ff"), "user 5 device")
        let answers = Answers()
        redis.connection.run(
            SlotScripts.admit, keys: [key, .text(names.leasePrefix + node)],
            [.text(names.leasePrefix), .text(node + "-100"), "user", "another", 2, 2], budget: .seconds(10),
            reply: answers.take)
        try redis.until { !answers.all.isEmpty }
        #expect(Self.words(try answers.all[0].get()).first == "in")
        #expect(try redis.ask("HLEN", key) == .success(.integer(2)))
        _ = try redis.ask("DEL", key, .text(names.leasePrefix + node))
    }

    @Test("has names for connections that are read back, and nothing else", arguments: [0, 1, 0x1234, UInt64.max])
    func names(number: UInt64) throws {
        let connection = ConnectionID(node: 0x00ab_cdef_0123_4567, number: number)
        let name = "00abcdef01234567-" + String(number, radix: 16)
        #expect(ConnectionID(slotName: Array(name.utf8)) == connection)
        var command = ByteBuffer()
        command.append(command: [.slot(connection)])
        #expect(String(decoding: command.bytes(), as: UTF8.self) == "*1\r\n$\(name.utf8.count)\r\n\(name)\r\n")
        for text in ["", "-", "00abcdef01234567", "00abcdef01234567-", "0abcdef01234567-1", "00abcdef01234567-1-2"] {
            #expect(ConnectionID(slotName: Array(text.utf8)) == nil)
        }
    }
}
