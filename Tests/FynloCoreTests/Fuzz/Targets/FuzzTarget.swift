// What is fuzzed: functions from any bytes to "nothing was wrong". The fuzzer (Fuzz/) makes bytes up, the tests run those
// that were worth keeping; both compile these very files.

/// Something that takes any bytes.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// The parsers of requests and responses.
    case http
    /// Frames, messages and the closing handshake, as a server and as a client.
    case websocket
    /// The JSON scanner, the writing of JSON, and the messages of tablets.
    case json
    /// Access tokens, key sets, and the encodings within.
    case token
    /// A whole connection: HTTP, upgrade, authentication, messages, time, answers and the end.
    case stack
    /// A client's connection, whatever the server sends.
    case client
    /// What nodes say to each other.
    case nodes

    /// Runs one input; throws when a promise of the core was broken. (A trap is the other way to fail.)
    public func run(_ input: [UInt8]) throws(FuzzFailure) {
        switch self {
        case .http: try fuzzHTTP(input)
        case .websocket: try fuzzWebSocket(input)
        case .json: try fuzzJSON(input)
        case .token: try fuzzToken(input)
        case .stack: try fuzzStack(input)
        case .client: try fuzzClient(input)
        case .nodes: try fuzzNodes(input)
        }
    }
}

/// A promise that was broken.
public struct FuzzFailure: Error, CustomStringConvertible {
    public let description: String
}

/// What has to hold.
func require(
    _ isTrue: Bool, _ promise: @autoclosure () -> String, line: Int = #line, file: StaticString = #fileID
) throws(FuzzFailure) {
    guard isTrue else { throw FuzzFailure(description: "\(file):\(line): broken promise: \(promise())") }
}

/// Reads an input from the front: a few bytes that say how, and the rest that says what.
struct FuzzInput {
    private var bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        self.bytes = bytes[...]
    }

    var isEmpty: Bool { bytes.isEmpty }

    /// The next byte; 0 behind the end.
    mutating func byte() -> UInt8 {
        bytes.popFirst() ?? 0
    }

    /// The next `count` bytes, or what is left of them.
    mutating func take(_ count: Int) -> [UInt8] {
        let taken = bytes.prefix(count)
        bytes = bytes.dropFirst(count)
        return Array(taken)
    }

    /// All that is left.
    mutating func rest() -> [UInt8] {
        take(bytes.count)
    }
}

/// The ways in which bytes arrive: whole, byte by byte, and in pieces of a size that the input chooses.
func arrivals(of bytes: [UInt8], pieceBytes: UInt8) -> [[ArraySlice<UInt8>]] {
    [bytes.count, 1, Int(pieceBytes)].map { pieces(of: bytes[...], of: $0) }
}

/// `bytes` in pieces of at most `count` bytes.
func pieces(of bytes: ArraySlice<UInt8>, of count: Int) -> [ArraySlice<UInt8>] {
    stride(from: bytes.startIndex, to: bytes.endIndex, by: max(count, 1)).map { start in
        bytes[start..<min(start + max(count, 1), bytes.endIndex)]
    }
}
