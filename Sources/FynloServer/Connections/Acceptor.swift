// Takes in new sockets, a batch per turn, and hands them to the hub.

import FynloCore
import FynloIO

/// The server's listener.
final class Acceptor: EventSource {
    private let loop: EventLoop
    private let hub: Hub
    private let audience: Audience
    /// Gone once no more is accepted, so that the port is free.
    private var listener: Listener?
    private var token: SourceToken?

    /// Sockets accepted in one turn: the tablets that are in want to be served too.
    private static let acceptsPerTurn = 32
    /// All who can be waiting.
    private static let acceptsAtEnd = 4_096
    /// How long accepting rests when descriptors or memory have run out.
    private static let pause = Duration.milliseconds(100)

    /// For whom a listener is.
    enum Audience {
        /// Tablets and programs: FYNLO_LISTEN.
        case everybody
        /// FYNLO_ADMIN_LISTEN: plain, apart from the limits that tablets may have used up.
        case operations
    }

    /// Starts to accept.
    init(loop: EventLoop, hub: Hub, listener: Listener, for audience: Audience = .everybody) throws(SystemError) {
        self.loop = loop
        self.hub = hub
        self.audience = audience
        self.listener = listener
        self.address = listener.localAddress
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    /// Where it listens: the real port when 0 was asked for.
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
                // Dropped without a word when even the refusals are too many.
                if !hub.isExhausted { hub.adopt(accepted.takeDescriptor(), from: peer) }
            } catch {
                hub.log.warning("accept_failed", ["error": error.description])
                rest()
                return
            }
        }
    }

    /// The kernel keeps the waiting ones; those that are in are served on.
    private func rest() {
        guard let token else { return }
        loop.setInterest([], for: token)
        loop.after(Acceptor.pause) { [weak self] in
            guard let self, let token = self.token else { return }
            self.loop.setInterest(.read, for: token)
        }
    }

    /// Accepts no more. Those who wait in a socket of the process' own are taken in before, as it takes them with it; those
    /// who wait in an inherited one, for the next process.
    func leave() {
        if listener?.isInherited == false { accept(atMost: Acceptor.acceptsAtEnd) }
        close()
    }

    /// Lets go of the socket; whose it is keeps it.
    func close() {
        guard let token else { return }
        loop.remove(token)
        self.token = nil
        listener = nil
    }
}
