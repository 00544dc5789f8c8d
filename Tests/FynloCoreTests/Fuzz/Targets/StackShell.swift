// The shell of one ProtocolStack while a script is played: it keeps what is left over, carries out no effect but notes
// it, and checks what must hold at every step.

import FynloCore

/// What one step made the stack do.
struct StackReaction {
    var output: [UInt8] = []
    var effects: [Effect] = []
}

struct StackShell {
    private(set) var stack: ProtocolStack
    private(set) var now = Moment(
        instant: Instant(nanoseconds: 1_000_000_000), unixTime: UnixTime(milliseconds: 1_769_882_645_123))
    private let settings: SessionSettings
    private var leftover = ByteBuffer()
    private var hasInputEnded = false

    // What is awaited, and what has been.
    private var awaitsAuthentication = false
    private var awaitsReauthentication = false
    private var awaitsCommand = false
    private var awaitsResponse = false
    private var upgrades = 0
    private(set) var isAccepted = false
    private var hasEnded = false
    private var hasLeft = false
    private var cursor: EventSequence = 0

    init(_ script: StackScript) {
        settings = script.settings
        stack = ProtocolStack(
            id: FuzzSample.connection, settings: script.settings, peer: script.peer, refusal: script.refusal, now: now)
        stack.admitsUpgrades = script.admitsUpgrades
    }

    /// Does one step; the peer's bytes arrive in pieces of at most `pieceBytes`.
    mutating func play(_ step: StackStep, pieceBytes: Int) throws(FuzzFailure) -> StackReaction {
        var output = ByteBuffer()
        var effects: [Effect] = []
        switch step {
        case .receive(let bytes):
            // After the end, or once everything has been said, nothing more is read.
            guard !hasInputEnded, stack.transport == .open || stack.transport == .paused else { break }
            for piece in pieces(of: bytes[...], of: pieceBytes) {
                leftover.append(Array(piece))
                receive(&output, &effects)
            }
        case .pass(let milliseconds):
            pass(milliseconds)
        case .tick:
            try tick(&output, &effects)
        case .tickWhenDue:
            if let deadline = stack.nextDeadline, deadline > now.instant {
                pass((deadline - now.instant + .nanoseconds(999_999)).inMilliseconds)
            }
            try tick(&output, &effects)
        case .answerAuthentication(let choice):
            guard awaitsAuthentication else { break }
            awaitsAuthentication = false
            let outcome = authentication(choice)
            let wasAuthenticating = stack.isAuthenticating
            stack.deliver(authentication: outcome, now: now, output: &output, effects: &effects)
            if wasAuthenticating, case .accepted(let identity) = outcome {
                isAccepted = true
                cursor = stack.replayPosition ?? identity.sequence
            }
        case .answerReauthentication(let choice):
            guard awaitsReauthentication else { break }
            awaitsReauthentication = false
            stack.deliver(
                reauthentication: reauthentication(choice), now: now, output: &output, effects: &effects)
        case .answerCommand(let choice):
            guard awaitsCommand else { break }
            awaitsCommand = false
            stack.deliver(command: command(choice), now: now, output: &output, effects: &effects)
        case .answerRequest(let choice):
            guard awaitsResponse else { break }
            awaitsResponse = false
            stack.deliver(response: response(choice), now: now, output: &output)
        case .answerReplay(let choice):
            try replay(choice, &output)
        case .broadcast(let sequence):
            try broadcast(sequence, &output)
        case .close(let reason):
            stack.close(reason, now: now, output: &output, effects: &effects)
        case .leave:
            hasLeft = true
            stack.leave(retryAfter: .milliseconds(250), now: now, output: &output, effects: &effects)
        case .endOfInput:
            hasInputEnded = true
            stack.endOfInput(now: now, effects: &effects)
        }
        // What was left unread while an answer was awaited.
        if !leftover.isEmpty, stack.transport == .open {
            receive(&output, &effects)
        }
        try note(effects)
        try check()
        return StackReaction(output: output.bytes(), effects: effects)
    }

