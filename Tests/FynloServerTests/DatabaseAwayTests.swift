import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// Passes bytes between the server and its database, until it is told to be silent or to hang up.
private final class Proxy: EventSource {
    /// One direction's socket and the bytes on their way to it.
    private final class End: EventSource {
        let descriptor: FileDescriptor
        var outbound = ByteBuffer()
        var token: SourceToken?
        weak var other: End?
        unowned let proxy: Proxy

        init(_ descriptor: consuming FileDescriptor, _ proxy: Proxy) {
            self.descriptor = descriptor
            self.proxy = proxy
        }

        func ready(_ readiness: Readiness, now: Moment) {
            guard !proxy.isSilent, let other, let token else { return }
            do {
                if case .endOfStream = try Socket.receive(
                    descriptor.rawValue, into: &other.outbound, limit: 65_536)
                {
                    return proxy.hangUp()
                }
                _ = try Socket.send(descriptor.rawValue, from: &outbound)
                _ = try Socket.send(other.descriptor.rawValue, from: &other.outbound)
                proxy.loop.setInterest(outbound.isEmpty ? .read : [.read, .write], for: token)
                if let otherToken = other.token {
                    proxy.loop.setInterest(other.outbound.isEmpty ? .read : [.read, .write], for: otherToken)
                }
            } catch {
                proxy.hangUp()
            }
        }
    }

    let loop: EventLoop
    let listener: Listener
    private let target: SocketAddress
    private var token: SourceToken?
    private var ends: [End] = []
    /// Takes everything in and passes nothing on, as a network that was cut.
    var isSilent = false

    init(loop: EventLoop, target: SocketAddress) throws {
        self.loop = loop
        self.target = target
        listener = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    func ready(_ readiness: Readiness, now: Moment) {
        do {
            while let accepted = try listener.accept() {
                let near = End(accepted.takeDescriptor(), self)
                let far = End(try Socket.nonBlockingConnect(to: target), self)
                near.other = far
                far.other = near
                for end in [near, far] {
                    end.token = try loop.add(end, descriptor: end.descriptor.rawValue, interest: .read)
                    ends.append(end)
                }
            }
        } catch {
            Issue.record(error)
        }
    }

    /// Ends all connections at once.
    func hangUp() {
        for end in ends {
            if let token = end.token { loop.remove(token) }
            end.token = nil
        }
        ends = []
    }

    func close() {
        hangUp()
        if let token { loop.remove(token) }
        token = nil
    }
}

@Suite("When the database is away")
struct DatabaseAwayTests {
    /// Where the tests' PostgreSQL listens, as a socket's path.
    private static func databaseSocket(_ database: TestDatabase) throws -> SocketAddress {
        let folder = try #require(try database.value("show unix_socket_directories"))
        let port = try #require(try database.value("show port"))
        return try SocketAddress.unix("\(folder)/.s.PGSQL.\(port)")
    }

    private static func server(
        through proxyAddress: SocketAddress, _ database: TestDatabase, loop: EventLoop, _ more: [String: String] = [:]
    ) throws -> TestServer {
        let user = try #require(try database.value("select current_user"))
        let name = try #require(try database.value("select current_database()"))
        let options = String(database.url.split(separator: "options=").last ?? "")
        // The proxy speaks TCP to us; where that needs a password, the tests have none to give.
        let url = "postgresql://\(user)@127.0.0.1:\(proxyAddress.port)/\(name)?sslmode=disable&options=\(options)"
        return try TestServer(["DATABASE_URL": url].merging(more) { $1 }, database: database, loop: loop)
    }

    @Test("a server starts without it, says so, and serves as soon as it is there")
    func late() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        let proxy = try Proxy(loop: loop, target: try Self.databaseSocket(database))
        // Nobody answers behind the proxy's port until it exists: a port that is closed again.
        let port = proxy.listener.localAddress
        proxy.isSilent = true
        let server = try Self.server(through: port, database, loop: loop)
        #expect(try server.request(.get, "/health/live").status == 200)
        proxy.hangUp()
        let away = try server.request(.get, "/health/ready")
        #expect(away.status == 503)
        #expect(away.headers.first("retry-after") != nil)
        proxy.isSilent = false
        try server.wait(for: "readiness", atMost: .seconds(30)) {
            (try? server.request(.get, "/health/ready").status) == 200
        }
        proxy.close()
    }

    @Test("a database that falls silent costs a bounded time, and is used again when it speaks")
    func silence() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        let proxy = try Proxy(loop: loop, target: try Self.databaseSocket(database))
        let server = try Self.server(
            through: proxy.listener.localAddress, database, loop: loop, ["FYNLO_QUERY_TIMEOUT": "1s"])
        let restaurant = try database.addRestaurant()
        let user = try database.addUser(.manager, at: restaurant)
        let order = try database.addOrder(at: restaurant)
        let tablet = try server.authenticatedTablet(user, at: restaurant)
        let path = "/api/v1/menu?restaurant_id=\(restaurant)"
        #expect(try server.request(.get, path, token: user.token()).status == 200)

        proxy.isSilent = true
        let start = loop.now.instant
        tablet.say(#"{"type":"order.status_update","id":"s","data":{"order_id":"\#(order)","status":"ready"}}"#)
        let answer = try server.request(.get, path, token: user.token())
        #expect(answer.status == 503)
        #expect(loop.now.instant - start < .seconds(4))
        try server.wait(for: "the command's end") { !tablet.messages("error").isEmpty }
        #expect(tablet.messages("error")[0]["data"]["code"].string == "unavailable")
        #expect(tablet.messages("error")[0]["data"]["id"].string == "s")
        tablet.say(#"{"type":"ping"}"#)
        try server.wait(for: "a pong all the same") { !tablet.messages("pong").isEmpty }

        proxy.isSilent = false
        proxy.hangUp()
        try server.wait(for: "the menu", atMost: .seconds(30)) {
            (try? server.request(.get, path, token: user.token()).status) == 200
        }
        // The outcome was unknown; the same id is safe to send again, and takes effect once.
        try server.sendUntilAcknowledged(tablet) { $0.update(order, to: .ready, id: "s") }
        #expect(
            try database.value(
                "select count(*) from restaurant_events where restaurant_id = '\(restaurant)' and type = 'order.status_changed'"
            ) == "1")
        #expect(!tablet.isClosed)
        proxy.close()
    }
}
