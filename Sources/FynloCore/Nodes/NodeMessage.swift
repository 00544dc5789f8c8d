// What the nodes say to each other over Redis: hints that there is something to read, events that nobody keeps, and questions
// about connections. One line of JSON with a version; after a line break what is passed on as it is.
//
//     {"v":1,"node":"0f…","kind":"head","restaurant":"…","head":12}
//     {"v":1,"node":"0f…","kind":"transient","restaurant":"…"}␊{"id":"…","type":"kitchen.item_ready",…}
//
// Nothing here is relied on: durable events are read from the database, where they are found by the pulse, too.

/// One message of one node to others.
public struct NodeMessage: Equatable, Sendable {
    /// What this program says and understands. Others are passed over, so that later programs can share a Redis.
    public static let version: Int64 = 1
    /// A message that is longer is none of ours.
    public static let maximumBytes = 1 << 20
    /// The line with the version is shorter.
    private static let headerBytes = 1_024

    /// Who says it: the process' half of ConnectionID.
    public let node: UInt64
    public let content: Content

    /// Why a connection is to be closed.
    public enum CloseCause: String, Sendable {
        /// The same device has a newer one on another node: 4011.
        case replaced
        /// By an administrator: 4006.
        case revoked
    }

    /// How a report is to be written. What it is to have in addition is a member of its own, since programs that do not know it
    /// pass it over and answer all the same.
    public enum ReportForm: Sendable {
        case text, json
        /// JSON, with the last quarter of an hour.
        case jsonWithHistory
    }

    /// All that is said.
    public enum Content: Equatable, Sendable {
        /// A restaurant's stream reaches this event.
        case head(RestaurantID, EventSequence)
        /// A message for every tablet of a restaurant: a JSON object, ready to be sent.
        case transient(RestaurantID, payload: [UInt8])
        /// A restaurant's menu has this version.
        case menu(RestaurantID, version: Int64)
        /// Where does this connection belong?
        case locate(ConnectionID, request: UInt64)
        /// The answer: `nil` if there is no such connection.
        case located(RestaurantID?, request: UInt64)
        /// Close this connection.
        case close(ConnectionID, CloseCause, request: UInt64)
        /// The answer.
        case closed(wasThere: Bool, request: UInt64)
        /// Tell how the tablets of a restaurant are, or those of all.
        case gather(RestaurantID?, ReportForm, request: UInt64)
        /// The answer, in the form that was asked for.
        case report(body: [UInt8], request: UInt64)
    }

    /// The kinds by name.
    public enum Kind: String, CaseIterable, Sendable {
        case head, transient, menu, locate, located, close, closed, gather, report
    }

    /// What came of reading one.
    public enum Reading: Equatable, Sendable {
        case message(NodeMessage)
        /// Of a program that speaks another version.
        case otherVersion
        /// Not of any program that we know.
        case unreadable
    }

    public init(node: UInt64, _ content: Content) {
        self.node = node
        self.content = content
    }
}

extension NodeMessage.Content {
    public var kind: NodeMessage.Kind {
        switch self {
        case .head: .head
        case .transient: .transient
        case .menu: .menu
        case .locate: .locate
        case .located: .located
        case .close: .close
        case .closed: .closed
        case .gather: .gather
        case .report: .report
        }
    }
}

// MARK: Writing

extension NodeMessage {
    /// What every message of a node begins with.
    public static func beginning(of node: UInt64) -> [UInt8] {
        var text = ByteBuffer()
        text.append(beginningOf: node)
        return text.bytes()
    }

    // A `.transient` message in its parts, for who writes many: beginning, restaurant, end, payload.

    /// What a transient message of a node has before its restaurant.
    public static func relayBeginning(of node: UInt64) -> [UInt8] {
        var text = ByteBuffer()
        text.append(beginningOf: node, .transient)
        text.append(",\"restaurant\":\"")
        return text.bytes()
    }

    /// What it has between its restaurant and its payload.
    public static let relayEnd: StaticString = "\"}\n"

    /// Where the payload is in a whole text frame of a server.
    public static func relayPayload(of frame: Span<UInt8>) -> Range<Int> {
        // RFC 6455 §5.2.
        let headerBytes = frame.count < 2 || frame[1] < 126 ? 2 : frame[1] == 126 ? 4 : 10
        return min(headerBytes, frame.count)..<frame.count
    }
}

extension ByteBuffer {
    /// Appends a message as it travels.
    public mutating func append(_ message: NodeMessage) {
        append(beginningOf: message.node, message.content.kind)
        switch message.content {
        case .head(let restaurant, let head):
            append("restaurant", restaurant)
            append(",\"head\":\(head)}")
        case .transient(let restaurant, let payload):
            append("restaurant", restaurant)
            append("}\n")
            append(payload)
        case .menu(let restaurant, let version):
            append("restaurant", restaurant)
            append(",\"version\":\(version)}")
        case .locate(let connection, let request):
            append(connection)
            appendEnd(request)
        case .located(let restaurant, let request):
            append("restaurant", restaurant)
            appendEnd(request)
        case .close(let connection, let cause, let request):
            append(connection)
            append(",\"cause\":\"\(cause.rawValue)\"")
            appendEnd(request)
        case .closed(let wasThere, let request):
            append(",\"found\":\(wasThere)")
            appendEnd(request)
        case .gather(let restaurant, let form, let request):
            append("restaurant", restaurant)
            append(form == .text ? ",\"form\":\"text\"" : ",\"form\":\"json\"")
            if form == .jsonWithHistory { append(",\"history\":true") }
            appendEnd(request)
        case .report(let body, let request):
            appendEnd(request)
            append("\n")
            append(body)
        }
    }

