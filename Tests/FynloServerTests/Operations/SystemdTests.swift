import Foundation
import FynloCore
import FynloIO
import Glibc
import TestSupport
import Testing

@testable import FynloServer

@Suite("Under systemd")
struct SystemdTests {
    @Test("says that it serves, reloads and leaves, and what it does", arguments: [false, true])
    func life(isAbstract: Bool) throws {
        let receiver = try NotifyReceiver(isAbstract: isAbstract)
        let database = try TestDatabase()
        let restaurant = try database.addRestaurant()
        let service = try ServiceProcess(database, ["NOTIFY_SOCKET": receiver.name])
        let address = try service.address()
        try receiver.wait(for: "READY=1")
        #expect(receiver.lines.contains("STATUS=Listening on \(address), 0 tablets connected."))
        #expect(!receiver.lines.contains { $0.hasPrefix("WATCHDOG") }, "nobody asked for it")

        let loop = try EventLoop()
        defer { loop.close() }
        let tablet = try TestTablet(loop: loop, address: address, target: "/api/v1/websocket/ws/pos/\(restaurant)")
        tablet.authenticate(try database.addUser(.employee, at: restaurant), at: restaurant)
        try receiver.wait(for: "STATUS=Listening on \(address), 1 tablet connected.") {
            try loop.turn(timeout: .milliseconds(10))
        }

        receiver.forget()
        let before = SystemClock.instant.nanoseconds / 1_000
        service.signal(SIGHUP)
        try receiver.wait(for: "READY=1")
        #expect(receiver.lines.first == "RELOADING=1")
        let clock = receiver.lines.first { $0.hasPrefix("MONOTONIC_USEC=") }?.split(separator: "=").last
        let time = try #require(clock.flatMap { Int64($0) })
        #expect((before...SystemClock.instant.nanoseconds / 1_000).contains(time))

        receiver.forget()
        service.signal(SIGTERM)
        #expect(try service.waitForEnd { try loop.turn(timeout: .milliseconds(10)) } == 0)
        receiver.take()
        #expect(receiver.lines.first == "STOPPING=1")
        #expect(receiver.lines.contains("STATUS=Draining: 1 connection left."))
        #expect(!receiver.lines.contains("READY=1"))
        #expect(tablet.closeCode == 1001)
    }

    @Test("says why certificates and keys were not read anew, and serves on")
    func refusedReload() throws {
        let receiver = try NotifyReceiver()
        let files = try TestCertificates()
        let paths = try files.make("server")
        let service = try ServiceProcess(
            try TestDatabase(),
            ["NOTIFY_SOCKET": receiver.name, "FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": paths.key])
        try receiver.wait(for: "READY=1")
        receiver.forget()
        try "nonsense".write(toFile: paths.certificate, atomically: true, encoding: .utf8)
        service.signal(SIGHUP)
        try receiver.wait(for: "READY=1")
        #expect(receiver.lines.contains { $0.hasPrefix("STATUS=Not reloaded") && $0.contains("FYNLO_TLS_CERT") })
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
    }

