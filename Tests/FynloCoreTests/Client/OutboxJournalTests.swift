import FynloCore
import Testing

@Suite("Outbox journal")
struct OutboxJournalTests {
    private static let entries = [
        OutboxEntry(
            id: "a", type: "order.status_update", data: #"{"order_id":"x","status":"ready"}"#, createdAt: Sample.time),
        OutboxEntry(
            id: "b \"ñ\n\"", type: "kitchen.item_ready", data: "{\n \"item\":\"crème\\nbrûlée\"\t}",
            createdAt: Sample.time),
        OutboxEntry(id: "c", type: "t", data: "{}", createdAt: UnixTime(milliseconds: 1)),
    ]

    /// What is read of an entry: line breaks in its data have become spaces.
    private static func read(_ entry: OutboxEntry) -> OutboxEntry {
        let data = String(decoding: entry.data.utf8.map { $0 < 0x20 ? 0x20 : $0 }, as: UTF8.self)
        return OutboxEntry(id: entry.id, type: entry.type, data: data, createdAt: entry.createdAt)
    }

    private func journal(_ records: [OutboxRecord]) -> [UInt8] {
        var bytes = ByteBuffer()
        for record in records { OutboxJournal.append(record, to: &bytes) }
        return bytes.bytes()
    }

    private static let records: [OutboxRecord] = [
        .added(entries[0]), .added(entries[1]), .finished(id: "a"), .added(entries[2]), .finished(id: "b \"ñ\n\""),
        .added(entries[0]), .finished(id: "nobody"),
    ]

    @Test("is read as it was written")
    func roundTrip() {
        let bytes = journal(OutboxJournalTests.records)
        let contents = OutboxJournal.read(bytes)
        #expect(contents.entries == [OutboxJournalTests.entries[2], OutboxJournalTests.entries[0]])
        #expect(contents.bytes == bytes.count)
        #expect(contents.damagedLines == 0)
        #expect(OutboxJournal.read([]) == OutboxJournal.Contents())
        let both = OutboxJournal.read(journal(OutboxJournalTests.entries.map { .added($0) }))
        #expect(both.entries == OutboxJournalTests.entries.map(OutboxJournalTests.read))
    }

    @Test("cut anywhere, it says what the whole lines said")
    func torn() {
        let bytes = journal(OutboxJournalTests.records)
        let ends = bytes.indices.filter { bytes[$0] == 0x0a }.map { $0 + 1 }
        for cut in 0...bytes.count {
            let whole = ends.last { $0 <= cut } ?? 0
            let contents = OutboxJournal.read(Array(bytes[..<cut]))
            #expect(contents == OutboxJournal.read(Array(bytes[..<whole])))
            #expect(contents.bytes == whole)
            #expect(contents.damagedLines == 0)
        }
    }

    @Test("a damaged byte costs its own line at most")
    func damaged() {
        let bytes = journal(OutboxJournalTests.records)
        for position in bytes.indices {
            for flip in [0x01, 0x20, 0x80] as [UInt8] {
                var damaged = bytes
                damaged[position] ^= flip
                let contents = OutboxJournal.read(damaged)
                let isLineBreak = bytes[position] == 0x0a || damaged[position] == 0x0a
                #expect(isLineBreak || contents.damagedLines == 1, "position \(position)")
                #expect(contents.damagedLines <= 2)
                #expect(
                    contents.entries.allSatisfy { entry in
                        OutboxJournalTests.entries.map(OutboxJournalTests.read).contains(entry)
                    })
            }
        }
    }

    @Test(
        "takes nothing for a line that is none",
        arguments: [
            "\n", "        \n", "00000000 \n", "00000000 {}\n", "811c9dc5 \n", "xxxxxxxx {\"finished\":\"a\"}\n",
        ])
    func notLines(text: String) {
        let contents = OutboxJournal.read(Array(text.utf8))
        #expect(contents.entries.isEmpty)
        #expect(contents.damagedLines == 1)
        #expect(contents.bytes == text.utf8.count)
    }
}
