// The files of the console under names that change with what is in them, so that browsers need not ask for them again.
//
//     console.html ──"/console/assets/console.js"──► console.4f1c….js ──"./client.js"──► client.91ab….js

import FynloCore

/// A page of the console; the raw value is the name of its file.
enum ConsolePage: String, CaseIterable {
    /// For those who manage restaurants.
    case console
    /// A tablet, for demonstrations.
    case tablet
    /// The reference of the API.
    case docs
    /// What there is at this server.
    case root
}

/// Pages and their assets, ready to be sent.
struct ConsoleFiles {
    /// The assets by their names in paths, such as `client.91ab52c07d3e.js`. References to other files are replaced by their
    /// names, in the pages too.
    private(set) var assets: [String: PublishedFile] = [:]
    private var pages: [String: PublishedFile] = [:]
    /// The names in paths, by the names of the files.
    private var names: [String: String] = [:]

    /// What a reference to another file begins with, within its quotation marks.
    private static let referencePrefixes = ["./", "/console/assets/"].map { Array($0.utf8) }

    private static let mediaTypes = [
        "html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    ]

    /// Takes the files that are the console's, by their extensions.
    init(_ sources: [(name: String, text: String)]) {
        let sources = sources.filter { ConsoleFiles.mediaTypes[ConsoleFiles.parts($0.name).kind] != nil }
        let texts = Dictionary(uniqueKeysWithValues: sources)
        for source in sources { add(source.name, among: texts, by: []) }
    }

    /// A page; there is one for each.
    func page(_ page: ConsolePage) -> PublishedFile {
        guard let file = pages["\(page.rawValue).html"] else { preconditionFailure("the pages are compiled in") }
        return file
    }

    /// Adds a file after those that it refers to; `referrers` are those on the way to it.
    private mutating func add(_ name: String, among sources: [String: String], by referrers: Set<String>) {
        precondition(!referrers.contains(name), "modules import each other in a circle, \(name) too")
        guard names[name] == nil, pages[name] == nil, let text = sources[name] else { return }
        // A reference is a whole piece between two quotation marks. As bytes: to search a string takes a hundred times as long,
        // and the loop waits meanwhile.
        var pieces = text.utf8.split(separator: UInt8(ascii: "\""), omittingEmptySubsequences: false).map(Array.init)
        for index in pieces.indices.dropFirst().dropLast() {
            for prefix in ConsoleFiles.referencePrefixes where pieces[index].starts(with: prefix) {
                let other = String(decoding: pieces[index].dropFirst(prefix.count), as: UTF8.self)
                guard sources[other] != nil else { continue }
                add(other, among: sources, by: referrers.union([name]))
                pieces[index] = prefix + Array((names[other] ?? "").utf8)
            }
        }
        let (stem, kind) = ConsoleFiles.parts(name)
        let file = PublishedFile(
            Array(pieces.joined(separator: [UInt8(ascii: "\"")])), ConsoleFiles.mediaTypes[kind] ?? "")
        if kind == "html" {
            pages[name] = file
        } else {
            let path = "\(stem).\(file.entityTag.dropFirst().prefix(12)).\(kind)"
            names[name] = path
            assets[path] = file
        }
    }

    private static func parts(_ name: String) -> (stem: Substring, kind: String) {
        guard let dot = name.lastIndex(of: ".") else { return (name[...], "") }
        return (name[..<dot], String(name[name.index(after: dot)...]))
    }
}
