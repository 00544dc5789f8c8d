// Text of a frame -> what the server said: the client's mirror of MessageDecoder. A message is kept as it came; only what
// the protocol itself needs is read out of it.

/// One message of the server.
public struct ReceivedMessage: Equatable, Sendable {
    public let type: String
    /// The place of a durable event in the restaurant's stream; `nil` for everything else.
    public let sequence: EventSequence?
    /// The whole message as it came: a JSON object in valid UTF-8.
    public let json: [UInt8]
    /// Where the value of `data` lies in `json`; `nil` if there is none.
    public let data: JSONValue?

    /// Reads the envelope. Throws when it is not a JSON object, or has no `type`.
    init(_ text: Span<UInt8>) throws(JSONError) {
        var type: String?
        var sequence: EventSequence?
        var data: JSONValue?
        try JSON.scanObject(text) { key, value in
            if JSON.equals(key, "type", in: text) {
                type = JSON.string(value, in: text)
            } else if JSON.equals(key, "seq", in: text) {
                sequence = JSON.integer(value, in: text)
            } else if JSON.equals(key, "data", in: text) {
                data = value
            }
        }
        guard let type else { throw .malformed(position: 0) }
        self.type = type
        self.sequence = sequence
        self.data = data
        json = [UInt8](copying: text)
    }

    /// True for what concerns the connection and its commands; false for business events.
    public var isProtocol: Bool {
        switch type {
        case "authenticated", "auth_error", "ping", "pong", "ack", "error", "token_expired", "resync_required",
            "reconnect":
            true
        default: false
        }
    }

    /// `data.seq`, as `ack` and `resync_required` have it; `nil` if there is none.
    public var dataSequence: EventSequence? { ReceivedFields(self).sequence }

    /// `data.id`, the command that an `ack` or `error` belongs to; `nil` if there is none.
    public var commandID: String? { ReceivedFields(self).id }

    /// Calls `member` for each member of `data`, in order; not at all if it is no object.
    public func forEachDataMember(_ member: (_ key: JSONValue, _ value: JSONValue, _ text: Span<UInt8>) -> Void) {
        guard let data, data.kind == .object else { return }
        let text = json.span
        // It was scanned before.
        try? JSON.scanMembers(of: data, in: text) { member($0, $1, text) }
    }
}

/// A refusal of the server: `error`, or `auth_error`.
public struct ServerError: Equatable, Sendable {
    /// The stable name, such as `order_not_found`; empty if there was none.
    public let code: String
    /// One sentence for a person.
    public let sentence: String
    /// `data.retryable`; only `auth_error` has it.
    public let isRetryable: Bool
    /// How long to wait before the next try, if the server said.
    public let retryAfter: Duration?

    public init(code: String, sentence: String, isRetryable: Bool, retryAfter: Duration?) {
        self.code = code
        self.sentence = sentence
        self.isRetryable = isRetryable
        self.retryAfter = retryAfter
    }
}

/// The members of `data` that the protocol knows, whatever message they belong to.
struct ReceivedFields {
    private(set) var id: String?
    private(set) var sequence: EventSequence?
    private(set) var connection: String?
    private(set) var role: String?
    private(set) var isResumed = false
    private(set) var heartbeatInterval: Duration?
    private(set) var retryAfter: Duration?
    private(set) var serverTime: UnixTime?
    private(set) var tokenExpiresAt: UnixTime?
    private var isRetryable = false
    private var code: String?
    private var sentence: String?

    /// The longest a server's wish to wait is granted: a typing error of its operator must not silence a tablet for days.
    private static let longestWait: Int64 = 3_600_000

    init(_ message: ReceivedMessage) {
        var fields = ReceivedFields()
        message.forEachDataMember { fields.read($0, $1, $2) }
        self = fields
    }

    private init() {}

    /// What an `error` or `auth_error` says.
    var error: ServerError {
        ServerError(code: code ?? "", sentence: sentence ?? "", isRetryable: isRetryable, retryAfter: retryAfter)
    }

    private mutating func read(_ key: JSONValue, _ value: JSONValue, _ text: Span<UInt8>) {
        switch JSON.string(key, in: text) {
        case "id": id = JSON.string(value, in: text)
        case "connection_id": connection = JSON.string(value, in: text)
        case "role": role = JSON.string(value, in: text)
        case "code": code = JSON.string(value, in: text)
        case "error": sentence = JSON.string(value, in: text)
        case "seq": sequence = JSON.integer(value, in: text)
        case "resumed": isResumed = text.extracting(value.positions).equals("true")
        case "retryable": isRetryable = text.extracting(value.positions).equals("true")
        case "timestamp": serverTime = ReceivedFields.time(value, in: text)
        case "token_expires_at": tokenExpiresAt = ReceivedFields.time(value, in: text)
        case "heartbeat_interval_ms": heartbeatInterval = ReceivedFields.duration(value, in: text)
        case "retry_after_ms": retryAfter = ReceivedFields.duration(value, in: text)
        default: break
        }
    }

    private static func time(_ value: JSONValue, in text: Span<UInt8>) -> UnixTime? {
        JSON.string(value, in: text).flatMap { UnixTime(rfc3339: $0) }
    }

    private static func duration(_ milliseconds: JSONValue, in text: Span<UInt8>) -> Duration? {
        JSON.integer(milliseconds, in: text).map { .milliseconds(min(max($0, 0), longestWait)) }
    }
}
