import Foundation
import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

/// `fynlo tail` as a process, whose output is a pipe that the test reads, or does not.
private final class TailProcess {
    private let process = Process()
    let output = Pipe()
    /// The end it writes to; `Process` closes the pipe's own.
    private let writingEnd: Int32

    init(_ server: TestServer, _ user: TestUser, at restaurant: RestaurantID) throws {
        // F_SETPIPE_SZ, which Swift's Glibc does not have, to the least there is.
        _ = fcntl(output.fileHandleForWriting.fileDescriptor, 1031, 4_096)
        writingEnd = dup(output.fileHandleForWriting.fileDescriptor)
        process.executableURL = URL(fileURLWithPath: ServerProcess.program).deletingLastPathComponent()
            .appending(path: "fynlo")
        process.arguments = ["tail", "--restaurant", "\(restaurant)", "--url", "http://\(server.address)"]
        process.environment = [
            "FYNLO_TOKEN": user.token(), "FYNLO_USER_ID": "\(user.id)",
        ].merging(ServerProcess.sanitizerVariables) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    deinit {
        // Only what a failed test has left.
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        close(writingEnd)
    }

    /// True when nothing more goes into its output.
    var isFull: Bool {
        var place = pollfd(fd: writingEnd, events: Int16(POLLOUT), revents: 0)
        return poll(&place, 1, 0) == 0
    }

    func terminate() {
        kill(process.processIdentifier, SIGTERM)
    }

    /// The exit code, once it has ended.
    func end(_ server: TestServer, sourceLocation: SourceLocation = #_sourceLocation) throws -> Int32 {
        try server.look(for: "its end", sourceLocation: sourceLocation) { !process.isRunning }
        process.waitUntilExit()
        return process.terminationStatus
    }
}

extension TestServer {
    /// Waits for what wakes no loop, as the doings of another program: it is looked for now and then.
    fileprivate func look(
        for what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool
    ) throws {
        let deadline = SystemClock.instant + Duration.seconds(20).patient
        while !condition() {
            try #require(SystemClock.instant < deadline, "waited for \(what)", sourceLocation: sourceLocation)
            try loop.turn(timeout: .milliseconds(5))
        }
    }
}

@Suite("fynlo tail")
struct TailCommandTests {
    private let server: TestServer
    private let tail: TailProcess
    private let tablet: TestTablet

    init() throws {
        server = try TestServer(["FYNLO_RATE_BURST": "100000", "FYNLO_RATE_LIMIT": "100000"])
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        tail = try TailProcess(server, user, at: restaurant)
        tablet = try server.staffTablet(at: restaurant)
        let hub = server.hub
        try server.wait(for: "it to be in", atMost: .seconds(20)) { hub.tabletCount == 2 }
    }

    private func tell(_ text: String) {
        tablet.say(type: "kitchen.item_ready", data: "{\"text\":\"\(text)\"}")
    }

    @Test("writes each event as a line of JSON, and ends when it is told to")
    func lines() throws {
        let texts = (0..<20).map { "dish \($0) \(String(repeating: "x", count: $0 * 400))" }
        for text in texts { tell(text) }
        try server.wait(for: "the sender to have them") { tablet.messages("kitchen.item_ready").count == texts.count }
        var written: [UInt8] = []
        let reading = tail.output.fileHandleForReading.fileDescriptor
        _ = fcntl(reading, F_SETFL, O_NONBLOCK)
        try server.look(for: "all lines") {
            var room = [UInt8](repeating: 0, count: 65_536)
            let count = read(reading, &room, room.count)
            if count > 0 { written += room[..<count] }
            return written.count { $0 == 0x0a } == texts.count
        }
        let lines = try written.split(separator: 0x0a).map { try Document(Array($0)) }
        #expect(lines.map { $0["data"]["text"].string } == texts)
        #expect(lines.allSatisfy { $0["type"].string == "kitchen.item_ready" })
        tail.terminate()
        #expect(try tail.end(server) == 0)
    }

    @Test("ends when it is told to while nobody reads what it writes")
    func nobodyReads() throws {
        // A line is longer than the pipe: as soon as that is full, the program is in the middle of the line.
        tell(String(repeating: "x", count: 15_000))
        try server.look(for: "the pipe to be full") { tail.isFull }
        tail.terminate()
        #expect(try tail.end(server) == 0)
    }

    @Test("ends with the next event when what it writes goes nowhere any more")
    func readerGone() throws {
        try tail.output.fileHandleForReading.close()
        tell("who reads this?")
        #expect(try tail.end(server) == 0)
    }
}
