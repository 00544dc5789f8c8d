import FynloCore
import Testing

/// A ClientStack joined to a server's ProtocolStack without a network, on one clock. The pair answers the server's wish to
/// authenticate with `outcome`, and its wishes for storage with `answers`.
struct ClientServerPair {
    var client: ClientStack
    var server: Tablet
    /// In pieces of this kind bytes reach the client.
    var arrival: FrameArrival
    /// What the server says of the next `authenticate`; `nil`: nothing yet.
    var outcome: AuthenticationOutcome?
    /// The next answers of storage; without one a command stays unanswered.
    var answers: [CommandAnswer] = []
    /// All that the server asked its shell for.
    private(set) var effects: [Effect] = []
    private(set) var events: [ClientEvent] = []
    /// The network between the two swallows everything.
    var isCut = false
    private var input = ByteBuffer()
    private var output = ByteBuffer()

    static let identity = ClientIdentity(
        authority: "pos.example.com:8000", restaurant: Sample.restaurant, client: .kitchen, user: Sample.user,
        token: "header.payload.signature", deviceID: "tablet \"7\"", clientVersion: "2.1")

    init(
        _ settings: SessionSettings = SessionSettings(), limits: ClientLimits = ClientLimits(),
        lastSequence: EventSequence? = nil, arrival: FrameArrival = .whole, seed: UInt64 = 1
    ) {
        server = Tablet(settings, arrival: arrival)
        self.arrival = arrival
        var generator = SeededBytes(seed)
        client = ClientStack(
            identity: ClientServerPair.identity, limits: limits, lastSequence: lastSequence, using: &generator,
            now: server.clock.now)
        outcome = .accepted(server.identity(tokenLasts: .seconds(86_400)))
    }

    /// A pair whose client is in, with all that was said until then forgotten.
    static func connected(
        _ settings: SessionSettings = SessionSettings(), limits: ClientLimits = ClientLimits(),
        arrival: FrameArrival = .whole
    ) -> ClientServerPair {
        var pair = ClientServerPair(settings, limits: limits, arrival: arrival)
        pair.open()
        #expect(pair.client.state == .connected)
        pair.forget()
        return pair
    }

    /// The socket is connected.
    mutating func open() {
        client.opened(output: &output)
        exchange()
    }

    /// Lets both talk until neither has anything to say.
    mutating func exchange() {
        var isQuiet = false
        while !isQuiet {
            let toServer = output.bytes()
            output.removeAll()
            if !isCut, !toServer.isEmpty { server.send(toServer) }
            serve()
            let toClient = server.takeOutput()
            if !isCut { give(toClient) }
            isQuiet = toServer.isEmpty && toClient.isEmpty
        }
    }

    /// The server's shell.
    private mutating func serve() {
        var asked = server.takeEffects()
        while !asked.isEmpty {
            effects += asked
            for effect in asked {
                if effect.authentication != nil, let outcome { server.deliver(outcome) }
                if case .replay = effect { replay() }
                if effect.storage != nil, !answers.isEmpty { server.deliver(answers.removeFirst()) }
            }
            asked = server.takeEffects()
        }
    }

    /// What the client missed, up to the head it was told of.
    private mutating func replay() {
        guard let position = server.stack.replayPosition, case .accepted(let identity) = outcome else { return }
        let missed = (position + 1...identity.sequence).map { EventFrame(Sample.event($0)) }
        server.deliver(replay: .events(missed[...]))
        server.deliver(replay: .finished)
    }

    /// Bytes reach the client.
    mutating func give(_ bytes: [UInt8]) {
        for piece in arrival.pieces(of: bytes) {
            input.append(Array(piece))
            client.receive(&input, now: server.clock.now, output: &output, events: &events)
        }
    }

    /// A text message reaches the client.
    mutating func give(_ text: String) {
        give(FrameBytes.frame(FrameBytes.text, text, mask: nil))
    }

    /// What the client has to send; it counts as sent and reaches nobody.
    mutating func takeOutput() -> [UInt8] {
        defer { output.removeAll() }
        return output.bytes()
    }

    mutating func endOfInput(_ reason: String? = nil) {
        client.endOfInput(reason: reason, events: &events)
    }

    @discardableResult
    mutating func send(_ type: String, _ data: String, id: String? = nil) throws(CommandRefusal) -> String {
        let id = try client.send(type, data: data, id: id, now: server.clock.now, output: &output)
        exchange()
        return id
    }

    mutating func close() {
        client.close(now: server.clock.now, output: &output, events: &events)
    }

    /// Time passes for both.
    mutating func advance(_ duration: Duration) {
        let end = server.clock.now.instant + duration
        while let next = [client.nextDeadline, server.stack.nextDeadline].compactMap(\.self).min(), next <= end {
            server.advance(max(.zero, next - server.clock.now.instant))
            client.tick(now: server.clock.now, output: &output, events: &events)
            if let later = client.nextDeadline, later <= next {
                Issue.record("a deadline that has passed is still there after tick")
                return
            }
            exchange()
        }
        server.advance(max(.zero, end - server.clock.now.instant))
        exchange()
    }

    /// All that has happened is forgotten.
    mutating func forget() {
        events = []
        effects = []
    }

    /// Messages that are no part of the protocol, as type and number.
    var business: [Business] {
        events.compactMap { event in
            guard case .message(let message) = event, !message.isProtocol else { return nil }
            return Business(type: message.type, sequence: message.sequence)
        }
    }

    /// The end, if it has come.
    var closure: ClientClosure? {
        guard case .closed(let closure) = events.last else { return nil }
        return closure
    }

    /// What became of the commands, by their ids.
    var outcomes: [String: CommandOutcome] {
        var outcomes: [String: CommandOutcome] = [:]
        for case .answered(let id, let outcome) in events {
            #expect(outcomes[id] == nil, "one answer each")
            outcomes[id] = outcome
        }
        return outcomes
    }

    /// The types of the messages that were handed out.
    var types: [String] {
        events.compactMap { if case .message(let message) = $0 { message.type } else { nil } }
    }
}

/// A business message, told briefly.
struct Business: Equatable {
    let type: String
    let sequence: EventSequence?
}
