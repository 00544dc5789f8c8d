import FynloCore
import TestSupport
import Testing

/// A client joined to a server's ProtocolStack without a network: it sends in pieces of any size, and keeps what the stack
/// sends and asks for until the test takes it.
struct Tablet {
    /// A frame of the server, with the payload taken apart.
    enum Received: Equatable {
        case message(JSONTree)
        case pong([UInt8])
        case close(UInt16, String)
        case other(UInt8, [UInt8])
    }

    var stack: ProtocolStack
    var clock = VirtualClock()
    var arrival: FrameArrival
    private var input = ByteBuffer()
    private var output = ByteBuffer()
    private var effects: [Effect] = []
    /// The most bytes that were left in the input.
    private(set) var largestLeftover = 0
    /// All errors it was answered with.
    private(set) var refusals: [APIError.Code] = []
    /// The number of sessions that ended.
    private(set) var endedSessions = 0

    init(_ settings: SessionSettings = SessionSettings(), arrival: FrameArrival = .whole, refusal: APIError? = nil) {
        self.arrival = arrival
        stack = ProtocolStack(id: Sample.connection, settings: settings, refusal: refusal, now: clock.now)
    }

    // MARK: Sending

    /// Bytes arrive; as with the shell, they are left unread while an answer is awaited.
    mutating func send(_ bytes: [UInt8]) {
        for piece in arrival.pieces(of: bytes) {
            input.append(Array(piece))
            if stack.transport == .open { receive() }
        }
    }

    mutating func send(_ text: String) {
        send(FrameBytes.frame(FrameBytes.text, text))
    }

    mutating func sendHTTP(_ text: String) {
        send(Array(text.utf8))
    }

    /// What was left unread is offered again.
    mutating func receive() {
        stack.receive(&input, now: clock.now, output: &output, effects: &effects)
        largestLeftover = max(largestLeftover, input.count)
    }

    mutating func endOfInput() {
        stack.endOfInput(now: clock.now, effects: &effects)
    }

    // MARK: The shell's part

    mutating func deliver(_ outcome: AuthenticationOutcome) {
        stack.deliver(authentication: outcome, now: clock.now, output: &output, effects: &effects)
        receive()
    }

    mutating func deliver(_ answer: CommandAnswer) {
        stack.deliver(command: answer, now: clock.now, output: &output, effects: &effects)
    }

    mutating func deliver(reauthentication outcome: ReauthenticationOutcome) {
        stack.deliver(reauthentication: outcome, now: clock.now, output: &output, effects: &effects)
    }

    mutating func deliver(_ response: HTTPResponse) {
        stack.deliver(response: response, now: clock.now, output: &output)
        receive()
    }

    /// An event of the restaurant, numbered or not.
    mutating func deliver(event text: String, sequence: EventSequence?) {
        var frame = ByteBuffer()
        WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { $0.append(text) }
        stack.deliver(frame: frame, sequence: sequence, now: clock.now, output: &output)
    }

    /// Some of the events it missed.
    mutating func deliver(replay: Replay) {
        stack.deliver(replay: replay, now: clock.now, output: &output)
    }

    mutating func close(_ reason: CloseReason) {
        stack.close(reason, now: clock.now, output: &output, effects: &effects)
    }

    /// The server is going away.
    mutating func leave() {
        stack.leave(retryAfter: .milliseconds(300), now: clock.now, output: &output, effects: &effects)
    }

    mutating func abandon() {
        stack.abandon(effects: &effects)
    }

    mutating func tick() {
        stack.tick(now: clock.now, output: &output, effects: &effects)
    }

    /// Time passes; the stack is looked at whenever it said it wants to be.
    mutating func advance(_ duration: Duration) {
        let end = clock.now.instant + duration
        while let deadline = stack.nextDeadline, deadline <= end {
            clock.advance(to: deadline)
            tick()
            if let next = stack.nextDeadline, next <= deadline {
                Issue.record("a deadline that has passed is still there after tick")
                break
            }
        }
        clock.advance(to: end)
    }

    /// Lets time pass with a sign of life now and then.
    mutating func live(_ duration: Duration) {
        var left = duration
        while left > .zero {
            send(FrameBytes.frame(FrameBytes.pong))
            let step = min(left, .seconds(20))
            advance(step)
            left -= step
        }
        send(FrameBytes.frame(FrameBytes.pong))
    }

    // MARK: What comes back

    private static let sessionTypes = Set(ServerMessageType.allCases.map(\.name.description))

    /// True for what the session itself says. Events, orders and the wait for a free place are the shell's part, which the
    /// tests make up.
    private static func isOfSession(_ message: JSONTree) -> Bool {
        let data = message["data"]
        return sessionTypes.contains(message["type"]?.text ?? "") && data?["order"] == nil
            && data?["code"]?.text != "connection_limit"
    }

    mutating func takeOutput() -> [UInt8] {
        defer { output.removeAll() }
        return output.bytes()
    }

    mutating func takeText() -> String {
        String(decoding: takeOutput(), as: UTF8.self)
    }

