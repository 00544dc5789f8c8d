import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

/// A redis-server of the test's own, on a local socket in a temporary directory. It is ended when this object goes.
final class RealRedis {
    let directory: String
    private let arguments: [String]
    private var process: pid_t?

    /// Starts it, with more arguments if need be. It is up when a connection says so.
    init(_ arguments: String...) throws {
        var template = Array("/tmp/fynlo-redis-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.call("mkdtemp", code: errno) }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.arguments =
            [
                "redis-server", "--port", "0", "--unixsocket", "\(directory)/redis.sock", "--dir", directory,
                "--logfile", "\(directory)/redis.log", "--save", "", "--appendonly", "no", "--daemonize", "no",
            ] + arguments
        try start()
    }

    deinit {
        kill()
        for name in ["redis.sock", "redis.log"] { unlink("\(directory)/\(name)") }
        rmdir(directory)
    }

    var url: String { "unix:\(directory)/redis.sock" }

    func url(_ credentials: String) -> String {
        "unix://\(credentials)@\(directory)/redis.sock"
    }

    /// Starts it again after `kill`.
    func start() throws {
        var words = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var number: pid_t = 0
        let status = posix_spawnp(&number, "redis-server", nil, nil, &words, environ)
        guard status == 0 else {
            Issue.record("redis-server could not be started; install it (Debian: apt-get install redis-server)")
            throw SystemError.call("posix_spawnp", code: status)
        }
        process = number
    }

    /// Ends it as a crash would.
    func kill() {
        guard let process else { return }
        self.process = nil
        _ = Glibc.kill(process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
    }

    /// Lets it answer nothing until `proceed`.
    func freeze() {
        signal(SIGSTOP)
    }

    func proceed() {
        signal(SIGCONT)
    }

    private func signal(_ number: Int32) {
        if let process { _ = Glibc.kill(process, number) }
    }
}

/// A Redis for tests that only use it: that of FYNLO_TEST_REDIS_URL, else one of the test's own.
struct SharedRedis {
    let url: String
    /// Keeps it running.
    private let own: RealRedis?
    /// Begins the names of all keys and channels of this test.
    let prefix = "fynlo-test:\(UInt64.random(in: 0...UInt64.max)):"

    init() throws {
        if let text = getenv("FYNLO_TEST_REDIS_URL") {
            url = String(cString: text)
            own = nil
        } else {
            let server = try RealRedis()
            url = server.url
            own = server
        }
    }
}
