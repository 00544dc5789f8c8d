// Tables for a person at a terminal.

import Glibc

/// Rows of texts under headings. Control characters in texts from servers are replaced.
struct Table {
    struct Column {
        let heading: String
        var isNumber = false
        /// True if the column may be cut when the terminal is too narrow.
        var isFlexible = false
    }

    private let columns: [Column]
    private var rows: [[String]] = []

    init(_ columns: [Column]) {
        self.columns = columns
    }

    /// One text per column.
    mutating func append(_ row: [String]) {
        rows.append(row.map { String(decoding: Console.printable(Array($0.utf8)), as: UTF8.self) })
    }

    /// The lines with their line breaks. `width` is the terminal's, in columns.
    func bytes(width: Int = Console.width, hasColour: Bool = Console.hasColour) -> [UInt8] {
        var widths = columns.map { Table.width(of: $0.heading) }
        for row in rows {
            for (index, text) in row.enumerated() { widths[index] = max(widths[index], Table.width(of: text)) }
        }
        let excess = widths.reduce(0, +) + 2 * (columns.count - 1) - width
        if excess > 0, let index = columns.firstIndex(where: \.isFlexible) {
            widths[index] = max(min(widths[index], 12), widths[index] - excess)
        }
        let heading = line(columns.map(\.heading), widths)
        var text = hasColour ? "\u{1b}[2m\(heading)\u{1b}[0m\n" : heading + "\n"
        for row in rows { text += line(row, widths) + "\n" }
        return Array(text.utf8)
    }

    private func line(_ texts: [String], _ widths: [Int]) -> String {
        var line = ""
        for (index, text) in texts.enumerated() {
            let shown = Table.cut(text, to: widths[index])
            let space = String(repeating: " ", count: widths[index] - Table.width(of: shown))
            line += (index == 0 ? "" : "  ") + (columns[index].isNumber ? space + shown : shown + space)
        }
        while line.last == " " { line.removeLast() }
        return line
    }

    private static func cut(_ text: String, to width: Int) -> String {
        guard Table.width(of: text) > width else { return text }
        var shown = ""
        for character in text {
            guard Table.width(of: shown) + columns(of: character) < width else { break }
            shown.append(character)
        }
        return shown + "…"
    }

    private static func width(of text: String) -> Int {
        text.reduce(0) { $0 + columns(of: $1) }
    }

    /// East Asian characters and emoji take two columns (Unicode TR 11, roughly).
    private static func columns(of character: Character) -> Int {
        guard let scalar = character.unicodeScalars.first?.value, scalar >= 0x1100 else { return 1 }
        let wide: [ClosedRange<UInt32>] = [
            0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60,
            0x1f300...0x1faff, 0x20000...0x3fffd,
        ]
        return wide.contains { $0.contains(scalar) } ? 2 : 1
    }
}

extension Console {
    /// The terminal's width in columns; 80 if unknown.
    static var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 20 else { return 80 }
        return Int(size.ws_col)
    }
}
