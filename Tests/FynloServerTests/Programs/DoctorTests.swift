import FynloClient
import FynloCore
import FynloIO
import Glibc
import TestSupport
import Testing

@testable import FynloCLI

/// A restaurant with a manager, on a server that the doctor is asked about.
private struct Patient {
    let server: TestServer
    let restaurant: RestaurantID
    let user: TestUser

    init(_ variables: [String: String] = [:]) throws {
        server = try TestServer(variables)
        restaurant = try server.database.addRestaurant()
        user = try server.database.addUser(.manager, at: restaurant)
    }

    func url(_ scheme: String = "http", _ address: SocketAddress? = nil) throws -> ServerURL {
        try ServerURL("\(scheme)://\(address ?? server.address)")
    }

    func proxy() throws -> FaultProxy {
        try FaultProxy(loop: server.loop, to: server.address)
    }

    /// All that is known about a healthy one.
    func options(_ url: ServerURL) -> DoctorOptions {
        var options = DoctorOptions(server: url)
        options.restaurant = restaurant
        options.user = user.id
        options.token = user.token()
        options.timeout = Duration.seconds(5).patient
        return options
    }

    func examine(_ options: DoctorOptions) throws -> Examination {
        try Examination(server.loop, options)
    }
}

/// What the doctor said.
private struct Examination {
    private(set) var findings: [Finding] = []
    let exitCode: Int32

    init(_ loop: EventLoop, _ options: DoctorOptions) throws {
        var heard: [Finding] = []
        let doctor = Doctor(loop: loop, options: options) { heard.append($0) }
        exitCode = try doctor.run()
        findings = heard
        #expect(Set(heard.map(\.step)).count == DoctorStep.allCases.count && heard.count == DoctorStep.allCases.count)
        for finding in heard where finding.outcome == .failed || finding.outcome == .warning {
            #expect(finding.fault != nil, "\(finding)")
            #expect(finding.advice.map { $0.hasSuffix(".") || $0.hasSuffix("?") } == true, "\(finding)")
            #expect(finding.detail.hasSuffix("."), "\(finding.detail)")
        }
    }

    subscript(step: DoctorStep) -> Finding? { findings.first { $0.step == step } }

    /// The one step that failed, and the fault.
    func expect(
        _ step: DoctorStep, _ fault: Fault, exitCode: Int32 = 2, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let failed = findings.filter { $0.outcome == .failed }
        #expect(failed.map(\.step) == [step], "\(failed)", sourceLocation: sourceLocation)
        #expect(failed.first?.fault == fault, "\(failed)", sourceLocation: sourceLocation)
        #expect(self.exitCode == exitCode, sourceLocation: sourceLocation)
    }
}

@Suite("fynlo doctor names the fault")
struct DoctorTests {
    // MARK: None

    @Test("none, and says what it has seen, by name and by address", arguments: ["localhost", "127.0.0.1"])
    func healthy(host: String) throws {
        let patient = try Patient()
        var options = patient.options(try ServerURL("http://\(host):\(patient.server.address.port)"))
        options.idle = .milliseconds(100)
        let examination = try patient.examine(options)
        #expect(examination.exitCode == 0)
        for finding in examination.findings {
            let isSkipped = finding.step == .tls || finding.step == .name && host != "localhost"
            // localhost may have an IPv6 address, too, where nobody listens.
            let isPartial = finding.step == .tcp && host == "localhost" && finding.fault == .unreachable
            #expect(finding.outcome == (isSkipped ? .skipped : isPartial ? .warning : .ok), "\(finding)")
        }
        #expect(examination[.authentication]?.detail.contains("manager") == true)
        #expect(examination[.heartbeat]?.detail.contains("5 pings, 5 pongs") == true)
    }

    @Test("none over TLS, and counts the days of the certificate")
    func healthyTLS() throws {
        let secure = try SecurePatient(host: "127.0.0.1")
        let examination = try secure.patient.examine(try secure.options())
        #expect(examination.exitCode == 0)
        // It is good for two days.
        #expect(examination[.tls]?.outcome == .warning && examination[.tls]?.fault == .certificateExpired)
        #expect(examination[.tls]?.detail.contains("TLSv1.3") == true)
        #expect(examination[.resume]?.outcome == .ok)
    }

