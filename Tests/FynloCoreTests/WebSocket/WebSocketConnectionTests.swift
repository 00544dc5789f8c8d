import FynloCore
import Testing

@Suite("WebSocket connection")
struct WebSocketConnectionTests {
    private typealias F = FrameBytes

    @Test("is small, because thousands of them idle")
    func size() {
        #expect(MemoryLayout<WebSocketConnection>.stride <= 80)
    }

    // MARK: The fast path

    @Test("hands out a message in one frame where it lies, without copying it")
    func inPlace() {
        var server = WebSocketEndpoint()
        server.receive(F.frame(F.text, "one") + F.frame(F.binary, [1, 2, 3]) + F.frame(F.text, ""))
        #expect(server.heard == [.text("one"), .binary([1, 2, 3]), .text("")])
        #expect(server.inPlace == 3)
        // Also the last fragment, if those before it were empty.
        server.receive(F.frame(F.text, "", final: false) + F.frame(F.continuation, "last"))
        #expect(server.inPlace == 4)
        server.receive(F.frame(F.text, "not ", final: false) + F.frame(F.continuation, "last"))
        #expect(server.inPlace == 4)
    }

    @Test("unmasks with every alignment of key and payload", arguments: 0..<40)
    func unmasking(count: Int) {
        let payload = (0..<count).map { UInt8($0 + 1) }
        for split in 0...(count + 6) {
            var server = WebSocketEndpoint()
            let frame = F.frame(F.binary, payload, mask: 0x8142_2318)
            server.receive(frame[..<split])
            server.receive(frame[split...])
            #expect(server.heard == [.binary(payload)])
        }
    }

    // MARK: Early refusal

    @Test("refuses bad UTF-8 at the byte that spoils it, within a frame", arguments: UTF8ValidatorTests.texts)
    func failsEarly(text: [UInt8]) {
        // The frame goes on after the text, so it is never whole.
        let header = F.header(F.text, claiming: 1_000, mask: 0)
        for start in [Array("κόσμε".utf8), []] {
            var server = WebSocketEndpoint()
            server.receive(header + start)
            for (index, byte) in text.enumerated() {
                let canBecomeValid = UTF8ValidatorTests.canBecomeValid(text[...index])
                server.receive([byte])
                #expect(server.heard == (canBecomeValid ? [] : [.failed(1007)]), "byte \(index) of \(text)")
                guard canBecomeValid else { break }
            }
        }
    }

    static let sizes: [(name: String, frames: [[UInt8]], heard: [Heard])] = {
        let fits = [UInt8](repeating: 0x2A, count: 1_000)
        let tooBig = fits + [0x2A]
        return [
            ("just below", [F.frame(F.text, Array(fits.dropLast()))], [.text(Array(fits.dropLast()))]),
            ("at the limit", [F.frame(F.text, fits)], [.text(fits)]),
            ("above", [F.frame(F.text, tooBig)], [.failed(1009)]),
            ("binary above", [F.frame(F.binary, tooBig)], [.failed(1009)]),
            ("only announced", [F.header(F.text, claiming: 1_001)], [.failed(1009)]),
            ("announced in 63 bits", [F.header(F.text, claiming: UInt64(Int64.max))], [.failed(1009)]),
            ("announced by a fragment", [F.header(F.text, claiming: 1_001, final: false)], [.failed(1009)]),
            ("fragments at the limit", [F.fragments(F.text, fits, of: 7)], [.text(fits)]),
            ("fragments above", [F.fragments(F.text, tooBig, of: 7)], [.failed(1009)]),
            (
                "announced by a later fragment",
                [F.frame(F.text, "x", final: false), F.header(F.continuation, claiming: 1_000)], [.failed(1009)]
            ),
            (
                "a later fragment in 63 bits",
                [F.frame(F.text, "x", final: false), F.header(F.continuation, claiming: UInt64(Int64.max))],
                [.failed(1009)]
            ),
            (
                "a fresh limit for each message", [F.frame(F.text, fits), F.fragments(F.text, fits, of: 999)],
                [.text(fits), .text(fits)]
            ),
        ]
    }()

