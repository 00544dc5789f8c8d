import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

@Suite("fynlo load")
struct LoadCommandTests {
    /// A server that lets many connections of one user in.
    private final class Target {
        let server: TestServer
        let restaurant: RestaurantID
        let user: TestUser

        init(_ variables: [String: String] = [:]) throws {
            let limits = [
                "FYNLO_MAX_CONNECTIONS_PER_USER": "1000", "FYNLO_RATE_LIMIT": "1000000", "FYNLO_RATE_BURST": "1000000",
            ]
            server = try TestServer(limits.merging(variables) { $1 })
            restaurant = try server.database.addRestaurant()
            user = try server.database.addUser(.employee, at: restaurant)
        }

        func run(_ words: String..., scheme: String = "http") throws -> (exitCode: Int32, result: Document) {
            let url = ["--url", "\(scheme)://\(server.address)"]
            let who = ["--restaurant", "\(restaurant)", "--user-id", "\(user.id)"]
            let end = try FynloProgram(["load"] + words + url + who, ["FYNLO_TOKEN": user.token()]).end(server.loop)
            try #require(end.output.split(separator: "\n").count == 1, "\(end)")
            return (end.exitCode, try Document(json: end.output))
        }
    }

    @Test("connects as many as are wanted")
    func storm() throws {
        let target = try Target()
        let (exitCode, result) = try target.run("storm", "--connections", "50", "--concurrency", "20")
        #expect(exitCode == 0 && result["ok"].boolean == true && result["scenario"].string == "storm")
        #expect(result["connections"]["connected"].integer == 50)
        #expect(result["connect"]["latency_ms"]["count"].integer == 50)
    }

    @Test("counts who is not let in, by kind, and ends with 1")
    func refused() throws {
        let target = try Target(["FYNLO_MAX_CONNECTIONS_PER_USER": "5"])
        let (exitCode, result) = try target.run("idle", "--connections", "8", "--duration", "100ms")
        #expect(exitCode == 1 && result["ok"].boolean == false)
        #expect(result["connections"]["connected"].integer == 5 && result["connections"]["failed"].integer == 3)
        #expect(result["errors"]["closed: 4003 (connection_limit)"].integer == 3)
        #expect(result["idle"]["open_at_end"].integer == 5)
    }

    @Test("gets a pong for every ping, also over TLS and at a fixed rate")
    func ping() throws {
        let target = try Target()
        let (exitCode, result) = try target.run(
            "ping", "--connections", "10", "--outstanding", "8", "--duration", "300ms")
        #expect(exitCode == 0, "\(result)")
        let pings = result["ping"]
        #expect(pings["sent"].integer == pings["answered"].integer && pings["lost"].integer == 0)
        #expect(pings["latency_ms"]["count"].integer == pings["answered"].integer)
        #expect((pings["sent"].integer ?? 0) >= 80)

        let paced = try target.run("ping", "--connections", "10", "--rate", "200", "--duration", "500ms")
        #expect(paced.exitCode == 0 && paced.result["ping"]["lost"].integer == 0)
        #expect(paced.result["ping"]["sent"].integer.map { (1...100).contains($0) } == true)

        let certificates = try TestCertificates()
        let paths = try certificates.make("server", host: "127.0.0.1")
        let secure = try Target(["FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": paths.key])
        let encrypted = try secure.run(
            "ping", "--connections", "5", "--duration", "300ms", "--ca-file", paths.certificate, scheme: "https")
        #expect(encrypted.exitCode == 0, "\(encrypted)")
        #expect((encrypted.result["ping"]["answered"].integer ?? 0) >= 5)
    }

    @Test("says so when messages are refused, and are therefore lost")
    func rateLimited() throws {
        let target = try Target(["FYNLO_RATE_LIMIT": "1", "FYNLO_RATE_BURST": "5"])
        let (exitCode, result) = try target.run(
            "ping", "--connections", "1", "--outstanding", "20", "--duration", "200ms")
        #expect(exitCode == 1 && result["ping"]["refused"].integer.map { $0 >= 10 } == true)
        #expect(result["ping"]["lost"].integer == result["ping"]["refused"].integer)
    }

