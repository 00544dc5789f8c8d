import FynloCore
import Testing

/// A ClientSession whose server, network, token source and storage are the test's own words, on a virtual clock. What it
/// wants and tells is kept as a story of short lines.
final class SessionScript {
    var session: ClientSession
    private(set) var clock = VirtualClock()
    /// Since the last `takeStory`.
    private var story: [String] = []
    private var output = ByteBuffer()

    init(
        lastSequence: EventSequence? = nil, commands: [OutboxEntry] = [],
        _ change: (inout ClientSession.Settings) -> Void = { _ in }
    ) {
        var settings = ClientSession.Settings()
        change(&settings)
        session = ClientSession(
            identity: ClientServerPair.identity, settings: settings, lastSequence: lastSequence, commands: commands,
            using: SeededBytes(7))
    }

    /// One that is connected, with nothing to tell.
    static func connected(
        lastSequence: EventSequence? = nil, _ change: (inout ClientSession.Settings) -> Void = { _ in }
    ) -> SessionScript {
        let script = SessionScript(lastSequence: lastSequence, change)
        script.connect()
        script.letIn()
        #expect(script.session.state == .connected)
        _ = script.takeStory()
        _ = script.takeSaid()
        return script
    }

    // MARK: The owner

    private func input<T>(
        _ body: (inout ClientSession, Moment, inout ByteBuffer, inout [ClientSession.Effect]) -> T
    ) -> T {
        var effects: [ClientSession.Effect] = []
        let result = body(&session, clock.now, &output, &effects)
        for effect in effects { story.append(SessionScript.line(effect)) }
        return result
    }

    @discardableResult
    func connect() -> Bool {
        input { $0.connect(now: $1, effects: &$3) }
    }

    func disconnect() {
        input { $0.disconnect(now: $1, output: &$2, effects: &$3) }
    }

    func networkLost() {
        input { $0.networkLost(now: $1, effects: &$3) }
    }

    func networkRestored() {
        input { $0.networkRestored(now: $1, output: &$2, effects: &$3) }
    }

    func token(_ token: String = "t1") {
        input { $0.deliver(token: .success(token), now: $1, output: &$2, effects: &$3) }
    }

    func noToken(_ failure: TokenFailure) {
        input { $0.deliver(token: .failure(failure), now: $1, output: &$2, effects: &$3) }
    }

    /// Submits a command, which is kept at once.
    func submit(_ type: String = "order.status_update", _ data: String = "{}", id: String) throws {
        try submitUnkept(type, data, id: id)
        kept(1)
    }

    func submitUnkept(_ type: String = "order.status_update", _ data: String = "{}", id: String) throws {
        let result = input { session, now, _, effects in
            Result { () throws(CommandRefusal) in
                try session.submit(type, data: data, id: id, now: now, effects: &effects)
            }
        }
        _ = try result.get()
    }

    func kept(_ count: Int, failure: String? = nil) {
        input { $0.deliver(kept: count, failure: failure, now: $1, output: &$2, effects: &$3) }
    }

    // MARK: The network

    func opened() {
        // What was left for the socket before is gone with it.
        output.removeAll()
        session.opened(output: &output)
    }

    func lose(_ reason: String? = nil) {
        input { $0.endOfInput(reason: reason, now: $1, output: &$2, effects: &$3) }
    }

    /// Bytes of the server arrive.
    func give(_ bytes: [UInt8]) {
        var received = ByteBuffer(bytes)
        input { $0.receive(&received, now: $1, output: &$2, effects: &$3) }
    }

    /// A message of the server arrives.
    func say(_ message: String) {
        give(FrameBytes.frame(FrameBytes.text, message, mask: nil))
    }

    func say(close code: UInt16, _ reason: String = "") {
        give(FrameBytes.closeFrame(code, Array(reason.utf8), mask: nil))
    }

    /// The socket is connected and the server agrees to the upgrade.
    func upgrade() {
        opened()
        var parser = HTTPRequestParser(limits: HTTPLimits())
        guard let parsed = try? parser.next(&output),
            let accepted = try? WebSocketHandshake.accept(parsed, protocols: [])
        else {
            Issue.record("no upgrade is asked for")
            return
        }
        give(
            Array(
                ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: \(accepted.acceptKey)\r\n\r\n").utf8))
    }

    /// The server lets us in, after a token and an upgrade.
    func letIn(sequence: EventSequence = 7, resumed: Bool = false) {
        token()
        upgrade()
        say(
            #"{"type":"authenticated","data":{"connection_id":"c","role":"manager","seq":\#(sequence),"#
                + #""resumed":\#(resumed),"heartbeat_interval_ms":15000}}"#)
    }

    /// Time passes; what is due is done when it is due.
    func advance(_ duration: Duration) {
        let end = clock.now.instant + duration
        while let deadline = session.nextDeadline, deadline <= end {
            clock.advance(to: deadline)
            input { $0.tick(now: $1, output: &$2, effects: &$3) }
            if let later = session.nextDeadline, later <= clock.now.instant {
                Issue.record("a deadline that has passed is still there after tick")
                return
            }
        }
        clock.advance(to: end)
    }

    // MARK: What came of it

    /// What was wanted and told since the last time.
    func takeStory() -> [String] {
        defer { story = [] }
        return story
    }

    /// The messages that were sent since the last time, as types; a close frame as its code.
    func takeSaid() -> [String] {
        takeFrames().map { frame in
            if frame.opcode == FrameBytes.close { return "close \(Int(frame.payload[0]) << 8 | Int(frame.payload[1]))" }
            return JSONTree(frame.payload)?["type"]?.text ?? "?"
        }
    }

    /// The messages that were sent since the last time.
    func takeMessages() -> [JSONTree] {
        takeFrames().compactMap { JSONTree($0.payload) }
    }

    private func takeFrames() -> [FrameBytes.Frame] {
        defer { output.removeAll() }
        let frames = FrameBytes.parse(output.bytes())
        if frames == nil { Issue.record("the output is not made of whole frames") }
        return frames ?? []
    }

    private static func line(_ effect: ClientSession.Effect) -> String {
        switch effect {
        case .open: "open"
        case .close: "close"
        case .token(let isForced): isForced ? "token!" : "token"
        case .keep(.added(let entry)): "keep \(entry.id)"
        case .keep(.finished(let id)): "forget \(id)"
        case .tell(.state(let state)): state.rawValue
        case .tell(.connect): "connect"
        case .tell(.disconnect(let closure, nil)): "disconnect \(closure.code)"
        case .tell(.disconnect(let closure, .zero)): "disconnect \(closure.code), at once"
        case .tell(.disconnect(let closure, .some)): "disconnect \(closure.code), again"
        case .tell(.authError(let error)): "auth_error \(error.code)"
        case .tell(.error(let error)): "error \(error.code)"
        case .tell(.maxReconnectAttempts(let count)): "max_reconnect_attempts \(count)"
        case .tell(.message(let message)):
            "message \(message.type)\(message.sequence.map { " \($0)" } ?? "")"
        case .tell(.command(let id, .queued)): "\(id) queued"
        case .tell(.command(let id, .sent)): "\(id) sent"
        case .tell(.command(let id, .acknowledged(let sequence))): "\(id) acknowledged \(sequence ?? 0)"
        case .tell(.command(let id, .refused(let error))): "\(id) refused \(error.code)"
        }
    }
}
