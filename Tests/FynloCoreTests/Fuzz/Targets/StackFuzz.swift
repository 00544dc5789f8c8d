// A whole connection. Input: see StackScript. The script is played twice, with the peer's bytes whole and in pieces: the
// reactions must be the same, and what is sent must be sense.

import FynloCore

func fuzzStack(_ input: [UInt8]) throws(FuzzFailure) {
    let script = StackScript(input)
    var whole = StackShell(script)
    var split = whole
    var listener = StackListener()
    for step in script.prelude {
        // Whole for both, which saves much of the time that an input takes.
        let reaction = try whole.play(step, pieceBytes: .max)
        _ = try split.play(step, pieceBytes: .max)
        try listener.hear(reaction.output, from: whole)
    }
    for (index, step) in script.steps.enumerated() {
        let reaction = try whole.play(step, pieceBytes: .max)
        let other = try split.play(step, pieceBytes: script.pieceBytes)
        try require(
            (reaction.output == other.output || withoutContinue(reaction.output) == withoutContinue(other.output))
                && describe(reaction.effects) == describe(other.effects)
                && whole.stack.transport == split.stack.transport && whole.stack.user == split.stack.user
                && whole.stack.nextDeadline == split.stack.nextDeadline && whole.now.instant == split.now.instant,
            "the pieces do not matter: step \(index), \(step), \(reaction) or \(other)")
        try listener.hear(reaction.output, from: whole)
    }
    try whole.abandon()
    try split.abandon()
}

/// `100 Continue` is sent to a client that waits with its body; whether it waits is a matter of pieces.
private func withoutContinue(_ bytes: [UInt8]) -> [UInt8] {
    let interim = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
    guard let start = firstPosition(of: interim, in: bytes[...]) else { return bytes }
    return Array(bytes[..<start]) + withoutContinue(Array(bytes[(start + interim.count)...]))
}

private func firstPosition(of pattern: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
    guard let first = pattern.first else { return nil }
    var rest = bytes
    while let start = rest.firstIndex(of: first) {
        if bytes[start...].starts(with: pattern) { return start }
        rest = rest[(start + 1)...]
    }
    return nil
}

/// Effects, comparable: the bytes of a frame stand for its buffer.
private func describe(_ effects: [Effect]) -> [ComparableEffect] {
    effects.map { effect in
        switch effect {
        case .respond(let request, let route): .respond(request, route)
        case .upgraded: .upgraded
        case .authenticate(let request, let restaurant, let client): .authenticate(request, restaurant, client)
        case .reauthenticate(let token, let user): .reauthenticate(token, user)
        case .storage(let request, _): .storage(request)
        case .broadcast(let frame, let restaurant, _): .broadcast(frame.bytes(), restaurant)
        case .replay(let restaurant): .replay(restaurant)
        case .refused(let code): .refused(code)
        case .sessionEnded(let restaurant, let end, let wasAuthenticated):
            .sessionEnded(restaurant, end, wasAuthenticated)
        }
    }
}

private enum ComparableEffect: Equatable {
    case respond(HTTPRequest, Route)
    case upgraded
    case authenticate(AuthenticationRequest, RestaurantID, ClientType)
    case reauthenticate(String, UserID)
    case storage(StorageRequest)
    case broadcast([UInt8], RestaurantID)
    case replay(RestaurantID)
    case refused(APIError.Code)
    case sessionEnded(RestaurantID, SessionEnd, Bool)
}

/// The peer, who wants to understand everything that is sent.
private struct StackListener {
    private var isUpgraded = false
    private var hasHeardRefusal = false
    private var hasHeardClose = false

    mutating func hear(_ bytes: [UInt8], from shell: StackShell) throws(FuzzFailure) {
        guard shell.stack.isWebSocket, !shell.stack.isEcho else { return }
        var rest = bytes[...]
        if !isUpgraded {
            isUpgraded = true
            guard let start = firstPosition(of: Array("HTTP/1.1 101 ".utf8), in: rest),
                let end = firstPosition(of: Array("\r\n\r\n".utf8), in: rest[start...])
            else { throw FuzzFailure(description: "an upgrade is told") }
            rest = rest[(end + 4)...]
        }
        while !rest.isEmpty { try hearFrame(&rest, isAccepted: shell.isAccepted) }
    }

    private mutating func hearFrame(_ rest: inout ArraySlice<UInt8>, isAccepted: Bool) throws(FuzzFailure) {
        let decoded = try? WebSocketFrameDecoder.header(of: Array(rest.prefix(10)).span, masking: .forbidden)
        guard let header = decoded ?? nil, header.headerBytes + header.payloadBytes <= rest.count else {
            throw FuzzFailure(description: "whole frames only: \(rest)")
        }
        let payload = Array(rest.dropFirst(header.headerBytes).prefix(header.payloadBytes))
        rest = rest.dropFirst(header.headerBytes + header.payloadBytes)
        try require(!hasHeardClose, "nothing follows a close frame: \(header)")
        switch header.opcode {
        case .close: hasHeardClose = true
        case .pong: break
        case .text: try hearMessage(payload, isAccepted: isAccepted)
        case .ping, .binary, .continuation: throw FuzzFailure(description: "the server sends no \(header.opcode)")
        }
        try require(
            isAccepted || !hasHeardRefusal || header.opcode == .close || header.opcode == .text,
            "a refusal is followed by the end")
    }

    private mutating func hearMessage(_ text: [UInt8], isAccepted: Bool) throws(FuzzFailure) {
        var type: String?
        do {
            try JSON.scanObject(text.span) { key, value in
                if JSON.equals(key, "type", in: text.span) { type = JSON.string(value, in: text.span) }
            }
        } catch {
            throw FuzzFailure(description: "messages are JSON: \(String(decoding: text, as: UTF8.self))")
        }
        try require(type != nil, "messages have a type")
        guard !isAccepted else { return }
        try require(type == "auth_error", "a stranger is told nothing but a refusal: \(type ?? "")")
        try require(!hasHeardRefusal, "one refusal")
        hasHeardRefusal = true
    }
}
