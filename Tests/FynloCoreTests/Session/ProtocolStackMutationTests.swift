import FynloCore
import Testing

@Suite("ProtocolStack under mutation")
struct ProtocolStackMutationTests {
    private typealias F = FrameBytes

    private static func conversation(_ generator: inout SeededBytes) -> [UInt8] {
        let texts = [
            "{\"type\":\"ping\",\"data\":{\"a\":1}}", "{\"type\":\"table.cleaned\",\"id\":\"1\",\"data\":{\"t\":7}}",
            "{\"type\":\"order.status_update\",\"id\":\"2\",\"data\":{\"order_id\":\"\(Sample.order)\",\"status\":\"ready\"}}",
            "{\"type\":\"reauth\",\"token\":\"x\"}", "{\"type\":\"pong\"}", "nonsense",
        ]
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 0...2, using: &generator) {
            let requests = [
                "GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: r\r\n\r\n",
                "POST /debug/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
                "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
            ]
            bytes += Array((requests.randomElement(using: &generator) ?? "").utf8)
        }
        let path = Int.random(in: 0..<4, using: &generator) == 0 ? "/debug/echo" : Tablet.path
        bytes += Array(Tablet.handshake(path).utf8)
        bytes += F.frame(F.text, Tablet.authenticate())
        for _ in 0..<Int.random(in: 0...5, using: &generator) {
            let text = Array((texts.randomElement(using: &generator) ?? "").utf8)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes += F.fragments(F.text, text, of: 20)
            case 1: bytes += F.frame(F.ping, "p")
            default: bytes += F.frame(F.text, text)
            }
        }
        if Bool.random(using: &generator) { bytes += F.closeFrame(1000) }
        return bytes
    }

    private static func mutate(_ bytes: inout [UInt8], _ generator: inout SeededBytes) {
        for _ in 0..<Int.random(in: 0...3, using: &generator) {
            // Most of them behind the handshake, so that there is one.
            let start = Int.random(in: 0..<4, using: &generator) == 0 ? 0 : bytes.count / 2
            let index = Int.random(in: start..<bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1: bytes[index] = UInt8.random(in: 0...255, using: &generator)
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
            default: bytes.removeSubrange(index..<min(bytes.count, index + 4))
            }
            if bytes.isEmpty { bytes = [0] }
        }
    }

    /// Feeds the bytes in pieces; what has to be answered before the rest is read is answered at once.
    private func run(_ bytes: [UInt8], _ arrival: FrameArrival) -> (tablet: Tablet, output: [UInt8], effects: [String])
    {
        var tablet = Tablet(SessionSettings(hasEcho: true), arrival: arrival)
        var effects: [String] = []
        func answer(_ tablet: inout Tablet) {
            while tablet.stack.transport == .paused {
                effects += tablet.takeEffects().map(\.name)
                if tablet.stack.isAuthenticating {
                    tablet.deliver(.accepted(tablet.identity()))
                } else {
                    tablet.deliver(HTTPResponse(status: 200, body: [0x78]))
                }
            }
        }
        for piece in arrival.pieces(of: bytes) {
            tablet.arrival = .whole
            tablet.send(Array(piece))
            answer(&tablet)
        }
        effects += tablet.takeEffects().map(\.name)
        return (tablet, tablet.takeOutput(), effects)
    }

    @Test("spoilt conversations never trap, and mean the same however they arrive", arguments: 0..<40 as Range<UInt64>)
    func conversations(seed: UInt64) {
        var generator = SeededBytes(seed)
        for round in 0..<25 {
            var bytes = Self.conversation(&generator)
            Self.mutate(&bytes, &generator)
            let runs = FrameArrival.allCases.map { run(bytes, $0) }
            for (arrival, run) in zip(FrameArrival.allCases, runs) {
                #expect(run.output == runs[0].output, "seed \(seed), round \(round), \(arrival)")
                #expect(run.effects == runs[0].effects, "seed \(seed), round \(round), \(arrival)")
                #expect(run.tablet.stack.transport == runs[0].tablet.stack.transport, "seed \(seed), round \(round)")
                var tablet = run.tablet
                tablet.endOfInput()
                tablet.advance(.seconds(120))
                tablet.abandon()
                let ended = (run.effects + tablet.takeEffects().map(\.name)).filter { $0.hasPrefix("ended") }.count
                #expect(ended == run.effects.filter { $0 == "upgraded" }.count, "seed \(seed), round \(round)")
            }
        }
    }

    @Test("what is left of a piece is at most the beginning of a frame", arguments: 0..<10 as Range<UInt64>)
    func leftovers(seed: UInt64) {
        var generator = SeededBytes(seed)
        for _ in 0..<20 {
            var tablet = Tablet.active()
            var bytes: [UInt8] = []
            for _ in 0..<8 {
                let text =
                    "{\"type\":\"ping\",\"data\":\"\(String(repeating: "x", count: Int.random(in: 0...3_000, using: &generator)))\"}"
                bytes += F.frame(F.text, text)
            }
            Self.mutate(&bytes, &generator)
            var start = 0
            while start < bytes.count {
                let end = min(bytes.count, start + Int.random(in: 1...500, using: &generator))
                tablet.send(Array(bytes[start..<end]))
                start = end
            }
            #expect(tablet.largestLeftover < 140, "seed \(seed)")
        }
    }

    @Test("random bytes never trap", arguments: 0..<10 as Range<UInt64>)
    func noise(seed: UInt64) {
        var generator = SeededBytes(seed)
        for _ in 0..<50 {
            let bytes = (0..<Int.random(in: 1...200, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            var strange = Tablet()
            strange.send(bytes)
            var tablet = Tablet.active()
            tablet.send(bytes)
            tablet.advance(.seconds(300))
            #expect(tablet.stack.transport == .aborted)
        }
    }
}