    @Test("bounds messages before keeping them", arguments: sizes)
    func limit(name: String, frames: [[UInt8]], heard: [Heard]) {
        for arrival in FrameArrival.allCases {
            var server = WebSocketEndpoint(limit: 1_000)
            for piece in arrival.pieces(of: Array(frames.joined())) { server.receive(piece) }
            #expect(server.heard == heard)
        }
    }

    @Test("a changed limit holds from the next frame on")
    func changedLimit() {
        var server = WebSocketEndpoint(limit: 10)
        server.receive(F.frame(F.text, "0123456789"))
        server.connection.maximumMessageBytes = 11
        server.receive(F.frame(F.text, "01234567890"))
        server.receive(F.frame(F.text, "0123456789", final: false))
        server.connection.maximumMessageBytes = 5
        server.receive(F.frame(F.continuation, ""))
        #expect(server.heard == [.text("0123456789"), .text("01234567890"), .failed(1009)])
    }

    // MARK: Closing

    @Test("the peer closes first: answered with its code, finished, the rest dropped")
    func peerCloses() {
        var server = WebSocketEndpoint()
        server.receive(F.closeFrame(4001, Array("done".utf8)) + F.frame(F.text, "late"))
        #expect(server.heard == [.closing(4001, "done")])
        #expect(server.takeOutput() == F.closeFrame(4001, mask: nil))
        #expect(server.connection.state == .closed)
        #expect(server.input.isEmpty)
        server.receive(F.frame(F.ping))
        server.close(1000)
        server.connection.sendFrame(.ping, payload: [UInt8]().span, to: &server.output)
        server.connection.sendText(to: &server.output) { _ in Issue.record("nothing is written once closed") }
        #expect(server.output.isEmpty)
        #expect(server.heard.count == 1)
        let serverEnd = server.connection.endOfInput()
        #expect(serverEnd == .expected)
    }

    @Test("we close first: what is under way is skipped until the peer's close frame")
    func weClose() {
        for arrival in FrameArrival.allCases {
            var server = WebSocketEndpoint(limit: 100)
            server.close(1001, "bye")
            #expect(server.connection.state == .closing)
            #expect(!server.connection.isFinished)
            server.close(1000, "not sent twice")
            #expect(server.takeOutput() == F.closeFrame(1001, Array("bye".utf8), mask: nil))
            // Neither size, UTF-8 nor order of messages matters any more, and pings get no answer.
            let bytes =
                F.frame(F.text, Array(repeating: 0xFF, count: 5_000)) + F.frame(F.continuation, "x")
                + F.frame(F.ping, "ping") + F.frame(F.pong) + F.closeFrame(1001) + F.frame(F.text, "late")
            for piece in arrival.pieces(of: bytes) { server.receive(piece) }
            #expect(server.heard == [.closing(1001, "")])
            #expect(server.output.isEmpty)
            #expect(server.connection.isFinished)
            let serverEnd = server.connection.endOfInput()
            #expect(serverEnd == .expected)
        }
    }

    @Test("we close in the middle of the peer's message", arguments: [0, 5, 6, 7, 15, 16, 20, 26])
    func weCloseWithinMessage(split: Int) {
        let bytes =
            F.frame(F.text, "0123456789", final: false) + F.frame(F.continuation, "0123456789") + F.closeFrame(1000)
        var server = WebSocketEndpoint()
        server.receive(bytes[..<split])
        server.close(4000)
        server.receive(bytes[split...])
        #expect(server.heard == [.closing(1000, "")])
        #expect(server.takeOutput() == F.closeFrame(4000, mask: nil))
    }

    @Test("a violation after our close frame ends it without a second one")
    func violationWhileClosing() {
        var server = WebSocketEndpoint()
        server.close(1000)
        server.receive(F.frame(F.text, "x", reserved: 1))
        #expect(server.heard == [.failed(1002)])
        #expect(server.takeOutput() == F.closeFrame(1000, mask: nil))
        #expect(server.connection.isFinished)
        let serverEnd = server.connection.endOfInput()
        #expect(serverEnd == .expected)
    }

