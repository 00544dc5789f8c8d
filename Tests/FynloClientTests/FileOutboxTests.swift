import FynloClient
import FynloCore
import FynloIO
import Glibc
import TestSupport
import Testing

@Suite("Outbox in a file")
final class FileOutboxTests {
    let loop: EventLoop
    let folder: TestFolder
    private var path: String { folder.path + "/outbox" }

    init() throws {
        loop = try EventLoop()
        folder = try TestFolder()
    }

    deinit {
        loop.close()
    }

    private func entry(_ id: String, _ data: String = "{}") -> OutboxEntry {
        OutboxEntry(id: id, type: "order.status_update", data: data, createdAt: UnixTime(milliseconds: 1_000))
    }

    private func keep(_ outbox: FileOutbox, _ records: [OutboxRecord]) throws -> StorageError? {
        var results: [StorageError?] = []
        outbox.keep(records) { results.append($0) }
        #expect(results.isEmpty, "nobody is called before the turn")
        let isDone = try loop.run(until: { !results.isEmpty }, for: .seconds(10))
        try #require(isDone)
        #expect(results.count == 1)
        return results.first ?? nil
    }

    private func size() -> Int {
        File.contents(of: path, limit: 1 << 24)?.count ?? -1
    }

    @Test("restores stored commands in order, without the finished ones")
    func keeps() throws {
        var outbox: FileOutbox? = try FileOutbox(loop: loop, path: path)
        #expect(outbox?.load().isEmpty == true)
        _ = try keep(#require(outbox), [.added(entry("a")), .added(entry("b", "{\"x\":1}"))])
        _ = try keep(#require(outbox), [.finished(id: "a"), .added(entry("c"))])
        outbox?.close()
        outbox = nil
        let again = try FileOutbox(loop: loop, path: path)
        #expect(again.load() == [entry("b", "{\"x\":1}"), entry("c")])
        #expect(again.damagedLines == 0)
        var information = stat()
        #expect(stat(path, &information) == 0)
        #expect(information.st_mode & 0o777 == 0o600)
        again.close()
    }

    @Test("a torn end is overwritten, and a damaged line is reported")
    func torn() throws {
        let outbox = try FileOutbox(loop: loop, path: path)
        _ = try keep(outbox, [.added(entry("a"))])
        outbox.close()
        try loop.turn(timeout: .zero)
        let whole = try #require(File.contents(of: path, limit: 1 << 20))
        try folder.write(String(decoding: whole + whole.dropLast(3), as: UTF8.self), to: "outbox")
        let again = try FileOutbox(loop: loop, path: path)
        #expect(again.load() == [entry("a")])
        _ = try keep(again, [.added(entry("b"))])
        again.close()
        let third = try FileOutbox(loop: loop, path: path)
        #expect(third.load() == [entry("a"), entry("b")])
        #expect(third.damagedLines == 0)
        third.close()
        try folder.write("nonsense\n" + String(decoding: whole, as: UTF8.self), to: "outbox")
        let fourth = try FileOutbox(loop: loop, path: path)
        #expect(fourth.load() == [entry("a")])
        #expect(fourth.damagedLines == 1)
        fourth.close()
    }

    @Test("one program at a time")
    func locked() throws {
        let outbox = try FileOutbox(loop: loop, path: path)
        #expect(throws: StorageError("The outbox \(path) is in use by another program.")) {
            try FileOutbox(loop: self.loop, path: self.path)
        }
        outbox.close()
        try FileOutbox(loop: loop, path: path).close()
    }

    @Test("stays small after any number of commands, and stays locked all the time")
    func compacts() throws {
        let outbox = try FileOutbox(loop: loop, path: path)
        let note = "{\"note\":\"\(String(repeating: "x", count: 4_000))\"}"
        _ = try keep(outbox, [.added(entry("stays"))])
        for number in 0..<60 {
            _ = try keep(outbox, [.added(entry("\(number)", note))])
            _ = try keep(outbox, [.finished(id: "\(number)")])
            #expect(size() < 80_000)
        }
        #expect(throws: StorageError.self) { try FileOutbox(loop: self.loop, path: self.path) }
        #expect(access(path + ".new", F_OK) != 0)
        outbox.close()
        let again = try FileOutbox(loop: loop, path: path)
        #expect(again.load() == [entry("stays")])
        again.close()
    }

    @Test("commands that the disk cannot take are refused, and earlier ones remain")
    func full() throws {
        // A limit of the process would hit other tests: a full disk is played by a device that is always full.
        #expect(throws: StorageError.self) { try FileOutbox(loop: self.loop, path: "/dev/full") }
        #expect(throws: StorageError.self) { try FileOutbox(loop: self.loop, path: self.folder.path + "/none/outbox") }
        let outbox = try FileOutbox(loop: loop, path: path)
        _ = try keep(outbox, [.added(entry("a"))])
        // The way to a new, shorter file is barred: a folder stands there.
        #expect(mkdir(path + ".new", 0o700) == 0)
        let large = "{\"note\":\"\(String(repeating: "x", count: 70_000))\"}"
        let failure = try keep(outbox, [.added(entry("b", large))])
        #expect(failure?.description.contains("cannot be written") == true)
        _ = try keep(outbox, [.added(entry("c"))])
        outbox.close()
        #expect(rmdir(path + ".new") == 0)
        let again = try FileOutbox(loop: loop, path: path)
        #expect(again.load() == [entry("a"), entry("c")])
        again.close()
    }

    @Test("if it is closed during a write, it completes that write only")
    func closed() throws {
        let outbox = try FileOutbox(loop: loop, path: path)
        outbox.keep([.added(entry("a"))]) { _ in }
        outbox.close()
        var isFree = false
        _ = try loop.run(
            until: {
                if let again = try? FileOutbox(loop: loop, path: path) {
                    isFree = true
                    again.close()
                }
                return isFree
            }, for: .seconds(10))
        #expect(isFree)
    }
}
