// Storage for the commands of an outbox between two runs of a program.

public import FynloCore
public import FynloIO
import Glibc

/// Stores the records of an outbox. All calls come from one thread.
public protocol OutboxStorage: AnyObject {
    /// The commands without a final state, oldest first.
    func load() throws(StorageError) -> [OutboxEntry]
    /// Appends records in this order. `then` is called once, after this call has returned: without an error once they survive
    /// a crash of the program or the machine, with one if none of them was stored.
    func keep(_ records: [OutboxRecord], then: @escaping (StorageError?) -> Void)
    /// Releases all resources; stored records stay.
    func close()
}

/// Keeps commands in memory, as long as the program runs.
public final class MemoryOutbox: OutboxStorage {
    private let loop: EventLoop

    public init(loop: EventLoop) {
        self.loop = loop
    }

    public func load() -> [OutboxEntry] { [] }

    public func keep(_ records: [OutboxRecord], then: @escaping (StorageError?) -> Void) {
        loop.atEndOfTurn { then(nil) }
    }

    public func close() {}
}

/// Keeps commands in a file (see `OutboxJournal`) with mode 0600. Whenever the program is killed, every command that was reported
/// as queued is there when it starts again. Two programs cannot use the file at the same time.
public final class FileOutbox: OutboxStorage {
    /// Lines that could not be read; their commands are lost.
    public let damagedLines: Int

    private let loop: EventLoop
    private let path: String
    private var file: OutboxFile?
    /// The length of all complete lines in bytes; anything after them is overwritten.
    private var size: Int
    /// The live records, from which the file is rewritten.
    private var live: [OutboxEntry]
    /// Bytes of `live` when the file was last rewritten.
    private var bytesAfterRewrite: Int
    private var isWriting = false
    private var waiting: [(records: [OutboxRecord], then: (StorageError?) -> Void)] = []

    /// A file is rewritten without the finished commands when it has grown by this much.
    private static let growth = 65_536
    /// The largest file that is read: more than a full outbox can have.
    private static let maximumBytes = 16 << 20

    /// Opens the file, or creates it; its directory must exist.
    public init(loop: EventLoop, path: String) throws(StorageError) {
        self.loop = loop
        self.path = path
        let file = try FileOutbox.openLocked(path)
        guard let bytes = File.read(file.rawValue, limit: FileOutbox.maximumBytes) else {
            throw .last("The outbox \(path) cannot be read")
        }
        let contents = OutboxJournal.read(bytes)
        damagedLines = contents.damagedLines
        live = contents.entries
        size = contents.bytes
        bytesAfterRewrite = contents.bytes
        self.file = OutboxFile(file)
    }

    /// The file at the path once it is locked. Before that, another program may have replaced it.
    private static func openLocked(_ path: String) throws(StorageError) -> FileDescriptor {
        while true {
            let number = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard number >= 0 else { throw .last("The outbox \(path) cannot be opened") }
            let file = FileDescriptor(owning: number)
            guard flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 else {
                if errno == EWOULDBLOCK { throw StorageError("The outbox \(path) is in use by another program.") }
                throw .last("The outbox \(path) cannot be locked")
            }
            var opened = stat()
            var named = stat()
            guard fstat(file.rawValue, &opened) == 0 else { throw .last("The outbox \(path) cannot be opened") }
            guard opened.st_mode & S_IFMT == S_IFREG else { throw StorageError("The outbox \(path) is not a file.") }
            if stat(path, &named) == 0, named.st_ino == opened.st_ino, named.st_dev == opened.st_dev { return file }
        }
    }

    public func load() -> [OutboxEntry] { live }

    public func keep(_ records: [OutboxRecord], then: @escaping (StorageError?) -> Void) {
        waiting.append((records, then))
        write()
    }

    public func close() {
        waiting = []
        // The helper thread may hold the file a moment longer.
        if !isWriting { file?.unlock() }
        file = nil
    }

    // MARK: Writing

    /// Writes all waiting records with one call and one sync.
    private func write() {
        guard !isWriting, !waiting.isEmpty, let file else { return }
        isWriting = true
        let batch = waiting
        waiting = []
        var lines = ByteBuffer()
        var entries = live
        for record in batch.lazy.flatMap(\.records) {
            OutboxJournal.append(record, to: &lines)
            switch record {
            case .added(let entry): entries.append(entry)
            case .finished(let id): entries.removeAll { $0.id == id }
            }
        }
        let bytes = lines.bytes()
        guard size + bytes.count <= bytesAfterRewrite + FileOutbox.growth else { return rewrite(entries, batch) }
        let position = size
        loop.offload(on: .writes) { () -> SystemError? in
            file.append(bytes, at: position)
        } then: { [self] error in
            if error == nil {
                size += bytes.count
                live = entries
            }
            finish(batch, error)
        }
    }

    /// Replaces the file with one that has only the live commands.
    private func rewrite(_ entries: [OutboxEntry], _ batch: [(records: [OutboxRecord], then: (StorageError?) -> Void)])
    {
        var lines = ByteBuffer()
        for entry in entries { OutboxJournal.append(.added(entry), to: &lines) }
        let bytes = lines.bytes()
        loop.offload(on: .writes) { [path] () -> Result<OutboxFile, SystemError> in
            do throws(SystemError) {
                return .success(OutboxFile(try File.replace(path, with: bytes, isLocked: true)))
            } catch {
                return .failure(error)
            }
        } then: { [self] result in
            switch result {
            case .success(let new):
                if file != nil { file = new }
                size = bytes.count
                bytesAfterRewrite = bytes.count
                live = entries
                finish(batch, nil)
            case .failure(let error):
                finish(batch, error)
            }
        }
    }

    private func finish(_ batch: [(records: [OutboxRecord], then: (StorageError?) -> Void)], _ error: SystemError?) {
        isWriting = false
        let sentence = error.map { StorageError("The outbox \(path) cannot be written: \($0)") }
        for part in batch { part.then(sentence) }
        write()
    }
}

/// The open file. A write on the helper thread keeps a reference, so that the descriptor is not closed and reused meanwhile.
private final class OutboxFile: Sendable {
    private let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) {
        self.descriptor = descriptor
    }

    /// Releases the lock.
    func unlock() {
        _ = flock(descriptor.rawValue, LOCK_UN)
    }

    /// Writes and syncs; blocks.
    func append(_ bytes: [UInt8], at position: Int) -> SystemError? {
        do throws(SystemError) {
            try File.write(descriptor.rawValue, bytes, at: position)
            guard fdatasync(descriptor.rawValue) == 0 else { throw .call("fdatasync", code: errno) }
            return nil
        } catch {
            // A partial line must not remain in front of the next one.
            _ = ftruncate(descriptor.rawValue, position)
            return error
        }
    }
}
