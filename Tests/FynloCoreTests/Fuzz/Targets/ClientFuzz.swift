// A client's connection against a server that sends anything. Input: flags, the size of the pieces, and a script:
//
//     per step one op-code (modulo the number of them) and its arguments

import FynloCore

func fuzzClient(_ input: [UInt8]) throws(FuzzFailure) {
    var input = FuzzInput(input)
    let flags = input.byte()
    let pieceBytes = max(1, Int(input.byte()))
    var whole = ClientShell(pieceBytes: .max, hasSequence: flags & 4 != 0)
    var split = ClientShell(pieceBytes: pieceBytes, hasSequence: flags & 4 != 0)
    // Most scripts begin with an upgrade, half of those with a welcome.
    var steps: [ClientStep] = flags & 1 == 0 ? [.receive(ClientStep.upgrade)] : []
    if flags & 2 == 0 { steps.append(.receive(ClientStep.frame(ClientStep.messages[0]))) }
    while !input.isEmpty { steps.append(ClientStep(&input)) }
    for (index, step) in steps.enumerated() {
        let (output, events) = try whole.play(step)
        let (otherOutput, otherEvents) = try split.play(step)
        try require(
            output == otherOutput && events == otherEvents && whole.session.state == split.session.state
                && whole.session.nextDeadline == split.session.nextDeadline,
            "the pieces do not matter: step \(index), \(step), \(events) or \(otherEvents)")
    }
    try whole.end()
    try split.end()
}

/// One thing that happens to a client.
private enum ClientStep {
    case receive([UInt8])
    case pass(milliseconds: Int64)
    /// Time passes up to the next deadline, if it has not come yet, and the session is told.
    case tick
    case send(id: UInt8)
    case close
    case endOfInput(reason: String?)

    init(_ input: inout FuzzInput) {
        self =
            switch input.byte() % 12 {
            case 0: .receive(input.take(Int(input.byte())))
            case 1: .receive(input.take(Int(input.byte()) << 8 | Int(input.byte())))
            case 2, 3: .receive(Self.frame(input.take(Int(input.byte()))))
            case 4: .receive(Self.frame(first: input.byte(), input.take(Int(input.byte()))))
            case 5: .receive(Self.frame(Self.messages[Int(input.byte()) % Self.messages.count]))
            case 6: .pass(milliseconds: Int64(input.byte()) * 100)
            case 7, 8: .tick
            case 9: .send(id: input.byte())
            case 10: .close
            default: .endOfInput(reason: input.byte() & 1 == 0 ? nil : "It broke.")
            }
    }

    static func frame(first: UInt8 = 0x81, _ payload: [UInt8]) -> [UInt8] {
        let length =
            payload.count < 126
            ? [UInt8(payload.count)] : [0x7E, UInt8(payload.count >> 8 & 0xFF), UInt8(payload.count & 0xFF)]
        return [first] + length + payload
    }

    /// The key that the session draws from its generator is the same each time.
    static let upgrade: [UInt8] = Array(
        """
        HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: \(accept())\r\nSec-WebSocket-Protocol: fynlo.v1\r\n\r\n
        """.utf8)

    /// What a server answers to the session's key, found by asking one.
    private static func accept() -> String {
        var session = ClientShell.makeSession(lastSequence: nil)
        var request = ByteBuffer()
        session.opened(output: &request)
        var parser = HTTPRequestParser(limits: HTTPLimits())
        guard let parsed = try? parser.next(&request),
            let upgrade = try? WebSocketHandshake.accept(parsed, protocols: [])
        else { return "" }
        return upgrade.acceptKey
    }

    static let messages: [[UInt8]] = [
        #"{"type":"authenticated","data":{"connection_id":"c","role":"r","seq":3,"heartbeat_interval_ms":1000}}"#,
        #"{"type":"authenticated","data":{"seq":9,"resumed":true,"heartbeat_interval_ms":9223372036854775807}}"#,
        #"{"type":"auth_error","data":{"error":"E","code":"c","retryable":true,"retry_after_ms":-5}}"#,
        #"{"type":"auth_error","data":{"error":"E","code":"c","retryable":false}}"#,
        #"{"type":"ping","data":{}}"#,
        #"{"type":"pong"}"#,
        #"{"type":"ack","data":{"id":"id-1","seq":4}}"#,
        #"{"type":"error","data":{"id":"id-2","code":"order_not_found","error":"E"}}"#,
        #"{"type":"order.updated","seq":4,"data":{}}"#,
        #"{"type":"order.updated","seq":5,"data":{}}"#,
        #"{"type":"order.updated","seq":9223372036854775807,"data":{}}"#,
        #"{"type":"resync_required","data":{"seq":2}}"#,
        #"{"type":"reconnect","data":{"retry_after_ms":99999999999}}"#,
        #"{"type":"token_expired","data":{"seconds_until_expiry":3}}"#,
        "[]",
    ].map { Array($0.utf8) }
}

