import FynloCore
import Testing

/// A ClientSession among everything that can happen to it, in an order that a seed decides: a server that commits and
/// forgets to answer, networks that go and come, tokens that are late, a program that is killed. What the session may never do
/// is checked at each step, what it has to reach at the end.
private final class ClientWalk {
    private var session: ClientSession
    private var clock = VirtualClock()
    private var random: SeededBytes
    private var output = ByteBuffer()
    private(set) var violations: [String] = []

    // The client's shell.
    private var isOpen = false
    private var wantsToken = 0
    private var unkept: [OutboxEntry] = []
    /// What survives the program.
    private var stored: [OutboxEntry] = []
    /// The last one that was finished: a program that is killed may not have written that down.
    private var finishedLast: OutboxEntry?
    private var told: [EventSequence] = []
    private var states: [String: CommandState] = [:]

    // The server, and what lies between.
    private var isUpgraded = false
    private var isIn = false
    /// The events; those of commands with their ids.
    private(set) var log: [String?] = []
    private var submitted: [String] = []
    private var isKind = false

    init(seed: UInt64) {
        random = SeededBytes(seed)
        session = ClientWalk.makeSession([], after: 0, SeededBytes(seed &+ 1))
    }

    private static func makeSession(
        _ commands: [OutboxEntry], after sequence: EventSequence, _ generator: SeededBytes
    ) -> ClientSession {
        ClientSession(
            identity: ClientServerPair.identity, lastSequence: sequence, commands: commands, using: generator)
    }

    private func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    // MARK: Steps

