// The owner of one open descriptor. It is non-copyable, so it closes the descriptor exactly once: closed twice, the number
// might by then belong to another file.

import Glibc

/// Owns one descriptor and closes it when it goes out of scope. Keep it in an optional property to close it early.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number, for system calls and the event loop. Valid only while the owner lives.
    public let rawValue: Int32

    /// Takes over a descriptor that nobody else will close.
    public init(owning rawValue: Int32) {
        self.rawValue = rawValue
    }

    deinit {
        // Not repeated on EINTR: on Linux the descriptor is gone by then, and the number may be in use again.
        _ = Glibc.close(rawValue)
    }

    /// Closes now.
    public consuming func close() {}

    /// Gives the descriptor away without closing it.
    public consuming func release() -> Int32 {
        let number = rawValue
        discard self
        return number
    }
}
