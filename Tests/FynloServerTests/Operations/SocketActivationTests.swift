import FynloCore
import FynloIO
import Glibc
import Testing

@testable import FynloServer

/// Comes again and again: connects, asks whether the server lives, and waits for the answer.
private final class Visitor {
    private let loop: EventLoop
    private let address: SocketAddress
    private var exchange: TestExchange?
    private(set) var answers = 0
    /// Connections that were closed without an answer: the request came too late for this server.
    private(set) var closed = 0
    /// Connections that were refused, or reset.
    private(set) var failures = 0

    init(_ loop: EventLoop, _ address: SocketAddress) {
        self.loop = loop
        self.address = address
    }

    func work() throws {
        if let exchange {
            if !exchange.responses.isEmpty {
                answers += 1
            } else if exchange.wasReset {
                failures += 1
            } else if exchange.isClosed {
                closed += 1
            } else {
                return
            }
            exchange.close()
        }
        let next = try TestExchange(loop: loop, address: address)
        next.send(.get, "/health/live")
        exchange = next
    }

    func leave() {
        exchange?.close()
    }
}

@Suite("Sockets of a service manager")
struct SocketActivationTests {
    @Test("a restart with the socket held refuses no connection and loses no acknowledged command")
    func restart() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        // Held by the test, as systemd holds it, whatever happens to the servers.
        let held = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let variables = ["FYNLO_RATE_LIMIT": "10000", "FYNLO_RATE_BURST": "10000"]
        func start() throws -> ServiceProcess {
            // FYNLO_LISTEN is not used: nobody may listen there.
            try ServiceProcess(database, variables, sockets: [(held.fileDescriptor, "fynlo")], listen: "192.0.2.1:1")
        }
        let rounds = 5
        var tablets: [PersistentTablet] = []
        for number in 0..<2 {
            let restaurant = try database.addRestaurant()
            for place in 0..<8 {
                let orders = try database.run(
                    """
                    insert into orders (restaurant_id) select '\(restaurant)' from generate_series(1, 3 * \(rounds))
                    returning id
                    """
                ).rows.compactMap { $0.uuid(0).map(OrderID.init) }
                tablets.append(
                    PersistentTablet(
                        "tablet \(number)-\(place)", try database.addUser(.employee, at: restaurant), at: restaurant,
                        orders: orders))
            }
        }
        let visitors = (0..<4).map { _ in Visitor(loop, held.localAddress) }
        func acknowledged() -> Int { tablets.reduce(0) { $0 + $1.acknowledged.count } }
        func work() throws {
            for tablet in tablets {
                if tablet.isDisconnected { try tablet.connect(loop, held.localAddress) }
                tablet.work()
            }
            for visitor in visitors { try visitor.work() }
        }
        func turn() throws {
            try work()
            try loop.turn(timeout: .milliseconds(5))
        }
        func run(until condition: () -> Bool) throws -> Bool {
            let deadline = SystemClock.instant + Duration.seconds(60).patient
            while !condition(), SystemClock.instant < deadline { try turn() }
            return condition()
        }

