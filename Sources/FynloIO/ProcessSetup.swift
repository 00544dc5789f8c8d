// What a process sets up with the kernel, mostly before anything else, and its source of random bytes.

import CLinux
import Glibc

/// Calls for the beginning of main.
public enum ProcessSetup {
    /// Ignores SIGPIPE: a peer that has gone is an error of `send` or `write`, never the end of the process. Libraries write
    /// without MSG_NOSIGNAL.
    public static func ignoreSIGPIPE() {
        signal(SIGPIPE, SIG_IGN)
    }

    /// Raises the limit on open descriptors to the hard limit. Returns the limit now in force.
    @discardableResult
    public static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(resource, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Prevents core dumps, which would write the secrets in memory to disk. A limit of one byte is too small for a file, and
    /// the kernel takes it for "none" where dumps are piped to a program, which a limit of 0 does not prevent
    /// (fs/coredump.c). PR_SET_DUMPABLE would also prevent dumps, but would give /proc/self to root.
    public static func forbidCoreDumps() {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_CORE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return }
        let bytes = min(limit.rlim_max, 1)
        limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
        setrlimit(resource, &limit)
    }

    /// Removes a variable from the environment, so that child processes do not get it. Its value is overwritten where the
    /// kernel put it, so that /proc/PID/environ does not have it either. Call it before other threads start.
    public static func forgetVariable(_ name: String) {
        let prefix = Array(name.utf8) + [UInt8(ascii: "=")]
        var next = environ
        while let entry = next.pointee {
            let length = strlen(entry)
            if length >= prefix.count, memcmp(entry, prefix, prefix.count) == 0 {
                memset(entry + prefix.count, 0, length - prefix.count)
            }
            next += 1
        }
        unsetenv(name)
    }

    /// Returns free memory that the C library keeps to the system. Takes milliseconds if there is much of it.
    public static func releaseFreeMemory() {
        malloc_trim(0)
    }

    /// Cryptographically random bytes from the kernel. Draw many at a time: each call is a system call.
    public static func randomBytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: max(count, 0)) { bytes, written in
            guard let start = bytes.baseAddress else { return }
            arc4random_buf(start, bytes.count)
            written = bytes.count
        }
    }
}

/// The system's random number generator as a value that has a size. The thread sanitizer takes all values of size zero for
/// the same one, and reports a race between them.
public struct SystemGenerator: RandomNumberGenerator, Sendable {
    private var room: UInt8 = 0

    public init() {}

    public mutating func next() -> UInt64 {
        var system = SystemRandomNumberGenerator()
        return system.next()
    }
}