    func step() {
        switch Int.random(in: 0..<12, using: &random) {
        case 0: input { $0.connect(now: $1, effects: &$3) }
        case 1: submit()
        case 2: pass(.milliseconds(Int.random(in: 0...6_000, using: &random)))
        case 3: if chance(20) { input { $0.networkLost(now: $1, effects: &$3) } }
        case 4: input { $0.networkRestored(now: $1, output: &$2, effects: &$3) }
        case 5: happen()
        case 6: if chance(10) { kill() }
        case 7: if chance(10) { input { $0.disconnect(now: $1, output: &$2, effects: &$3) } }
        case 8: if isOpen, chance(15) { lose() }
        case 9: if isIn, chance(10) { say(#"{"type":"token_expired","data":{}}"#) }
        default: carryOn()
        }
        serve()
    }

    /// From here on everything goes well.
    func finish() {
        isKind = true
        for _ in 0..<400 {
            input { $0.connect(now: $1, effects: &$3) }
            carryOn()
            serve()
            pass(.seconds(1))
            serve()
        }
        happen()
        serve()
        if session.state != .connected { violations.append("not connected at the end: \(session.state)") }
        if !session.outbox.waiting.isEmpty { violations.append("commands are left: \(session.outbox.waiting)") }
        if told != (0..<log.count).map({ EventSequence($0 + 1) }) {
            violations.append("the record is not the log: \(told.count) of \(log.count)")
        }
        let effects = log.compactMap(\.self)
        if Set(effects).count != effects.count { violations.append("a command took effect twice: \(effects)") }
        for (id, state) in states where state == .queued || state == .sent {
            violations.append("\(id) was told to be \(state) last")
        }
        if effects != submitted.filter({ effects.contains($0) }) { violations.append("out of order: \(effects)") }
        for id in submitted where states[id] != nil && !effects.contains(id) {
            violations.append("\(id) was queued and is lost")
        }
    }

    private func submit() {
        let id = "c\(submitted.count)"
        submitted.append(id)
        input { session, now, _, effects in
            _ = try? session.submit("order.status_update", data: "{}", id: id, now: now, effects: &effects)
        }
    }

    /// Another program changes something.
    private func happen() {
        log.append(nil)
        if isIn { tell(log.count) }
    }

    private func pass(_ duration: Duration) {
        let end = clock.now.instant + duration
        while let deadline = session.nextDeadline, deadline <= end {
            clock.advance(to: deadline)
            input { $0.tick(now: $1, output: &$2, effects: &$3) }
            serve()
            if let later = session.nextDeadline, later <= clock.now.instant {
                return violations.append("a deadline that has passed is still there after tick")
            }
        }
        clock.advance(to: end)
    }

    /// The program is killed and started again: what was kept is there, what was told to the user is known.
    private func kill() {
        isOpen = false
        isUpgraded = false
        isIn = false
        wantsToken = 0
        // What was being written when it was killed may have been kept or not.
        let kept = unkept.prefix(Int.random(in: 0...unkept.count, using: &random))
        stored += kept
        unkept = []
        if let entry = finishedLast, chance(50), log.contains(entry.id) {
            stored.insert(entry, at: 0)
            states[entry.id] = .queued
        }
        finishedLast = nil
        output.removeAll()
        session = ClientWalk.makeSession(
            stored, after: told.last ?? 0, SeededBytes(UInt64.random(in: 0...UInt64.max, using: &random)))
    }

    /// The shell's answers to what the session wants.
    private func carryOn() {
        if wantsToken > 0 {
            wantsToken -= 1
            let result: Result<String, TokenFailure> =
                isKind || chance(80)
                ? .success("t\(Int.random(in: 0..<3, using: &random))")
                : .failure(chance(50) ? .unreachable("Away.") : .refused("No."))
            input { $0.deliver(token: result, now: $1, output: &$2, effects: &$3) }
        }
        if !unkept.isEmpty {
            let count = Int.random(in: 1...unkept.count, using: &random)
            stored += unkept.prefix(count)
            unkept.removeFirst(count)
            input { $0.deliver(kept: count, now: $1, output: &$2, effects: &$3) }
        }
        if isOpen, !isUpgraded {
            if isKind || chance(70) { upgrade() } else if chance(50) { lose() }
        }
    }

    private func input(
        _ body: (inout ClientSession, Moment, inout ByteBuffer, inout [ClientSession.Effect]) -> Void
    ) {
        var effects: [ClientSession.Effect] = []
        body(&session, clock.now, &output, &effects)
        for effect in effects { carryOut(effect) }
    }

    private func carryOut(_ effect: ClientSession.Effect) {
        switch effect {
        case .open:
            if isOpen { violations.append("a second connection") }
            isOpen = true
            isUpgraded = false
            isIn = false
            output.removeAll()
        case .close:
            if !isOpen { violations.append("closes what is not open") }
            // What was written last may have arrived.
            if chance(50) { serve() }
            isOpen = false
            isUpgraded = false
            isIn = false
        case .token: wantsToken += 1
        case .keep(.added(let entry)): unkept.append(entry)
        case .keep(.finished(let id)):
            finishedLast = stored.first { $0.id == id } ?? finishedLast
            stored.removeAll { $0.id == id }
        case .tell(.message(let message)):
            guard let sequence = message.sequence else { break }
            if sequence != (told.last ?? 0) + 1 { violations.append("\(sequence) after \(told.last ?? 0)") }
            told.append(sequence)
        case .tell(.command(let id, let state)):
            if states[id]?.isFinal == true { violations.append("\(id) has two ends") }
            if case .refused(let error) = state { violations.append("\(id) was refused: \(error)") }
            if !stored.contains(where: { $0.id == id }), !state.isFinal {
                violations.append("\(id) is \(state) and not kept")
            }
            states[id] = state
        case .tell: break
        }
    }

    // MARK: The server

    private func upgrade() {
        session.opened(output: &output)
        var parser = HTTPRequestParser(limits: HTTPLimits())
        guard let parsed = try? parser.next(&output),
            let accepted = try? WebSocketHandshake.accept(parsed, protocols: [])
        else { return violations.append("no upgrade is asked for") }
        isUpgraded = true
        give(
            Array(
                ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: \(accepted.acceptKey)\r\n\r\n").utf8))
    }

    private func give(_ bytes: [UInt8]) {
        guard isOpen else { return }
        var received = ByteBuffer(bytes)
        input { $0.receive(&received, now: $1, output: &$2, effects: &$3) }
    }

    private func say(_ message: String) {
        give(FrameBytes.frame(FrameBytes.text, message, mask: nil))
    }

    private func tell(_ sequence: Int) {
        say(#"{"type":"order.updated","seq":\#(sequence),"data":{}}"#)
    }

    private func lose() {
        input { $0.endOfInput(now: $1, output: &$2, effects: &$3) }
    }

    /// Reads what the client has said, and answers as the mood is.
    private func serve() {
        guard isUpgraded, let frames = FrameBytes.parse(output.bytes()) else { return }
        output.removeAll()
        for frame in frames where frame.opcode == FrameBytes.text {
            guard isOpen || !frames.isEmpty, let message = JSONTree(frame.payload) else { return }
            switch message["type"]?.text {
            case "authenticate": authenticate(message)
            case "ping": if isKind || chance(80) { say(#"{"type":"pong","data":{}}"#) }
            case "order.status_update": if let id = message["id"]?.text { command(id) }
            case "reauth": say(#"{"type":"authenticated","data":{}}"#)
            default: break
            }
        }
    }

    private func authenticate(_ message: JSONTree) {
        guard isKind || chance(80) else {
            say(
                chance(50)
                    ? #"{"type":"auth_error","data":{"code":"connection_limit","error":"E","retryable":true,"retry_after_ms":50}}"#
                    : #"{"type":"auth_error","data":{"code":"invalid_token","error":"E","retryable":false}}"#)
            return give(FrameBytes.closeFrame(4003, mask: nil))
        }
        guard case .number(let last)? = message["data"]?["last_seq"] else {
            return violations.append("no last_seq: \(message)")
        }
        say(#"{"type":"authenticated","data":{"seq":\#(log.count),"resumed":true}}"#)
        isIn = isOpen
        for sequence in (Int(last) + 1)..<(log.count + 1) where isIn { tell(sequence) }
    }

    private func command(_ id: String) {
        func commit() -> Int {
            if let index = log.firstIndex(of: id) { return index + 1 }
            log.append(id)
            return log.count
        }
        switch isKind ? 0 : Int.random(in: 0..<12, using: &random) {
        case 0...5:
            let count = log.count
            let sequence = commit()
            if log.count > count, isIn { tell(sequence) }
            say(#"{"type":"ack","data":{"id":"\#(id)","seq":\#(sequence)}}"#)
        case 6:
            // Committed, and nobody is told.
            _ = commit()
            isIn = false
            if isOpen { lose() }
        case 7: if isOpen { lose() }
        case 8:
            _ = commit()
            say(#"{"type":"error","data":{"id":"\#(id)","code":"unavailable","error":"E"}}"#)
            // Its event comes by the log.
            if isIn { tell(log.count) }
        case 9: say(#"{"type":"error","data":{"id":"\#(id)","code":"unavailable","error":"E"}}"#)
        case 10:
            say(#"{"type":"error","data":{"id":"\#(id)","code":"rate_limited","error":"E","retry_after_ms":100}}"#)
        default: break
        }
    }
}

@Suite("ClientSession among everything that can happen")
struct ClientSessionWalkTests {
    @Test(
        "never has two connections, loses or doubles no command and no event, and gets there in the end",
        arguments: 1...400 as ClosedRange<UInt64>)
    func walk(seed: UInt64) {
        let walk = ClientWalk(seed: seed)
        for _ in 0..<300 {
            walk.step()
            if !walk.violations.isEmpty { break }
        }
        if walk.violations.isEmpty { walk.finish() }
        #expect(walk.violations.isEmpty, "seed \(seed)")
    }
}
