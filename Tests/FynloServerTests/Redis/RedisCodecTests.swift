import FynloCore
import Testing

@testable import FynloServer

@Suite("Redis commands and replies as bytes")
struct RedisCodecTests {
    private static let uuid = UUID128(high: 0x0123_4567_89ab_cdef, low: 0x0011_2233_4455_6677)

    @Test(
        "commands are arrays of strings",
        arguments: [
            (["PING"], "*1\r\n$4\r\nPING\r\n"),
            (["GET", ""], "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"),
            (["SET", .text("ключ"), .bytes([0, 13, 10])], "*3\r\n$3\r\nSET\r\n$8\r\nключ\r\n$3\r\n\0\r\n\r\n"),
            (["X", 0, 9, 10, -1], "*5\r\n$1\r\nX\r\n$1\r\n0\r\n$1\r\n9\r\n$2\r\n10\r\n$2\r\n-1\r\n"),
            (["X", .integer(.max)], "*2\r\n$1\r\nX\r\n$19\r\n9223372036854775807\r\n"),
            (
                ["X", .uuid(uuid), .uuid(uuid, after: "fynlo:1:é:")],
                "*3\r\n$1\r\nX\r\n$36\r\n01234567-89ab-cdef-0011-223344556677\r\n"
                    + "$47\r\nfynlo:1:é:01234567-89ab-cdef-0011-223344556677\r\n"
            ),
            (["X", .integer(.min)], "*2\r\n$1\r\nX\r\n$20\r\n-9223372036854775808\r\n"),
        ] as [([RedisArgument], String)])
    func commands(arguments: [RedisArgument], expected: String) {
        var output = ByteBuffer()
        output.append(command: arguments)
        #expect(output.bytes() == Array(expected.utf8))
        #expect(arguments.boundBytes >= output.count)
    }

    static let replies: [(String, [RedisReply])] = [
        ("+OK\r\n", [.status("OK")]),
        ("+\r\n", [.status("")]),
        ("-ERR no\r\n", [.error("ERR no")]),
        (":0\r\n:-1\r\n", [.integer(0), .integer(-1)]),
        (":9223372036854775807\r\n:-9223372036854775808\r\n", [.integer(.max), .integer(.min)]),
        ("$0\r\n\r\n", [.string([])]),
        ("$4\r\n\0\r\n\0\r\n", [.string([0, 13, 10, 0])]),
        ("$-1\r\n*-1\r\n", [.null, .null]),
        ("*0\r\n", [.array([])]),
        ("*3\r\n$1\r\na\r\n$-1\r\n:7\r\n", [.array([.string([97]), .null, .integer(7)])]),
        (
            "*2\r\n*2\r\n+a\r\n-b\r\n*1\r\n*0\r\n",
            [.array([.array([.status("a"), .error("b")]), .array([.array([])])])]
        ),
        ("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", [nested(6, .integer(1))]),
    ]

    static func nested(_ depth: Int, _ inner: RedisReply) -> RedisReply {
        depth == 0 ? inner : .array([nested(depth - 1, inner)])
    }

    @Test("replies are read whole, byte by byte, and with the next one attached", arguments: replies)
    func reading(wire: String, expected: [RedisReply]) {
        #expect(read([Array(wire.utf8)]) == expected)
        #expect(read(wire.utf8.map { [$0] }) == expected)
        #expect(read([Array((wire + "+next\r\n" + wire).utf8)]) == expected + [.status("next")] + expected)
        #expect(read([Array(wire.utf8.dropLast())]) == expected.dropLast())
    }

    @Test("messages of channels that begin as one's own do are passed over, and nothing else is")
    func passingOver() {
        let reader = RedisReplyReader(passingOver: Array("mine".utf8))
        func wire(_ words: [String]) -> String {
            "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
        }
        let kept = [
            ["message", "c", "min"], ["message", "c", "theirs: mine"], ["message", "mine", ""],
            ["messages", "c", "mine"], ["pmessage", "*", "c", "mine"], ["message", "mine"], ["mine"],
        ]
        let own = wire(["message", "c", "mine"])
        let text = kept.map { own + wire($0) + wire(["message", "c", "mine, too"]) }.joined() + "$4\r\nmine\r\n"
        for byte in text.utf8 { reader.feed([byte].span) }
        var (replies, passedOver) = ([RedisReply](), 0)
        reading: while true {
            switch reader.next() {
            case .reply(let reply): replies.append(reply)
            case .passedOver: passedOver += 1
            case .needsMoreBytes: break reading
            case .rubbish(let reason):
                Issue.record("\(reason)")
                break reading
            }
        }
        #expect(replies == kept.map { .array($0.map(RedisReply.text)) } + [.text("mine")])
        #expect(passedOver == 2 * kept.count && reader.pendingBytes == 0)
    }

    @Test("a large string comes in many parts")
    func largeString() {
        let value = (0..<1_500_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }
        let wire = Array("$\(value.count)\r\n".utf8) + value + [13, 10]
        let parts = stride(from: 0, to: wire.count, by: 65_536).map { Array(wire[$0..<min($0 + 65_536, wire.count)]) }
        #expect(read(parts) == [.string(value)])
    }

