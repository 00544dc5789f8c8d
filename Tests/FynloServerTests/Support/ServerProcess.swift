import Foundation
import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

/// The program itself, serving on a port of its own; it is ended with the value.
final class ServerProcess {
    let address: SocketAddress
    private let process = Process()
    private let errors = Pipe()
    private var log = ""
    private var hasEnded = false

    /// What a sanitizer is told by its environment, and where it finds its symbolizer: for the programs too that tests start,
    /// since they are built with it.
    static var sanitizerVariables: [String: String] {
        CommandLine.environment.filter { $0.key == "PATH" || $0.key.hasSuffix("SAN_OPTIONS") }
    }

    /// The program beside the tests, as the build made it.
    static var program: String {
        URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent(
            "fynlo-server"
        ).path
    }

    /// Returns when it serves. `descriptors` is the most it may have; `loop` is turned meanwhile, where the test itself
    /// stands between it and its database.
    init(
        _ database: TestDatabase, _ variables: [String: String] = [:], descriptors: Int? = nil,
        turning loop: EventLoop? = nil
    ) throws {
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        let limit = descriptors.map { "ulimit -n \($0) && " } ?? ""
        process.arguments = ["-c", limit + "exec \"$0\" serve --listen 127.0.0.1:0", ServerProcess.program]
        process.environment = [
            "DATABASE_URL": database.url, "FYNLO_JWT_SECRET": String(decoding: TestUser.secret, as: UTF8.self),
            "FYNLO_LOG_FORMAT": "json",
        ].merging(ServerProcess.sanitizerVariables) { $1 }.merging(variables) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        var serving: Document?
        while serving == nil {
            if let loop {
                var readable = pollfd(fd: errors.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
                while poll(&readable, 1, 0) == 0 { try loop.turn(timeout: .milliseconds(5)) }
            }
            let data = errors.fileHandleForReading.availableData
            try #require(!data.isEmpty, "the server ended before it served: \(log)")
            log += String(decoding: data, as: UTF8.self)
            serving = log.split(separator: "\n").lazy.compactMap { try? Document(json: String($0)) }
                .first { $0["event"].string == "serving" }
        }
        address = try SocketAddress(parsing: try #require(serving?["address"].string))
    }

    deinit {
        if !hasEnded { stop() }
    }

    /// How many descriptors it has open.
    var descriptorCount: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.processIdentifier)/fd").count) ?? 0
    }

    /// Bytes of memory that it has for itself.
    var memory: Int { 1_024 * (kibibytes("RssAnon:") ?? 0) }

    /// A sanitizer's shadow memory takes terabytes of addresses; it keeps what is freed for a while.
    var isSanitized: Bool { kibibytes("VmSize:").map { $0 > 1 << 30 } ?? false }

    private func kibibytes(_ name: String) -> Int? {
        let status = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
    }

    /// The processor time it has used.
    var processorTime: Duration {
        let stat = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)) ?? ""
        // After the name in its parentheses: state, then the fields from the 4th on; utime is the 14th, stime the 15th.
        let fields = stat.drop { $0 != ")" }.split(separator: " ").dropFirst()
        let ticks = fields.dropFirst(11).prefix(2).compactMap { Int($0) }.reduce(0, +)
        return .milliseconds(ticks * 1_000 / sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Tells it to read its certificates and keys anew.
    func hangUp() {
        Glibc.kill(process.processIdentifier, SIGHUP)
    }

    /// Lets it do nothing until `proceed`.
    func freeze() {
        Glibc.kill(process.processIdentifier, SIGSTOP)
    }

    func proceed() {
        Glibc.kill(process.processIdentifier, SIGCONT)
    }

    /// Ends it at once, in whatever it is doing.
    func kill() {
        hasEnded = true
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Ends it with TERM: everything it logged. The test fails unless it ends with 0; what a sanitizer has found in it is
    /// another code, and in the log.
    @discardableResult
    func stop() -> String {
        hasEnded = true
        if process.isRunning { process.terminate() }
        // Read to the end before it is waited for: a report is longer than the pipe.
        log += String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let isWell = process.terminationReason == .exit && process.terminationStatus == 0
        #expect(isWell, "the server ended with \(process.terminationStatus): \(log.suffix(20_000))")
        return log
    }
}
