import Foundation
import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

/// The program as a service manager starts it: with its variables, and with open sockets from descriptor 3 on. It is ended
/// with the value. Nothing here waits but what is called `wait`.
final class ServiceProcess {
    let identifier: pid_t
    /// Is not dropped while the process uses it.
    private let database: TestDatabase?
    private let reader: FileDescriptor
    /// What it has written on standard error.
    private(set) var log = ""
    /// What it ended with, or the signal as a negative number; `nil` while it runs.
    private(set) var exitCode: Int32?

    /// `sockets` are passed on under their names; where there are none, it listens on `listen`.
    init(
        _ database: TestDatabase?, _ variables: [String: String] = [:],
        sockets: [(descriptor: Int32, name: String)] = [], listen: String = "127.0.0.1:0",
        arguments: [String] = ["serve"]
    ) throws {
        self.database = database
        var environment = [
            "FYNLO_JWT_SECRET": String(decoding: TestUser.secret, as: UTF8.self), "FYNLO_LOG_FORMAT": "json",
            "FYNLO_LISTEN": listen,
        ]
        if let database { environment["DATABASE_URL"] = database.url }
        environment.merge(ServerProcess.sanitizerVariables) { $1 }
        var script = "exec \"$0\" \"$@\""
        if !sockets.isEmpty {
            environment["LISTEN_FDS"] = String(sockets.count)
            environment["LISTEN_FDNAMES"] = sockets.map(\.name).joined(separator: ":")
            script = "export LISTEN_PID=$$; " + script
        }
        environment.merge(variables) { $1 }

        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        reader = FileDescriptor(owning: ends[0])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        let writer = FileDescriptor(owning: ends[1])
        // Out of the way of the numbers that they are to have.
        let copies = sockets.map { FileDescriptorCopy(of: $0.descriptor) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, writer.rawValue, 2)
        for (index, copy) in copies.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, copy.number, 3 + Int32(index))
        }
        // What other tests have open without care: a pipe of theirs would not end before this process.
        for number in 3 + Int32(copies.count)..<Int32(min(4_096, sysconf(Int32(_SC_OPEN_MAX)))) {
            posix_spawn_file_actions_addclose(&actions, number)
        }
        let words = ["/bin/sh", "-c", script, ServerProcess.program] + arguments
        var identifier: pid_t = 0
        let status = Self.withCStrings(words) { words in
            Self.withCStrings(environment.map { "\($0)=\($1)" }) {
                posix_spawn(&identifier, "/bin/sh", &actions, nil, words, $0)
            }
        }
        try #require(status == 0)
        self.identifier = identifier
    }

    deinit {
        guard exitCode == nil else { return }
        Glibc.kill(identifier, SIGCONT)
        Glibc.kill(identifier, SIGKILL)
        waitpid(identifier, nil, 0)
    }

    private final class FileDescriptorCopy {
        let number: Int32
        init(of original: Int32) { number = fcntl(original, F_DUPFD_CLOEXEC, 200) }
        deinit { close(number) }
    }

    private static func withCStrings<Result>(
        _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers = texts.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        return body(&pointers)
    }

    func signal(_ number: Int32) {
        Glibc.kill(identifier, number)
    }

    /// Reads what it has written, and looks whether it has ended.
    func look() {
        // First, so that what it wrote before its end is read.
        if exitCode == nil {
            var status: Int32 = 0
            if waitpid(identifier, &status, WNOHANG) == identifier {
                exitCode = status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
            }
        }
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(reader.rawValue, &room, room.count)
            guard count > 0 else { return }
            log += String(decoding: room[..<count], as: UTF8.self)
        }
    }

    /// The lines it has logged, as they are.
    var events: [Document] {
        look()
        return log.split(separator: "\n").compactMap { try? Document(json: String($0)) }
    }

    /// The first line of this event; `nil` when there is none yet.
    func event(_ name: String) -> Document? {
        events.first { $0["event"].string == name }
    }

    /// Waits until it has logged an event, or has ended.
    @discardableResult
    func wait(
        forEvent name: String, sourceLocation: SourceLocation = #_sourceLocation, turn: () throws -> Void = {}
    ) throws -> Document {
        try wait(for: "the event \(name)", sourceLocation: sourceLocation, turn: turn) {
            event(name) != nil || exitCode != nil
        }
        return try #require(event(name), "it ended with \(exitCode ?? 0): \(log)", sourceLocation: sourceLocation)
    }

    /// Waits for its end, and returns its exit code.
    @discardableResult
    func waitForEnd(
        sourceLocation: SourceLocation = #_sourceLocation, turn: () throws -> Void = {}
    ) throws -> Int32 {
        try wait(for: "the end", sourceLocation: sourceLocation, turn: turn) { exitCode != nil }
        return exitCode ?? -1
    }

    /// Waits until `condition` holds; `turn` goes on with what else there is to be done.
    func wait(
        for what: String, atMost limit: Duration = .seconds(30), sourceLocation: SourceLocation = #_sourceLocation,
        turn: () throws -> Void = {}, _ condition: () -> Bool
    ) throws {
        let deadline = SystemClock.instant + limit.patient
        look()
        while !condition() {
            try #require(
                SystemClock.instant < deadline, "waited \(limit) for \(what): \(log)", sourceLocation: sourceLocation)
            try turn()
            var poll = pollfd(fd: reader.rawValue, events: Int16(POLLIN), revents: 0)
            // Soon again: neither its end nor what it does shows here alone.
            _ = Glibc.poll(&poll, 1, 10)
            look()
        }
    }

    /// Where it listens, once it does.
    func address(sourceLocation: SourceLocation = #_sourceLocation) throws -> SocketAddress {
        let serving = try wait(forEvent: "serving", sourceLocation: sourceLocation)
        return try SocketAddress(parsing: try #require(serving["address"].string))
    }

    /// A file about it in /proc.
    func proc(_ name: String) -> String {
        (try? String(contentsOfFile: "/proc/\(identifier)/\(name)", encoding: .utf8)) ?? ""
    }
}
