import FynloCore
import Testing

/// What a client sends and what a server that echoes must make of it; the sections and names are those of the Autobahn
/// test suite.
struct ConformanceCase: CustomTestStringConvertible, Sendable {
    var name: String
    var bytes: [UInt8]
    var expected: [Heard]
    /// The payloads of the pongs the server answers with, in order.
    var pongs: [[UInt8]]

    init(_ name: String, _ frames: [[UInt8]], _ expected: [Heard], pongs: [String] = []) {
        self.init(name, frames, expected, pongBytes: pongs.map { Array($0.utf8) })
    }

    init(_ name: String, _ frames: [[UInt8]], _ expected: [Heard], pongBytes: [[UInt8]]) {
        self.name = name
        bytes = []
        for frame in frames { bytes += frame }
        self.expected = expected
        pongs = pongBytes
    }

    var testDescription: String { name }

    /// True when nothing more is heard after this case.
    var endsConnection: Bool {
        expected.contains { heard in
            switch heard {
            case .closing, .failed: true
            case .text, .binary, .ping, .pong: false
            }
        }
    }
}

@Suite("WebSocket conformance")
struct WebSocketConformanceTests {
    static let cases =
        framing + pingsAndPongs + reservedBits + opcodes + fragmentation + utf8 + closeHandling + limits
        + automaticFragmentation

    @Test("hears the same and answers the same, however the bytes arrive", arguments: cases)
    func conformance(row: ConformanceCase) {
        let next = FrameBytes.frame(FrameBytes.ping, "next")
        for arrival in FrameArrival.allCases where arrival != .byteByByte || row.bytes.count <= 20_000 {
            for suffix in row.bytes.count <= 70_000 ? [[], next] : [next] {
                var server = WebSocketEndpoint()
                for piece in arrival.pieces(of: row.bytes + suffix) { server.receive(piece) }
                let hearsNext = !suffix.isEmpty && !row.endsConnection
                let expected = row.expected + (hearsNext ? [.ping] : [])
                // Not in #expect: describing megabytes takes longer than everything else.
                if server.heard != expected {
                    Issue.record("\(arrival): heard \(Self.brief(server.heard)), not \(Self.brief(expected))")
                }
                let sent = FrameBytes.parse(server.takeOutput())
                if sent?.map(\.brief) != Self.answers(to: expected, pongs: row.pongs + [Array("next".utf8)]) {
                    Issue.record("\(arrival): sent \(sent.map { $0.map(\.brief) } as Any)")
                }
                #expect(server.connection.isFinished == row.endsConnection)
                #expect(server.largestLeftover < 140)
            }
        }
    }

    /// What an echo server sends; a close frame is compared by its code only.
    static func answers(to heard: [Heard], pongs: [[UInt8]]) -> [FrameBytes.Frame.Brief] {
        var pongs = pongs[...]
        return heard.compactMap { heard in
            switch heard {
            case .text(let payload): .init(opcode: FrameBytes.text, payload: payload)
            case .binary(let payload): .init(opcode: FrameBytes.binary, payload: payload)
            case .ping: .init(opcode: FrameBytes.pong, payload: pongs.popFirst() ?? [])
            case .pong: nil
            case .closing(let code, _):
                .init(opcode: FrameBytes.close, payload: code.map { FrameBytes.bigEndian(UInt64($0), 2) } ?? [])
            case .failed(let code): .init(opcode: FrameBytes.close, payload: FrameBytes.bigEndian(UInt64(code), 2))
            }
        }
    }

    static func brief(_ heard: [Heard]) -> String {
        heard.map { String(describing: $0).prefix(60) }.joined(separator: ", ")
    }
}

extension FrameBytes.Frame {
    struct Brief: Equatable {
        var opcode: UInt8
        var payload: [UInt8]
    }

    var brief: Brief {
        Brief(opcode: opcode, payload: opcode == FrameBytes.close ? Array(payload.prefix(2)) : payload)
    }
}

// MARK: Cases

extension WebSocketConformanceTests {
    private typealias F = FrameBytes

