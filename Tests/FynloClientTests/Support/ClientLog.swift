import FynloClient
import FynloCore
import FynloIO

/// A client and all that it has told.
final class ClientLog {
    let client: Client
    private(set) var welcomes: [Welcome] = []
    private(set) var ends: [(closure: ClientClosure, retryIn: Duration?)] = []
    private(set) var messages: [ReceivedMessage] = []
    /// The order of connections and losses.
    private(set) var story: [String] = []

    init(
        _ loop: EventLoop, _ server: ServerURL, tls: TLSContext? = nil,
        change: (inout Client.Settings) -> Void = { _ in }
    ) {
        var settings = Client.Settings(
            server: server, restaurant: StackServer.restaurant, user: StackServer.user, token: "t0")
        change(&settings)
        client = Client(loop: loop, settings: settings, tls: tls)
        client.onConnect = { [unowned self] welcome in
            welcomes.append(welcome)
            story.append("connect")
        }
        client.onDisconnect = { [unowned self] closure, retryIn in
            ends.append((closure, retryIn))
            story.append("disconnect \(closure.code)\(retryIn == nil ? "" : ", again")")
        }
        client.onMessage = { [unowned self] in messages.append($0) }
    }

    /// The numbers of the durable events that came.
    var sequences: [EventSequence] { messages.compactMap(\.sequence) }

    /// Ends the wait for the next attempt: tests do not sleep.
    func hurry() {
        if client.state == .reconnecting { client.connect() }
    }
}
