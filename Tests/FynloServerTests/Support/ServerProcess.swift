import Foundation
import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// The program itself, serving on a port of its own; it is ended with the value.
final class ServerProcess {
    let address: SocketAddress
    private let process = Process()
    private let errors = Pipe()
    private var log = ""

    /// The program beside the tests, as the build made it.
    static var program: String {
        URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent(
            "fynlo-server"
        ).path
    }

    /// Returns when it serves. `descriptors` is the most it may have.
    init(_ database: TestDatabase, _ variables: [String: String] = [:], descriptors: Int? = nil) throws {
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        let limit = descriptors.map { "ulimit -n \($0) && " } ?? ""
        process.arguments = ["-c", limit + "exec \"$0\" serve --listen 127.0.0.1:0", ServerProcess.program]
        process.environment = [
            "DATABASE_URL": database.url, "FYNLO_JWT_SECRET": String(decoding: TestUser.secret, as: UTF8.self),
            "FYNLO_LOG_FORMAT": "json",
        ].merging(variables) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        var serving: Document?
        while serving == nil {
            let data = errors.fileHandleForReading.availableData
            try #require(!data.isEmpty, "the server ended before it served: \(log)")
            log += String(decoding: data, as: UTF8.self)
            serving = log.split(separator: "\n").lazy.compactMap { try? Document(json: String($0)) }
                .first { $0["event"].string == "serving" }
        }
        address = try SocketAddress(parsing: try #require(serving?["address"].string))
    }

    deinit {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }

    /// How many descriptors it has open.
    var descriptorCount: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.processIdentifier)/fd").count) ?? 0
    }

    /// The memory it has in the machine (RSS).
    var residentBytes: Int { memorySizes[1] }

    /// A sanitizer's shadow memory takes terabytes of addresses; it keeps what is freed for a while.
    var isSanitized: Bool { memorySizes[0] > 1 << 40 }

    /// In bytes: addresses, resident memory.
    private var memorySizes: [Int] {
        let sizes = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/statm", encoding: .utf8)) ?? ""
        return (sizes + " 0 0").split(separator: " ").prefix(2).map { (Int($0) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) }
    }

    /// The processor time it has used.
    var processorTime: Duration {
        let stat = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)) ?? ""
        // After the name in its parentheses: state, then the fields from the 4th on; utime is the 14th, stime the 15th.
        let fields = stat.drop { $0 != ")" }.split(separator: " ").dropFirst()
        let ticks = fields.dropFirst(11).prefix(2).compactMap { Int($0) }.reduce(0, +)
        return .milliseconds(ticks * 1_000 / sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Ends it with TERM: its exit code, and everything it logged.
    func stop() -> (exitCode: Int32, log: String) {
        process.terminate()
        let rest = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, log + String(decoding: rest, as: UTF8.self))
    }
}
