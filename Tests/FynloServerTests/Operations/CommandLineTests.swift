import Foundation
import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

/// What a run of the program came to.
private struct Run {
    let exitCode: Int32
    let output: String
    let errors: String
}

@Suite("The program")
struct CommandLineTests {
    /// The program at work; what it writes goes to files, which take any amount.
    private final class Start {
        private let process = Process()
        private let folder: TestFolder

        init(_ arguments: [String], _ environment: [String: String]) throws {
            folder = try TestFolder()
            process.executableURL = URL(fileURLWithPath: ServerProcess.program)
            process.arguments = arguments
            process.environment = environment.merging(ServerProcess.sanitizerVariables) { $1 }
            process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.write("", to: "output")))
            process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.write("", to: "errors")))
            try process.run()
        }

        func end() throws -> Run {
            process.waitUntilExit()
            return Run(
                exitCode: process.terminationStatus,
                output: try String(contentsOfFile: folder.path + "/output", encoding: .utf8),
                errors: try String(contentsOfFile: folder.path + "/errors", encoding: .utf8))
        }
    }

    private static func run(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Run {
        try Start(arguments, environment).end()
    }

    private static let secret = String(decoding: TestUser.secret, as: UTF8.self)

    @Test("lists every variable with its default, and says its version")
    func help() throws {
        let help = try Self.run(["--help"])
        #expect(help.exitCode == 0)
        for variable in Config.variables { #expect(help.output.contains("  \(variable.name) ")) }
        #expect(help.output.contains("[127.0.0.1:8000]"))
        #expect(try Self.run(["--version"]).output == "fynlo-server \(fynloVersion)\n")
    }

    @Test("ends with 64 and a sentence when it is used wrongly")
    func usage() throws {
        for arguments in [["dance"], ["migrate"], ["migrate", "sideways"], ["token"], ["serve", "--nope"]] {
            let run = try Self.run(arguments)
            #expect(run.exitCode == 64)
            #expect(run.errors.split(separator: "\n").count == 1)
        }
    }

    @Test("ends with 78 and a sentence that names the variable when the configuration is bad")
    func configuration() throws {
        let database = try TestDatabase(isMigrated: false)
        let key = ["FYNLO_JWT_SECRET": Self.secret]
        let url = ["DATABASE_URL": database.url]
        let rows: [([String: String], String)] = [
            (key, "DATABASE_URL"), (url, "FYNLO_JWT_SECRET"),
            (key.merging(url) { $1 }, "FYNLO_MIGRATE"),
            (key.merging(url) { $1 }.merging(["FYNLO_RATE_LIMIT": "x"]) { $1 }, "FYNLO_RATE_LIMIT"),
        ]
        for (environment, name) in rows {
            let run = try Self.run(["serve", "--listen", "127.0.0.1:0"], environment)
            #expect(run.exitCode == 78)
            #expect(run.errors.contains(name))
            #expect(run.errors.split(separator: "\n").count == 1)
        }
    }

    @Test("ends with 1 and a sentence when the port is taken by a program that does not share it")
    func busyPort() throws {
        let database = try TestDatabase()
        // A socket bound without SO_REUSEPORT keeps everybody else out.
        let taken = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(taken) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(taken, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(bound == 0 && listen(taken, 1) == 0)
        let port = try #require(Socket.localAddress(of: taken)).port
        let run = try Self.run(
            ["serve", "--listen", "127.0.0.1:\(port)"],
            ["DATABASE_URL": database.url, "FYNLO_JWT_SECRET": Self.secret])
        #expect(run.exitCode == 1)
        #expect(run.errors.contains("127.0.0.1:\(port)"))
    }

    @Test("migrates, loads the demonstration, makes a token that opens the menu, serves, and stops at TERM with 0")
    func wholeLife() throws {
        let database = try TestDatabase(isMigrated: false)
        let environment = [
            "DATABASE_URL": database.url, "FYNLO_JWT_SECRET": Self.secret, "FYNLO_LOG_FORMAT": "json",
            "REDIS_URL": try TestDatabase.variable("FYNLO_TEST_REDIS_URL"),
        ]
        #expect(try Self.run(["demo-data"], environment).exitCode == 78)
        let up = try Self.run(["migrate", "up"], environment)
        #expect(up.exitCode == 0)
        #expect(up.output.contains("applied 1 initial_schema"))
        #expect(try Self.run(["migrate", "up"], environment).output.contains("nothing to do"))
        #expect(try Self.run(["demo-data"], environment).exitCode == 0)
        let check = try Self.run(["check"], environment)
        #expect(check.exitCode == 0)
        #expect(check.output.contains("postgres: ok") && check.output.contains("redis: ok"))
        let token = try Self.run(["token", "--user", "maria@casa-azul.example", "--ttl", "5m"], environment).output
            .trimmingCharacters(in: .newlines)
        #expect(token.split(separator: ".").count == 3)
        #expect(try Self.run(["token", "--user", "nobody@example.com"], environment).exitCode == 1)

        let server = try ServerProcess(database, environment)
        let loop = try EventLoop()
        defer { loop.close() }
        let exchange = try TestExchange(loop: loop, address: server.address)
        exchange.send(
            .get, "/api/v1/menu?restaurant_id=11111111-1111-4111-8111-111111111111",
            headers: ["Authorization": "Bearer \(token)"])
        #expect(try loop.run(until: { !exchange.responses.isEmpty }, for: .seconds(10)))
        #expect(exchange.responses.first?.status == 200)
        #expect(exchange.responses.first?.headers.first("x-total-count") == "63")
        let log = server.stop()
        #expect(log.contains("\"event\":\"stopped\""))
        #expect(!log.contains(token) && !log.contains(Self.secret))
    }

    @Test("several programs that migrate at once apply each migration once")
    func concurrentMigrations() throws {
        let database = try TestDatabase(isMigrated: false)
        let environment = ["DATABASE_URL": database.url]
        let starts = try (0..<4).map { _ in try Start(["migrate", "up"], environment) }
        let runs = try starts.map { try $0.end() }
        #expect(runs.allSatisfy { $0.exitCode == 0 && $0.errors.isEmpty })
        let applied = runs.count { $0.output.contains("applied 1 ") }
        #expect(applied == 1)
    }
}