    mutating func takeEffects() -> [Effect] {
        defer { effects = [] }
        // What is only to be counted is kept apart.
        effects.removeAll { effect in
            guard case .refused(let code) = effect else { return false }
            refusals.append(code)
            return true
        }
        endedSessions += effects.count { $0.name.hasPrefix("ended") }
        return effects
    }

    /// The frames that were sent since the last time.
    mutating func received(sourceLocation: SourceLocation = #_sourceLocation) -> [Received] {
        guard let frames = FrameBytes.parse(takeOutput()) else {
            Issue.record("the output is not made of whole frames", sourceLocation: sourceLocation)
            return []
        }
        return frames.map { frame in
            switch frame.opcode {
            case FrameBytes.text:
                guard let tree = JSONTree(frame.payload) else { return .other(frame.opcode, frame.payload) }
                if Tablet.isOfSession(tree) { FrameRecord.note(frame.payload) }
                return .message(tree)
            case FrameBytes.pong: return .pong(frame.payload)
            case FrameBytes.close where frame.payload.count >= 2:
                return .close(
                    UInt16(frame.payload[0]) << 8 | UInt16(frame.payload[1]),
                    String(decoding: frame.payload[2...], as: UTF8.self))
            default: return .other(frame.opcode, frame.payload)
            }
        }
    }

    /// Each received message as type and data, each close as its code and reason.
    mutating func heard(sourceLocation: SourceLocation = #_sourceLocation) -> [TabletHeard] {
        received(sourceLocation: sourceLocation).map { frame in
            switch frame {
            case .message(let tree): .message(tree["type"]?.text ?? "", tree["data"] ?? .null)
            case .close(let code, let reason): .close(code, reason)
            case .pong(let payload): .pong(payload)
            case .other(let opcode, let payload): .other(opcode, payload)
            }
        }
    }

    // MARK: Shortcuts

    static let path = "/api/v1/websocket/ws/pos/\(Sample.restaurant)"
    static let handshakeFields =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

    static func handshake(_ path: String = Tablet.path, fields: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: pos.example.com\r\n\(handshakeFields)\(fields)\r\n"
    }

    static func authenticate(_ more: String = "") -> String {
        """
        {"type":"authenticate","data":{"token":"t","user_id":"\(Sample.user)","restaurant_id":"\(Sample.restaurant)"\(more)}}
        """
    }

    /// A tablet whose upgrade was accepted and forgotten.
    static func upgraded(
        _ settings: SessionSettings = SessionSettings(), arrival: FrameArrival = .whole
    ) -> Tablet {
        var tablet = Tablet(settings, arrival: arrival)
        tablet.sendHTTP(handshake())
        #expect(tablet.takeText().hasPrefix("HTTP/1.1 101 "))
        _ = tablet.takeEffects()
        return tablet
    }

    /// A tablet that is in, with everything forgotten that was said so far.
    static func active(
        _ settings: SessionSettings = SessionSettings(), arrival: FrameArrival = .whole, sequence: EventSequence = 7,
        tokenLasts: Duration = .seconds(3_600)
    ) -> Tablet {
        var tablet = upgraded(settings, arrival: arrival)
        tablet.send(authenticate())
        tablet.deliver(.accepted(tablet.identity(sequence: sequence, tokenLasts: tokenLasts)))
        _ = tablet.takeOutput()
        _ = tablet.takeEffects()
        return tablet
    }

    /// Events before the fourth are no longer kept.
    func identity(sequence: EventSequence = 7, tokenLasts: Duration = .seconds(3_600)) -> AcceptedIdentity {
        let end = UnixTime(milliseconds: clock.now.unixTime.milliseconds + tokenLasts.inMilliseconds)
        return AcceptedIdentity(
            user: Sample.user, role: .manager, restaurant: Sample.restaurant, sequence: sequence,
            oldestResumable: 3, tokenExpiresAt: end, tokenEndsAt: end)
    }
}

/// What a tablet hears, without the envelope around it.
enum TabletHeard: Equatable {
    case message(String, JSONTree)
    case close(UInt16, String)
    case pong([UInt8])
    case other(UInt8, [UInt8])

    var type: String? {
        if case .message(let type, _) = self { type } else { nil }
    }

    var data: JSONTree? {
        if case .message(_, let data) = self { data } else { nil }
    }
}

extension Effect {
    var storage: StorageRequest? {
        if case .storage(let request, _) = self { request } else { nil }
    }

    var authentication: AuthenticationRequest? {
        if case .authenticate(let request, _, _) = self { request } else { nil }
    }

    var broadcast: ByteBuffer? {
        if case .broadcast(let frame, _, _) = self { frame } else { nil }
    }

    var endpoint: Endpoint? {
        if case .respond(_, let route) = self { route.endpoint } else { nil }
    }

    /// The name of the case, and of a session's end whether it was authenticated.
    var name: String {
        switch self {
        case .respond: "respond"
        case .upgraded: "upgraded"
        case .authenticate: "authenticate"
        case .reauthenticate: "reauthenticate"
        case .replay: "replay"
        case .storage: "storage"
        case .broadcast: "broadcast"
        case .refused: "refused"
        case .sessionEnded(_, _, let wasAuthenticated): wasAuthenticated ? "ended" : "ended unauthenticated"
        }
    }
}