        var server = try start()
        let all = tablets.reduce(0) { $0 + $1.commandCount }
        for round in 1...rounds {
            let goal = all * round / (rounds + 1)
            #expect(try run { acknowledged() >= goal }, "round \(round): \(acknowledged()) of \(goal)")
            server.signal(SIGTERM)
            let code = try server.waitForEnd(turn: turn)
            #expect(code == 0, "\(server.log)")
            #expect(server.event("drain_cut_short") == nil)
            let before = visitors.map(\.answers)
            server = try start()
            #expect(try run { zip(visitors, before).allSatisfy { $0.answers > $1 } })
        }
        #expect(try run { tablets.allSatisfy(\.isDone) }, "\(acknowledged()) of \(all)")
        for visitor in visitors { visitor.leave() }
        try PersistentTablet.compare(database, tablets) { condition in
            try loop.run(
                until: {
                    for tablet in tablets { tablet.work() }
                    return condition()
                }, for: .seconds(30))
        }
        #expect(visitors.allSatisfy { $0.failures == 0 }, "\(visitors.map(\.failures))")
        #expect(visitors.allSatisfy { $0.closed == 0 }, "everybody who was accepted was answered")
        for tablet in tablets { tablet.disconnect() }
        server.signal(SIGTERM)
        #expect(try server.waitForEnd() == 0)
    }

    @Test("several processes take connections from one held socket, and are restarted in turn without a loss")
    func sharedSocket() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let held = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let visitors = (0..<4).map { _ in Visitor(loop, held.localAddress) }
        func turn() throws {
            for visitor in visitors { try visitor.work() }
            try loop.turn(timeout: .milliseconds(5))
        }
        func start() throws -> ServiceProcess {
            let service = try ServiceProcess(database, sockets: [(held.fileDescriptor, "fynlo")])
            try service.wait(forEvent: "ready", turn: turn)
            return service
        }
        var services = [try start(), try start()]
        for index in [0, 1, 0] {
            let answers = visitors.map(\.answers)
            services[index].signal(SIGTERM)
            #expect(try services[index].waitForEnd(turn: turn) == 0)
            try services[1 - index].wait(for: "answers of the other", turn: turn) {
                zip(visitors, answers).allSatisfy { $0.answers > $1 }
            }
            services[index] = try start()
        }
        for visitor in visitors { visitor.leave() }
        #expect(visitors.allSatisfy { $0.failures == 0 })
        for service in services {
            service.signal(SIGTERM)
            #expect(try service.waitForEnd() == 0)
        }
    }

    @Test("who connects while no server runs is served by the next one")
    func backlog() throws {
        let database = try TestDatabase()
        let loop = try EventLoop()
        defer { loop.close() }
        let held = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let turn = { try loop.turn(timeout: .milliseconds(10)) }
        let early = try TestExchange(loop: loop, address: held.localAddress)
        early.send(.get, "/health/live")
        #expect(try loop.run(until: { early.outbound.isEmpty }, for: .seconds(5)))
        let service = try ServiceProcess(database, sockets: [(held.fileDescriptor, "")])
        #expect(try service.address() == held.localAddress)
        try service.wait(for: "an answer", turn: turn) {
            !early.responses.isEmpty
        }
        #expect(early.responses.first?.status == 200)
        early.close()
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
        let late = try TestExchange(loop: loop, address: held.localAddress)
        late.send(.get, "/health/live")
        #expect(try loop.run(until: { late.outbound.isEmpty }, for: .seconds(5)))
        #expect(!late.isClosed, "it waits")
        late.close()
    }

    @Test("refuses in one sentence what is not one listening stream socket")
    func refusals() throws {
        let database = try TestDatabase()
        let first = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let second = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let datagrams = FileDescriptor(owning: socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0))
        let deaf = FileDescriptor(owning: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        let file = FileDescriptor(owning: open("/dev/null", O_RDONLY))
        let rows: [([(descriptor: Int32, name: String)], [String: String], String)] = [
            ([(datagrams.rawValue, "udp")], [:], "descriptor 3 named udp, but it is not a stream socket"),
            ([(deaf.rawValue, "")], [:], "descriptor 3, but it does not listen"),
            ([(file.rawValue, "file")], [:], "it is not a socket"),
            ([(first.fileDescriptor, "a"), (second.fileDescriptor, "b")], [:], "passes 2 sockets"),
            ([(first.fileDescriptor, "admin"), (second.fileDescriptor, "admin")], [:], "passes 2 sockets named admin"),
            (
                [(first.fileDescriptor, "a")], ["LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"],
                "descriptor 4 named b, but it is not open"
            ),
            ([(first.fileDescriptor, "a")], ["LISTEN_FDS": "many"], "LISTEN_FDS"),
            ([(first.fileDescriptor, "a")], ["LISTEN_FDNAMES": "a:b"], "LISTEN_FDNAMES"),
        ]
        for (sockets, variables, sentence) in rows {
            let service = try ServiceProcess(database, variables, sockets: sockets)
            #expect(try service.waitForEnd() == 78)
            #expect(service.log.contains(sentence), "\(service.log)")
            #expect(service.log.split(separator: "\n").count == 1)
        }
    }

    @Test("a socket named admin is for operators, as FYNLO_ADMIN_LISTEN is")
    func operators() throws {
        let held = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let admin = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let service = try ServiceProcess(
            try TestDatabase(), sockets: [(admin.fileDescriptor, "admin"), (held.fileDescriptor, "fynlo")])
        try service.wait(forEvent: "ready")
        let loop = try EventLoop()
        defer { loop.close() }
        for (address, status) in [(held.localAddress, 404), (admin.localAddress, 200)] {
            let exchange = try TestExchange(loop: loop, address: address)
            exchange.send(.get, "/metrics")
            #expect(try loop.run(until: { !exchange.responses.isEmpty }, for: Duration.seconds(5).patient))
            #expect(exchange.responses.first?.status == status)
            exchange.close()
        }
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
    }

    @Test("sockets that are meant for another process are left alone")
    func foreign() throws {
        var mine = try InheritedListeners(["LISTEN_PID": "1", "LISTEN_FDS": "1"])
        #expect(try mine.takeRest() == nil)
        #expect(throws: InheritedListenerError.malformed(variable: "LISTEN_PID")) {
            try InheritedListeners(["LISTEN_PID": "x", "LISTEN_FDS": "1"])
        }
        let none = try InheritedListeners([:])
        try none.expectNone()
    }

    @Test("serves on a local socket that it inherits")
    func local() throws {
        let path = "/tmp/fynlo-test-\(TestDatabase.randomUUID())"
        defer { unlink(path) }
        let held = try Listener(try SocketAddress.unix(path))
        let service = try ServiceProcess(try TestDatabase(), sockets: [(held.fileDescriptor, "fynlo")])
        try service.wait(forEvent: "ready")
        let loop = try EventLoop()
        defer { loop.close() }
        let exchange = try TestExchange(loop: loop, address: try SocketAddress.unix(path))
        exchange.send(.get, "/health/ready")
        #expect(try loop.run(until: { !exchange.responses.isEmpty }, for: .seconds(10)))
        #expect(exchange.responses.first?.status == 200)
        exchange.close()
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
    }

    @Test("several processes share a port, and one that leaves takes nobody with it but those who were its own")
    func sharedPort() throws {
        let database = try TestDatabase()
        let first = try ServiceProcess(database)
        let address = try first.address()
        let second = try ServiceProcess(database, listen: address.description)
        #expect(try second.address() == address)
        let loop = try EventLoop()
        defer { loop.close() }
        // The kernel spreads them: that all of forty go to one happens once in 2^39 times.
        let exchanges = try (0..<40).map { _ in try TestExchange(loop: loop, address: address) }
        for exchange in exchanges { exchange.send(.get, "/health") }
        #expect(try loop.run(until: { exchanges.allSatisfy { !$0.responses.isEmpty } }, for: .seconds(20)))
        let crowd = try exchanges.map { try Document($0.responses[0].body)["connections"].integer ?? 0 }
        #expect(crowd.allSatisfy { (1..<40).contains($0) }, "\(crowd)")
        first.signal(SIGTERM)
        #expect(try first.waitForEnd { try loop.turn(timeout: .milliseconds(10)) } == 0)
        let stayed = exchanges.count { !$0.isClosed }
        #expect((1..<40).contains(stayed))
        let late = try TestExchange(loop: loop, address: address)
        late.send(.get, "/health/live")
        #expect(try loop.run(until: { !late.responses.isEmpty }, for: .seconds(10)))
        for exchange in exchanges + [late] { exchange.close() }
        second.signal(SIGTERM)
        #expect(try second.waitForEnd() == 0)
    }
}
