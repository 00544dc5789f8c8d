// fynlo orders: a restaurant's orders, over REST.

import FynloCore
import FynloIO
import Glibc

enum OrdersCommand {
    static let help = """
        fynlo orders: lists a restaurant's orders, shows one, takes one, or moves one on.

        Usage:
          fynlo orders --restaurant UUID [options]        the newest first
          fynlo orders ID [options]                       one order with its items
          fynlo orders create JSON [options]              JSON as POST /api/v1/orders takes it; - reads standard input
          fynlo orders status ID STATUS [options]         draft, pending, confirmed, preparing, ready, served,
                                                          completed or cancelled

        On a terminal orders are shown as a table; elsewhere each line is one order as the server sent it, in JSON.

        Options:
          --restaurant UUID       whose orders to list
          --status STATUS         only those
          --since TIME            only those changed since: RFC 3339, as in 2026-01-31T18:00:00Z, or so long ago: 90m, 2h, 7d
          --page N, --limit N     which page, of how many orders [1, 50; at most 100]
          --id KEY                of create and status: the command's Idempotency-Key [a new one]; the same one again
                                  changes nothing
          --expected-version N    of status: only if the order still has this version
        \(ServerOptions.help)

        Environment:
        \(ServerOptions.environmentHelp)

        \(ExitCode.help)
        """

    private static let ownFlags = [
        "--restaurant", "--status", "--since", "--page", "--limit", "--id", "--expected-version",
    ]

    static func run(_ words: [String]) throws(UsageError) -> Int32 {
        let arguments = try Arguments(words, flags: ServerOptions.flags + ownFlags)
        let request = try request(for: arguments)
        let client = try RESTClient(try ServerOptions(arguments))
        do throws(CommandFailure) {
            var headers = HTTPHeaders()
            if request.isCommand {
                headers.append("Idempotency-Key", arguments["--id"] ?? ProcessSetup.randomBytes(16).hexadecimal)
            }
            let response = try client.request(request.method, request.path, headers: headers, body: request.body)
            show(response, isList: request.isList)
            return ExitCode.done
        } catch {
            Console.note(error.sentence)
            return error.exitCode
        }
    }

    // MARK: Requests

    private struct Request {
        var method = HTTPMethod.get
        let path: String
        var body: [UInt8] = []
        var isList = false

        var isCommand: Bool { method != .get }
    }

    private static func request(for arguments: Arguments) throws(UsageError) -> Request {
        let words = arguments.words
        switch (words.first, words.count) {
        case (nil, _):
            try allow(["--restaurant", "--status", "--since", "--page", "--limit"], in: arguments)
            return Request(path: try listPath(arguments), isList: true)
        case ("create", 2):
            try allow(["--id"], in: arguments)
            return Request(method: .post, path: "/api/v1/orders", body: try object(words[1]))
        case ("status", 3):
            try allow(["--id", "--expected-version"], in: arguments)
            guard let status = OrderStatus(rawValue: words[2]) else {
                let all = OrderStatus.allCases.map(\.rawValue).joined(separator: ", ")
                throw UsageError("A status is one of \(all), not \(words[2]).")
            }
            let version = try arguments.integer("--expected-version", in: 1...Int(Int32.max))
            let expected = version.map { ",\"expected_version\":\($0)" } ?? ""
            let body = "{\"status\":\"\(status.rawValue)\"\(expected)}"
            return Request(
                method: .patch, path: "/api/v1/orders/\(try order(words[1]))/status", body: Array(body.utf8))
        case (let word?, 1) where word != "create" && word != "status":
            try allow([], in: arguments)
            return Request(path: "/api/v1/orders/\(try order(word))")
        default:
            throw UsageError("Write fynlo orders, orders ID, orders create JSON or orders status ID STATUS.")
        }
    }

    private static func allow(_ flags: [String], in arguments: Arguments) throws(UsageError) {
        for flag in ownFlags where arguments[flag] != nil && !flags.contains(flag) {
            throw UsageError("\(flag) has no meaning here; see fynlo orders --help.")
        }
    }

    private static func order(_ text: String) throws(UsageError) -> OrderID {
        guard let id = OrderID(text) else { throw UsageError("An order's id is a UUID, not \(text).") }
        return id
    }

    private static func listPath(_ arguments: Arguments) throws(UsageError) -> String {
        var path = "/api/v1/orders?restaurant_id=\(try arguments.restaurant())"
        if let status = arguments["--status"] { path += "&status=\(status.queryValue)" }
        if let since = arguments["--since"] {
            if let ago = Duration(text: since) {
                let time = UnixTime(milliseconds: SystemClock.now.unixTime.milliseconds - ago.inMilliseconds)
                path += "&since=\(time.rfc3339.queryValue)"
            } else if UnixTime(rfc3339: since) != nil {
                path += "&since=\(since.queryValue)"
            } else {
                throw UsageError("--since is a time such as 2026-01-31T18:00:00Z, or so long ago: 90m, 2h, 7d.")
            }
        }
        if let page = try arguments.integer("--page", in: 1...1_000_000) { path += "&page=\(page)" }
        if let limit = try arguments.integer("--limit", in: 1...100) { path += "&limit=\(limit)" }
        return path
    }

    private static func object(_ word: String) throws(UsageError) -> [UInt8] {
        var bytes = Array(word.utf8)
        if word == "-" {
            guard let input = File.read(STDIN_FILENO, limit: 1 << 20) else {
                throw UsageError("Standard input cannot be read, or is longer than 1 MiB.")
            }
            bytes = input
        }
        guard JSONRecord(bytes) != nil else { throw UsageError("The order is not a JSON object in UTF-8.") }
        return bytes
    }

    // MARK: Output

    private static func show(_ response: HTTPResponse, isList: Bool) {
        guard Console.isTerminal else {
            guard isList, let orders = JSONRecord.array(response.body) else {
                _ = Console.write(Console.jsonLine(response.body))
                return
            }
            for order in orders where !Console.write(Console.jsonLine(order.json)) { return }
            return
        }
        if isList {
            let orders = JSONRecord.array(response.body) ?? []
            show(orders)
            let total = response.headers.first("x-total-count").flatMap { Int($0) } ?? orders.count
            Console.note("\(orders.count) of \(total) orders.")
        } else if let order = JSONRecord(response.body) {
            show([order])
            _ = Console.write([0x0a])
            showItems(of: order)
        }
    }

    private static func show(_ orders: [JSONRecord]) {
        var table = Table([
            .init(heading: "ORDER"), .init(heading: "STATUS"), .init(heading: "TABLE"),
            .init(heading: "CUSTOMER", isFlexible: true), .init(heading: "ITEMS", isNumber: true),
            .init(heading: "TOTAL", isNumber: true), .init(heading: "CHANGED"), .init(heading: "ID"),
        ])
        for order in orders {
            table.append([
                order.text("order_number"), order.text("status"), order.text("table_number"),
                order.text("customer_name"), String(order.records("items").count), order.money("total_amount"),
                order.localTime("updated_at"), order.text("id"),
            ])
        }
        _ = Console.write(table.bytes())
    }

    private static func showItems(of order: JSONRecord) {
        var table = Table([
            .init(heading: "N", isNumber: true), .init(heading: "PRODUCT", isFlexible: true),
            .init(heading: "EACH", isNumber: true), .init(heading: "TOTAL", isNumber: true), .init(heading: "WISHES"),
        ])
        for item in order.records("items") {
            table.append([
                item.text("quantity"), item.text("product_name"), item.money("unit_price"),
                item.money("total_price"), item.text("special_instructions"),
            ])
        }
        _ = Console.write(table.bytes())
    }
}
