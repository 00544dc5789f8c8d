import FynloClient
import FynloCore
import FynloIO
import TestSupport

/// A client and a record of its events.
final class ClientLog {
    let client: Client
    let tokens: TokenSource
    private(set) var welcomes: [Welcome] = []
    private(set) var ends: [(closure: ClientClosure, retryIn: Duration?)] = []
    private(set) var messages: [ReceivedMessage] = []
    /// Connections, losses and refusals, in order.
    private(set) var story: [String] = []
    /// The states of commands as `id state`, in order.
    private(set) var commands: [String] = []
    /// Ways from state to state.
    private(set) var states: [ClientSession.State] = []

    /// - Parameter refresh: provides new tokens; `nil` if there is only the first one.
    init(
        _ loop: EventLoop, _ server: ServerURL, tls: TLSContext? = nil, outbox: (any OutboxStorage)? = nil,
        refresh: TokenSource.Refresh? = nil, change: (inout Client.Settings) -> Void = { _ in }
    ) throws {
        var settings = Client.Settings(server: server, restaurant: StackServer.restaurant, user: StackServer.user)
        change(&settings)
        tokens = try TokenSource(loop: loop, token: ClientLog.token("t0"), refresh: refresh)
        client = try Client(loop: loop, settings: settings, tokens: tokens, outbox: outbox, tls: tls)
        for name in [
            "connect", "disconnect", "auth_error", "error", "max_reconnect_attempts", "message", "command", "state",
        ] as [EventName] {
            client.on(name) { [unowned self] in hear($0) }
        }
    }

    /// A token that is valid for an hour.
    static func token(_ name: String) -> String {
        FakeToken.make(name, expiresAt: UnixTime(milliseconds: SystemClock.now.unixTime.milliseconds + 3_600_000))
    }

    private func hear(_ event: ClientSession.Event) {
        switch event {
        case .state(let state): states.append(state)
        case .connect(let welcome):
            welcomes.append(welcome)
            story.append("connect")
        case .disconnect(let closure, let retryIn):
            ends.append((closure, retryIn))
            story.append("disconnect \(closure.code)\(retryIn == nil ? "" : ", again")")
        case .authError(let error): story.append("auth_error \(error.code)")
        case .error(let error): story.append("error \(error.code)")
        case .maxReconnectAttempts(let count): story.append("max_reconnect_attempts \(count)")
        case .message(let message): messages.append(message)
        case .command(let id, .queued): commands.append("\(id) queued")
        case .command(let id, .sent): commands.append("\(id) sent")
        case .command(let id, .acknowledged(let sequence)): commands.append("\(id) acknowledged \(sequence ?? 0)")
        case .command(let id, .refused(let error)): commands.append("\(id) refused \(error.code)")
        }
    }

    /// The numbers of the durable events that came.
    var sequences: [EventSequence] { messages.compactMap(\.sequence) }

    /// Ends the wait for the next attempt: tests do not sleep.
    func hurry() {
        if client.state == .reconnecting { client.connect() }
    }

    /// Releases everything.
    func close() {
        client.close()
        tokens.close()
    }
}