    private static func stars(_ count: Int) -> [UInt8] { Array(repeating: UInt8(ascii: "*"), count: count) }

    private static func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    }

    private static let hello = "Hello, world!"

    // 1: text and binary messages of all length forms
    static let framing: [ConformanceCase] = [0, 1, 124, 125, 126, 127, 128, 65_535, 65_536].flatMap { count in
        [
            ConformanceCase("1.1 text of \(count) bytes", [F.frame(F.text, stars(count))], [.text(stars(count))]),
            ConformanceCase("1.2 binary of \(count) bytes", [F.frame(F.binary, bytes(count))], [.binary(bytes(count))]),
            ConformanceCase(
                "1.1 text of \(count) bytes masked with zero", [F.frame(F.text, stars(count), mask: 0)],
                [.text(stars(count))]),
        ]
    }

    // 2: pings and pongs
    static let pingsAndPongs: [ConformanceCase] = [
        ConformanceCase("2.1 ping", [F.frame(F.ping)], [.ping], pongs: [""]),
        ConformanceCase("2.2 ping with text", [F.frame(F.ping, hello)], [.ping], pongs: [hello]),
        ConformanceCase(
            "2.3 ping with bytes that are not text",
            [F.frame(F.ping, [0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF])],
            [.ping], pongBytes: [[0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF]]),
        ConformanceCase("2.4 ping of 125 bytes", [F.frame(F.ping, bytes(125))], [.ping], pongBytes: [bytes(125)]),
        ConformanceCase("2.5 ping of 126 bytes", [F.frame(F.ping, bytes(126))], [.failed(1002)]),
        ConformanceCase("2.7 pong", [F.frame(F.pong)], [.pong]),
        ConformanceCase("2.8 pong with payload", [F.frame(F.pong, "unsolicited")], [.pong]),
        ConformanceCase(
            "2.9 pong, then ping", [F.frame(F.pong, "unsolicited"), F.frame(F.ping, "ping")], [.pong, .ping],
            pongs: ["ping"]),
        ConformanceCase(
            "2.10 ten pings", (0..<10).map { F.frame(F.ping, "payload-\($0)", mask: UInt32($0) << 20) },
            Array(repeating: .ping, count: 10), pongs: (0..<10).map { "payload-\($0)" }),
    ]

    // 3: reserved bits
    static let reservedBits: [ConformanceCase] =
        (1...7 as ClosedRange<UInt8>).flatMap { bits in
            [F.text, F.binary, F.ping, F.pong, F.close].map { opcode in
                ConformanceCase(
                    "3.\(bits) reserved bits \(bits) with opcode \(opcode)",
                    [
                        F.frame(F.text, hello), F.frame(opcode, hello, reserved: bits), F.frame(F.text, hello),
                    ],
                    [.text(hello), .failed(1002)])
            }
        }

    // 4: reserved opcodes
    static let opcodes: [ConformanceCase] =
        ([3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8]).flatMap { opcode in
            [
                ConformanceCase("4 opcode \(opcode) first", [F.frame(opcode), F.frame(F.ping)], [.failed(1002)]),
                ConformanceCase(
                    "4 opcode \(opcode) after a message",
                    [F.frame(F.text, hello), F.frame(opcode, "x"), F.frame(F.ping)],
                    [.text(hello), .failed(1002)]),
            ]
        }

    // 5: fragmentation
    static let fragmentation: [ConformanceCase] = [
        ConformanceCase(
            "5.1 fragmented ping", [F.frame(F.ping, "a", final: false), F.frame(F.continuation, "b")], [.failed(1002)]),
        ConformanceCase(
            "5.2 fragmented pong", [F.frame(F.pong, "a", final: false), F.frame(F.continuation, "b")], [.failed(1002)]),
        ConformanceCase("5.2 fragmented close", [F.frame(F.close, "", final: false)], [.failed(1002)]),
        ConformanceCase(
            "5.3 text in two fragments",
            [F.frame(F.text, "fragment1", final: false), F.frame(F.continuation, "fragment2", mask: 0x0102_0304)],
            [.text("fragment1fragment2")]),
        ConformanceCase(
            "5.3 binary in two fragments",
            [F.frame(F.binary, [0xFF, 0xC0], final: false), F.frame(F.continuation, [0x80])],
            [.binary([0xFF, 0xC0, 0x80])]),
        ConformanceCase(
            "5.6 ping between fragments",
            [
                F.frame(F.text, "fragment1", final: false), F.frame(F.ping, "ping"),
                F.frame(F.continuation, "fragment2"),
            ],
            [.ping, .text("fragment1fragment2")], pongs: ["ping"]),
        ConformanceCase(
            "5.9 final continuation of nothing", [F.frame(F.continuation, "x"), F.frame(F.text, hello)], [.failed(1002)]
        ),
        ConformanceCase(
            "5.12 continuation of nothing",
            [F.frame(F.continuation, "x", final: false), F.frame(F.text, hello)], [.failed(1002)]),
        ConformanceCase(
            "5.15 continuation after the last fragment",
            [
                F.frame(F.text, "1", final: false), F.frame(F.continuation, "2"),
                F.frame(F.continuation, "3", final: false), F.frame(F.text, "4"),
            ],
            [.text("12"), .failed(1002)]),
        ConformanceCase(
            "5.18 text within text", [F.frame(F.text, "1", final: false), F.frame(F.text, "2")], [.failed(1002)]),
        ConformanceCase(
            "5.18 binary within text", [F.frame(F.text, "1", final: false), F.frame(F.binary, "2")], [.failed(1002)]),
        ConformanceCase(
            "5.19 five fragments and two pings",
            [
                F.frame(F.text, "1", final: false), F.frame(F.continuation, "2", final: false), F.frame(F.ping, "a"),
                F.frame(F.continuation, "3", final: false), F.frame(F.continuation, "4", final: false),
                F.frame(F.ping, "b"), F.frame(F.continuation, "5"),
            ],
            [.ping, .ping, .text("12345")], pongs: ["a", "b"]),
        ConformanceCase(
            "5 first fragment empty, last one whole",
            [F.frame(F.text, "", final: false), F.frame(F.continuation, hello)], [.text(hello)]),
        ConformanceCase(
            "5 close between fragments", [F.frame(F.text, "1", final: false), F.closeFrame(1000)], [.closing(1000, "")]),
    ]

    // 6: UTF-8
    static let utf8: [ConformanceCase] =
        [
            ConformanceCase("6.1.1 empty text", [F.frame(F.text)], [.text("")]),
            ConformanceCase(
                "6.1.2 three empty fragments",
                [
                    F.frame(F.text, "", final: false), F.frame(F.continuation, "", final: false),
                    F.frame(F.continuation),
                ],
                [.text("")]),
            ConformanceCase(
                "6.1.3 middle fragment not empty",
                [
                    F.frame(F.text, "", final: false), F.frame(F.continuation, hello, final: false),
                    F.frame(F.continuation),
                ],
                [.text(hello)]),
            ConformanceCase(
                "6.2.2 fragments between characters",
                [F.frame(F.text, "Hello-µ@ßöä", final: false), F.frame(F.continuation, "üàá-UTF-8!!")],
                [.text("Hello-µ@ßöäüàá-UTF-8!!")]),
            ConformanceCase(
                "6.4.1 spoilt in the second of three fragments",
                [
                    F.frame(F.text, "κόσμε", final: false),
                    F.frame(F.continuation, [0xF4, 0x90, 0x80, 0x80], final: false),
                    F.frame(F.continuation, "edited"),
                ],
                [.failed(1007)]),
        ]
        + UTF8ValidatorTests.texts.flatMap { text in
            let isValid = String(validating: text, as: UTF8.self) != nil
            let expected: [Heard] = [isValid ? .text(text) : .failed(1007)]
            return [
                ConformanceCase("6 \(text) in one frame", [F.frame(F.text, text)], expected),
                ConformanceCase(
                    "6 \(text) in fragments of one byte",
                    [F.frame(F.text, "", final: false), F.fragments(F.continuation, text + [0x21], of: 1)],
                    [String(validating: text + [0x21], as: UTF8.self) != nil ? .text(text + [0x21]) : .failed(1007)]),
            ]
        }

    // 7: closing
    static let closeHandling: [ConformanceCase] =
        [
            ConformanceCase(
                "7.1.1 message, then close", [F.frame(F.text, hello), F.closeFrame(1000)],
                [.text(hello), .closing(1000, "")]),
            ConformanceCase("7.1.2 two closes", [F.closeFrame(1000), F.closeFrame(1001)], [.closing(1000, "")]),
            ConformanceCase("7.1.3 ping after close", [F.closeFrame(1000), F.frame(F.ping)], [.closing(1000, "")]),
            ConformanceCase(
                "7.1.4 text after close", [F.closeFrame(1000), F.frame(F.text, hello)], [.closing(1000, "")]),
            ConformanceCase(
                "7.1.5 close within a message",
                [F.frame(F.text, "1", final: false), F.closeFrame(1000), F.frame(F.continuation, "2")],
                [.closing(1000, "")]),
            ConformanceCase(
                "7.1.6 256 KiB, close, ping",
                [F.frame(F.text, stars(1 << 18)), F.closeFrame(1000), F.frame(F.ping)],
                [.text(stars(1 << 18)), .closing(1000, "")]),
            ConformanceCase("7.3.1 empty close", [F.frame(F.close)], [.closing(nil, "")]),
            ConformanceCase("7.3.2 close with half a code", [F.frame(F.close, [0x03])], [.failed(1002)]),
            ConformanceCase("7.3.3 close with a code", [F.closeFrame(1000)], [.closing(1000, "")]),
            ConformanceCase(
                "7.3.4 close with a reason", [F.closeFrame(1000, Array(hello.utf8))], [.closing(1000, hello)]),
            ConformanceCase(
                "7.3.5 close with a reason of 123 bytes", [F.closeFrame(1000, stars(123))],
                [.closing(1000, String(repeating: "*", count: 123))]),
            ConformanceCase(
                "7.3.6 close with a reason of 124 bytes", [F.closeFrame(1000, stars(124))], [.failed(1002)]),
            ConformanceCase(
                "7.5.1 close with a reason that is not text",
                [F.closeFrame(1000, Array("κόσμε".utf8) + [0xED, 0xA0, 0x80])], [.failed(1007)]),
        ]
        + ([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] as [UInt16]).map { code in
            ConformanceCase("7.7 close code \(code)", [F.closeFrame(code)], [.closing(code, "")])
        }
        + ([0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] as [UInt16]).map { code in
            ConformanceCase("7.9 close code \(code)", [F.closeFrame(code)], [.failed(1002)])
        }

    // 9: size
    static let limits: [ConformanceCase] =
        [1 << 18, 1 << 20].flatMap { count in
            [
                ConformanceCase("9.1 text of \(count)", [F.frame(F.text, stars(count))], [.text(stars(count))]),
                ConformanceCase("9.2 binary of \(count)", [F.frame(F.binary, bytes(count))], [.binary(bytes(count))]),
            ]
        }
        + [(64, 1 << 18), (1 << 10, 1 << 19), (1 << 16, 3 << 20)].map { (size: Int, count: Int) in
            ConformanceCase(
                "9.3 text of \(count) in fragments of \(size)", [F.fragments(F.text, stars(count), of: size)],
                [.text(stars(count))])
        }
        + [
            ConformanceCase(
                "9.7 two hundred small texts", (0..<200).map { F.frame(F.text, stars($0)) },
                (0..<200).map { .text(stars($0)) })
        ]

    // 10: a text cut by a sender that knows nothing of characters
    static let automaticFragmentation: [ConformanceCase] = [
        ConformanceCase("10.1.1", [F.fragments(F.text, stars(65_536), of: 1_300)], [.text(stars(65_536))]),
        ConformanceCase(
            "10.1.1 with characters of three bytes",
            [F.fragments(F.text, Array(String(repeating: "日本語", count: 5_000).utf8), of: 1_300)],
            [.text(String(repeating: "日本語", count: 5_000))]),
    ]
}