    static let wrongReplies: [String] = [
        "HTTP/1.1 400 Bad Request\r\n", "\0", "\r\n", "OK\r\n", "%1\r\n", ":abc\r\n", ":1x\r\n", ":\r\n", "$x\r\n",
        "$-2\r\n", "$99999999999999999999\r\n", "*x\r\n", "*-2\r\n", "*2147483648\r\n", "*1\r\nrubbish",
        // More elements than are read: of one array, of the arrays of one reply together.
        "*2147483647\r\n", "*131073\r\n", "*131072\r\n*1\r\n", "*2\r\n*65536\r\n*65535\r\n",
        // Deeper than any answer.
        String(repeating: "*1\r\n", count: 9),
        // Lines without an end.
        "+" + String(repeating: "a", count: 65_600), "$" + String(repeating: "1", count: 65_600),
        "*1\r\n:" + String(repeating: "1", count: 65_600),
    ]

    @Test("rubbish is told apart at once", arguments: wrongReplies.indices)
    func rubbish(_ row: Int) {
        let wire = Self.wrongReplies[row]
        let reader = RedisReplyReader()
        reader.feed(wire.utf8Span.span)
        guard case .rubbish(let reason) = reader.next() else {
            Issue.record("rubbish was taken for a reply")
            return
        }
        #expect(reason.hasPrefix("It ") && reason.hasSuffix("."))
        reader.feed("+OK\r\n".utf8Span.span)
        guard case .rubbish = reader.next() else {
            Issue.record("the reader trusts a peer again that has lost its step")
            return
        }
    }

    @Test("the limit of elements is one of each reply")
    func elementLimit() {
        let wire = Array(("*131072\r\n" + String(repeating: ":1\r\n", count: 131_072)).utf8)
        let expected = RedisReply.array(Array(repeating: .integer(1), count: 131_072))
        #expect(read([wire, wire]) == [expected, expected])
    }

    @Test("counts the bytes of a reply that is not complete")
    func pendingBytes() {
        let reader = RedisReplyReader()
        reader.feed("+OK\r\n*2\r\n$3\r\nabc\r\n$5\r\nab".utf8Span.span)
        #expect(reader.next() == .reply(.status("OK")))
        #expect(reader.next() == .needsMoreBytes)
        #expect(reader.pendingBytes == 19)
        reader.feed("cde\r\n".utf8Span.span)
        #expect(reader.next() == .reply(.array([.string(Array("abc".utf8)), .string(Array("abcde".utf8))])))
        #expect(reader.pendingBytes == 0)
    }

    @Test("mutated replies never end the process")
    func mutations() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        let alphabet = Array("+-:$*0123456789\r\n\0a".utf8)
        var read = 0
        for _ in 0..<20_000 {
            var wire = Array((Self.replies.randomElement(using: &random)?.0 ?? "").utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let byte = alphabet.randomElement(using: &random) ?? 0
                let position = Int.random(in: 0...wire.count, using: &random)
                if position < wire.count, Bool.random(using: &random) {
                    wire[position] = byte
                } else {
                    wire.insert(byte, at: position)
                }
            }
            let reader = RedisReplyReader()
            let half = Int.random(in: 0...wire.count, using: &random)
            for part in [wire[..<half], wire[half...]] {
                reader.feed(Array(part).span)
                while case .reply = reader.next() { read += 1 }
            }
        }
        #expect(read > 0, "seed \(seed)")
    }

    /// All replies of bytes that come in `parts`.
    private func read(_ parts: [[UInt8]]) -> [RedisReply] {
        let reader = RedisReplyReader()
        var replies: [RedisReply] = []
        for part in parts {
            reader.feed(part.span)
            while case .reply(let reply) = reader.next() { replies.append(reply) }
        }
        return replies
    }
}

@Suite("Redis commands that wait for their answers")
struct PendingRequestsTests {
    @Test("are answered in order, however many there are, and told once when their time is over")
    func order() {
        var pending = PendingRequests()
        var told: [Int] = []
        for number in 0..<2000 {
            let deadline = Instant(nanoseconds: Int64(number % 10))
            pending.append(
                PendingRequest(sentAt: Instant(nanoseconds: 0), deadline: deadline) { _ in told.append(number) })
        }
        for number in 0..<1000 {
            pending.popFirst()?.reply?(.success(.null))
            #expect(told.last == number)
        }
        told = []
        let (expired, next) = pending.expire(by: Instant(nanoseconds: 3))
        for reply in expired { reply(.failure(.timeout)) }
        #expect(told == (1000..<2000).filter { $0 % 10 <= 3 })
        #expect(next == Instant(nanoseconds: 4) && pending.count == 1000)
        #expect(pending.expire(by: Instant(nanoseconds: 3)).expired.isEmpty)

        #expect(pending.popFirst()?.reply == nil)
        told = []
        for reply in pending.removeAll() { reply(.failure(.connectionLost)) }
        #expect(told == (1000..<2000).filter { $0 % 10 > 3 })
        #expect(pending.isEmpty && pending.popFirst() == nil && pending.first == nil)
    }
}

/// A generator with a seed, so that a failure can be seen again.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
