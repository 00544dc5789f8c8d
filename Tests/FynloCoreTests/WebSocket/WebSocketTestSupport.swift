import FynloCore

// What the tests of this folder share: frames written and read independently of the code under test, an endpoint that
// echoes and keeps a log, and ways to split bytes.

/// Frames as bytes, by the book and without optimisation.
enum FrameBytes {
    static let text: UInt8 = 1
    static let binary: UInt8 = 2
    static let continuation: UInt8 = 0
    static let close: UInt8 = 8
    static let ping: UInt8 = 9
    static let pong: UInt8 = 10

    /// How the length is written: the shortest form, or one that is too long.
    enum LengthForm {
        case shortest, sixteenBits, sixtyFourBits
    }

    static func frame(
        _ opcode: UInt8, _ payload: [UInt8] = [], final isFinal: Bool = true, reserved: UInt8 = 0,
        mask: UInt32? = 0x37FA_213D, length form: LengthForm = .shortest
    ) -> [UInt8] {
        var frame = header(
            opcode, claiming: UInt64(payload.count), final: isFinal, reserved: reserved, mask: mask, length: form)
        let start = frame.count
        frame += payload
        if let mask {
            let key = bigEndian(UInt64(mask), 4)
            var index = 0
            while index < payload.count {
                frame[start + index] ^= key[index % 4]
                index += 1
            }
        }
        return frame
    }

    static func frame(
        _ opcode: UInt8, _ payload: String, final isFinal: Bool = true, reserved: UInt8 = 0,
        mask: UInt32? = 0x37FA_213D
    ) -> [UInt8] {
        frame(opcode, Array(payload.utf8), final: isFinal, reserved: reserved, mask: mask)
    }

    static func header(
        _ opcode: UInt8, claiming length: UInt64, final isFinal: Bool = true, reserved: UInt8 = 0,
        mask: UInt32? = 0x37FA_213D, length form: LengthForm = .shortest
    ) -> [UInt8] {
        var header = [(isFinal ? 0x80 : 0) | reserved << 4 | opcode]
        let maskBit: UInt8 = mask == nil ? 0 : 0x80
        if form == .sixtyFourBits || length > 0xFFFF {
            header += [maskBit | 127] + bigEndian(length, 8)
        } else if form == .sixteenBits || length > 125 {
            header += [maskBit | 126] + bigEndian(length, 2)
        } else {
            header += [maskBit | UInt8(length)]
        }
        return mask.map { header + bigEndian(UInt64($0), 4) } ?? header
    }

    static func closeFrame(_ code: UInt16, _ reason: [UInt8] = [], mask: UInt32? = 0x37FA_213D) -> [UInt8] {
        frame(close, bigEndian(UInt64(code), 2) + reason, mask: mask)
    }

    /// One message in fragments of at most `size` bytes.
    static func fragments(_ opcode: UInt8, _ payload: [UInt8], of size: Int, mask: UInt32? = 0x37FA_213D) -> [UInt8] {
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: payload.count, by: size) {
            let end = min(start + size, payload.count)
            let part = Array(payload[start..<end])
            bytes += frame(start == 0 ? opcode : continuation, part, final: end == payload.count, mask: mask)
        }
        return bytes
    }

    static func bigEndian(_ number: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number >> UInt64((count - 1 - $0) * 8)) }
    }

    /// A frame as read back.
    struct Frame: Equatable {
        var opcode: UInt8
        var payload: [UInt8]
        var mask: UInt32?
    }

    /// Reads whole, final, shortest-form frames; `nil` if there is anything else in `bytes`.
    static func parse(_ bytes: [UInt8]) -> [Frame]? {
        var frames: [Frame] = []
        var rest = bytes[...]
        func take(_ count: Int) -> [UInt8]? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        func number(_ count: Int) -> Int? {
            take(count)?.reduce(0) { $0 << 8 | Int($1) }
        }
        while !rest.isEmpty {
            guard let start = take(2), start[0] & 0xF0 == 0x80 else { return nil }
            var length = Int(start[1] & 0x7F)
            if length == 126 {
                guard let long = number(2), long > 125 else { return nil }
                length = long
            } else if length == 127 {
                guard let long = number(8), long > 0xFFFF else { return nil }
                length = long
            }
            var mask: UInt32?
            if start[1] & 0x80 != 0 {
                guard let key = number(4) else { return nil }
                mask = UInt32(key)
            }
            guard var payload = take(length) else { return nil }
            if let mask {
                let key = bigEndian(UInt64(mask), 4)
                for index in payload.indices { payload[index] ^= key[index % 4] }
            }
            frames.append(Frame(opcode: start[0] & 0x0F, payload: payload, mask: mask))
        }
        return frames
    }
}

