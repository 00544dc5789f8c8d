import FynloCore
import Testing

@Suite("WebSocket frames")
struct WebSocketFrameTests {
    // MARK: RFC 6455 §5.7

    @Test("reads the examples of RFC 6455")
    func examplesRead() {
        var client = WebSocketEndpoint(.client(maskSeed: 1), echoes: false)
        client.receive([0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
        client.receive([0x01, 0x03, 0x48, 0x65, 0x6C])
        client.receive([0x80, 0x02, 0x6C, 0x6F])
        client.receive([0x89, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
        client.receive([0x82, 0x7E, 0x01, 0x00] + Array(repeating: 7, count: 256))
        client.receive([0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0] + Array(repeating: 8, count: 65_536))
        #expect(
            client.heard == [
                .text("Hello"), .text("Hello"), .ping, .binary(Array(repeating: 7, count: 256)),
                .binary(Array(repeating: 8, count: 65_536)),
            ])

        var server = WebSocketEndpoint()
        server.receive([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
        server.receive([0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
        #expect(server.heard == [.text("Hello"), .pong])
        #expect(server.takeOutput() == [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
    }

    @Test("writes the examples of RFC 6455")
    func examplesWritten() {
        var output = ByteBuffer()
        WebSocketFrameEncoder.appendTextFrame(to: &output, mask: nil) { $0.append("Hello" as StaticString) }
        #expect(output.bytes() == [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
        output.removeAll()
        WebSocketFrameEncoder.appendTextFrame(to: &output, mask: 0x37FA_213D) { $0.append("Hello" as StaticString) }
        #expect(output.bytes() == [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
        output.removeAll()
        WebSocketFrameEncoder.appendFrame(.ping, payload: Array("Hello".utf8).span, mask: nil, to: &output)
        #expect(output.bytes() == [0x89, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
        output.removeAll()
        WebSocketFrameEncoder.appendFrame(.pong, payload: Array("Hello".utf8).span, mask: 0x37FA_213D, to: &output)
        #expect(output.bytes() == [0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
    }

    // MARK: Decoder

    static let violations: [(name: String, frame: [UInt8], error: WebSocketError)] =
        (1...7 as ClosedRange<UInt8>).map { bits in
            ("reserved bits \(bits)", FrameBytes.frame(1, "x", reserved: bits), .reservedBitSet)
        }
        + ([3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8]).map { opcode in
            ("opcode \(opcode)", FrameBytes.frame(opcode, "x"), .opcodeReserved(opcode))
        }
        + ([8, 9, 10] as [UInt8]).flatMap { opcode -> [(name: String, frame: [UInt8], error: WebSocketError)] in
            [
                ("fragmented \(opcode)", FrameBytes.frame(opcode, "x", final: false), .controlFrameFragmented),
                (
                    "control \(opcode) of 126 bytes", FrameBytes.frame(opcode, Array(repeating: 1, count: 126)),
                    .controlFrameTooLong
                ),
                (
                    "control \(opcode) with a long length", FrameBytes.frame(opcode, [], length: .sixtyFourBits),
                    .controlFrameTooLong
                ),
            ]
        }
        + [0, 1, 125].map { count in
            (
                "16-bit length of \(count)",
                FrameBytes.frame(1, Array(repeating: 42, count: count), length: .sixteenBits), .lengthNotMinimal
            )
        }
        + [0, 125, 126, 65_535].map { count in
            (
                "64-bit length of \(count)",
                FrameBytes.frame(1, Array(repeating: 42, count: count), length: .sixtyFourBits), .lengthNotMinimal
            )
        }
        + [
            ("top bit of the length", FrameBytes.header(1, claiming: 1 << 63), .lengthTooLarge),
            ("all bits of the length", FrameBytes.header(2, claiming: .max), .lengthTooLarge),
            ("unmasked frame of a client", FrameBytes.frame(1, "x", mask: nil), .maskMissing),
        ]

    @Test("refuses frames RFC 6455 forbids", arguments: violations.indices)
    func violation(row: Int) {
        let (name, frame, error) = Self.violations[row]
        #expect(throws: error) { try WebSocketFrameDecoder.header(of: frame.span, masking: .required) }
        for arrival in FrameArrival.allCases where arrival != .byteByByte || frame.count < 1_000 {
            var server = WebSocketEndpoint()
            for piece in arrival.pieces(of: frame) { server.receive(piece) }
            #expect(server.heard == [.failed(error.closeCode)], "\(name)")
            #expect(server.connection.isFinished, "\(name)")
            let close = FrameBytes.bigEndian(UInt64(error.closeCode), 2) + Array(error.sentence.utf8)
            #expect(FrameBytes.parse(server.takeOutput()) == [.init(opcode: 8, payload: close, mask: nil)])
        }
    }

    @Test("a client refuses masked frames")
    func maskedToClient() {
        var client = WebSocketEndpoint(.client(maskSeed: 1))
        client.receive(FrameBytes.frame(1, "x"))
        #expect(client.heard == [.failed(1002)])
    }

    @Test("waits for the whole header", arguments: [0, 125, 126, 65_535, 65_536, 1 << 40, Int.max])
    func header(payloadBytes: Int) throws {
        for mask in [nil, 0x0102_0304] as [UInt32?] {
            let bytes = FrameBytes.header(2, claiming: UInt64(payloadBytes), mask: mask)
            let masking: WebSocketFrameDecoder.Masking = mask == nil ? .forbidden : .required
            for count in 0..<bytes.count {
                #expect(try WebSocketFrameDecoder.header(of: bytes.span.extracting(0..<count), masking: masking) == nil)
            }
            let expected = WebSocketFrameHeader(
                isFinal: true, opcode: .binary, mask: mask, payloadBytes: payloadBytes, headerBytes: bytes.count)
            #expect(try WebSocketFrameDecoder.header(of: bytes.span, masking: masking) == expected)
        }
    }

    // MARK: Encoder

    @Test(
        "writes the shortest header, masked or not", arguments: [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_001])
    func encoder(count: Int) {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for mask in [nil, 0xA1B2_C3D4, 0] as [UInt32?] {
            var output = ByteBuffer("before")
            output.consume(2)
            WebSocketFrameEncoder.appendFrame(.binary, payload: payload.span, mask: mask, to: &output)
            WebSocketFrameEncoder.appendTextFrame(to: &output, mask: mask) { output in
                output.append(payload.span.extracting(0..<count / 2))
                output.append(payload.span.extracting(count / 2..<count))
            }
            let expected =
                Array("fore".utf8) + FrameBytes.frame(2, payload, mask: mask) + FrameBytes.frame(1, payload, mask: mask)
            if output.bytes() != expected { Issue.record("\(count) bytes, mask \(mask as Any)") }
        }
    }

    static let reasons: [(reason: String, kept: Int)] = [
        ("", 0), ("short", 5),
        (String(repeating: "a", count: 123), 123), (String(repeating: "a", count: 124), 123),
        (String(repeating: "é", count: 61), 122), (String(repeating: "é", count: 62), 122),
        ("a" + String(repeating: "é", count: 61), 123), (String(repeating: "語", count: 41), 123),
        (String(repeating: "語", count: 42), 123), ("a" + String(repeating: "語", count: 41), 121),
        (String(repeating: "🍽", count: 31), 120), ("abc" + String(repeating: "🍽", count: 30), 123),
        ("abcd" + String(repeating: "🍽", count: 30), 120),
    ]

    @Test("cuts a close reason to 123 bytes between characters", arguments: reasons)
    func closeReason(reason: String, kept: Int) {
        var output = ByteBuffer()
        WebSocketFrameEncoder.appendClose(code: 4001, reason: reason, mask: 0x0102_0304, to: &output)
        let payload = [0x0F, 0xA1] + Array(reason.utf8.prefix(kept))
        #expect(FrameBytes.parse(output.bytes()) == [.init(opcode: 8, payload: payload, mask: 0x0102_0304)])
        #expect(String(validating: payload.dropFirst(2), as: UTF8.self) != nil)
    }

    @Test("writes an empty close frame for no code")
    func emptyClose() {
        var output = ByteBuffer()
        WebSocketFrameEncoder.appendClose(code: nil, reason: "not sent", mask: nil, to: &output)
        #expect(output.bytes() == [0x88, 0x00])
    }

    // MARK: Values

    @Test("knows which close codes may be sent")
    func closeCodes() {
        for code in UInt16.min...UInt16.max {
            let isAllowed =
                [1000, 1001, 1002, 1003].contains(code) || (code >= 1007 && code <= 1014)
                || (code >= 3000 && code < 5000)
            if WebSocketCloseCode.isAllowedOnWire(code) != isAllowed { Issue.record("\(code)") }
        }
    }

    @Test(
        "every error has a sentence that fits into a close frame and a code that may be sent",
        arguments: violations.map(\.error) + [
            .continuationUnexpected, .continuationExpected, .closePayloadTooShort, .closeCodeInvalid(.max),
            .textNotUTF8,
            .messageTooBig(limitBytes: .max), .methodNotGet, .httpVersionTooOld, .upgradeMissing,
            .connectionUpgradeMissing, .keyInvalid, .versionUnsupported, .statusNotSwitchingProtocols(200),
            .responseUpgradeMissing, .acceptKeyWrong, .extensionNotOffered, .protocolNotOffered,
        ])
    func sentences(error: WebSocketError) {
        #expect(error.sentence.utf8.count <= 123)
        #expect(error.sentence.hasSuffix("."))
        #expect(WebSocketCloseCode.isAllowedOnWire(error.closeCode))
        #expect(WebSocketError.closeCodes.contains(error.closeCode))
    }
}