    /// The socket is gone; afterwards every session that began has ended.
    mutating func abandon() throws(FuzzFailure) {
        var effects: [Effect] = []
        stack.abandon(effects: &effects)
        try note(effects)
        try check()
        try require(stack.transport == .aborted, "an abandoned connection is over")
        try require(hasEnded || upgrades == 0, "a session that began ends")
        effects = []
        stack.abandon(effects: &effects)
        try require(effects.isEmpty, "a session ends once")
    }

    // MARK: Steps

    private mutating func receive(_ output: inout ByteBuffer, _ effects: inout [Effect]) {
        stack.receive(&leftover, now: now, output: &output, effects: &effects) { client in
            // Addresses that end in an odd digit have too many connections.
            client.bits & 1 == 0 ? nil : APIError(.connectionLimit, "Too many.")
        }
    }

    private mutating func pass(_ milliseconds: Int64) {
        now.instant = now.instant + .milliseconds(milliseconds)
        now.unixTime.milliseconds += milliseconds
    }

    private mutating func tick(_ output: inout ByteBuffer, _ effects: inout [Effect]) throws(FuzzFailure) {
        guard stack.transport != .aborted else { return }
        stack.tick(now: now, output: &output, effects: &effects)
        guard stack.transport != .aborted, let deadline = stack.nextDeadline else { return }
        try require(deadline > now.instant, "what was due is done: the loop does not spin")
    }

    private mutating func broadcast(_ sequence: EventSequence?, _ output: inout ByteBuffer) throws(FuzzFailure) {
        var frame = ByteBuffer()
        WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { $0.append("{\"type\":\"order.updated\"}") }
        let isExpected =
            stack.user != nil && (sequence.map { $0 > cursor && stack.replayPosition == nil } ?? true)
        stack.deliver(frame: frame, sequence: sequence, now: now, output: &output)
        let isGap = sequence.map { $0 - 1 > cursor } ?? false
        let bytes = isExpected ? frame.bytes() : []
        try require(
            isExpected && isGap ? output.bytes().suffix(bytes.count) == bytes[...] : output.bytes() == bytes,
            "each event once and in order")
        if isExpected, let sequence { cursor = sequence }
    }

    private mutating func replay(_ choice: UInt8, _ output: inout ByteBuffer) throws(FuzzFailure) {
        let position = stack.replayPosition
        let events = (0..<EventSequence(choice & 15)).map { offset in
            EventFrame(
                DurableEvent(
                    restaurant: FuzzSample.restaurant, sequence: cursor + offset, type: "order.updated",
                    data: Array("{}".utf8), createdAt: now.unixTime))
        }
        switch choice >> 6 {
        case 0: stack.deliver(replay: .finished, now: now, output: &output)
        case 1:
            stack.deliver(replay: .lost(head: cursor + EventSequence(choice & 15)), now: now, output: &output)
            if position != nil { cursor += EventSequence(choice & 15) }
        default:
            stack.deliver(replay: .events(events[...]), now: now, output: &output)
            let expected = position == nil ? [] : events.dropFirst().flatMap { $0.frame.bytes() }
            try require(output.bytes() == expected, "what was missed, each event once and in order")
            if position != nil, let last = events.last { cursor = last.sequence }
        }
        try require(position != nil || output.isEmpty, "nobody is told twice")
        try require(stack.replayPosition.map { $0 == cursor } ?? true, "a replay goes on where it was")
    }

    // MARK: Answers

    private func authentication(_ choice: UInt8) -> AuthenticationOutcome {
        guard choice & 1 == 1, let token = token(choice) else {
            let failures = AuthenticationFailure.allCases
            return .failed(
                failures[Int(choice >> 1) % failures.count], retryAfter: choice & 0x80 == 0 ? nil : .seconds(2))
        }
        return .accepted(
            AcceptedIdentity(
                user: FuzzSample.user, role: .employee, restaurant: FuzzSample.restaurant,
                sequence: EventSequence(choice >> 4), tokenExpiresAt: token.expiresAt,
                tokenEndsAt: token.endOfUse(acceptedAt: now.unixTime, leeway: settings.limits.tokenLeeway)))
    }

    private func reauthentication(_ choice: UInt8) -> ReauthenticationOutcome {
        guard choice & 1 == 1, let token = token(choice) else {
            return .failed(choice & 2 == 0 ? .invalidToken : .unavailable)
        }
        return .accepted(token)
    }

