// What the kernel reports about this process. It reads files in /proc, so it runs on the helper thread.

import Glibc

/// The use of memory, processor and descriptors.
public struct ProcessFigures: Sendable {
    /// In memory, not swapped out.
    public let residentBytes: Int
    /// User and system time.
    public let processorSeconds: Double
    public let openDescriptors: Int
    public let descriptorLimit: Int

    /// The current figures; 0 for any that the kernel does not report.
    public static func read() -> ProcessFigures {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        let microseconds = Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return ProcessFigures(
            residentBytes: residentPages * Int(getpagesize()), processorSeconds: seconds + microseconds / 1e6,
            openDescriptors: descriptorCount, descriptorLimit: Int(clamping: limit.rlim_cur))
    }

    /// proc(5): the second number of statm.
    private static var residentPages: Int {
        guard let bytes = File.contents(of: "/proc/self/statm", limit: 4_096) else { return 0 }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? Int(fields[1]) ?? 0 : 0
    }

    private static var descriptorCount: Int {
        // Since Linux 6.2 the directory's size is the number of descriptors.
        var status = stat()
        if stat("/proc/self/fd", &status) == 0, status.st_size > 0 { return Int(status.st_size) }
        guard let directory = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // Without `.` and `..`, and without the descriptor of the directory itself.
        return max(0, count - 3)
    }
}
