// How the server is, told to systemd (sd_notify(3)): that it serves, reloads or leaves, one sentence on what it does, and
// at half of the time that the watchdog allows, that the loop turns.

import FynloCore
import FynloIO
import Glibc

/// Tells a service manager, if there is one; without NOTIFY_SOCKET it does nothing.
final class SystemdNotifier: EventSource {
    private let socket: NotifySocket?
    private let log: Logger
    /// Between two signs of life; `nil` when nobody waits for them.
    private let beat: Duration?
    private var loop: EventLoop?
    private var token: SourceToken?
    /// What the server does, asked for again and again.
    private var status: () -> String = { "" }
    private var lastStatus = ""
    private var isReady = false
    private var nextBeat = Instant(nanoseconds: 0)
    private var nextStatus = Instant(nanoseconds: 0)
    /// What the manager had no room for.
    private var unsent: [String] = []
    private var hasFailed = false

    private static let statusInterval = Duration.seconds(2)
    private static let retryInterval = Duration.milliseconds(100)
    /// More than a service has to say at once.
    private static let unsentMessages = 16

    /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    init(_ environment: [String: String], log: Logger) {
        self.log = log
        guard let name = environment["NOTIFY_SOCKET"], !name.isEmpty else {
            socket = nil
            beat = nil
            return
        }
        do {
            socket = try NotifySocket(name)
        } catch {
            log.warning("systemd_not_notified", ["error": error.description])
            socket = nil
            beat = nil
            return
        }
        let isOurs = environment["WATCHDOG_PID"].map { $0.isEmpty || Int32($0) == getpid() } ?? true
        let limit = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
        beat = isOurs && limit > 0 ? .microseconds(max(limit / 2, 1_000)) : nil
    }

    // MARK: What happens

    /// Says what is waited for before the server serves; `extension` is the time that it may take.
    func starting(_ status: String, extension time: Duration? = nil) {
        guard status != lastStatus else { return }
        lastStatus = status
        let more = time.map { "\nEXTEND_TIMEOUT_USEC=\($0.inNanoseconds / 1_000)" } ?? ""
        send("STATUS=\(status)" + more)
    }

    /// From now on the loop's turns are the signs of life.
    func start(_ loop: EventLoop) {
        guard socket != nil, self.loop == nil else { return }
        self.loop = loop
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: loop.now.instant)
    }

    /// The server serves. `status` tells what it does from now on.
    func ready(status: @escaping () -> String) {
        guard socket != nil else { return }
        self.status = status
        isReady = true
        lastStatus = status()
        send("READY=1\nSTATUS=\(lastStatus)")
    }

    /// Certificates and keys are read anew by `work`, which returns why they could not be used.
    func reloading(_ work: () -> ConfigError?) {
        guard socket != nil, isReady else {
            _ = work()
            return
        }
        // The manager tells an old answer from the one to its own request by this clock.
        send("RELOADING=1\nMONOTONIC_USEC=\(SystemClock.instant.nanoseconds / 1_000)")
        let problem = work()
        lastStatus = problem.map { "Not reloaded, the old files stay in force: \($0)" } ?? status()
        send("READY=1\nSTATUS=\(lastStatus)")
        nextStatus = SystemClock.instant + SystemdNotifier.statusInterval * (problem == nil ? 1 : 30)
    }

    /// The server leaves. `status` tells how far it is.
    func stopping(status: @escaping () -> String) {
        guard socket != nil else { return }
        self.status = status
        isReady = true
        lastStatus = status()
        send("STOPPING=1\nSTATUS=\(lastStatus)")
    }

    /// Leaves the loop.
    func close() {
        if let token { loop?.remove(token) }
        token = nil
        loop = nil
        status = { "" }
    }

    // MARK: Time

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        let late = unsent
        unsent = []
        for message in late { send(message) }
        var next = now.instant + SystemdNotifier.statusInterval
        if let beat {
            if now.instant >= nextBeat {
                send("WATCHDOG=1")
                nextBeat = now.instant + beat
            }
            next = min(next, nextBeat)
        }
        if isReady, now.instant >= nextStatus {
            nextStatus = now.instant + SystemdNotifier.statusInterval
            let text = status()
            if text != lastStatus {
                lastStatus = text
                send("STATUS=\(text)")
            }
        }
        return unsent.isEmpty ? next : min(next, now.instant + SystemdNotifier.retryInterval)
    }

    private func send(_ message: String) {
        guard let socket else { return }
        do {
            guard unsent.isEmpty, try socket.send(message) else { return keep(message) }
        } catch {
            if !hasFailed { log.warning("systemd_not_notified", ["error": error.description]) }
            hasFailed = true
        }
    }

    /// In the order in which it was said, when there is room again; a sign of life is no longer one then.
    private func keep(_ message: String) {
        guard message != "WATCHDOG=1", unsent.count < SystemdNotifier.unsentMessages else { return }
        unsent.append(message)
        if let token, let loop { loop.wake(token, by: loop.now.instant + SystemdNotifier.retryInterval) }
    }
}
