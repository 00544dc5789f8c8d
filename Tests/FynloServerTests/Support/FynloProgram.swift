import Foundation
import FynloCore
import FynloIO
import TestSupport
import Testing

/// The `fynlo` command at work beside the test's loop; what it writes goes to files, which take any amount.
final class FynloProgram {
    private let process = Process()
    private let folder: TestFolder

    init(_ arguments: [String], _ environment: [String: String] = [:]) throws {
        folder = try TestFolder()
        process.executableURL = URL(fileURLWithPath: ServerProcess.program).deletingLastPathComponent()
            .appendingPathComponent("fynlo")
        process.arguments = arguments
        process.environment = environment.merging(ServerProcess.sanitizerVariables) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.write("", to: "output")))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.write("", to: "errors")))
        try process.run()
    }

    /// Turns the loop until it has ended.
    func end(
        _ loop: EventLoop, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (exitCode: Int32, output: String, errors: String) {
        let deadline = SystemClock.instant + Duration.seconds(60).patient
        // The end of a process wakes no loop: it is looked for now and then.
        while process.isRunning, SystemClock.instant < deadline { try loop.turn(timeout: .milliseconds(10)) }
        try #require(!process.isRunning, "the command ends in time", sourceLocation: sourceLocation)
        process.waitUntilExit()
        return (
            process.terminationStatus, try String(contentsOfFile: folder.path + "/output", encoding: .utf8),
            try String(contentsOfFile: folder.path + "/errors", encoding: .utf8)
        )
    }
}
