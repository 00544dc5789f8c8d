import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A server on a port of its own and a loop that the test turns; tablets join the same loop.
final class TestServer {
    let loop: EventLoop
    let server: Server
    let database: TestDatabase
    /// Tablets and requests encrypt, and trust this.
    var tls: TLSContext?
    private let ownsLoop: Bool

    /// Variables by name override the tests' defaults; `adjust` reaches the limits that are no variables.
    init(
        _ variables: [String: String] = [:], database: TestDatabase? = nil, loop: EventLoop? = nil,
        log: Logger? = nil, adjust: (inout Config) -> Void = { _ in }
    ) throws {
        let database = try database ?? TestDatabase()
        ownsLoop = loop == nil
        let loop = try loop ?? EventLoop()
        var environment = [
            "FYNLO_LISTEN": "127.0.0.1:0",
            "DATABASE_URL": database.url,
            "REDIS_URL": try TestDatabase.variable("FYNLO_TEST_REDIS_URL"),
            "FYNLO_JWT_SECRET": String(decoding: TestUser.secret, as: UTF8.self),
            "FYNLO_LOG": "error",
            "FYNLO_LOG_FORMAT": "text",
            // One test needs no more, and many run at the same time.
            "FYNLO_MAX_CONNECTIONS": "2000",
        ]
        environment.merge(variables) { $1 }
        var config = try Config(environment: environment)
        // A machine that is busy with other tests is no slow Redis.
        config.redisBudget = .seconds(2)
        // Servers of one database are nodes of one another, and of nobody else.
        config.redisKeyPrefix += database.name + ":"
        adjust(&config)
        self.database = database
        self.loop = loop
        do {
            let log = log ?? Logger(level: config.logLevel, format: config.logFormat)
            server = try Server(loop: loop, config: config, log: log)
        } catch {
            if ownsLoop { loop.close() }
            throw error
        }
    }

    deinit {
        server.stop()
        if ownsLoop { loop.close() }
    }

    var address: SocketAddress { server.address }
    var hub: Hub { server.hub }

    /// Turns the loop until `condition` holds; fails the test if it does not come true in time.
    func wait(
        for what: String, atMost limit: Duration = .seconds(10), sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () -> Bool
    ) throws {
        let came = try loop.run(until: condition, for: limit.patient)
        try #require(came, "waited \(limit) for \(what)", sourceLocation: sourceLocation)
    }

    /// Turns the loop for as long as something unwanted might still happen.
    func settle(_ duration: Duration = .milliseconds(150)) throws {
        _ = try loop.run(until: { false }, for: duration)
    }

    // MARK: Tablets

    func tablet(
        at restaurant: RestaurantID, as client: String = "pos", headers: HTTPHeaders = [:], query: String = "",
        receiveBufferBytes: Int32? = nil
    ) throws -> TestTablet {
        try TestTablet(
            loop: loop, address: address, target: "/api/v1/websocket/ws/\(client)/\(restaurant)\(query)",
            headers: headers, receiveBufferBytes: receiveBufferBytes, tls: tls)
    }

    /// A tablet that is in; the rest of `authenticated` is its first message.
    func authenticatedTablet(
        _ user: TestUser, at restaurant: RestaurantID, device: String? = nil, query: String = "",
        receiveBufferBytes: Int32? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> TestTablet {
        let tablet = try tablet(at: restaurant, query: query, receiveBufferBytes: receiveBufferBytes)
        tablet.authenticate(user, at: restaurant, device: device)
        try wait(for: "authenticated", sourceLocation: sourceLocation) {
            tablet.messages.contains { $0["type"].string == "authenticated" } || tablet.isClosed
        }
        try #require(tablet.messages.first?["type"].string == "authenticated", sourceLocation: sourceLocation)
        return tablet
    }

    /// A tablet of a new member of the restaurant's staff.
    func staffTablet(
        at restaurant: RestaurantID, _ role: Role = .employee, receiveBufferBytes: Int32? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> TestTablet {
        try authenticatedTablet(
            try database.addUser(role, at: restaurant), at: restaurant, receiveBufferBytes: receiveBufferBytes,
            sourceLocation: sourceLocation)
    }

    // MARK: HTTP

    /// One request on a connection of its own, and its answer; `place` is another listener's address.
    func request(
        _ method: HTTPMethod, _ target: String, token: String? = nil, headers: HTTPHeaders = [:], body: [UInt8] = [],
        at place: SocketAddress? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> HTTPResponse {
        let exchange = try TestExchange(loop: loop, address: place ?? address, tls: place == nil ? tls : nil)
        defer { exchange.close() }
        var headers = headers
        if let token { headers.append("Authorization", "Bearer \(token)") }
        exchange.send(method, target, headers: headers, body: body)
        try wait(for: "an answer to \(method.name) \(target)", sourceLocation: sourceLocation) {
            !exchange.responses.isEmpty || exchange.isClosed
        }
        return try #require(exchange.responses.first, sourceLocation: sourceLocation)
    }

    /// Bytes as they are, and all the bytes that come back until the server closes or `isEnough`.
    func raw(
        _ bytes: [UInt8], until isEnough: ([UInt8]) -> Bool = { _ in false },
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> [UInt8] {
        let exchange = try TestExchange(loop: loop, address: address, parses: false)
        defer { exchange.close() }
        exchange.send(bytes)
        try wait(for: "the end of a raw exchange", sourceLocation: sourceLocation) {
            exchange.isClosed || isEnough(exchange.received.bytes())
        }
        return exchange.received.bytes()
    }
}
