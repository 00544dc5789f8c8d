// The words of a Swift file, as far as the tidy test needs them: no comments, no strings, but what strings interpolate.

/// One source file.
struct SwiftSource {
    /// A name, a keyword or a single other character.
    struct Word: Equatable {
        let text: String
        /// From 1.
        let line: Int
        /// Where it begins in its line, from 0.
        let column: Int
    }

    /// The path below Sources/.
    let path: String
    let lines: [Substring]
    let words: [Word]

    init(path: String, text: String) {
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        var reader = Reader(Array(text.utf8))
        reader.readCode(isInterpolation: false)
        words = reader.words
    }

    /// The folder below Sources/ that the file lies in.
    var folder: String {
        path.split(separator: "/").dropLast().joined(separator: "/")
    }
}

extension SwiftSource {
    /// Walks over the text once. It knows comments, which nest, and all forms of string literals.
    private struct Reader {
        private let text: [UInt8]
        private var position = 0
        private var line = 1
        private var lineStart = 0
        private(set) var words: [Word] = []

        init(_ text: [UInt8]) {
            self.text = text
        }

        private func byte(_ offset: Int = 0) -> UInt8? {
            position + offset < text.count ? text[position + offset] : nil
        }

        private func starts(with prefix: String) -> Bool {
            text[position...].starts(with: prefix.utf8)
        }

        private mutating func step(_ count: Int = 1) {
            for _ in 0..<count where position < text.count {
                if text[position] == UInt8(ascii: "\n") {
                    line += 1
                    lineStart = position + 1
                }
                position += 1
            }
        }

        /// Reads to the end of the text, or past the parenthesis that ends an interpolation.
        mutating func readCode(isInterpolation: Bool) {
            var depth = 0
            while let first = byte() {
                switch first {
                case UInt8(ascii: "/") where starts(with: "//"):
                    while let next = byte(), next != UInt8(ascii: "\n") { step() }
                case UInt8(ascii: "/") where starts(with: "/*"):
                    skipComment()
                case UInt8(ascii: "\""):
                    skipString(hashes: 0)
                case UInt8(ascii: "#"):
                    var hashes = 0
                    while byte(hashes) == UInt8(ascii: "#") { hashes += 1 }
                    if byte(hashes) == UInt8(ascii: "\"") { skipString(hashes: hashes) } else { step(hashes) }
                case UInt8(ascii: ")") where isInterpolation && depth == 0:
                    step()
                    return
                default:
                    if first == UInt8(ascii: "(") { depth += 1 }
                    if first == UInt8(ascii: ")") { depth -= 1 }
                    readWord(first)
                }
            }
        }

        private mutating func readWord(_ first: UInt8) {
            let start = position
            let (line, column) = (line, position - lineStart)
            if SwiftSource.isNamePart(first) {
                while let next = byte(), SwiftSource.isNamePart(next) { step() }
            } else {
                step()
                if first <= UInt8(ascii: " ") { return }
            }
            words.append(
                Word(text: String(decoding: text[start..<position], as: UTF8.self), line: line, column: column))
        }

        private mutating func skipComment() {
            var depth = 0
            repeat {
                if starts(with: "/*") {
                    depth += 1
                    step(2)
                } else if starts(with: "*/") {
                    depth -= 1
                    step(2)
                } else {
                    step()
                }
            } while depth > 0 && position < text.count
        }

        private mutating func skipString(hashes: Int) {
            let marks = String(repeating: "#", count: hashes)
            step(hashes)
            let quote = starts(with: "\"\"\"") ? "\"\"\"" : "\""
            step(quote.utf8.count)
            let end = quote + marks
            let escape = "\\" + marks
            while position < text.count, !starts(with: end) {
                if starts(with: escape + "(") {
                    step(escape.utf8.count + 1)
                    readCode(isInterpolation: true)
                } else {
                    step(starts(with: escape) ? escape.utf8.count + 1 : 1)
                }
            }
            step(end.utf8.count)
        }
    }

