import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

/// A run of the command, and its output as JSON lines.
private struct CommandRun {
    let exitCode: Int32
    let lines: [Document]
    let errors: String

    init(_ server: TestServer, _ words: [String], token: String?, _ variables: [String: String] = [:]) throws {
        var environment = ["FYNLO_URL": "http://\(server.address)"].merging(variables) { $1 }
        environment["FYNLO_TOKEN"] = token
        let end = try FynloProgram(words, environment).end(server.loop)
        exitCode = end.exitCode
        lines = try end.output.split(separator: "\n").map { try Document(json: String($0)) }
        errors = end.errors
    }
}

@Suite("fynlo menu and fynlo orders")
struct FynloRESTCommandTests {
    @Test("list a menu of several pages, a product a line")
    func menu() throws {
        let menu = try TestMenu(on: TestServer())
        let tacos = try menu.addCategory("Tacos")
        for number in 0..<203 { try menu.addProduct("Taco \(number)", in: number < 120 ? tacos : nil, order: number) }
        try menu.addProduct("Old", isActive: false)
        let words = ["menu", "--restaurant", "\(menu.restaurant)"]
        let all = try CommandRun(menu.server, words, token: menu.token)
        #expect(all.exitCode == 0 && all.errors.isEmpty, "\(all.errors)")
        #expect(all.lines.map { $0["name"].string } == (0..<203).map { "Taco \($0)" })
        let category = try CommandRun(menu.server, words + ["--category", "\(tacos)"], token: menu.token)
        #expect(category.lines.count == 120)
        #expect(try CommandRun(menu.server, words + ["--limit=7"], token: menu.token).lines.count == 7)
        #expect(try CommandRun(menu.server, words + ["--limit", "101"], token: menu.token).lines.count == 101)
        let old = try CommandRun(menu.server, words + ["--include-inactive"], token: menu.token)
        #expect(old.lines.count == 204)
        let categories = try CommandRun(menu.server, words + ["--categories"], token: menu.token)
        #expect(categories.lines.map { $0["product_count"].integer } == [120])
    }

    @Test("list orders, show one, take one, move it on, and change nothing twice")
    func orders() throws {
        let orders = try TestOrders(on: TestServer())
        func run(_ words: String...) throws -> CommandRun {
            try CommandRun(orders.server, ["orders"] + words, token: orders.token)
        }
        let taken = try run("create", orders.body(), "--id", "table-1")
        #expect(taken.exitCode == 0, "\(taken.errors)")
        let id = try #require(taken.lines.first?["id"].string)
        #expect(try run("create", orders.body(), "--id", "table-1").lines.first?["id"].string == id)
        let moved = try run("status", id, "confirmed", "--expected-version", "1")
        #expect(moved.exitCode == 0 && moved.lines.first?["status"].string == "confirmed")
        let again = try run("status", id, "preparing", "--expected-version", "1")
        #expect(again.exitCode == 1 && again.lines.isEmpty && again.errors.contains("(HTTP 409)"))
        #expect(try run(id).lines.first?["version"].integer == 2)
        for number in 2...4 { _ = try run("create", orders.body(), "--id", "table-\(number)") }
        let restaurant = ["--restaurant", "\(orders.restaurant)"]
        func list(_ words: String...) throws -> [Document] {
            try CommandRun(orders.server, ["orders"] + restaurant + words, token: orders.token).lines
        }
        #expect(try list().count == 4)
        #expect(try list("--status", "confirmed").map { $0["id"].string } == [id])
        #expect(try list("--limit", "3", "--page", "2").count == 1)
        #expect(try list("--since", "1h").count == 4)
        #expect(try list("--since", "2999-01-01T00:00:00+02:00").isEmpty)
    }

    @Test("say in one sentence what went wrong, with the code for it")
    func refusals() throws {
        let orders = try TestOrders(on: TestServer())
        let other = try orders.server.database.addRestaurant()
        let rows: [([String], String?, Int32, String)] = [
            (["menu", "--restaurant", "\(other)"], orders.token, 2, "(HTTP 403)"),
            (["menu", "--restaurant", "\(orders.restaurant)"], "nonsense", 2, "(HTTP 401)"),
            (["orders", "\(OrderID(TestDatabase.randomUUID()))"], orders.token, 1, "(HTTP 404)"),
            (["orders", "--restaurant", "\(orders.restaurant)", "--status", "eaten"], orders.token, 1, "(HTTP 422)"),
            (["orders", "create", "{}"], orders.token, 1, "(HTTP 422)"),
            (["orders", "create", "[]"], orders.token, 64, "not a JSON object"),
            (["orders", "status", "\(other)", "eaten"], orders.token, 64, "eaten"),
            (["orders"], orders.token, 64, "--restaurant"),
            (["orders", "create", "{}", "--page", "1"], orders.token, 64, "--page"),
            (["menu", "--restaurant", "\(other)"], nil, 64, "FYNLO_TOKEN"),
            (["menu", "--restaurant", "\(other)", "--limit", "0"], orders.token, 64, "--limit"),
            (["menu", "--restaurant", "\(other)", "--categories=yes"], orders.token, 64, "takes no value"),
            (["menu", "--restaurant", "\(other)", "--url", "http://127.0.0.1:1"], orders.token, 2, "refused"),
        ]
        for (words, token, exitCode, sentence) in rows {
            let run = try CommandRun(orders.server, words, token: token)
            #expect(run.exitCode == exitCode && run.lines.isEmpty, "\(words): \(run)")
            #expect(run.errors.hasPrefix("fynlo: ") && run.errors.contains(sentence), "\(words): \(run.errors)")
            #expect(run.errors.split(separator: "\n").count == 1)
        }
    }

    @Test(
        "have a help of their own, as the others have, with all exit codes",
        arguments: ["tail", "send", "menu", "orders", "load", "doctor"])
    func help(name: String) throws {
        let loop = try EventLoop()
        defer { loop.close() }
        for words in [[name, "--help"], [name, "-h"]] {
            let run = try FynloProgram(words).end(loop)
            #expect(run.exitCode == 0 && run.errors.isEmpty)
            #expect(run.output.contains("Exit codes: 0 ") && run.output.contains("--ca-file FILE"))
            #expect(run.output.split(separator: "\n").allSatisfy { $0.count <= 130 })
        }
        #expect(try FynloProgram(["--help"]).end(loop).output.contains("  fynlo \(name) "))
    }
}
