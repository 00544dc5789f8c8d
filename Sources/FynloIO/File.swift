// Small files of our own, read whole: keys, tokens. Blocks, as files do; not for the hot path.

import Glibc

/// Reading files.
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
}
