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
    /// How long accepting rests when descriptors or memory have run out.
    private static let pause = Duration.milliseconds(100)

    /// For whom a listener is.
    enum Audience {
        /// Tablets and programs: FYNLO_LISTEN.
        case everybody
        /// FYNLO_ADMIN_LISTEN: plain, apart from the limits that tablets may have used up.
        case operators
    }

    /// Starts to listen.
    init(loop: EventLoop, hub: Hub, address: SocketAddress, for audience: Audience = .everybody) throws(SystemError) {
        self.loop = loop
        self.hub = hub
        self.audience = audience
        let listener = try Listener(address)
        self.listener = listener
        self.address = listener.localAddress
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    /// Where it listens: the real port when 0 was asked for.
    let address: SocketAddress

    func ready(_ readiness: Readiness, now: Moment) {
        for _ in 0..<Acceptor.acceptsPerTurn {
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

    /// Accepts no more.
    func close() {
        guard let token else { return }
        loop.remove(token)
        self.token = nil
        listener = nil
    }
}