    @Test("is not ready before PostgreSQL has answered")
    func waitsForPostgres() throws {
        let receiver = try NotifyReceiver()
        let loop = try EventLoop()
        defer { loop.close() }
        let database = try TestDatabase()
        let proxy = try DatabaseProxy(loop: loop, to: database)
        proxy.isSilent = true
        let service = try ServiceProcess(
            nil, ["NOTIFY_SOCKET": receiver.name, "DATABASE_URL": proxy.url + "&connect_timeout=2"])
        let turn = { try loop.turn(timeout: .milliseconds(10)) }
        let serving = try service.wait(forEvent: "serving", turn: turn)
        try receiver.wait(for: "STATUS=Waiting for PostgreSQL to answer.", turn: turn)
        // It lives and says so to whoever asks.
        let exchange = try TestExchange(
            loop: loop, address: try SocketAddress(parsing: try #require(serving["address"].string)))
        exchange.send(.get, "/health/live")
        #expect(try loop.run(until: { !exchange.responses.isEmpty }, for: .seconds(10)))
        receiver.take()
        #expect(!receiver.lines.contains("READY=1"))
        proxy.isSilent = false
        try receiver.wait(for: "READY=1", turn: turn)
        service.signal(SIGTERM)
        #expect(try service.waitForEnd(turn: turn) == 0)
        proxy.close()
    }

    @Test("is not ready while migrations are missing that came to be so after its start")
    func waitsForMigrations() throws {
        let database = try TestDatabase(isMigrated: false)
        let server = try TestServer(database: database)
        var findings: [String] = []
        var isReady = false
        server.server.whenReady {
            isReady = true
        } waiting: {
            findings.append($0.migrations)
        }
        try server.wait(for: "an answer") { findings.contains("missing") }
        try MigrationRunner(session: database.session).up { _ in }
        #expect(!isReady)
        try server.wait(for: "readiness") { isReady }
    }

    @Test("applies migrations to a database that was away when it started, and then is ready")
    func migratesLate() throws {
        let receiver = try NotifyReceiver()
        let loop = try EventLoop()
        defer { loop.close() }
        let database = try TestDatabase(isMigrated: false)
        let proxy = try DatabaseProxy(loop: loop, to: database)
        proxy.isSilent = true
        let service = try ServiceProcess(
            nil,
            [
                "NOTIFY_SOCKET": receiver.name, "DATABASE_URL": proxy.url + "&connect_timeout=2", "FYNLO_MIGRATE": "1",
            ])
        let turn = { try loop.turn(timeout: .milliseconds(10)) }
        try service.wait(forEvent: "serving", turn: turn)
        proxy.isSilent = false
        try receiver.wait(for: "READY=1", turn: turn)
        #expect(receiver.lines.contains("STATUS=Applying migrations."))
        #expect(receiver.lines.contains { $0.hasPrefix("EXTEND_TIMEOUT_USEC=") })
        try service.wait(for: "all of them", turn: turn) {
            service.events.count { $0["event"].string == "migrated" } == Migration.all.count
        }
        service.signal(SIGTERM)
        #expect(try service.waitForEnd(turn: turn) == 0)
        proxy.close()
    }

    @Test("shows life at half of the watchdog's time, as long as the loop turns")
    func watchdog() throws {
        let receiver = try NotifyReceiver()
        let service = try ServiceProcess(
            try TestDatabase(), ["NOTIFY_SOCKET": receiver.name, "WATCHDOG_USEC": "400000"])
        try receiver.wait(for: "READY=1")
        receiver.forget()
        let start = SystemClock.instant
        for count in 1...5 {
            try receiver.wait(for: "beat \(count)") { _ in receiver.lines.count { $0 == "WATCHDOG=1" } >= count }
        }
        // The first may come at once, the other four 200 ms apart.
        #expect(SystemClock.instant - start >= .milliseconds(600))

        service.signal(SIGSTOP)
        try service.wait(for: "its standstill") { service.proc("stat").contains(") T ") }
        #expect(receiver.isQuiet(for: .milliseconds(900)))
        service.signal(SIGCONT)
        try receiver.wait(for: "WATCHDOG=1")
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
    }

    @Test(
        "leaves the watchdog alone that is not for this process, or is none",
        arguments: [["WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"], ["WATCHDOG_USEC": "0"], ["WATCHDOG_USEC": "x"]])
    func foreignWatchdog(variables: [String: String]) throws {
        let receiver = try NotifyReceiver()
        let loop = try EventLoop()
        defer { loop.close() }
        let log = Logger(level: .error, format: .text)
        let systemd = SystemdNotifier(["NOTIFY_SOCKET": receiver.name].merging(variables) { $1 }, log: log)
        systemd.start(loop)
        _ = try loop.run(until: { false }, for: .milliseconds(100))
        receiver.take()
        #expect(receiver.lines.isEmpty)
        systemd.close()
        let ours = SystemdNotifier(
            ["NOTIFY_SOCKET": receiver.name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "\(getpid())"], log: log)
        ours.start(loop)
        let came = try loop.run(
            until: {
                receiver.take()
                return receiver.lines.contains("WATCHDOG=1")
            }, for: .seconds(5))
        #expect(came)
        ours.close()
    }

    @Test("a loop that hangs in one place misses the watchdog")
    func hangingLoop() throws {
        let receiver = try NotifyReceiver()
        let loop = try EventLoop()
        defer { loop.close() }
        let systemd = SystemdNotifier(
            ["NOTIFY_SOCKET": receiver.name, "WATCHDOG_USEC": "40000"], log: Logger(level: .error, format: .text))
        systemd.start(loop)
        try loop.turn(timeout: .milliseconds(10))
        var wasQuiet = false
        // Nothing else of the loop gets its turn meanwhile.
        loop.atEndOfTurn { wasQuiet = receiver.isQuiet(for: .milliseconds(200)) }
        try loop.turn(timeout: .zero)
        #expect(wasQuiet)
        systemd.close()
    }

    @Test(
        "says once that it cannot be heard, and goes on", arguments: ["/nonexistent/notify", "relative", "vsock:2:1"])
    func nobodyThere(name: String) throws {
        let service = try ServiceProcess(
            try TestDatabase(), ["NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000"])
        try service.wait(forEvent: "ready")
        service.signal(SIGTERM)
        #expect(try service.waitForEnd() == 0)
        #expect(service.events.count { $0["event"].string == "systemd_not_notified" } == 1)
    }

    @Test("a receiver without room stops nobody, and hears the rest in order when it has room again")
    func fullReceiver() throws {
        let receiver = try NotifyReceiver()
        let loop = try EventLoop()
        defer { loop.close() }
        let systemd = SystemdNotifier(
            ["NOTIFY_SOCKET": receiver.name, "WATCHDOG_USEC": "2000"], log: Logger(level: .error, format: .text))
        // net.unix.max_dgram_qlen: the kernel holds a few only.
        for number in 0..<2_000 { systemd.starting("step \(number)") }
        systemd.start(loop)
        systemd.ready { "at work" }
        receiver.take()
        let held = receiver.lines.count
        #expect(held < 2_000)
        #expect(receiver.lines == (0..<held).map { "STATUS=step \($0)" })
        receiver.forget()
        let came = try loop.run(
            until: {
                receiver.take()
                return receiver.lines.contains("WATCHDOG=1")
            }, for: .seconds(5))
        #expect(came)
        #expect(receiver.lines.first == "STATUS=step \(held)")
        systemd.close()
    }
}