/// The shell of one ClientStack.
private struct ClientShell {
    private(set) var session: ClientStack
    private let pieceBytes: Int
    private var now = Moment(
        instant: Instant(nanoseconds: 1_000_000_000), unixTime: UnixTime(milliseconds: 1_769_882_645_123))
    private var leftover = ByteBuffer()
    private var sent: [String] = []
    private var closures = 0
    private var newest: EventSequence?
    private var server = FuzzedPeer(role: .server)

    init(pieceBytes: Int, hasSequence: Bool) {
        self.pieceBytes = pieceBytes
        newest = hasSequence ? 3 : nil
        session = Self.makeSession(lastSequence: newest)
        var request = ByteBuffer()
        session.opened(output: &request)
    }

    static func makeSession(lastSequence: EventSequence?) -> ClientStack {
        var generator = CountingGenerator()
        let identity = ClientIdentity(
            authority: "a", restaurant: FuzzSample.restaurant, client: .pos, user: FuzzSample.user, token: "t",
            deviceID: "d", clientVersion: "1")
        return ClientStack(
            identity: identity, lastSequence: lastSequence, using: &generator,
            now: Moment(instant: Instant(nanoseconds: 1_000_000_000), unixTime: FuzzSample.time))
    }

    mutating func play(_ step: ClientStep) throws(FuzzFailure) -> (output: [UInt8], events: [ClientEvent]) {
        var output = ByteBuffer()
        var events: [ClientEvent] = []
        switch step {
        case .receive(let bytes):
            // Nothing is read after the end.
            guard session.state != .closed else { break }
            for piece in pieces(of: bytes[...], of: pieceBytes) {
                leftover.append(Array(piece))
                session.receive(&leftover, now: now, output: &output, events: &events)
            }
            let bound = session.state == .upgrading ? 16_384 + 2 : 139
            try require(leftover.count <= bound, "\(leftover.count) bytes are left over of at most \(bound)")
        case .pass(let milliseconds):
            pass(milliseconds)
        case .tick:
            if let deadline = session.nextDeadline, deadline > now.instant {
                pass((deadline - now.instant + .nanoseconds(999_999)).inMilliseconds)
            }
            session.tick(now: now, output: &output, events: &events)
            if let deadline = session.nextDeadline {
                try require(deadline > now.instant, "what was due is done: the loop does not spin")
            }
        case .send(let number):
            let id = "id-\(number)"
            if (try? session.send("table.occupied", data: "{}", id: id, now: now, output: &output)) != nil {
                try require(!sent.contains(id), "one command per id at a time")
                sent.append(id)
            }
        case .close:
            session.close(now: now, output: &output, events: &events)
        case .endOfInput(let reason):
            session.endOfInput(reason: reason, events: &events)
        }
        try note(events)
        try server.take(output.bytes())
        return (output.bytes(), events)
    }

    /// Whatever came before, the end comes, once.
    mutating func end() throws(FuzzFailure) {
        var events: [ClientEvent] = []
        session.endOfInput(events: &events)
        try note(events)
        try require(closures == 1 && session.state == .closed, "an end comes once")
        try require(session.nextDeadline == nil && session.unansweredCount == 0, "nothing is waited for after the end")
    }

    private mutating func pass(_ milliseconds: Int64) {
        now.instant = now.instant + .milliseconds(milliseconds)
        now.unixTime.milliseconds += milliseconds
    }

    private mutating func note(_ events: [ClientEvent]) throws(FuzzFailure) {
        for event in events {
            try require(closures == 0, "nothing follows the end: \(event)")
            switch event {
            case .connected(let welcome):
                try require(
                    (Duration.milliseconds(50)...Duration.seconds(300)).contains(welcome.heartbeatInterval),
                    "a server cannot make us a flood or a sleeper")
            case .message(let message):
                guard let sequence = message.sequence else { break }
                // After `resync_required` the numbers may begin anew.
                try require(newest.map { sequence > $0 } ?? true, "events in order, each once: \(sequence)")
                newest = sequence
            case .answered(let id, _):
                try require(sent.contains(id), "an answer to a command: \(id)")
                sent.removeAll { $0 == id }
            case .closed(let closure):
                try require(!closure.reason.isEmpty, "an end has a reason")
                closures += 1
            case .pong(let roundTrip, _):
                try require(roundTrip.map { $0 >= .zero } ?? true, "time does not run backwards")
            case .unreadable, .pongMissed, .error, .reauthenticated, .reauthenticationRefused: break
            }
            if case .message(let message) = event, message.type == "resync_required" { newest = nil }
        }
    }
}

/// Numbers that anybody can foresee.
private struct CountingGenerator: RandomNumberGenerator {
    private var state: UInt64 = 0

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return state
    }
}