    @Test("counts an event as delivered when the last tablet of its restaurant has it")
    func fanOut() throws {
        let target = try Target()
        var lines = ["# restaurant user token", ""]
        for _ in 0..<2 {
            let restaurant = try target.server.database.addRestaurant()
            for _ in 0..<3 {
                let user = try target.server.database.addUser(.employee, at: restaurant)
                lines.append("\(restaurant) \(user.id) \(user.token())")
            }
        }
        let folder = try TestFolder()
        let path = try folder.write(lines.joined(separator: "\n"), to: "accounts")
        let words = [
            "load", "fan-out", "http://\(target.server.address)", "--accounts", path, "--connections", "12",
            "--duration", "300ms",
        ]
        let end = try FynloProgram(words).end(target.server.loop)
        #expect(end.exitCode == 0, "\(end)")
        let result = try Document(json: end.output)["fan_out"]
        #expect(result["restaurants"].integer == 2)
        let events = result["events"].integer ?? 0
        #expect(events >= 2 && result["complete"].integer == events && result["deliveries"].integer == 6 * events)
        #expect(result["last_receipt_latency_ms"]["count"].integer == events)
    }

    @Test("brings all back that were cut at once")
    func reconnect() throws {
        let target = try Target()
        let (exitCode, result) = try target.run("reconnect", "--connections", "20")
        #expect(exitCode == 0, "\(result)")
        #expect(result["reconnect"]["dropped"].integer == 20 && result["reconnect"]["back"].integer == 20)
        #expect(result["reconnect"]["not_back"].integer == 0)

        let atOnce = try target.run("reconnect", "--connections", "20", "--at-once")
        #expect(atOnce.exitCode == 0 && atOnce.result["reconnect"]["back"].integer == 20)
        // A tablet's back-off is half a second at least.
        #expect(atOnce.result["reconnect"]["latency_ms"]["min"].integer.map { $0 < 500 } == true, "\(atOnce.result)")
    }

    @Test("changes each order of the file once, and counts those that are refused")
    func orders() throws {
        let target = try Target()
        var lines = ["# restaurant order"]
        for status in [OrderStatus.draft, .draft, .draft, .completed] {
            let order = try target.server.database.addOrder(at: target.restaurant, status: status)
            lines.append("\(target.restaurant) \(order)")
        }
        let folder = try TestFolder()
        let path = try folder.write(lines.joined(separator: "\n"), to: "orders")
        let (exitCode, result) = try target.run(
            "orders", "--connections", "2", "--orders", path, "--duration", "30s")
        let orders = result["orders"]
        #expect(exitCode == 0, "\(result)")
        #expect(orders["sent"].integer == 4 && orders["acknowledged"].integer == 3 && orders["refused"].integer == 1)
        #expect(orders["left"].integer == 0 && orders["lost"].integer == 0)
    }

    @Test(
        "ends with 64 for what it cannot do, and with 2 where nobody listens",
        arguments: [
            ([], 64), (["dance"], 64), (["ping", "--connections", "0"], 64), (["ping", "--duration", "10"], 64),
            (["ping", "--connections", "9999999"], 64), (["ping", "http://127.0.0.1:1", "more"], 64),
            (["orders"], 64), (["orders", "--orders", "/nowhere"], 64),
            (["storm", "http://127.0.0.1:1"], 2), (["storm", "--accounts", "/nowhere"], 64),
        ] as [([String], Int32)])
    func usage(words: [String], exitCode: Int32) throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let id = UUID128(high: 1, low: 2).description
        let who = ["--restaurant", id, "--user-id", id]
        let end = try FynloProgram(["load"] + words + who, ["FYNLO_TOKEN": "t"]).end(loop)
        #expect(end.exitCode == exitCode && end.output.isEmpty, "\(end)")
        #expect(end.errors.split(separator: "\n").count == 1)
    }
}
