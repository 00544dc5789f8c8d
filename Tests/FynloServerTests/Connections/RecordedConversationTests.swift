import Foundation
import FynloCore
import Testing

@testable import FynloServer

/// One line of a recorded conversation.
private enum Line {
    case tablet(String)
    case server(Document)
    case database(String)
}

/// Tablets stay in restaurants for years: what each generation says and is answered is kept in Recordings/, word for word.
@Suite("Recorded conversations of tablets")
struct RecordedConversationTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appending(path: "Recordings")

    private static func read(_ name: String, _ names: [(String, String)]) throws -> [Line] {
        var text = try String(contentsOf: folder.appending(path: name), encoding: .utf8)
        for (placeholder, value) in names { text = text.replacing(placeholder, with: value) }
        return try text.split(separator: "\n").compactMap { line in
            let rest = String(line.dropFirst(2))
            switch line.first {
            case ">": return .tablet(rest)
            case "<": return .server(try Document(json: rest))
            case "!": return .database(rest)
            default: return nil
            }
        }
    }

    /// Where an answer differs from the recorded one; `nil` if nowhere.
    private static func difference(_ told: Document, _ recorded: Document, _ path: String = "") -> String? {
        switch (told, recorded) {
        case (_, .string("*")): return nil
        case (.object(let told), .object(let recorded)):
            guard told.keys.sorted() == recorded.keys.sorted() else {
                return "\(path): \(told.keys.sorted()), recorded \(recorded.keys.sorted())"
            }
            return recorded.keys.sorted().lazy.compactMap { name in
                difference(told[name] ?? .null, recorded[name] ?? .null, "\(path)/\(name)")
            }.first
        default: return told == recorded ? nil : "\(path): \(told), recorded \(recorded)"
        }
    }

    @Test(
        "each generation is answered as it was recorded",
        arguments: ["first-generation.txt", "second-generation.txt", "third-generation.txt"])
    func conversation(name: String) throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let order = try server.database.addOrder(at: restaurant)
        let lines = try RecordedConversationTests.read(
            name,
            [
                ("$UPPERUSER", user.id.description.uppercased()), ("$USER", user.id.description),
                ("$UPPERRESTAURANT", restaurant.description.uppercased()), ("$RESTAURANT", restaurant.description),
                ("$UPPERORDER", order.description.uppercased()), ("$ORDER", order.description),
                ("$TOKEN", user.token()),
            ])
        #expect(lines.count >= 10)
        let tablet = try server.tablet(at: restaurant)
        var heard = 0
        for line in lines {
            switch line {
            case .tablet(let text): tablet.say(text)
            case .database(let statement): try server.database.run(statement)
            case .server(let recorded):
                try server.wait(for: "\(name): \(recorded["type"])") { tablet.messages.count > heard }
                let told = tablet.messages[heard]
                if let difference = RecordedConversationTests.difference(told, recorded) {
                    Issue.record("\(name), message \(heard + 1): \(difference)")
                }
                heard += 1
            }
        }
        // Nothing else was said: the pong comes right after the last recorded message.
        tablet.say(#"{"type":"ping"}"#)
        try server.wait(for: "the last pong") { tablet.messages.count > heard }
        #expect(tablet.messages[heard]["type"].string == "pong")
    }
}
