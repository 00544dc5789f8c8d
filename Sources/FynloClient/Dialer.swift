// From a server's name to a connected socket: resolves the name on the helper thread and tries the addresses in turn.

import FynloCore
import FynloIO

/// One attempt to connect. The loop keeps it until it is over.
final class Dialer: EventSource {
    private let loop: EventLoop
    private let server: ServerURL
    /// When the owner gives up. The addresses share the remaining time.
    private let deadline: Instant
    private var connected: (consuming FileDescriptor) -> Void
    private var failed: (SystemError) -> Void

    private var addresses: ArraySlice<SocketAddress> = []
    private var socket: FileDescriptor?
    private var token: SourceToken?
    private var addressDeadline = Instant(nanoseconds: .max)
    private var isOver = false

    /// Exactly one of `connected` and `failed` is called, after `start` has returned; none after `cancel`.
    init(
        loop: EventLoop, server: ServerURL, deadline: Instant,
        connected: @escaping (consuming FileDescriptor) -> Void, failed: @escaping (SystemError) -> Void
    ) {
        self.loop = loop
        self.server = server
        self.deadline = deadline
        self.connected = connected
        self.failed = failed
    }

    func start() {
        if let address = SocketAddress(host: server.host, port: server.port) {
            loop.atEndOfTurn { [weak self] in self?.dial([address]) }
            return
        }
        // The name service may take longer than the owner waits: a late answer is ignored.
        loop.offload { [server] in
            Resolver.resolve(host: server.host, port: server.port)
        } then: { [weak self] result in
            guard let self, !isOver else { return }
            switch result {
            case .success(let addresses): dial(addresses[...])
            case .failure(let error): fail(error)
            }
        }
    }

    /// Gives up without calling anybody.
    func cancel() {
        isOver = true
        connected = { _ in }
        failed = { _ in }
        letGo()
    }

    private func dial(_ addresses: ArraySlice<SocketAddress>, after error: SystemError? = nil) {
        guard !isOver else { return }
        letGo()
        self.addresses = addresses
        var error = error
        while let address = self.addresses.popFirst() {
            do throws(SystemError) {
                let socket = try Socket.nonBlockingConnect(to: address)
                let token = try loop.add(self, descriptor: socket.rawValue, interest: .write)
                self.socket = consume socket
                self.token = token
                let now = SystemClock.instant
                let left = max(deadline - now, .milliseconds(1))
                addressDeadline = now + left / (self.addresses.count + 1)
                return loop.wake(token, by: addressDeadline)
            } catch let failure {
                error = failure
            }
        }
        fail(error ?? .unresolved(host: server.host, reason: "it has no addresses"))
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let number = socket?.rawValue else { return }
        if let error = Socket.pendingError(of: number) { return dial(addresses, after: error) }
        if let token { loop.remove(token) }
        token = nil
        guard let socket = socket.take() else { return }
        Socket.setNoDelay(socket.rawValue)
        let connected = connected
        cancel()
        connected(socket)
    }

    func tick(now: Moment) -> Instant? {
        guard socket != nil else { return nil }
        guard now.instant >= addressDeadline else { return addressDeadline }
        // The last address gets all the remaining time; then the owner gives up.
        guard !addresses.isEmpty else { return nil }
        dial(addresses)
        return nil
    }

    private func fail(_ error: SystemError) {
        let failed = failed
        cancel()
        failed(error)
    }

    private func letGo() {
        if let token { loop.remove(token) }
        token = nil
        socket = nil
    }
}
