import Foundation
import FynloCore
import FynloIO
import Glibc
import TestSupport
import Testing

@testable import FynloServer

@Suite("Secrets")
struct SecretTests {
    private static let secret = String(decoding: TestUser.secret, as: UTF8.self)

    @Test("come from files of CREDENTIALS_DIRECTORY, keys and certificates by their path")
    func credentials() throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.manager, at: restaurant)
        let folder = try TestFolder()
        try folder.write(database.url + "\n", to: "DATABASE_URL")
        try folder.write(Self.secret, to: "FYNLO_JWT_SECRET")
        let certificates = try TestCertificates()
        let files = try certificates.make("server")
        for (name, path) in [("FYNLO_TLS_CERT", files.certificate), ("FYNLO_TLS_KEY", files.key)] {
            try folder.write(try String(contentsOfFile: path, encoding: .utf8), to: name)
        }
        let service = try ServiceProcess(
            nil, ["CREDENTIALS_DIRECTORY": folder.path, "FYNLO_JWT_SECRET": "", "FYNLO_TLS_CERT": ""])
        let loop = try EventLoop()
        defer { loop.close() }
        let tls = try TLSContext(authorityPath: folder.path + "/FYNLO_TLS_CERT")
        let exchange = try TestExchange(loop: loop, address: try service.address(), tls: tls)
        exchange.send(
            .get, "/api/v1/orders?restaurant_id=\(restaurant)", headers: ["Authorization": "Bearer \(user.token())"])
        #expect(try loop.run(until: { !exchange.responses.isEmpty }, for: .seconds(10)))
        #expect(exchange.responses.first?.status == 200)
        exchange.close()
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
        #expect(!service.log.contains(Self.secret))
    }

    @Test("a variable that is set wins over its credential, an empty one does not")
    func precedence() throws {
        let folder = try TestFolder()
        for name in ["DATABASE_URL", "REDIS_URL", "FYNLO_JWT_SECRET"] { try folder.write("file\r\n", to: name) }
        for name in ProcessEnvironment.files { try folder.write("file", to: name) }
        try folder.write("debug", to: "FYNLO_LOG")
        let all = try ProcessEnvironment.withCredentials([
            "CREDENTIALS_DIRECTORY": folder.path, "DATABASE_URL": "variable", "REDIS_URL": "", "FYNLO_TLS_KEY": "/key",
        ])
        #expect(all["DATABASE_URL"] == "variable")
        #expect(all["REDIS_URL"] == "file")
        #expect(all["FYNLO_JWT_SECRET"] == "file")
        #expect(all["FYNLO_TLS_CERT"] == folder.path + "/FYNLO_TLS_CERT")
        #expect(all["FYNLO_TLS_KEY"] == "/key")
        #expect(all["FYNLO_LOG"] == nil, "it is none")
        #expect(try ProcessEnvironment.withCredentials(["A": "b"]) == ["A": "b"])
        #expect(try ProcessEnvironment.withCredentials(["CREDENTIALS_DIRECTORY": "/nonexistent"]).count == 1)
    }

    @Test(
        "a credential that cannot be used is named in one sentence that does not quote it",
        arguments: ["", "\n", "two\nlines", "s3cr3t\u{1}", String(repeating: "s3cr3t", count: 20_000)])
    func refusals(content: String) throws {
        let folder = try TestFolder()
        try folder.write(content, to: "FYNLO_JWT_SECRET")
        let error = #expect(throws: ConfigError.self) {
            try ProcessEnvironment.withCredentials(["CREDENTIALS_DIRECTORY": folder.path])
        }
        let sentence = try #require(error?.description)
        #expect(sentence.contains("FYNLO_JWT_SECRET") && sentence.hasSuffix("."))
        #expect(!sentence.contains("s3cr3t") && !sentence.contains("lines"))
        // A folder in its place cannot be read either; and the program ends with it.
        try FileManager.default.createDirectory(
            atPath: folder.path + "/DATABASE_URL", withIntermediateDirectories: false)
        let service = try ServiceProcess(nil, ["CREDENTIALS_DIRECTORY": folder.path])
        #expect(try service.waitForEnd() == 78)
        #expect(service.log.contains("DATABASE_URL") && service.log.split(separator: "\n").count == 1)
    }

    @Test("are nowhere to be seen once the program runs: not in its environment, its command line, or a core dump")
    func unseen() throws {
        let receiver = try NotifyReceiver()
        let database = try TestDatabase()
        let service = try ServiceProcess(
            database,
            ["FYNLO_JWT_ISSUER": "an-issuer", "NOTIFY_SOCKET": receiver.name, "REDIS_URL": "redis://:hush@127.0.0.1:1"])
        try service.wait(forEvent: "ready")
        let environment = service.proc("environ")
        #expect(environment.contains("FYNLO_JWT_ISSUER=an-issuer"), "what is no secret stays")
        for secret in [Self.secret, database.url, "hush", receiver.name] {
            #expect(!environment.contains(secret))
            #expect(!service.proc("cmdline").contains(secret))
        }
        let limit = service.proc("limits").split(separator: "\n").first { $0.hasPrefix("Max core file size") }
        #expect(limit?.split(separator: " ").filter { $0 == "1" }.count == 2, "\(limit ?? "")")
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
        for secret in [Self.secret, "hush"] { #expect(!service.log.contains(secret)) }
    }
}

@Suite("Signals")
struct SignalTests {
    @Test("USR1 has everything logged, USR2 what is configured, and the first line says how many descriptors there are")
    func level() throws {
        let info = try ServiceProcess(try TestDatabase())
        let serving = try info.wait(forEvent: "serving")
        let limit = info.proc("limits").split(separator: "\n").first { $0.hasPrefix("Max open files") }
        let words = limit?.split(separator: " ").map(String.init) ?? []
        #expect(words.count >= 5 && words[3] == words[4], "raised to the hard limit: \(words)")
        #expect(serving["descriptors"].string == words[3])
        /// Other lines may follow.
        func level() -> String? { info.events.last { $0["event"].string == "log_level" }?["now"].string }
        info.signal(SIGUSR1)
        try info.wait(for: "debug") { level() == "debug" }
        info.signal(SIGUSR2)
        try info.wait(for: "info") { level() == "info" }
        info.signal(SIGTERM)
        #expect(try info.waitForEnd() == 0)
    }

    @Test("a second TERM or INT does not wait for anybody", arguments: [SIGTERM, SIGINT])
    func atOnce(signal: Int32) throws {
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let order = try database.addOrder(at: restaurant)
        let service = try ServiceProcess(database, ["FYNLO_DRAIN_TIMEOUT": "10m", "FYNLO_QUERY_TIMEOUT": "10m"])
        let loop = try EventLoop()
        defer { loop.close() }
        let turn = { try loop.turn(timeout: .milliseconds(10)) }
        let tablet = try TestTablet(
            loop: loop, address: try service.address(), target: "/api/v1/websocket/ws/pos/\(restaurant)")
        tablet.authenticate(try database.addUser(.employee, at: restaurant), at: restaurant)
        let lock = try RowLock(on: order, in: database)
        tablet.update(order, to: .ready, id: "1")
        try service.wait(for: "the command to wait", turn: turn) { lock.isInTheWay }
        service.signal(SIGTERM)
        try service.wait(for: "the goodbye", turn: turn) { !tablet.messages("reconnect").isEmpty }
        #expect(service.exitCode == nil)
        service.signal(signal)
        #expect(try service.waitForEnd(turn: turn) == 0)
        #expect(service.event("stopped_at_once") != nil)
        lock.release()
    }
}
