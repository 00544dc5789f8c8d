// One end of a WebSocket. Input: flags, the size of the pieces, after how many bytes this end begins to close, and what
// the peer sends.

import FynloCore

/// An event, comparable, with its payload.
enum FuzzedEvent: Equatable {
    case message(WebSocketMessage.Kind, [UInt8])
    case ping, pong
    case closing(UInt16?, String)
    case failed(UInt16, String)
}

/// All that can be seen of a connection after some bytes.
private struct Outcome: Equatable {
    var heard: [FuzzedEvent] = []
    var output: [UInt8] = []
    var state: WebSocketConnection.State
    var end: WebSocketConnection.EndOfInput
}

func fuzzWebSocket(_ input: [UInt8]) throws(FuzzFailure) {
    var input = FuzzInput(input)
    let flags = input.byte()
    let pieceBytes = input.byte()
    let closeAfter = flags & 4 == 0 ? Int.max : Int(input.byte())
    let end = FuzzedEnd(
        role: flags & 1 == 0 ? .server : .client(maskSeed: 7), limit: flags & 2 == 0 ? 65_536 : 100,
        isEcho: flags & 8 != 0)
    let bytes = input.rest()
    let cut = min(closeAfter, bytes.count)
    let before = arrivals(of: Array(bytes[..<cut]), pieceBytes: pieceBytes)
    let after = arrivals(of: Array(bytes[cut...]), pieceBytes: pieceBytes)
    var first: Outcome?
    for index in before.indices {
        let outcome = try end.run(before[index], closesThen: flags & 4 != 0, after[index])
        if let first { try require(first == outcome, "the pieces do not matter: \(first) or \(outcome)") }
        first = outcome
    }
    if let first { try end.check(first) }
}

private struct FuzzedEnd {
    let role: WebSocketConnection.Role
    let limit: Int
    /// Messages are sent back.
    let isEcho: Bool

    private static let now = Moment(instant: Instant(nanoseconds: 9), unixTime: UnixTime(milliseconds: 9))

    /// Beyond a header and a control frame nothing stays in the input.
    private static let leftoverBytes = 139

    func run(
        _ before: [ArraySlice<UInt8>], closesThen: Bool, _ after: [ArraySlice<UInt8>]
    ) throws(FuzzFailure) -> Outcome {
        var connection = WebSocketConnection(role: role, maximumMessageBytes: limit, closeTimeout: .seconds(5))
        var buffer = ByteBuffer()
        var output = ByteBuffer()
        var heard: [FuzzedEvent] = []
        for piece in before {
            try feed(piece, &connection, &buffer, &output, &heard)
        }
        if closesThen { connection.close(code: 1001, reason: "going", now: Self.now, output: &output) }
        for piece in after {
            try feed(piece, &connection, &buffer, &output, &heard)
        }
        let state = connection.state
        try require((state == .open) == (connection.nextDeadline == nil), "who closes has a deadline")
        if let deadline = connection.nextDeadline {
            var copy = connection
            let late = Moment(instant: deadline, unixTime: UnixTime(milliseconds: 0))
            try require(copy.tick(now: late) && !copy.tick(now: late), "time is up once")
        }
        let end = connection.endOfInput()
        try require(connection.isFinished, "the end of the input is the end")
        return Outcome(heard: heard, output: output.bytes(), state: state, end: end)
    }

    private func feed(
        _ piece: ArraySlice<UInt8>, _ connection: inout WebSocketConnection, _ buffer: inout ByteBuffer,
        _ output: inout ByteBuffer, _ heard: inout [FuzzedEvent]
    ) throws(FuzzFailure) {
        buffer.append(Array(piece))
        while let event = connection.next(&buffer, now: Self.now, output: &output) {
            switch event {
            case .message(let message):
                let payload = message.withPayload(in: buffer) { [UInt8](copying: $0) }
                try require(payload.count <= limit, "messages within their limit")
                try require(
                    message.kind == .binary || String(validating: payload.span) != nil, "text is UTF-8")
                heard.append(.message(message.kind, payload))
                if isEcho {
                    connection.sendFrame(message.kind == .text ? .text : .binary, payload: payload.span, to: &output)
                }
            case .ping: heard.append(.ping)
            case .pong: heard.append(.pong)
            case .closing(let code, let reason): heard.append(.closing(code, reason))
            case .failed(let code, let reason): heard.append(.failed(code, reason))
            }
        }
        try require(buffer.count <= Self.leftoverBytes, "only a control frame is left over")
        try require(!connection.isFinished || buffer.isEmpty, "a closed connection drops what comes")
    }

    /// What we sent is what the peer's end takes, in the order of what we heard.
    func check(_ outcome: Outcome) throws(FuzzFailure) {
        try require((outcome.end == .expected) == (outcome.state == .closed), "an end is expected after closing")
        let ends = outcome.heard.indices.filter { index in
            switch outcome.heard[index] {
            case .closing, .failed: true
            case .message, .ping, .pong: false
            }
        }
        try require(
            ends.isEmpty || ends == [outcome.heard.count - 1], "one end, and nothing after it: \(outcome.heard)")
        try require((ends.count == 1) == (outcome.state == .closed), "an end closes")
        let peerRole: WebSocketConnection.Role
        switch role {
        case .server: peerRole = .client(maskSeed: 1)
        case .client: peerRole = .server
        }
        var peer = FuzzedPeer(role: peerRole)
        try peer.take(outcome.output)
        let messages = outcome.heard.filter { if case .message = $0 { isEcho } else { false } }
        try require(peer.messages == messages, "messages arrive as they were sent")
        try require(peer.pongs == outcome.heard.count { $0 == .ping }, "a pong per ping")
        try require(peer.hasClosed == (outcome.state != .open), "who closes says so")
    }
}

/// The other end, which must understand everything.
struct FuzzedPeer {
    private var connection: WebSocketConnection
    private(set) var messages: [FuzzedEvent] = []
    private(set) var pongs = 0
    private(set) var hasClosed = false

    init(role: WebSocketConnection.Role) {
        connection = WebSocketConnection(role: role, maximumMessageBytes: 65_536, closeTimeout: .seconds(5))
    }

    mutating func take(_ bytes: [UInt8]) throws(FuzzFailure) {
        var input = ByteBuffer()
        var answers = ByteBuffer()
        let now = Moment(instant: Instant(nanoseconds: 0), unixTime: UnixTime(milliseconds: 0))
        // Frame by frame, so that what follows a close frame is noticed.
        var rest = bytes[...]
        while !rest.isEmpty {
            try require(!hasClosed, "nothing follows a close frame")
            input.append(rest.removeFirst())
            while let event = connection.next(&input, now: now, output: &answers) {
                switch event {
                case .message(let message):
                    messages.append(.message(message.kind, message.withPayload(in: input) { [UInt8](copying: $0) }))
                case .ping: break
                case .pong: pongs += 1
                case .closing: hasClosed = true
                case .failed(_, let reason): throw FuzzFailure(description: "our frames are refused: \(reason)")
                }
            }
        }
        try require(input.isEmpty, "whole frames only")
    }
}
