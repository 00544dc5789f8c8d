// The documentation's links, and the length of its front page.

import Foundation
import TestSupport
import Testing

/// What the Markdown files of the repository refer to is there.
@Suite("The documentation")
struct DocumentationTests {
    /// One Markdown file: where it lies, what it refers to, and what others may refer to in it.
    private struct Page {
        /// From the repository's root.
        let path: String
        /// The targets of links and pictures, without those that lead out of the repository.
        let targets: [String]
        /// The fragments of its headings, as forges make them.
        let fragments: Set<String>

        init(path: String, text: String) {
            self.path = path
            let prose = Page.withoutCode(text)
            // Any link or picture ends like this, also a picture that is a link's text.
            let inline = prose.replacing(/`+[^`]*`+/, with: "").matches(of: /\]\(([^)\s]+)\)/).map { String($0.1) }
            let referred = prose.matches(of: /(?m)^\[[^\]]+\]:[ \t]+(\S+)/).map { String($0.1) }
            targets = (inline + referred).filter { !$0.contains("://") && !$0.hasPrefix("mailto:") }
            fragments = Page.fragments(of: prose)
        }

        /// The text without blocks of code, be they fenced, or indented by four spaces after an empty line.
        private static func withoutCode(_ text: String) -> String {
            var lines: [Substring] = []
            var isFenced = false
            var isIndented = false
            var isAfterEmptyLine = true
            for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
                let isEmpty = line.allSatisfy(\.isWhitespace)
                if line.drop(while: \.isWhitespace).hasPrefix("```") {
                    isFenced.toggle()
                } else if !isFenced {
                    if !isEmpty { isIndented = line.hasPrefix("    ") && (isIndented || isAfterEmptyLine) }
                    if !isIndented { lines.append(line) }
                }
                isAfterEmptyLine = isEmpty
            }
            return lines.joined(separator: "\n")
        }

        /// Lower case, without punctuation, hyphens for spaces; a heading that comes again is numbered.
        private static func fragments(of prose: String) -> Set<String> {
            var found: Set<String> = []
            for match in prose.matches(of: /(?m)^#{1,6} +(.+)$/) {
                let words = match.1.replacing(/\]\([^)]*\)/, with: "")
                let fragment = String(
                    words.lowercased().compactMap { character in
                        if character == " " { return "-" }
                        return character.isLetter || character.isNumber || "-_".contains(character) ? character : nil
                    })
                let same = found.contains(fragment) ? (1...).first { !found.contains("\(fragment)-\($0)") } : nil
                found.insert(same.map { "\(fragment)-\($0)" } ?? fragment)
            }
            return found
        }
    }

    /// The Markdown files of the root, of docs/ at any depth, and of bench/.
    private static func pages() throws -> [Page] {
        let files = FileManager.default
        func path(_ relative: String) -> String {
            Repository.root.appending(path: relative).path(percentEncoded: false)
        }
        let names =
            try files.contentsOfDirectory(atPath: path("."))
            + files.subpathsOfDirectory(atPath: path("docs")).map { "docs/\($0)" }
            + files.contentsOfDirectory(atPath: path("bench")).map { "bench/\($0)" }
        return try names.filter { $0.hasSuffix(".md") }.sorted().map { name in
            Page(path: name, text: try Repository.text(name))
        }
    }

    @Test("links lead to files that exist, and fragments to their headings")
    func links() throws {
        let pages = try Self.pages()
        #expect(pages.count > 30)
        #expect(pages.map(\.targets.count).reduce(0, +) > 100)
        let byPath = Dictionary(uniqueKeysWithValues: pages.map { ($0.path, $0) })
        let root = Repository.root.standardizedFileURL.path(percentEncoded: false)
        for page in pages {
            let folder = Repository.root.appending(path: page.path).deletingLastPathComponent()
            for target in page.targets {
                let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
                let place = parts[0].isEmpty ? page.path : String(parts[0])
                let file = (parts[0].isEmpty ? Repository.root : folder).appending(path: place).standardizedFileURL
                let path = file.path(percentEncoded: false)
                #expect(!place.hasPrefix("/") && path.hasPrefix(root), "\(page.path) leads outside: \(target)")
                #expect(FileManager.default.fileExists(atPath: path), "\(page.path) leads nowhere: \(target)")
                guard parts.count == 2 else { continue }
                let fragments = byPath[String(path.dropFirst(root.count))]?.fragments ?? []
                #expect(fragments.contains(String(parts[1])), "\(page.path): no such heading: \(target)")
            }
        }
    }

    @Test("begins with a README of 150 lines at most")
    func frontPage() throws {
        #expect(try Repository.text("README.md").split(separator: "\n", omittingEmptySubsequences: false).count <= 151)
    }
}
