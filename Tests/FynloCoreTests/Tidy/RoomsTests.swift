import TestSupport
import Testing

@Suite("The rooms of the sources")
struct RoomsTests {
    // MARK: The repository

    private static let list = Result { try Rooms(Repository.text("Sources/may-know.txt")) }
    private static let sources = Result {
        try Repository.files(in: "Sources", endingWith: ".swift").map { path in
            SwiftSource(path: String(path.dropFirst("Sources/".count)), text: try Repository.text(path))
        }
    }

    /// The sources of the targets that have rooms.
    private static func roomed() throws -> [SwiftSource] {
        try sources.get().filter { $0.folder.hasPrefix("FynloCore") || $0.folder.hasPrefix("FynloServer") }
    }

    @Test("the list names every folder, and has no circle")
    func listIsSound() throws {
        for fault in try Self.list.get().faultsOfTheList(Self.roomed()) { Issue.record("\(fault)") }
    }

    @Test("a folder uses what it may know, and all that it may know")
    func arrowsAreKept() throws {
        for fault in try Self.list.get().faultsOfTheArrows(Self.roomed()) { Issue.record("\(fault)") }
    }

    @Test("files and functions are short, or say why not")
    func lengths() throws {
        for fault in try Self.list.get().faultsOfLength(Self.sources.get()) { Issue.record("\(fault)") }
    }

    // MARK: The checker

    private static func faults(_ list: String, _ files: [(path: String, text: String)]) -> [String] {
        let sources = files.map { SwiftSource(path: $0.path, text: $0.text) }
        let rooms = Rooms(list)
        let all = rooms.faultsOfTheList(sources) + rooms.faultsOfTheArrows(sources) + rooms.faultsOfLength(sources)
        return all.map(\.description)
    }

    private static let low = (path: "T/Low/Low.swift", text: "struct Low {}\nfunc lowest() {}\n")

    @Test(
        "a name used against the arrow is found, where it is used",
        arguments: [
            ("struct High { let low: Low }", "Low"),
            ("struct High {\n    static let text = \"a \\(Low.self) b\"\n}", "Low"),
            ("extension Low {}", "Low"),
            ("func high() { lowest() }", "lowest"),
            ("let high = [Low]()", "Low"),
        ])
    func against(text: String, name: String) throws {
        let found = Self.faults("T/Low:\nT/High:", [Self.low, ("T/High/High.swift", "\n" + text + "\n")])
        let line = text.contains("\n") ? 3 : 2
        #expect(found == ["T/High/High.swift:\(line): \(name) is of T/Low, which T/High may not know"])
        #expect(Self.faults("T/Low:\nT/High: Low", [Self.low, ("T/High/High.swift", text + "\n")]) == [])
    }

    @Test(
        "what only looks like a use is none",
        arguments: [
            "// Low",
            "/* Low /* Low */ Low */",
            "let high = \"Low\"",
            "let high = #\"Low \"\\(Low)\" Low\"#",
            "let high = \"\"\"\n    Low \"Low\" \\\"\"\" Low\n    \"\"\"",
            "let high = Other.Low",
            "let high = call(lowest: 1)",
            "struct High { enum Low {}\n    let low: Low }",
            "let high = LowAndHigh()",
        ])
    func noUse(text: String) {
        #expect(Self.faults("T/Low:\nT/High:", [Self.low, ("T/High/High.swift", text + "\n")]) == [])
    }

    @Test("a private name is its file's own")
    func privateNames() {
        let files = [("T/Low/Low.swift", "private struct Low {}\n"), ("T/High/High.swift", "let high = Low()\n")]
        #expect(Self.faults("T/Low:\nT/High:", files) == [])
    }

    @Test(
        "a list that is not sound is found out",
        arguments: [
            ("T/Low: High\nT/High: Low", "may-know.txt: these folders know each other in a circle: T/High, T/Low"),
            ("T/High: Low", "may-know.txt: T/Low is not listed"),
            ("T/Low:\nT/High: Low\nT/Gone:", "may-know.txt: T/Gone has no Swift file"),
            ("T/Low: High\nT/High: !Low", "may-know.txt:1: T/Low uses nothing of T/High"),
            ("T/Low:\nT/High: Low\nT/Low:", "may-know.txt:3: T/Low is listed twice"),
            ("T/Low:\nT/High: Low\nwhat", "may-know.txt:3: is neither a comment nor `folder: folders`"),
            ("T/Low:\nT/High: Low\nover 400 lines: T/Low/Low.swift", "T/Low/Low.swift is short enough"),
            ("T/Low:\nT/High: Low\nover 400 lines: T/Low/Gone.swift", "T/Low/Gone.swift is not there"),
        ])
    func unsoundList(list: String, sentence: String) {
        let found = Self.faults(list, [Self.low, ("T/High/High.swift", "let high = Low()\n")])
        #expect(found.contains { $0.contains(sentence) }, "\(found)")
    }

    @Test("an arrow marked as against the order closes no circle, and a target's own files are a room")
    func marked() {
        let files = [
            Self.low, ("T/High/High.swift", "let high = Low()\nlet top = Top()\n"),
            ("T/Top.swift", "struct Top { let low: Low }\n"),
        ]
        #expect(Self.faults("T/Low:\nT: Low\nT/High: !T Low", files) == [])
    }

    @Test("a long file is found, and a long function that does not say why")
    func longOnes() {
        let body = String(repeating: "        call { $0 }\n", count: 59)
        let function = "    func long(\n        of: Int = { 1 }()\n    ) -> Int {\n" + body + "    }\n"
        let list = "T/Low:"
        let file = "T/Low/Low.swift"
        #expect(
            Self.faults(list, [(file, "struct A {\n" + function + "}\n")]).map { $0.prefix(34) } == [
                "T/Low/Low.swift:2: long has 63 lin"
            ])
        let explained = "    /// Long because it is.\n    @discardableResult\n"
        #expect(Self.faults(list, [(file, "struct A {\n" + explained + function + "}\n")]) == [])
        let unexplained = "    /// What it does.\n"
        #expect(Self.faults(list, [(file, "struct A {\n" + unexplained + function + "}\n")]).count == 1)
        #expect(Self.faults(list, [(file, "protocol P {\n    func a()\n    func b()\n}\n" + body)]) == [])
        let lines = String(repeating: "let x = 1\n", count: 401)
        #expect(Self.faults(list, [(file, lines)]) == ["T/Low/Low.swift: has 401 lines; 400 are the most"])
    }
}
