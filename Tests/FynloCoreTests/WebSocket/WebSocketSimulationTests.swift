import FynloCore
import Testing

@Suite("WebSocket simulation")
struct WebSocketSimulationTests {
    private typealias F = FrameBytes

    /// A line between two ends that delivers what is sent in pieces of random size.
    private struct Line {
        var bytes: [UInt8] = []
        var delivered = 0

        mutating func deliver(to end: inout WebSocketEndpoint, using generator: inout SeededBytes) {
            let waiting = bytes.count - delivered
            guard waiting > 0 else { return }
            let most = Int.random(in: 0..<4, using: &generator) == 0 ? min(waiting, 9) : waiting
            let count = Int.random(in: 1...most, using: &generator)
            end.receive(bytes[delivered..<delivered + count])
            delivered += count
        }
    }

    @Test("two ends joined by a line that splits hear all of each other, in order", arguments: 0..<30 as Range<UInt64>)
    func joined(seed: UInt64) {
        var generator = SeededBytes(seed)
        var client = WebSocketEndpoint(.client(maskSeed: seed), echoes: false)
        var server = WebSocketEndpoint()
        var (up, down) = (Line(), Line())
        var sent: [Heard] = []
        var pings = 0
        let letters = Array("aé語🍽")
        while !client.connection.isFinished || !server.connection.isFinished {
            switch Int.random(in: 0..<12, using: &generator) {
            case 0 where sent.count < 30:
                let letter = letters[Int.random(in: 0..<4, using: &generator)]
                let text = String(repeating: letter, count: Int.random(in: 0...300, using: &generator))
                client.connection.sendText(to: &client.output) { $0.append(text) }
                sent.append(.text(text))
            case 1 where sent.count < 30:
                let most = [300, 300, 70_000][Int.random(in: 0..<3, using: &generator)]
                let payload = [UInt8](repeating: UInt8(sent.count), count: Int.random(in: 0...most, using: &generator))
                client.connection.sendFrame(.binary, payload: payload.span, to: &client.output)
                sent.append(.binary(payload))
            case 2 where sent.count < 30:
                client.connection.sendFrame(.ping, payload: [1, 2, 3].span, to: &client.output)
                pings += 1
            case 3 where sent.count >= 30:
                client.close(1000, "enough")
            case 4...7:
                up.bytes += client.takeOutput()
                up.deliver(to: &server, using: &generator)
            default:
                down.bytes += server.takeOutput()
                down.deliver(to: &client, using: &generator)
            }
        }
        // What was echoed after the client had closed is not delivered to it, so the client may miss the last ones.
        let echoed = client.heard.filter { $0 != .pong }.dropLast()
        #expect(server.heard.filter { $0 != .ping } == sent + [.closing(1000, "enough")])
        #expect(server.heard.filter { $0 == .ping }.count == pings)
        #expect(Array(echoed) == Array(sent.prefix(echoed.count)))
        #expect(client.heard.last == .closing(1000, ""))
        #expect(client.largestLeftover < 140 && server.largestLeftover < 140)
        let ends = [client.connection.endOfInput(), server.connection.endOfInput()]
        #expect(ends == [.expected, .expected])
    }

    /// A conversation with everything in it, as the client sends it.
    private static func conversation(mask: UInt32?) -> [UInt8] {
        F.frame(F.text, "Hello-µ@ßöäüàá-UTF-8!!", mask: mask) + F.frame(F.ping, "ping", mask: mask)
            + F.frame(F.text, "κόσ", final: false, mask: mask) + F.frame(F.pong, "pong", mask: mask)
            + F.frame(F.continuation, "με 🍽", mask: mask)
            + F.frame(F.binary, Array(repeating: 0xC3, count: 130), mask: mask)
            + F.fragments(F.text, Array(repeating: 0x61, count: 300), of: 127, mask: mask)
            + F.closeFrame(4001, Array("bye é".utf8), mask: mask)
    }

    @Test("spoilt bytes never trap, and mean the same however they arrive", arguments: 0..<40 as Range<UInt64>)
    func mutations(seed: UInt64) {
        var generator = SeededBytes(seed)
        for round in 0..<30 {
            let isServer = round % 2 == 0
            var bytes = Self.conversation(mask: isServer ? 0x0011_22FE : nil)
            for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<5, using: &generator) {
                case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 1: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                case 2: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
                case 3: bytes.removeSubrange(index..<min(bytes.count, index + 5))
                default: bytes.removeLast(bytes.count - index)
                }
            }
            let closesItself = Int.random(in: 0..<8, using: &generator) == 0
            let ends = FrameArrival.allCases.map { arrival in
                var end = WebSocketEndpoint(isServer ? .server : .client(maskSeed: seed), limit: 250)
                if closesItself { end.close(1000) }
                for piece in arrival.pieces(of: bytes) { end.receive(piece) }
                return end
            }
            for end in ends {
                #expect(end.heard == ends[0].heard, "seed \(seed), round \(round)")
                #expect(end.output.bytes() == ends[0].output.bytes(), "seed \(seed), round \(round)")
                #expect(end.connection.state == ends[0].connection.state, "seed \(seed), round \(round)")
                #expect(end.largestLeftover < 140)
                #expect(FrameBytes.parse(end.output.bytes()) != nil)
            }
        }
    }

    @Test("random bytes never trap", arguments: 0..<40 as Range<UInt64>)
    func noise(seed: UInt64) {
        var generator = SeededBytes(seed)
        for _ in 0..<100 {
            // The first byte is one that a frame may begin with, so that some get further.
            var bytes = (0..<Int.random(in: 1...60, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            bytes[0] = [0x01, 0x02, 0x81, 0x82, 0x88, 0x89, 0x8A][Int.random(in: 0..<7, using: &generator)]
            var server = WebSocketEndpoint(limit: 100)
            var client = WebSocketEndpoint(.client(maskSeed: seed), limit: 100)
            for piece in FrameArrival.oddChops.pieces(of: bytes) {
                server.receive(piece)
                client.receive(piece)
            }
            #expect(server.largestLeftover < 140 && client.largestLeftover < 140)
        }
    }
}