/// An event, comparable, with the payload taken out of wherever it was.
enum Heard: Equatable, Sendable {
    case text([UInt8])
    case binary([UInt8])
    case ping
    case pong
    case closing(UInt16?, String)
    case failed(UInt16)

    static func text(_ text: String) -> Heard { .text(Array(text.utf8)) }
}

/// One end that logs what it hears, and may echo messages.
struct WebSocketEndpoint {
    var connection: WebSocketConnection
    var echoes = true
    var input = ByteBuffer()
    var output = ByteBuffer()
    var now = Moment(instant: Instant(nanoseconds: 0), unixTime: UnixTime(milliseconds: 0))
    private(set) var heard: [Heard] = []
    /// How many messages were handed out without being copied.
    private(set) var inPlace = 0
    /// The most that `input` ever held after everything usable was taken from it.
    private(set) var largestLeftover = 0

    init(_ role: WebSocketConnection.Role = .server, limit: Int = 16 << 20, echoes: Bool = true) {
        connection = WebSocketConnection(role: role, maximumMessageBytes: limit, closeTimeout: .seconds(5))
        self.echoes = echoes
    }

    mutating func receive(_ bytes: ArraySlice<UInt8>) {
        input.append(Array(bytes))
        while let event = connection.next(&input, now: now, output: &output) {
            switch event {
            case .message(let message):
                let payload = message.withPayload(in: input) { Array(copying: $0) }
                if case .input = message.body { inPlace += 1 }
                heard.append(message.kind == .text ? .text(payload) : .binary(payload))
                if echoes {
                    connection.sendFrame(message.kind == .text ? .text : .binary, payload: payload.span, to: &output)
                }
            case .ping: heard.append(.ping)
            case .pong: heard.append(.pong)
            case .closing(let code, let reason): heard.append(.closing(code, reason))
            case .failed(let code, _): heard.append(.failed(code))
            }
        }
        largestLeftover = max(largestLeftover, input.count)
    }

    mutating func receive(_ bytes: [UInt8]) {
        receive(bytes[...])
    }

    mutating func close(_ code: UInt16, _ reason: String = "") {
        connection.close(code: code, reason: reason, now: now, output: &output)
    }

    /// What there is to send; it counts as sent.
    mutating func takeOutput() -> [UInt8] {
        defer { output.removeAll() }
        return output.bytes()
    }
}

/// A generator whose seed is printed with a failure.
struct SeededBytes: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(_ seed: UInt64) {
        state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

/// Ways for bytes to arrive.
enum FrameArrival: CaseIterable {
    case whole, byteByByte, oddChops, evenChops

    func pieces(of bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var generator = SeededBytes(UInt64(bytes.count))
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        while start < bytes.count {
            let size =
                switch self {
                case .whole: bytes.count
                case .byteByByte: 1
                case .oddChops:
                    bytes.count > 1 << 17
                        ? Int.random(in: 1...5_003, using: &generator)
                        : Int.random(in: 1...13, using: &generator)
                case .evenChops: max(64, bytes.count / 4_096)
                }
            let end = min(start + size, bytes.count)
            pieces.append(bytes[start..<end])
            start = end
        }
        return pieces
    }
}