    private static func isNamePart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            true
        default: false
        }
    }
}

// MARK: What a file declares

extension SwiftSource {
    private static let typeKeywords: Set<String> = ["struct", "class", "enum", "protocol", "actor", "typealias"]
    private static let keywords = typeKeywords.union(["func", "let", "var"])

    /// A name that a file declares.
    struct Declaration {
        let name: String
        /// True outside all braces and for other files to see.
        let isShared: Bool
    }

    /// Types at any depth; functions, constants and variables outside all braces.
    var declarations: [Declaration] {
        var found: [Declaration] = []
        var depth = 0
        var isPrivate = false
        for (index, word) in words.enumerated() {
            switch word.text {
            case "{": depth += 1
            case "}": depth -= 1
            default: break
            }
            if word.column == 0 { isPrivate = false }
            if word.text == "private" || word.text == "fileprivate" { isPrivate = true }
            guard SwiftSource.keywords.contains(word.text), index + 1 < words.count else { continue }
            let name = words[index + 1].text
            let isType = SwiftSource.typeKeywords.contains(word.text)
            // `class func` declares no class.
            guard !SwiftSource.keywords.contains(name), name.utf8.allSatisfy(SwiftSource.isNamePart) else { continue }
            guard isType || depth == 0 else { continue }
            found.append(Declaration(name: name, isShared: depth == 0 && !isPrivate))
        }
        return found
    }

    /// The names that a file uses, each with where; members, which follow a dot, and labels are none.
    var uses: [Word] {
        words.indices.compactMap { index in
            let word = words[index]
            guard word.text.utf8.first.map(SwiftSource.isNamePart) == true else { return nil }
            if index > 0, words[index - 1].text == "." || SwiftSource.keywords.contains(words[index - 1].text) {
                return nil
            }
            if index + 1 < words.count, words[index + 1].text == ":", words[index + 1].line == word.line,
                words[index + 1].column == word.column + word.text.utf8.count
            {
                return nil
            }
            return word
        }
    }
}

// MARK: Functions

extension SwiftSource {
    /// A function or an initializer with a body.
    struct Function: Equatable {
        let name: String
        /// Where it begins, from 1.
        let line: Int
        /// From that line to the closing brace.
        let lineCount: Int
    }

    var functions: [Function] {
        words.indices.compactMap { index in
            let word = words[index]
            let isInitializer =
                word.text == "init" && (index == 0 || words[index - 1].text != ".") && index + 1 < words.count
                && ["(", "?", "<"].contains(words[index + 1].text)
            guard word.text == "func" || isInitializer, let end = endOfBody(after: index) else { return nil }
            let name = word.text == "func" && index + 1 < words.count ? words[index + 1].text : word.text
            return Function(name: name, line: word.line, lineCount: end - word.line + 1)
        }
    }

    /// The line of the brace that closes the body of the function at `start`; `nil` for a requirement of a protocol.
    private func endOfBody(after start: Int) -> Int? {
        var parentheses = 0
        var braces = 0
        for word in words[(start + 1)...] {
            switch word.text {
            case "(": parentheses += 1
            case ")": parentheses -= 1
            case "{" where parentheses == 0: braces += 1
            case "}" where parentheses == 0:
                braces -= 1
                if braces < 0 { return nil }
                if braces == 0 { return word.line }
            case "func", "init", "var", "let", "static", "mutating":
                if braces == 0, parentheses == 0 { return nil }
            default: break
            }
        }
        return nil
    }

    /// True if the comment directly above the line, or above the attributes there, has the words.
    func isExplained(_ line: Int, by reason: String) -> Bool {
        var index = line - 2
        while index >= 0 {
            let text = lines[index].drop { $0 == " " }
            guard text.hasPrefix("//") || text.hasPrefix("@") else { return false }
            if text.hasPrefix("//"), text.contains(reason) { return true }
            index -= 1
        }
        return false
    }
}