    fileprivate mutating func append(beginningOf node: UInt64) {
        append("{\"v\":")
        append(decimal: Int64(NodeMessage.version))
        append(",\"node\":\"")
        append(hexadecimal: node)
        append("\",")
    }

    fileprivate mutating func append(beginningOf node: UInt64, _ kind: NodeMessage.Kind) {
        append(beginningOf: node)
        append("\"kind\":\"")
        append(kind.rawValue)
        append("\"")
    }

    private mutating func append(_ name: StaticString, _ restaurant: RestaurantID?) {
        append(",\"")
        append(name)
        append("\":")
        if let restaurant { append(json: restaurant.uuid) } else { append("null") }
    }

    private mutating func append(_ connection: ConnectionID) {
        append(",\"connection\":")
        append(json: connection.uuid)
    }

    private mutating func appendEnd(_ request: UInt64) {
        append(",\"request\":\"")
        append(hexadecimal: request)
        append("\"}")
    }
}

// MARK: Reading

extension NodeMessage {
    /// Reads a message that anybody may have sent. What is passed on to tablets is looked at, too: a JSON object in UTF-8.
    public static func read(_ bytes: Span<UInt8>) -> Reading {
        guard bytes.count <= maximumBytes else { return .unreadable }
        var end = 0
        while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
        let header = bytes.extracting(0..<end)
        let body = end < bytes.count ? bytes.extracting(end + 1..<bytes.count) : nil
        guard end <= headerBytes, String(validating: header) != nil else { return .unreadable }
        var fields = Fields()
        guard (try? JSON.scanObject(header, member: { fields.note($0, $1, header) })) != nil,
            let version = fields.v
        else { return .unreadable }
        guard version == NodeMessage.version else { return .otherVersion }
        guard let node = fields.node, let content = content(fields, body) else { return .unreadable }
        return .message(NodeMessage(node: node, content))
    }

    /// The members that some kind has.
    private struct Fields {
        var v: Int64?
        var node: UInt64?
        var kind: Kind?
        /// `.some(nil)`: it says null.
        var restaurant: RestaurantID??
        var head: Int64?
        var version: Int64?
        var connection: ConnectionID?
        var cause: CloseCause?
        var form: String?
        var history: Bool?
        var found: Bool?
        var request: UInt64?

        mutating func note(_ key: JSONValue, _ value: JSONValue, _ text: Span<UInt8>) {
            let string = JSON.string(value, in: text)
            switch JSON.string(key, in: text) {
            case "v": v = JSON.integer(value, in: text)
            case "node": node = string.flatMap(NodeMessage.number)
            case "kind": kind = string.flatMap { Kind(rawValue: $0) }
            case "restaurant":
                restaurant = value.kind == .null ? .some(nil) : string.flatMap { RestaurantID($0) }.map { .some($0) }
            case "head": head = JSON.integer(value, in: text)
            case "version": version = JSON.integer(value, in: text)
            case "connection": connection = string.flatMap { UUID128($0) }.flatMap { ConnectionID(uuid: $0) }
            case "cause": cause = string.flatMap { CloseCause(rawValue: $0) }
            case "form": form = string
            case "history": history = Fields.boolean(value, text)
            case "found": found = Fields.boolean(value, text)
            case "request": request = string.flatMap(NodeMessage.number)
            default: break
            }
        }

        var reportForm: ReportForm? {
            switch form {
            case "text": .text
            case "json": history == true ? .jsonWithHistory : .json
            default: nil
            }
        }

        private static func boolean(_ value: JSONValue, _ text: Span<UInt8>) -> Bool? {
            value.kind == .boolean ? text[value.positions.lowerBound] == UInt8(ascii: "t") : nil
        }
    }

    private static func content(_ fields: Fields, _ body: Span<UInt8>?) -> Content? {
        guard let kind = fields.kind else { return nil }
        let restaurant = fields.restaurant ?? nil
        switch kind {
        case .head:
            guard let restaurant, let head = fields.head, head >= 0 else { return nil }
            return .head(restaurant, head)
        case .transient:
            guard let restaurant, let body, String(validating: body) != nil,
                (try? JSON.scan(body))?.kind == .object
            else { return nil }
            return .transient(restaurant, payload: [UInt8](copying: body))
        case .menu:
            guard let restaurant, let version = fields.version, version >= 0 else { return nil }
            return .menu(restaurant, version: version)
        default: break
        }
        guard let request = fields.request else { return nil }
        switch kind {
        case .locate: return fields.connection.map { .locate($0, request: request) }
        case .located: return fields.restaurant.map { .located($0, request: request) }
        case .close:
            guard let connection = fields.connection, let cause = fields.cause else { return nil }
            return .close(connection, cause, request: request)
        case .closed: return fields.found.map { .closed(wasThere: $0, request: request) }
        case .gather:
            guard let restaurant = fields.restaurant, let form = fields.reportForm else { return nil }
            return .gather(restaurant, form, request: request)
        case .report:
            guard let body, String(validating: body) != nil else { return nil }
            return .report(body: [UInt8](copying: body), request: request)
        case .head, .transient, .menu: return nil
        }
    }

    /// Reads sixteen hexadecimal digits.
    private static func number(_ text: String) -> UInt64? {
        guard text.utf8.count == 16 else { return nil }
        var number: UInt64 = 0
        for byte in text.utf8 {
            guard let digit = hexadecimalValue(of: byte) else { return nil }
            number = number << 4 | UInt64(digit)
        }
        return number
    }
}
