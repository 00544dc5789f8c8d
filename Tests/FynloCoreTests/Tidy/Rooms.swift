// The folders of a target, which of them may know which, and whether the sources keep to that.

/// The list of Sources/may-know.txt. Its head documents the format.
struct Rooms {
    /// Something that is not as it should be.
    struct Fault: Equatable, CustomStringConvertible {
        let file: String
        /// 0: the file, or the list, as a whole.
        let line: Int
        let sentence: String

        var description: String { line == 0 ? "\(file): \(sentence)" : "\(file):\(line): \(sentence)" }
    }

    /// An arrow from a folder to one that it may know.
    private struct Arrow: Hashable {
        let from: String
        let to: String
    }

    private static let listName = "may-know.txt"

    /// Every folder that is listed, in the list's order.
    private var folders: [String] = []
    /// The arrows, each with its line. Those that are marked `!` go against the order, and may not last.
    private var arrows: [Arrow: (line: Int, isAgainstTheOrder: Bool)] = [:]
    /// Files that may be longer than `fileLines`.
    private var longFiles: Set<String> = []
    private var listFaults: [Fault] = []

    init(_ text: String) {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard !line.hasPrefix("#"), let colon = line.firstIndex(of: ":") else {
                if !line.hasPrefix("#"), !line.isEmpty {
                    fault(index + 1, "is neither a comment nor `folder: folders`")
                }
                continue
            }
            let key = String(line[..<colon])
            let names = line[line.index(after: colon)...].split(separator: " ").map(String.init)
            if key == "over 400 lines" {
                longFiles.formUnion(names)
                continue
            }
            if folders.contains(key) { fault(index + 1, "\(key) is listed twice") }
            folders.append(key)
            for name in names {
                let isAgainst = name.hasPrefix("!")
                let to = Rooms.target(of: key) + "/" + (isAgainst ? String(name.dropFirst()) : name)
                // A target's own name stands for the files beside its folders.
                let arrow = Arrow(from: key, to: to.hasSuffix("/" + Rooms.target(of: key)) ? Rooms.target(of: key) : to)
                arrows[arrow] = (index + 1, isAgainst)
            }
        }
    }

    private mutating func fault(_ line: Int, _ sentence: String) {
        listFaults.append(Fault(file: Rooms.listName, line: line, sentence: sentence))
    }

    private static func target(of folder: String) -> String {
        String(folder.prefix { $0 != "/" })
    }

    // MARK: The list

    /// What is wrong with the list itself.
    func faultsOfTheList(_ sources: [SwiftSource]) -> [Fault] {
        var faults = listFaults
        let present = Set(sources.map(\.folder))
        for folder in folders where !present.contains(folder) {
            faults.append(Fault(file: Rooms.listName, line: 0, sentence: "\(folder) has no Swift file"))
        }
        for folder in present.subtracting(folders).sorted() {
            faults.append(Fault(file: Rooms.listName, line: 0, sentence: "\(folder) is not listed"))
        }
        for (arrow, value) in arrows where !folders.contains(arrow.to) {
            faults.append(
                Fault(file: Rooms.listName, line: value.line, sentence: "\(arrow.to), which it names, is not listed"))
        }
        if let circle = circle() {
            faults.append(
                Fault(
                    file: Rooms.listName, line: 0,
                    sentence: "these folders know each other in a circle: \(circle.sorted().joined(separator: ", "))"))
        }
        return faults
    }

    /// The folders that remain when those that know no others are taken away, again and again; `nil` if none does.
    private func circle() -> Set<String>? {
        var left = Set(folders)
        let ordered = arrows.filter { !$0.value.isAgainstTheOrder }.keys
        while true {
            let knowing = Set(ordered.filter { left.contains($0.from) && left.contains($0.to) }.map(\.from))
            if knowing.isEmpty { return nil }
            if knowing == left { return left }
            left = knowing
        }
    }

    // MARK: The sources

    /// Names that are used against the arrows, and arrows that nothing uses.
    func faultsOfTheArrows(_ sources: [SwiftSource]) -> [Fault] {
        // Of each target, where its files' shared names are declared; of each folder, what it declares itself.
        var homes: [String: [String: Set<String>]] = [:]
        var own: [String: Set<String>] = [:]
        for source in sources {
            for declaration in source.declarations {
                own[source.folder, default: []].insert(declaration.name)
                if declaration.isShared {
                    homes[Rooms.target(of: source.folder), default: [:]][declaration.name, default: []]
                        .insert(source.folder)
                }
            }
        }
        var faults: [Fault] = []
        var used: Set<Arrow> = []
        for source in sources {
            let folder = source.folder
            let names = homes[Rooms.target(of: folder)] ?? [:]
            for word in source.uses where own[folder]?.contains(word.text) != true {
                guard let home = names[word.text]?.min() else { continue }
                let arrow = Arrow(from: folder, to: home)
                used.insert(arrow)
                guard arrows[arrow] == nil else { continue }
                faults.append(
                    Fault(
                        file: source.path, line: word.line,
                        sentence: "\(word.text) is of \(home), which \(folder) may not know"))
            }
        }
        for (arrow, value) in arrows where !used.contains(arrow) {
            faults.append(
                Fault(file: Rooms.listName, line: value.line, sentence: "\(arrow.from) uses nothing of \(arrow.to)"))
        }
        return faults
    }

    // MARK: Lengths

    static let fileLines = 400
    static let functionLines = 60
    /// What the comment above a longer function begins its reason with.
    static let reason = "Long because"

    /// Files and functions that are too long to be read at once.
    func faultsOfLength(_ sources: [SwiftSource]) -> [Fault] {
        var faults: [Fault] = []
        for source in sources {
            // The text ends in a line break.
            let count = source.lines.count - 1
            if count > Rooms.fileLines, !longFiles.contains(source.path) {
                faults.append(Fault(file: source.path, line: 0, sentence: "has \(count) lines; 400 are the most"))
            }
            if count <= Rooms.fileLines, longFiles.contains(source.path) {
                faults.append(
                    Fault(
                        file: Rooms.listName, line: 0,
                        sentence: "\(source.path) is short enough, and need not be listed"))
            }
            for function in source.functions where function.lineCount > Rooms.functionLines {
                guard !source.isExplained(function.line, by: Rooms.reason) else { continue }
                faults.append(
                    Fault(
                        file: source.path, line: function.line,
                        sentence: "\(function.name) has \(function.lineCount) lines; 60 are the most, "
                            + "unless the comment above it says `\(Rooms.reason) …`"))
            }
        }
        for file in longFiles where !sources.contains(where: { $0.path == file }) {
            faults.append(Fault(file: Rooms.listName, line: 0, sentence: "\(file) is not there"))
        }
        return faults
    }
}