    /// A token that ends at one of the times worth trying; `nil` if it is over.
    private func token(_ choice: UInt8) -> AccessToken? {
        let seconds = now.unixTime.seconds
        let ends: [Int64] = [
            seconds - 20, seconds + 1, seconds + 200, seconds + 3_600, seconds + 86_400, 9_999_999_999, 99_999_999_999,
            253_402_300_799,
        ]
        let parts = [#"{"alg":"HS256"}"#, "{\"sub\":\"s\",\"exp\":\(ends[Int(choice >> 1 & 7)])}", "x"]
        let text = parts.map { Base64.encode(Array($0.utf8), as: .url) }.joined(separator: ".")
        return try? AccessToken.verify(
            text, keys: BelievingKeys(), policy: TokenPolicy(), now: now.unixTime)
    }

    private func command(_ choice: UInt8) -> CommandAnswer {
        switch choice & 7 {
        case 0: .done(sequence: nil)
        case 1: .refused(.unavailable)
        case 2: .refused(.queryTimeout)
        case 3: .refused(APIError(.versionConflict, "It has changed.", order: Array("{\"version\":3}".utf8)))
        default: .done(sequence: EventSequence(choice >> 3))
        }
    }

    private func response(_ choice: UInt8) -> HTTPResponse {
        var response = HTTPResponse(status: [200, 204, 304, 401, 404, 500, 503][Int(choice & 127) % 7])
        if response.status != 204, response.status != 304 { response.body = Array("{\"some\":\"body\"}".utf8) }
        if choice & 128 != 0 { response.headers.append("Connection", "close") }
        return response
    }

    // MARK: What must hold

    private mutating func note(_ effects: [Effect]) throws(FuzzFailure) {
        for effect in effects {
            switch effect {
            case .respond:
                try require(!awaitsResponse && upgrades == 0, "one request at a time")
                awaitsResponse = true
            case .upgraded:
                upgrades += 1
                try require(upgrades == 1, "one upgrade")
            case .authenticate(_, let restaurant, _):
                try require(restaurant == FuzzSample.restaurant || upgrades == 1, "a restaurant from the path")
                try require(!awaitsAuthentication && !isAccepted && !hasEnded, "one authentication")
                awaitsAuthentication = true
            case .reauthenticate(_, let user):
                try require(isAccepted && !hasEnded && user == FuzzSample.user, "a token for who is there")
                try require(!awaitsReauthentication, "one token at a time")
                awaitsReauthentication = true
            case .storage(.updateOrderStatus(_, _, let user, _), _):
                try require(isAccepted && !hasEnded && user == FuzzSample.user, "orders for who is there only")
                try require(!awaitsCommand, "one command at a time")
                try require(!hasLeft, "nothing is begun by a server that is going away")
                awaitsCommand = true
            case .replay(let restaurant):
                try require(isAccepted && !hasEnded, "a replay for who is there")
                try require(restaurant == FuzzSample.restaurant || upgrades == 1, "a restaurant from the path")
            case .broadcast:
                try require(isAccepted && !hasEnded, "nobody speaks who has not said who they are")
            case .refused:
                break
            case .sessionEnded(_, _, let wasAuthenticated):
                try require(upgrades == 1 && !hasEnded, "a session that began ends once")
                try require(wasAuthenticated == isAccepted, "an end says whether somebody leaves")
                hasEnded = true
            }
        }
    }

    private func check() throws(FuzzFailure) {
        try require((stack.user != nil) == (isAccepted && !hasEnded), "a user from the acceptance to the end")
        try require(
            stack.forwardedFor == nil || stack.isWebSocket || awaitsResponse, "nobody is forwarded between requests")
        try require(stack.isAuthenticating == (awaitsAuthentication && !hasEnded), "waiting means waiting")
        if stack.transport == .open, !hasInputEnded {
            let http = settings.http
            let lineBytes = max(http.requestLineBytes, http.headerBytes, http.chunkExtensionBytes + 16)
            let bound = stack.isWebSocket ? 139 : lineBytes + 2
            try require(leftover.count <= bound, "\(leftover.count) bytes are left over of at most \(bound)")
        }
    }
}

/// Believes every signature.
private struct BelievingKeys: TokenSignatureChecking {
    func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool {
        true
    }
}
