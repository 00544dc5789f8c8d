import Foundation
import FynloCore

@testable import FynloServer

/// api/asyncapi.json as it is compiled in, with the schemas of the messages.
struct AsyncAPIDocument {
    let text: String
    let root: Document
    let schemas: SchemaCheck

    init() throws {
        let file = EmbeddedFiles.all.first { $0.name == "asyncapi.json" }
        text = file?.text ?? ""
        root = try Document(json: text)
        schemas = SchemaCheck(root: root)
    }

    /// The described messages, by their key: the sender and the type, as in `server.ack`.
    var messages: [String: Document] { root["components"]["messages"].members }

    /// The types that `sender`, a tablet or the server, may send.
    func types(from sender: String) -> Set<String> {
        Set(messages.keys.filter { $0.hasPrefix(sender + ".") }.map { String($0.dropFirst(sender.count + 1)) })
    }

    /// What is wrong with a message of the server; empty: nothing.
    func findings(_ message: Document) -> [String] {
        let type = message["type"].string ?? ""
        guard let described = messages["server.\(type)"] else { return ["\(type) is not described"] }
        return schemas.findings(message, described["payload"], at: type)
    }
}

/// docs/protocol.md.
struct ProtocolPage {
    let text: String

    init() throws {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { root.deleteLastPathComponent() }
        text = try String(contentsOf: root.appending(path: "docs/protocol.md"), encoding: .utf8)
    }

    /// The rows of the table with this first row, each as its cells.
    func table(_ head: String) -> [[String]] {
        text.split(separator: "\n", omittingEmptySubsequences: false).drop { $0 != head }.dropFirst(2)
            .prefix { $0.hasPrefix("|") }
            .map { row in
                row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            }
    }

    /// What stands between back quotes in a text.
    static func quoted(_ text: String) -> [String] {
        text.matches(of: /`([^`\n]+)`/).map { String($0.output.1) }
    }

    /// The types of the examples of `sender`.
    func examples(from sender: String) -> Set<String> {
        let blocks = text.matches(of: /```json ([a-z]+)\n([^`]+)```/).filter { $0.output.1 == sender }
        return Set(blocks.compactMap { (try? Document(json: String($0.output.2)))?["type"].string })
    }
}
