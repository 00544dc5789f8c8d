// Accepts new sockets, a batch per turn, and hands them to the hub.

import FynloCore
import FynloIO

/// Accepts the sockets of one listener.
final class Acceptor: EventSource {
    private let loop: EventLoop
    private let hub: Hub
    private let audience: Audience
    /// `nil` once no more sockets are accepted, so that the port is free.
    private var listener: Listener?
    private var token: SourceToken?

    /// Sockets accepted in one turn, so that connected tablets are served too.
    private static let acceptsPerTurn = 32
    /// Sockets accepted at the end: more than can be waiting.
    private static let acceptsAtEnd = 4_096
    /// How long accepting pauses if descriptors or memory have run out.
    private static let pause = Duration.milliseconds(100)

    /// The clients of a listener.
    enum Audience {
        /// Tablets and programs: FYNLO_LISTEN.
        case everybody
        /// FYNLO_ADMIN_LISTEN: plain HTTP, exempt from the limits that tablets may have used up.
        case operations
    }

    /// Begins to accept.
    init(loop: EventLoop, hub: Hub, listener: Listener, for audience: Audience = .everybody) throws(SystemError) {
        self.loop = loop
        self.hub = hub
        self.audience = audience
        self.listener = listener
        self.address = listener.localAddress
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    /// Where it listens, with the actual port if 0 was configured.
    let address: SocketAddress

    func ready(_ readiness: Readiness, now: Moment) {
        accept(atMost: Acceptor.acceptsPerTurn)
    }

    private func accept(atMost limit: Int) {
        for _ in 0..<limit {
            do {
                guard let accepted = try listener?.accept() else { return }
                let peer = accepted.peer
                guard audience == .everybody else {
                    hub.adoptOperator(accepted.takeDescriptor(), from: peer)
                    continue
                }
                hub.makeRoom()
                // The socket is dropped if not even a refusal can be afforded.
                if !hub.isExhausted { hub.adopt(accepted.takeDescriptor(), from: peer) }
            } catch {
                hub.log.warning("accept_failed", ["error": error.description])
                rest()
                return
            }
        }
    }

    /// Pauses. The kernel keeps sockets that wait, and connected clients are served as before.
    private func rest() {
        guard let token else { return }
        loop.setInterest([], for: token)
        loop.after(Acceptor.pause) { [weak self] in
            guard let self, let token = self.token else { return }
            self.loop.setInterest(.read, for: token)
        }
    }

    /// Accepts no more. Sockets that wait at the process's own listener are accepted first, because they would be lost with it;
    /// those at an inherited listener wait for the next process.
    func leave() {
        if listener?.isInherited == false { accept(atMost: Acceptor.acceptsAtEnd) }
        close()
    }

    /// Lets go of the listener. An inherited one stays open in the process that owns it.
    func close() {
        guard let token else { return }
        loop.remove(token)
        self.token = nil
        listener = nil
    }
}
