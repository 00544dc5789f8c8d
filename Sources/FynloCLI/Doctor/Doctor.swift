// fynlo doctor: from the name to the heartbeat, each step builds on the one before. The way to the server is here; the steps on
// the WebSocket are in Doctor+Session.swift.

import FynloClient
import FynloCore
import FynloIO
import Glibc

/// One examination.
final class Doctor {
    let loop: EventLoop
    let options: DoctorOptions
    private let report: (Finding) -> Void
    private(set) var findings: [Finding] = []
    /// The address that the later steps connect to.
    private(set) var address: SocketAddress?
    var tls: TLSContext?

    /// - Parameter report: called with each finding at once.
    init(loop: EventLoop, options: DoctorOptions, report: @escaping (Finding) -> Void) {
        self.loop = loop
        self.options = options
        self.report = report
    }

    /// Turns the loop through all steps; returns the exit code.
    func run() throws(SystemError) -> Int32 {
        try examine()
        let seen = Set(findings.map(\.step))
        for step in DoctorStep.allCases where !seen.contains(step) {
            note(.skipped(step, "An earlier step has failed."))
        }
        let failed = findings.filter { $0.outcome == .failed }.map(\.step)
        if failed.isEmpty { return ExitCode.done }
        let authentication = findings.first { $0.step == .authentication }?.outcome
        // Without a token, authentication was not asked for.
        let isLetIn = authentication == .ok || authentication == .warning || failed == [.clock]
        return isLetIn ? ExitCode.refused : ExitCode.unconnected
    }

    private func examine() throws(SystemError) {
        guard let addresses = try resolve(), try connect(addresses), try secure(), try speak() else { return }
        guard let session = try upgrade() else { return }
        try examine(session)
    }

    func note(_ finding: Finding) {
        findings.append(finding)
        report(finding)
    }

    /// Turns the loop until `condition`, for at most `limit`, or the default.
    func wait(_ limit: Duration? = nil, until condition: () -> Bool) throws(SystemError) -> Bool {
        try loop.run(until: condition, for: limit ?? options.timeout)
    }

    /// A new connection to the server, with TLS if the URL says so.
    func makeSocket() throws(SystemError) -> DoctorSocket? {
        guard let address else { return nil }
        let engine = tls.flatMap { try? TLSEngine(client: $0, host: options.server.host) }
        guard (engine != nil) == options.server.usesTLS else { return nil }
        return try DoctorSocket(loop: loop, address: address, tls: engine)
    }

    static func milliseconds(since start: Instant) -> String { milliseconds(SystemClock.instant - start) }

    static func milliseconds(_ duration: Duration) -> String {
        LoadValue.fixed(Double(duration.inNanoseconds) / 1e6, 2) + " ms"
    }

    // MARK: Name

    private func resolve() throws(SystemError) -> [SocketAddress]? {
        let server = options.server
        if let address = SocketAddress(host: server.host, port: server.port) {
            note(.skipped(.name, "\(server.host) is an address: there is nothing to look up."))
            return [address]
        }
        let start = SystemClock.instant
        var result: Result<[SocketAddress], SystemError>?
        loop.offload {
            Resolver.resolve(host: server.host, port: server.port)
        } then: {
            result = $0
        }
        guard try wait(until: { result != nil }), let result else {
            note(
                .failed(
                    .name, .nameUnknown, "The name service did not answer within \(options.timeout.text).",
                    "Is this machine on the network? Look at /etc/resolv.conf and at what it names."))
            return nil
        }
        switch result {
        case .success(let addresses):
            let list = addresses.map(\.hostText).joined(separator: ", ")
            note(.ok(.name, "\(server.host) is \(list) (\(Doctor.milliseconds(since: start)))."))
            return addresses
        case .failure(let error):
            note(
                .failed(
                    .name, .nameUnknown, error.description,
                    "Check the spelling; if it is right, the name is missing in the DNS that this machine asks."))
            return nil
        }
    }

    // MARK: TCP

    /// Finds the first address that accepts connections.
    private func connect(_ addresses: [SocketAddress]) throws(SystemError) -> Bool {
        var problems: [(address: SocketAddress, error: SystemError?)] = []
        for address in addresses {
            let start = SystemClock.instant
            do throws(SystemError) {
                let socket = try DoctorSocket(loop: loop, address: address)
                defer { socket.close() }
                let isDone = try wait { socket.isConnected || socket.end != nil }
                if isDone, socket.end == nil {
                    self.address = address
                    noteConnected(address, after: problems.map(\.address), since: start)
                    return true
                }
                if case .failed(let error) = socket.end {
                    problems.append((address, error))
                } else {
                    problems.append((address, nil))
                }
            } catch {
                problems.append((address, error))
            }
        }
        if let problem = problems.first { note(connectionFailure(problem.address, problem.error)) }
        return false
    }

    private func noteConnected(_ address: SocketAddress, after others: [SocketAddress], since start: Instant) {
        let detail = "Connected to \(address) in \(Doctor.milliseconds(since: start))."
        guard others.isEmpty else {
            let list = others.map(\.description).joined(separator: ", ")
            return note(
                .warning(
                    .tcp, .unreachable, "\(detail) \(list) did not take the connection.",
                    "Have the server listen there too, or take the address out of the DNS: tablets try it first."))
        }
        note(.ok(.tcp, detail))
    }

    private func connectionFailure(_ address: SocketAddress, _ error: SystemError?) -> Finding {
        guard let error else {
            return .failed(
                .tcp, .noAnswer, "\(address) did not answer within \(options.timeout.text).",
                "The machine is off, or a firewall swallows what is sent to port \(address.port).")
        }
        if error.isRefusal {
            return .failed(
                .tcp, .connectionRefused, "\(address) refuses connections: nobody listens on port \(address.port).",
                "Is the server running, on this port (FYNLO_LISTEN), and not on 127.0.0.1 alone?")
        }
        return .failed(
            .tcp, .unreachable, error.description,
            "There is no way to \(address.hostText) from here: look at the network.")
    }
}

extension SystemError {
    /// No program listens at the address.
    fileprivate var isRefusal: Bool { code == ECONNREFUSED }
}