    @Test("both close at once")
    func bothClose() {
        var client = WebSocketEndpoint(.client(maskSeed: 7))
        var server = WebSocketEndpoint()
        client.close(1000, "client")
        server.close(1001, "server")
        let toServer = client.takeOutput()
        let toClient = server.takeOutput()
        client.receive(toClient)
        server.receive(toServer)
        #expect(client.heard == [.closing(1001, "server")])
        #expect(server.heard == [.closing(1000, "client")])
        #expect(client.output.isEmpty && server.output.isEmpty)
        #expect(client.connection.isFinished && server.connection.isFinished)
    }

    @Test("the end of the input without a close frame is abnormal")
    func endOfInput() {
        var open = WebSocketEndpoint()
        open.receive(F.frame(F.text, "half", final: false))
        let openEnd = open.connection.endOfInput()
        #expect(openEnd == .abnormal)
        #expect(open.connection.isFinished)
        #expect(open.connection.nextDeadline == nil)

        var closing = WebSocketEndpoint()
        closing.close(1000)
        let closingEnd = closing.connection.endOfInput()
        #expect(closingEnd == .abnormal)
        #expect(closing.connection.isFinished)
    }

    // MARK: Time

    private func moment(_ nanoseconds: Int64) -> Moment {
        Moment(instant: Instant(nanoseconds: nanoseconds), unixTime: UnixTime(milliseconds: 0))
    }

    @Test("gives the peer the close timeout to answer, then says once that the socket is to be reset")
    func closeTimeout() {
        var server = WebSocketEndpoint()
        #expect(server.connection.nextDeadline == nil)
        server.now = moment(1_000)
        server.close(1000)
        let deadline = Instant(nanoseconds: 5_000_001_000)
        #expect(server.connection.nextDeadline == deadline)
        var isTimeUp = server.connection.tick(now: moment(5_000_000_999))
        #expect(!isTimeUp && !server.connection.isFinished)
        isTimeUp = server.connection.tick(now: moment(5_000_001_000))
        #expect(isTimeUp && server.connection.isFinished)
        #expect(server.connection.nextDeadline == nil)
        isTimeUp = server.connection.tick(now: moment(9_000_000_000))
        #expect(!isTimeUp)
    }

    @Test("an answer does not extend the time; the socket itself must be gone by then, too")
    func lingering() {
        var server = WebSocketEndpoint()
        server.close(1000)
        server.now = moment(3_000_000_000)
        server.receive(F.closeFrame(1000))
        #expect(server.connection.isFinished)
        #expect(server.connection.nextDeadline == Instant(nanoseconds: 5_000_000_000))
        let isTimeUp = server.connection.tick(now: moment(5_000_000_000))
        #expect(isTimeUp)

        var failed = WebSocketEndpoint()
        failed.now = moment(3_000_000_000)
        failed.receive([0xFF])
        #expect(failed.connection.isFinished)
        #expect(failed.connection.nextDeadline == Instant(nanoseconds: 8_000_000_000))
    }

    // MARK: Sending

    @Test("a client masks each frame with another key, the same ones for the same seed")
    func clientMasks() throws {
        var outputs: [[UInt8]] = []
        for seed in [1, 1, 2] as [UInt64] {
            var client = WebSocketEndpoint(.client(maskSeed: seed))
            client.connection.sendText(to: &client.output) { $0.append("hello" as StaticString) }
            client.connection.sendFrame(.binary, payload: [1, 2, 3].span, to: &client.output)
            client.connection.sendFrame(.ping, payload: [4].span, to: &client.output)
            client.receive(F.frame(F.ping, "p", mask: nil))
            client.close(1000)
            outputs.append(client.takeOutput())
        }
        #expect(outputs[0] == outputs[1])
        #expect(outputs[0] != outputs[2])
        let frames = try #require(FrameBytes.parse(outputs[0]))
        #expect(frames.map(\.opcode) == [1, 2, 9, 10, 8])
        #expect(frames.map(\.payload) == [Array("hello".utf8), [1, 2, 3], [4], [0x70], [0x03, 0xE8]])
        #expect(Set(frames.map(\.mask)).count == frames.count)
        #expect(frames.allSatisfy { $0.mask != nil })
    }
}
