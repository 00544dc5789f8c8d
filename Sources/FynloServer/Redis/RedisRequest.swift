// Outgoing commands, and the callbacks that wait for their answers.

import FynloCore

/// One word of a command: `["SET", .text(key), .bytes(value), "PX", 300_000]`.
enum RedisArgument: Equatable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    case text(String)
    case bytes([UInt8])
    case integer(Int64)
    /// A UUID, which follows the prefix of a key.
    case uuid(UUID128, after: String = "")
    /// The name of a connection's slot: `0123456789abcdef-1f`.
    case slot(ConnectionID)

    init(stringLiteral text: String) {
        self = .text(text)
    }

    init(integerLiteral number: Int64) {
        self = .integer(number)
    }

    /// The length of the word in bytes.
    fileprivate var count: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        case .integer(let number): RedisArgument.digits(decimal: number)
        case .uuid(_, let prefix): prefix.utf8.count + 36
        case .slot(let connection): 17 + RedisArgument.digits(hexadecimal: connection.number)
        }
    }

    private static func digits(decimal number: Int64) -> Int {
        var count = number < 0 ? 2 : 1
        var rest = number.magnitude
        while rest >= 10 {
            rest /= 10
            count += 1
        }
        return count
    }

    fileprivate static func digits(hexadecimal number: UInt64) -> Int {
        max(1, (67 - number.leadingZeroBitCount) / 4)
    }
}

extension ByteBuffer {
    /// Appends a command as an array of strings: `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`.
    mutating func append(command arguments: [RedisArgument]) {
        precondition(!arguments.isEmpty, "a command has a name: Redis does not answer to nothing")
        write(atMost: arguments.boundBytes) { writer in
            writer.append(UInt8(ascii: "*"))
            writer.append(decimal: Int64(arguments.count))
            for argument in arguments {
                writer.append("\r\n$")
                writer.append(decimal: Int64(argument.count))
                writer.append("\r\n")
                writer.append(argument: argument)
            }
            writer.append("\r\n")
        }
    }
}

extension ByteWriter {
    fileprivate mutating func append(argument: RedisArgument) {
        switch argument {
        case .text(let text): append(text.utf8Span.span)
        case .bytes(let bytes): append(bytes)
        case .integer(let number): append(decimal: number)
        case .uuid(let uuid, let prefix):
            append(prefix.utf8Span.span)
            append(uuid)
        case .slot(let connection):
            append(hexadecimal: connection.node)
            append(UInt8(ascii: "-"))
            append(hexadecimal: connection.number, digits: RedisArgument.digits(hexadecimal: connection.number))
        }
    }
}

extension [RedisArgument] {
    /// An upper bound of the command's length in bytes.
    var boundBytes: Int {
        reduce(32) { $0 + $1.count + 32 }
    }
}

/// A command without an answer yet.
struct PendingRequest {
    typealias Reply = (Result<RedisReply, RedisError>) -> Void

    let sentAt: Instant
    /// When `reply` gets a timeout instead.
    let deadline: Instant
    /// nil after it was called: the answer still comes in order, and is discarded.
    var reply: Reply?
}

/// The commands without an answer yet, oldest first: Redis answers in the order of the commands.
struct PendingRequests {
    private var requests: [PendingRequest] = []
    /// The index of the oldest unanswered command.
    private var head = 0

    var count: Int { requests.count - head }
    var isEmpty: Bool { count == 0 }
    var first: PendingRequest? { isEmpty ? nil : requests[head] }

    mutating func append(_ request: PendingRequest) {
        requests.append(request)
    }

    /// The command that the next answer belongs to; nil if there is none.
    mutating func popFirst() -> PendingRequest? {
        guard !isEmpty else { return nil }
        let request = requests[head]
        requests[head].reply = nil
        head += 1
        if head == requests.count {
            requests.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 256, head * 2 >= requests.count {
            requests.removeFirst(head)
            head = 0
        }
        return request
    }

    /// Takes the callbacks of the commands that have timed out, which stay in the queue. Returns them, and the next deadline.
    mutating func expire(by now: Instant) -> (expired: [PendingRequest.Reply], next: Instant?) {
        var expired: [PendingRequest.Reply] = []
        var next: Instant?
        for position in head..<requests.count {
            guard let reply = requests[position].reply else { continue }
            let deadline = requests[position].deadline
            if deadline <= now {
                requests[position].reply = nil
                expired.append(reply)
            } else {
                next = next.map { min($0, deadline) } ?? deadline
            }
        }
        return (expired, next)
    }

    /// Empties the queue. Returns the callbacks that have not been called.
    mutating func removeAll() -> [PendingRequest.Reply] {
        defer {
            requests = []
            head = 0
        }
        return requests[head...].compactMap(\.reply)
    }
}
