import Foundation
import TestSupport
import Testing

@testable import FynloServer

/// What an operator installs beside the program.
@Suite("The files of deploy/")
struct DeployTests {
    private static func text(_ name: String) throws -> String {
        try Repository.text("deploy/" + name)
    }

    private static func systemdAnalyze(_ arguments: [String]) throws -> (exitCode: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["systemd-analyze", "--no-pager"] + arguments
        process.environment = ["PATH": "/usr/bin:/bin:/usr/local/bin", "LC_ALL": "C.UTF-8"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    @Test("systemd finds nothing to say against the units")
    func verify() throws {
        let installed = try TestFolder()
        for name in ["fynlo-server.service", "fynlo-server@.service", "fynlo-server.socket"] {
            // The program is where the build has left it.
            let unit = try Self.text(name).replacing("/usr/bin/fynlo-server", with: ServerProcess.program)
            try installed.write(unit, to: name)
        }
        let names = ["fynlo-server.service", "fynlo-server@1.service", "fynlo-server.socket"]
        let verdict = try Self.systemdAnalyze(["verify", "--man=no"] + names.map { installed.path + "/" + $0 })
        #expect(verdict.exitCode == 0)
        #expect(verdict.output.isEmpty, "\(verdict.output)")
    }

    @Test("the units are hardened", arguments: ["fynlo-server.service", "fynlo-server@.service"])
    func security(name: String) throws {
        let verdict = try Self.systemdAnalyze([
            "security", "--offline=true", Repository.root.appending(path: "deploy/" + name).path(percentEncoded: false),
        ])
        let line = try #require(verdict.output.split(separator: "\n").last { $0.contains("Overall exposure level") })
        let level = line.split(separator: " ").compactMap { Double($0) }.first
        #expect(try #require(level) <= 2.0, "\(line)")
    }

    @Test("the units of one and of several processes differ in what names the process")
    func twins() throws {
        func settings(_ name: String) throws -> [Substring] {
            try Self.text(name).split(separator: "\n").filter { !$0.hasPrefix("#") }
        }
        let several = try settings("fynlo-server@.service")
        #expect(
            several.filter { !$0.contains("%i") }
                == (try settings("fynlo-server.service")).filter {
                    !$0.hasPrefix("Description=")
                })
        #expect(several.count { $0.contains("%i") } == 2)
    }

    @Test("every variable is in the example of the environment file, with its default, and no other")
    func environment() throws {
        let settings = try Self.text("fynlo-server.env.example").split(separator: "\n")
            .compactMap { line -> (name: String, value: String)? in
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2, parts[0].hasPrefix("#"), !parts[0].contains(" ") else { return nil }
                return (String(parts[0].dropFirst()), String(parts[1]))
            }
        #expect(settings.map(\.name) == Config.variables.map(\.name))
        #expect(settings.map(\.value) == Config.variables.map(\.fallback))
    }

    @Test("every credential of the units is one that the program reads, and the other way round")
    func credentials() throws {
        let names = try Self.text("fynlo-server.service").split(separator: "\n")
            .filter { $0.hasPrefix("LoadCredential=") }
            .map { $0.dropFirst("LoadCredential=".count).split(separator: ":").map(String.init) }
        for name in names { #expect(name.count == 2 && name[1] == "fynlo-server." + name[0]) }
        #expect(Set(names.map { $0[0] }) == Set(ProcessEnvironment.credentials))
    }
}
