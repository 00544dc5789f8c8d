// Tells systemd (sd_notify(3)) that the server serves, reloads or stops, one sentence on what it is doing, and, twice in the
// time that the watchdog allows, that the loop turns.

import FynloCore
import FynloIO
import Glibc

/// Notifies a service manager; does nothing without NOTIFY_SOCKET.
final class SystemdNotifier: EventSource {
    private let socket: NotifySocket?
    private let log: Logger
    /// The interval of watchdog messages; `nil` if nobody waits for them.
    private let beat: Duration?
    private var loop: EventLoop?
    private var token: SourceToken?
    /// Says what the server is doing; called regularly.
    private var status: () -> String = { "" }
    private var lastStatus = ""
    private var isReady = false
    private var nextBeat = Instant(nanoseconds: 0)
    private var nextStatus = Instant(nanoseconds: 0)
    /// Messages that the manager's socket had no room for.
    private var unsent: [String] = []
    private var hasFailed = false

    private static let statusInterval = Duration.seconds(2)
    private static let retryInterval = Duration.milliseconds(100)
    /// How many of them are kept: more than a service has to say at once.
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

    // MARK: States

    /// Says what the server waits for before it serves; `extension` is how long that may take.
    func starting(_ status: String, extension time: Duration? = nil) {
        guard status != lastStatus else { return }
        lastStatus = status
        let more = time.map { "\nEXTEND_TIMEOUT_USEC=\($0.inNanoseconds / 1_000)" } ?? ""
        send("STATUS=\(status)" + more)
    }

    /// Joins the loop: from now on watchdog messages show that it turns.
    func start(_ loop: EventLoop) {
        guard socket != nil, self.loop == nil else { return }
        self.loop = loop
        let token = loop.add(timer: self)
        self.token = token
        loop.wake(token, by: loop.now.instant)
    }

    /// The server serves. `status` says what it is doing from now on.
    func ready(status: @escaping () -> String) {
        guard socket != nil else { return }
        self.status = status
        isReady = true
        lastStatus = status()
        send("READY=1\nSTATUS=\(lastStatus)")
    }

    /// `work` reads certificates and keys again, and returns why they could not be used.
    func reloading(_ work: () -> ConfigError?) {
        guard socket != nil, isReady else {
            _ = work()
            return
        }
        // By this clock the manager tells the answer to its own request from an older one.
        send("RELOADING=1\nMONOTONIC_USEC=\(SystemClock.instant.nanoseconds / 1_000)")
        let problem = work()
        lastStatus = problem.map { "Not reloaded, the old files stay in force: \($0)" } ?? status()
        send("READY=1\nSTATUS=\(lastStatus)")
        nextStatus = SystemClock.instant + SystemdNotifier.statusInterval * (problem == nil ? 1 : 30)
    }

    /// The server stops. `status` says how far it has come.
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

    /// Keeps a message until there is room again, in order. A watchdog message would come too late and is dropped.
    private func keep(_ message: String) {
        guard message != "WATCHDOG=1", unsent.count < SystemdNotifier.unsentMessages else { return }
        unsent.append(message)
        if let token, let loop { loop.wake(token, by: loop.now.instant + SystemdNotifier.retryInterval) }
    }
}
