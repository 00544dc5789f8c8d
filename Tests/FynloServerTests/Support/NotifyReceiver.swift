import FynloCore
import FynloIO
import Glibc
import Testing

/// Plays systemd's part on the socket that NOTIFY_SOCKET names.
final class NotifyReceiver {
    /// For NOTIFY_SOCKET.
    let name: String
    private let descriptor: FileDescriptor
    /// Everything that was said, line by line.
    private(set) var lines: [String] = []

    /// On a path, or by a name in the abstract namespace.
    init(isAbstract: Bool = false) throws {
        let unique = "fynlo-test-\(TestDatabase.randomUUID())"
        let name = isAbstract ? "@" + unique : "/tmp/" + unique
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            path.copyBytes(from: name.utf8)
            if isAbstract { path[0] = 0 }
        }
        let type = Int32(bitPattern: SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let number = socket(AF_UNIX, type, 0)
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.utf8.count)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, length) }
        }
        descriptor = FileDescriptor(owning: number)
        self.name = name
        try #require(status == 0)
    }

    deinit {
        if name.hasPrefix("/") { unlink(name) }
    }

    /// Reads what has come.
    func take() {
        var room = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = recv(descriptor.rawValue, &room, room.count, 0)
            guard count >= 0 else { return }
            lines += String(decoding: room[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    func forget() {
        take()
        lines = []
    }

    /// Waits for a line; `turn` goes on with what else there is to be done.
    func wait(
        for line: String, atMost limit: Duration = .seconds(15), sourceLocation: SourceLocation = #_sourceLocation,
        turn: () throws -> Void = {}
    ) throws {
        try wait(for: line, atMost: limit, sourceLocation: sourceLocation, turn: turn) { $0 == line }
    }

    func wait(
        for what: String, atMost limit: Duration = .seconds(15), sourceLocation: SourceLocation = #_sourceLocation,
        turn: () throws -> Void = {}, where matches: (String) -> Bool
    ) throws {
        let deadline = SystemClock.instant + limit.patient
        while true {
            take()
            if lines.contains(where: matches) { return }
            try #require(
                SystemClock.instant < deadline, "waited \(limit) for \(what): \(lines)", sourceLocation: sourceLocation)
            try turn()
            var poll = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
            _ = Glibc.poll(&poll, 1, 20)
        }
    }

    /// True when nothing comes for so long.
    func isQuiet(for duration: Duration) -> Bool {
        forget()
        var poll = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, Int32(duration.inMilliseconds)) == 0
    }
}
