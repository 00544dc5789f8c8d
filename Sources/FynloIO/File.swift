// Small files, read and written whole: keys, tokens, journals. These calls block: they are not for the hot path.

import Glibc

/// Reading and writing files.
public enum File {
    /// The contents of a file; `nil` if it cannot be read or is larger than `limit` bytes. `errno` then says why.
    public static func contents(of path: String, limit: Int) -> [UInt8]? {
        let number = open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { return nil }
        let file = FileDescriptor(owning: number)
        return read(file.rawValue, limit: limit)
    }

    /// All bytes up to the end; `nil` if reading fails or there are more than `limit`.
    public static func read(_ descriptor: Int32, limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { return bytes }
            bytes += chunk.prefix(count)
        }
        errno = EFBIG
        return nil
    }

    /// Replaces a file atomically with `bytes`, readable and writable by its owner alone (mode 0600): after a crash the file
    /// has the old content or the new, never a mixture. Returns the new file, open for reading and writing. With `isLocked`,
    /// it is locked exclusively (flock) before it gets its name.
    @discardableResult
    public static func replace(
        _ path: String, with bytes: [UInt8], isLocked: Bool = false
    ) throws(SystemError) -> FileDescriptor {
        let temporary = "\(path).new"
        // Left behind by an earlier attempt.
        unlink(temporary)
        let number = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard number >= 0 else { throw .last("open", subject: temporary) }
        let file = FileDescriptor(owning: number)
        if isLocked, flock(file.rawValue, LOCK_EX | LOCK_NB) != 0 { throw .last("flock", subject: temporary) }
        try write(file.rawValue, bytes, at: 0)
        guard fsync(file.rawValue) == 0 else { throw .last("fsync", subject: temporary) }
        guard rename(temporary, path) == 0 else { throw .last("rename", subject: path) }
        // The directory entry has to survive a crash as well.
        let directory = open(directoryPath(of: path), O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        guard directory >= 0 else { throw .last("open", subject: directoryPath(of: path)) }
        let directoryOwner = FileDescriptor(owning: directory)
        guard fsync(directoryOwner.rawValue) == 0 else { throw .last("fsync", subject: directoryPath(of: path)) }
        return file
    }

    /// Writes all of `bytes` at a position.
    public static func write(_ descriptor: Int32, _ bytes: [UInt8], at position: Int) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress, $0.count, position + written)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .last("pwrite") }
            written += count
        }
    }

    private static func directoryPath(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
