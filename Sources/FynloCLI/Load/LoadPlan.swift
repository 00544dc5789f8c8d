// What a load test does, and as whom: flags -> a plan, or a sentence.

import FynloClient
import FynloCore
import FynloIO

/// Who connects: one user of one restaurant.
struct LoadAccount {
    let restaurant: RestaurantID
    let user: UserID
    let token: String
}

/// The settings of a run.
struct LoadPlan {
    enum Scenario: String, CaseIterable {
        case storm
        case ping
        case fanOut = "fan-out"
        case orders
        case reconnect
        case idle
    }

    static let flags =
        ServerOptions.flags + [
            "--restaurant", "--user-id", "--client-type", "--accounts", "--connections", "--concurrency",
            "--outstanding", "--duration", "--rate", "--bind", "--timeout", "--server-pid", "--orders",
        ]
    static let switches = ["--at-once"]

    let scenario: Scenario
    let server: ServerOptions
    let clientType: ClientType
    /// The accounts; connections take them in turn.
    let accounts: [LoadAccount]
    let connections: Int
    /// How many connections may be in progress at the same time.
    let concurrency: Int
    /// Outstanding messages: pings per connection, events per restaurant.
    let outstanding: Int
    /// How long to measure once all are connected.
    let duration: Duration
    /// Messages per second: pings in total, events per restaurant; `nil` to send the next when one is answered.
    let rate: Int?
    /// How long one attempt to connect may take.
    let timeout: Duration
    /// Local addresses to connect from; empty for the kernel's choice.
    let sources: [SocketAddress]
    /// True if cut connections come back at once, without a tablet's back-off.
    let isBackAtOnce: Bool
    /// The orders that the orders scenario changes, by restaurant; empty in other scenarios.
    let orders: [RestaurantID: [OrderID]]
    /// A process on this machine whose use of processor and memory is reported too.
    let serverProcess: Int?

    /// Connections from one local address: the kernel has 28,232 ports to choose from, and some are in use.
    private static let connectionsPerAddress = 25_000

    init(_ arguments: Arguments) throws(UsageError) {
        guard let name = arguments.words.first, let scenario = Scenario(rawValue: name) else {
            let all = Scenario.allCases.map(\.rawValue).joined(separator: ", ")
            throw UsageError("Name a scenario: \(all); see fynlo load --help.")
        }
        guard arguments.words.count <= 2 else {
            throw UsageError("Write fynlo load SCENARIO [URL] [options]; see fynlo load --help.")
        }
        self.scenario = scenario
        server = try ServerOptions(arguments, url: arguments.words.count == 2 ? arguments.words[1] : nil)
        clientType = try ConnectionOptions.clientType(arguments)
        accounts = try LoadPlan.accounts(arguments, server)
        connections = try arguments.integer("--connections", in: 1...1_000_000) ?? 100
        concurrency = try arguments.integer("--concurrency", in: 1...1_000_000) ?? 1_000
        outstanding = try arguments.integer("--outstanding", in: 1...10_000) ?? 1
        duration = try arguments.duration("--duration") ?? .seconds(10)
        rate = try arguments.integer("--rate", in: 1...10_000_000)
        timeout = try arguments.duration("--timeout") ?? .seconds(30)
        isBackAtOnce = arguments.has("--at-once")
        orders = scenario == .orders ? try LoadPlan.orders(arguments) : [:]
        serverProcess = try arguments.integer("--server-pid", in: 1...Int(Int32.max))
        sources = try LoadPlan.sources(arguments, server.server, connections: connections)
        let limit = ProcessSetup.raiseDescriptorLimit()
        guard connections + 32 <= limit else {
            throw UsageError("\(connections) connections need more than the \(limit) descriptors allowed: ulimit -n.")
        }
    }

    private static func accounts(_ arguments: Arguments, _ server: ServerOptions) throws(UsageError) -> [LoadAccount] {
        guard let path = arguments["--accounts"] else {
            guard let user = try ConnectionOptions.user(arguments) else {
                throw UsageError("Say as whom: --accounts FILE, or --restaurant and --user-id with a token.")
            }
            let token = try server.requireToken()
            return [LoadAccount(restaurant: try arguments.restaurant(), user: user, token: token)]
        }
        var accounts: [LoadAccount] = []
        try forEachLine(of: path) { (number, words) throws(UsageError) in
            guard words.count == 3, let restaurant = RestaurantID(words[0]), let user = UserID(words[1]) else {
                throw UsageError("Line \(number) of \(path) is not RESTAURANT-UUID USER-UUID TOKEN.")
            }
            accounts.append(LoadAccount(restaurant: restaurant, user: user, token: words[2]))
        }
        guard !accounts.isEmpty else { throw UsageError("There are no accounts in \(path).") }
        return accounts
    }

    private static func orders(_ arguments: Arguments) throws(UsageError) -> [RestaurantID: [OrderID]] {
        guard let path = arguments["--orders"] else { throw UsageError("Say which --orders FILE are to be changed.") }
        var orders: [RestaurantID: [OrderID]] = [:]
        try forEachLine(of: path) { (number, words) throws(UsageError) in
            guard words.count == 2, let restaurant = RestaurantID(words[0]), let order = OrderID(words[1]) else {
                throw UsageError("Line \(number) of \(path) is not RESTAURANT-UUID ORDER-UUID.")
            }
            orders[restaurant, default: []].append(order)
        }
        return orders
    }

    /// Calls `body` with the number and the words of each line that is not empty; `#` begins a comment.
    private static func forEachLine(
        of path: String, _ body: (Int, [String]) throws(UsageError) -> Void
    ) throws(UsageError) {
        guard let bytes = File.contents(of: path, limit: 256 << 20) else {
            throw UsageError("The file \(path) cannot be read.")
        }
        for (index, line) in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            let words = line.split { $0 <= 0x20 }.map { String(decoding: $0, as: UTF8.self) }
            if words.isEmpty || words[0].hasPrefix("#") { continue }
            try body(index + 1, words)
        }
    }

    private static func sources(
        _ arguments: Arguments, _ server: ServerURL, connections: Int
    ) throws(UsageError) -> [SocketAddress] {
        var sources: [SocketAddress] = []
        for text in (arguments["--bind"] ?? "").split(separator: ",") {
            guard let source = SocketAddress(host: String(text), port: 0) else {
                throw UsageError("--bind takes IP addresses of this machine, separated by commas, not \(text).")
            }
            sources.append(source)
        }
        guard sources.isEmpty, connections > connectionsPerAddress else { return sources }
        // All of 127.0.0.0/8 is this machine.
        guard let target = SocketAddress(host: server.host, port: 0), target.family == .ipv4, target.isLoopback else {
            throw UsageError("One address has ports for \(connectionsPerAddress) connections: --bind several.")
        }
        let count = (connections + connectionsPerAddress - 1) / connectionsPerAddress
        return (1...count).compactMap { SocketAddress(host: "127.0.0.\($0)", port: 0) }
    }
}
