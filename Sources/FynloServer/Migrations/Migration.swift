// The schema's history: numbered SQL files, compiled into the program.

import FynloIO

/// One step of the schema, and how to revert it.
struct Migration {
    let version: Int
    let name: String
    let up: String
    let down: String
    /// The checksum of `up`: an applied migration is never edited.
    let checksum: String

    /// All migrations in order.
    static let all: [Migration] = {
        var files: [String: String] = [:]
        for file in EmbeddedFiles.all { files[file.name] = file.text }
        return files.keys.filter { $0.hasSuffix(".up.sql") }.sorted().map { file in
            let stem = String(file.dropLast(".up.sql".count))
            let parts = stem.split(separator: "_", maxSplits: 1)
            guard parts.count == 2, let version = Int(parts[0]), let up = files[file],
                let down = files[stem + ".down.sql"]
            else { preconditionFailure("migrations come in pairs, NNNN_name.up.sql and .down.sql: \(file)") }
            return Migration(
                version: version, name: String(parts[1]), up: up, down: down,
                checksum: Digest.sha256Hexadecimal(of: Array(up.utf8)))
        }
    }()

    static var latestVersion: Int { all.last?.version ?? 0 }

    /// The demo data.
    static var demoData: String {
        EmbeddedFiles.all.first { $0.name == "demo-data.sql" }?.text ?? ""
    }
}
