// The journal that an outbox writes to its storage: lines, of which complete ones count and torn ones do not.
//
//     8f3a11c0 {"added":{"id":"…","type":"order.status_update","created_at":"2026-01-31T18:04:05.123Z","data":{…}}}
//     02ddc41e {"finished":"…"}
//
// The first eight digits are the FNV-1a hash of the rest. They reveal a line that a killed program or a power failure left
// incomplete.

/// Reads and writes the journal of an outbox.
public enum OutboxJournal {
    /// The content of a journal.
    public struct Contents: Equatable, Sendable {
        /// The commands without a final state, oldest first.
        public var entries: [OutboxEntry] = []
        /// The number of bytes of all lines, complete or damaged, without a torn last line: the next line must be appended
        /// here.
        public var bytes = 0
        /// Lines that could not be used; the commands in them are lost.
        public var damagedLines = 0

        public init() {}
    }

    /// Appends one line.
    public static func append(_ record: OutboxRecord, to output: inout ByteBuffer) {
        var line = ByteBuffer()
        switch record {
        case .added(let entry):
            line.append("{\"added\":{\"id\":")
            line.append(jsonString: entry.id)
            line.append(",\"type\":")
            line.append(jsonString: entry.type)
            line.append(",\"created_at\":")
            line.append(json: entry.createdAt)
            line.append(",\"data\":")
            // In valid JSON, line breaks occur only between tokens.
            line.append(Array(entry.data.utf8).map { $0 < 0x20 ? UInt8(ascii: " ") : $0 })
            line.append("}}")
        case .finished(let id):
            line.append("{\"finished\":")
            line.append(jsonString: id)
            line.append("}")
        }
        output.append(hexadecimal: line.withReadable { UInt64(hash($0)) }, digits: 8)
        output.append(" ")
        output.append(line)
        output.append("\n")
    }

    /// Reads a journal.
    public static func read(_ bytes: [UInt8]) -> Contents {
        var contents = Contents()
        var start = 0
        for index in bytes.indices where bytes[index] == UInt8(ascii: "\n") {
            switch record(bytes.span.extracting(start..<index)) {
            case .added(let entry): contents.entries.append(entry)
            case .finished(let id): contents.entries.removeAll { $0.id == id }
            case nil: contents.damagedLines += 1
            }
            start = index + 1
        }
        contents.bytes = start
        return contents
    }

    private static func record(_ line: Span<UInt8>) -> OutboxRecord? {
        guard line.count > 9, line[8] == UInt8(ascii: " ") else { return nil }
        let text = line.extracting(9..<line.count)
        var expected = ByteBuffer()
        expected.append(hexadecimal: UInt64(hash(text)), digits: 8)
        for index in 0..<8 where line[index] != expected[index] { return nil }
        guard String(validating: text) != nil else { return nil }
        var record: OutboxRecord?
        _ = try? JSON.scanObject(text) { key, value in
            if JSON.equals(key, "added", in: text) {
                record = entry(value, in: text).map { .added($0) }
            } else if JSON.equals(key, "finished", in: text) {
                record = JSON.string(value, in: text).map { .finished(id: $0) }
            }
        }
        return record
    }

    private static func entry(_ object: JSONValue, in text: Span<UInt8>) -> OutboxEntry? {
        guard object.kind == .object else { return nil }
        var id: String?
        var type: String?
        var data: String?
        var createdAt: UnixTime?
        _ = try? JSON.scanMembers(of: object, in: text) { key, value in
            if JSON.equals(key, "id", in: text) {
                id = JSON.string(value, in: text)
            } else if JSON.equals(key, "type", in: text) {
                type = JSON.string(value, in: text)
            } else if JSON.equals(key, "created_at", in: text) {
                createdAt = JSON.string(value, in: text).flatMap { UnixTime(rfc3339: $0) }
            } else if JSON.equals(key, "data", in: text), value.kind == .object {
                data = String(validating: text.extracting(value.positions))
            }
        }
        guard let id, let type, let data, let createdAt else { return nil }
        return OutboxEntry(id: id, type: type, data: data, createdAt: createdAt)
    }

    /// FNV-1a, 32 bits.
    private static func hash(_ bytes: Span<UInt8>) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        for index in bytes.indices { hash = (hash ^ UInt32(bytes[index])) &* 16_777_619 }
        return hash
    }
}