    @Test("none without a token, and ends at the upgrade")
    func anonymous() throws {
        let patient = try Patient()
        var options = patient.options(try patient.url())
        options.token = nil
        let examination = try patient.examine(options)
        #expect(examination.exitCode == 0)
        #expect(examination[.upgrade]?.outcome == .ok && examination[.authentication]?.outcome == .skipped)
    }

    // MARK: On the way

    @Test("a name that nobody knows")
    func unknownName() throws {
        let patient = try Patient()
        let options = patient.options(try ServerURL("http://no-such-host.invalid:8000"))
        try patient.examine(options).expect(.name, .nameUnknown)
    }

    @Test("a port where nobody listens")
    func refused() throws {
        let patient = try Patient()
        try patient.examine(patient.options(try ServerURL("http://127.0.0.1:1"))).expect(.tcp, .connectionRefused)
    }

    @Test("a port that takes connections and says nothing", arguments: ["http", "https"])
    func silent(scheme: String) throws {
        let patient = try Patient()
        // The kernel takes connections by itself.
        let listener = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        var options = patient.options(try patient.url(scheme, listener.localAddress))
        options.timeout = Duration.seconds(1).patient
        try patient.examine(options).expect(scheme == "http" ? .http : .tls, .noAnswer)
    }

    @Test("a port that does not answer at all")
    func swallowed() throws {
        let patient = try Patient()
        let full = try FullListener()
        defer { full.close() }
        var options = patient.options(try ServerURL("http://127.0.0.1:\(full.port)"))
        options.timeout = .milliseconds(200)
        try patient.examine(options).expect(.tcp, .noAnswer)
    }

    // MARK: TLS

    @Test("a certificate of an authority that is not trusted")
    func unknownAuthority() throws {
        let secure = try SecurePatient(host: "127.0.0.1")
        var options = try secure.options()
        options.authorityPath = try secure.certificates.make("other").certificate
        try secure.patient.examine(options).expect(.tls, .certificateAuthority)
        options.authorityPath = nil
        try secure.patient.examine(options).expect(.tls, .certificateAuthority)
    }

    @Test("a certificate for another name, and the names it is for")
    func otherName() throws {
        let secure = try SecurePatient(host: "elsewhere.test")
        let examination = try secure.patient.examine(try secure.options())
        examination.expect(.tls, .certificateName)
        #expect(examination[.tls]?.detail == "The certificate is for elsewhere.test, not for 127.0.0.1.")
    }

    @Test("a certificate that has expired")
    func expiredCertificate() throws {
        let secure = try SecurePatient(host: "127.0.0.1", isExpired: true)
        try secure.patient.examine(try secure.options()).expect(.tls, .certificateExpired)
    }

    @Test("plain HTTP where TLS is expected, and TLS where plain HTTP is")
    func mixedUp() throws {
        let patient = try Patient()
        try patient.examine(patient.options(try patient.url("https"))).expect(.tls, .notTLS)
        let secure = try SecurePatient(host: "127.0.0.1")
        var options = try secure.options()
        options.server = try secure.patient.url("http")
        try secure.patient.examine(options).expect(.http, .tlsRequired)
    }

    // MARK: Proxies

