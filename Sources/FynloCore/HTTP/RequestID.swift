// The name of a request in the log and in the response's X-Request-ID. It is stored as its parts, since most names are only
// ever written into a response, as bytes.

/// The name of one request.
public enum RequestID: Equatable, Sendable {
    /// No name yet.
    case none
    /// The client's own: 1 to 64 letters, digits, `-`, `_` and `.`.
    case given(String)
    /// The connection and the request's number on it, counted from 1.
    case counted(ConnectionID, UInt64)

    /// The client's X-Request-ID if it is well formed, otherwise one made here.
    init(_ headers: HTTPHeaders, connection: ConnectionID, count: UInt64) {
        if headers.contains("x-request-id"), let given = headers.first("x-request-id"), RequestID.isSane(given) {
            self = .given(given)
        } else {
            self = .counted(connection, count)
        }
    }

    private static func isSane(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}

extension RequestID: CustomStringConvertible {
    public var description: String {
        var text = ByteBuffer()
        text.write(atMost: roomBytes) { $0.append(self) }
        return text.withReadable { String(validating: $0) ?? "" }
    }

    /// An upper bound for the whole field, including its name and line break.
    var roomBytes: Int {
        switch self {
        case .none: 0
        case .given(let text): text.utf8.count + 32
        case .counted: 96
        }
    }
}

extension ByteWriter {
    /// Appends a request's name. None of its bytes can end a line.
    mutating func append(_ id: RequestID) {
        switch id {
        case .none: break
        case .given(let text): append(text.utf8Span.span)
        case .counted(let connection, let count):
            append(hexadecimal: connection.node)
            append(UInt8(ascii: "-"))
            append(decimal: connection.number)
            append(UInt8(ascii: "-"))
            append(decimal: count)
        }
    }
}
