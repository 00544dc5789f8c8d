// What a process arranges with the kernel, most of it before anything else, and its source of chance.

import CLinux
import Glibc

/// Calls for the beginning of main.
public enum ProcessSetup {
    /// A peer that has gone is an error of `send` or `write`, never the end of the process. Libraries write without
    /// MSG_NOSIGNAL.
    public static func ignoreSIGPIPE() {
        signal(SIGPIPE, SIG_IGN)
    }

    /// Raises the limit of open descriptors as far as an ordinary process may. Returns the limit now in force.
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

    /// Nothing of this process' memory, with the secrets in it, is written to disk when it crashes. A limit of one byte is
    /// too little for a file, and also what the kernel takes for "none" where dumps are piped to a program, which a limit
    /// of 0 does not forbid (fs/coredump.c). PR_SET_DUMPABLE would do the same, but hand /proc/self to root.
    public static func forbidCoreDumps() {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_CORE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return }
        let bytes = min(limit.rlim_max, 1)
        limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
        setrlimit(resource, &limit)
    }

    /// Takes a variable out of the environment; programs that are started do not get it. Its value is overwritten where the
    /// kernel put it, so that it is not in /proc/PID/environ either. Only before other threads are started.
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

    /// Gives memory that is free, and that the C library keeps for later, back to the system. Takes milliseconds where there
    /// is much.
    public static func releaseFreeMemory() {
        malloc_trim(0)
    }

    /// Bytes that nobody can guess, from the kernel. Draw many at a time: each call costs a system call.
    public static func randomBytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: max(count, 0)) { bytes, written in
            guard let start = bytes.baseAddress else { return }
            arc4random_buf(start, bytes.count)
            written = bytes.count
        }
    }
}

/// The system's generator as a value that takes up room: the thread sanitizer takes uses of values of no size, which all
/// lie nowhere, for uses of the same one.
public struct SystemGenerator: RandomNumberGenerator, Sendable {
    private var room: UInt8 = 0

    public init() {}

    public mutating func next() -> UInt64 {
        var system = SystemRandomNumberGenerator()
        return system.next()
    }
}