    @Test(
        "a proxy that does not pass the upgrade",
        arguments: [
            "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        ])
    func upgradeStripped(fields: String) throws {
        let patient = try Patient()
        let proxy = try patient.proxy()
        defer { proxy.close() }
        proxy.toServer = { $0 = Array(String(decoding: $0, as: UTF8.self).replacing(fields, with: "").utf8) }
        let examination = try patient.examine(patient.options(try patient.url("http", proxy.address)))
        examination.expect(.upgrade, .upgradeNotPassed)
        #expect(examination[.upgrade]?.advice?.contains("proxy_set_header Upgrade") == true)
    }

    @Test(
        "a proxy that answers the upgrade by itself",
        arguments: [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Fault.upgradeNotPassed),
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", .gateway),
            ("HTTP/1.1 301 Moved\r\nLocation: https://a.test/\r\nContent-Length: 0\r\n\r\n", .redirected),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", .pathUnknown),
            ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", .connectionLimit),
            ("HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", .upgradeNotPassed),
        ])
    func answeredByProxy(answer: String, fault: Fault) throws {
        let patient = try Patient()
        let proxy = try patient.proxy()
        defer { proxy.close() }
        proxy.toClient = { bytes in
            if String(decoding: bytes, as: UTF8.self).contains(" 101 ") { bytes = Array(answer.utf8) }
        }
        try patient.examine(patient.options(try patient.url("http", proxy.address))).expect(.upgrade, fault)
    }

    @Test("an origin that is not allowed")
    func origin() throws {
        let patient = try Patient(["FYNLO_ALLOWED_ORIGINS": "https://pos.example.com"])
        var options = patient.options(try patient.url())
        options.origin = "https://elsewhere.example.com"
        try patient.examine(options).expect(.upgrade, .originRefused)
    }

    @Test("pongs that do not come through")
    func pongsMissing() throws {
        let patient = try Patient()
        let proxy = try patient.proxy()
        defer { proxy.close() }
        proxy.toClient = { bytes in
            if String(decoding: bytes, as: UTF8.self).contains("\"type\":\"pong\"") { bytes = [] }
        }
        var options = patient.options(try patient.url("http", proxy.address))
        options.timeout = Duration.seconds(1).patient
        try patient.examine(options).expect(.heartbeat, .pongsMissing, exitCode: 1)
    }

    @Test("a proxy that cuts silent connections")
    func idleCut() throws {
        let patient = try Patient()
        let proxy = try patient.proxy()
        defer { proxy.close() }
        proxy.idleLimit = Duration.seconds(1).patient
        var options = patient.options(try patient.url("http", proxy.address))
        options.idle = .seconds(30)
        let examination = try patient.examine(options)
        examination.expect(.idle, .idleCut, exitCode: 1)
        #expect(examination[.idle]?.advice?.contains("proxy_read_timeout") == true)
    }

    @Test(
        "a clock that is off, as a warning or a failure",
        arguments: [(-120, .failed), (60, .failed), (-15, .warning), (20, .warning)] as [(Int64, Finding.Outcome)])
    func clockSkew(seconds: Int64, outcome: Finding.Outcome) throws {
        let patient = try Patient()
        let proxy = try patient.proxy()
        defer { proxy.close() }
        proxy.toClient = { bytes in
            guard let start = bytes.firstRange(of: Array("Date: ".utf8))?.upperBound, start + 29 <= bytes.count else {
                return
            }
            var date = ByteBuffer()
            let time = SystemClock.now.unixTime.milliseconds + seconds * 1_000
            date.append(imfFixdate: UnixTime(milliseconds: time))
            bytes.replaceSubrange(start..<(start + 29), with: date.bytes())
        }
        let examination = try patient.examine(patient.options(try patient.url("http", proxy.address)))
        #expect(examination[.clock]?.outcome == outcome && examination[.clock]?.fault == .clockSkew)
        #expect(examination[.clock]?.detail.contains(seconds < 0 ? "behind" : "ahead of") == true)
        if outcome == .failed { examination.expect(.clock, .clockSkew, exitCode: 1) }
        #expect(examination[.resume]?.outcome == .ok)
    }

    // MARK: Who we are

    @Test("a token that has expired, or will soon")
    func expiredToken() throws {
        let patient = try Patient()
        var options = patient.options(try patient.url())
        options.token = patient.user.token(expiresIn: -3_600)
        let examination = try patient.examine(options)
        examination.expect(.authentication, .tokenExpired)
        #expect(examination[.authentication]?.detail.contains("It expired 36") == true)
        options.token = patient.user.token(expiresIn: 100)
        let soon = try patient.examine(options)
        #expect(soon.exitCode == 0 && soon[.authentication]?.outcome == .warning)
        #expect(soon[.authentication]?.fault == .tokenExpired && soon[.heartbeat]?.outcome == .ok)
    }

    @Test("a token that is none, of another key, or of another user")
    func invalidToken() throws {
        let patient = try Patient()
        var options = patient.options(try patient.url())
        options.token = "nonsense"
        let nonsense = try patient.examine(options)
        nonsense.expect(.authentication, .tokenInvalid)
        #expect(nonsense[.authentication]?.detail.contains("no JWT") == true)
        options.token = patient.user.token(secret: Array("another secret, also 32 bytes long".utf8))
        let foreign = try patient.examine(options)
        foreign.expect(.authentication, .tokenInvalid)
        #expect(foreign[.authentication]?.advice?.contains(patient.user.subject) == true)
        options.token = patient.user.token()
        options.user = UserID(TestDatabase.randomUUID())
        try patient.examine(options).expect(.authentication, .tokenInvalid)
    }

    @Test("a restaurant that is not the user's")
    func wrongRestaurant() throws {
        let patient = try Patient()
        var options = patient.options(try patient.url())
        options.restaurant = try patient.server.database.addRestaurant()
        try patient.examine(options).expect(.authentication, .accessDenied)
    }

    @Test("that all of a user's places are taken")
    func connectionLimit() throws {
        let patient = try Patient(["FYNLO_MAX_CONNECTIONS_PER_USER": "1"])
        let tablet = try patient.server.authenticatedTablet(patient.user, at: patient.restaurant, device: "till")
        try patient.examine(patient.options(try patient.url())).expect(.authentication, .connectionLimit)
        tablet.close()
    }

    // MARK: The command

    @Test("in JSON lines, and ends with the code that the help tells")
    func command() throws {
        let patient = try Patient()
        let words = [
            "doctor", "http://\(patient.server.address)", "--restaurant", "\(patient.restaurant)", "--user-id",
            "\(patient.user.id)",
        ]
        let token = ["FYNLO_TOKEN": patient.user.token()]
        let fine = try FynloProgram(words, token).end(patient.server.loop)
        #expect(fine.exitCode == 0, "\(fine)")
        let lines = try fine.output.split(separator: "\n").map { try Document(json: String($0)) }
        #expect(lines.map { $0["step"].string } == DoctorStep.allCases.map(\.rawValue))
        #expect(lines.first { $0["step"].string == "resume" }?["outcome"].string == "ok")
        let expired = ["FYNLO_TOKEN": patient.user.token(expiresIn: -60)]
        let refused = try FynloProgram(words, expired).end(patient.server.loop)
        #expect(refused.exitCode == 2 && refused.output.contains("\"fault\":\"token_expired\""))
        #expect(try FynloProgram(["doctor", "ftp://h"]).end(patient.server.loop).exitCode == 64)
        let help = try FynloProgram(["doctor", "--help"]).end(patient.server.loop)
        #expect(help.exitCode == 0 && DoctorStep.allCases.allSatisfy { help.output.contains("  \($0.rawValue) ") })
    }
}

/// One whose server has a certificate.
private struct SecurePatient {
    let certificates: TestCertificates
    let patient: Patient
    private let authority: String

    init(host: String, isExpired: Bool = false) throws {
        certificates = try TestCertificates()
        let paths = try certificates.make("server", host: host, isExpired: isExpired)
        authority = paths.certificate
        patient = try Patient(["FYNLO_TLS_CERT": paths.certificate, "FYNLO_TLS_KEY": paths.key])
    }

    func options() throws -> DoctorOptions {
        var options = patient.options(try patient.url("https"))
        options.authorityPath = authority
        return options
    }
}

/// A port whose queue is full, so that the kernel drops what is sent there, as a firewall does.
private final class FullListener {
    let port: UInt16
    private var sockets: [Int32] = []

    init() throws {
        let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        sockets = [listening]
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listening, $0, size) }
        }
        try #require(bound == 0 && listen(listening, 0) == 0)
        port = try #require(Socket.localAddress(of: listening)).port
        // One waits to be accepted; what comes after it is dropped.
        let target = try #require(SocketAddress(host: "127.0.0.1", port: port))
        for _ in 0..<3 { sockets.append(try Socket.nonBlockingConnect(to: target).release()) }
    }

    func close() {
        for number in sockets { Glibc.close(number) }
    }
}
