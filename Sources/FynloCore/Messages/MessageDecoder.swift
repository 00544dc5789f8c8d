// Text of a frame -> ClientMessage. The envelope is read in one pass, as positions; only what a message needs is copied.

/// The envelope of a client's message. What the client writes into `restaurant_id`, `user_id`, `seq` and `timestamp` is
/// not read: identity comes from the session.
public struct ClientEnvelope: Sendable {
    /// The value of `id` as it stands; read by `commandID` where it matters.
    public let id: JSONValue?
    public let message: Result<ClientMessage, APIError>
}

/// Reads what tablets send.
public struct MessageDecoder: Sendable {
    /// Bytes of an identifier (Limits.commandIDBytes).
    public var idBytes: Int
    /// Bytes of a transient event's data (Limits.transientDataBytes).
    public var transientDataBytes: Int
    /// Bytes of `client_type`, `client_version` and `device_id` (Limits.freeTextBytes).
    public var freeTextBytes: Int

    public init(_ limits: Limits) {
        idBytes = limits.commandIDBytes
        transientDataBytes = limits.transientDataBytes
        freeTextBytes = limits.freeTextBytes
    }

    /// Reads one message. Throws when it has no readable envelope; errors of a readable one's content are its `message`,
    /// so that the refusal can name the command's id.
    public func decode(_ text: Span<UInt8>) throws(APIError) -> ClientEnvelope {
        let members = try EnvelopeMembers(text)
        return ClientEnvelope(id: members.id, message: message(members, text))
    }

    /// The identifier under which a command is answered and remembered; `nil` when it has none, or a `null` one.
    public func commandID(of envelope: ClientEnvelope, in text: Span<UInt8>) throws(APIError) -> String? {
        guard let value = envelope.id, value.kind != .null else { return nil }
        guard let id = JSON.string(value, in: text), (1...idBytes).contains(id.utf8.count), !id.utf8.contains(0) else {
            throw APIError(
                .invalidMessage, "The id of a message has to be a string of 1 to \(idBytes) bytes without NUL.")
        }
        return id
    }

    private func message(_ members: EnvelopeMembers, _ text: Span<UInt8>) -> Result<ClientMessage, APIError> {
        if members.isAmbiguous {
            return .failure(APIError(.invalidMessage, "The message has type or data more than once; send each once."))
        }
        guard let type = members.type, type.kind == .string else {
            return .failure(
                APIError(.invalidMessage, "The message has no type; send {\"type\":\"…\",\"data\":{…}}."))
        }
        // The most frequent first.
        if JSON.equals(type, ClientMessageType.ping.name, in: text) {
            return .success(ping(members.data, text))
        }
        if JSON.equals(type, ClientMessageType.pong.name, in: text) { return .success(.pong) }
        if JSON.equals(type, ClientMessageType.orderStatusUpdate.name, in: text) {
            return Result { () throws(APIError) in .orderStatusUpdate(try orderStatusUpdate(members.data, text)) }
        }
        if JSON.equals(type, ClientMessageType.authenticate.name, in: text) {
            return .success(.authenticate(authenticate(members, text)))
        }
        if JSON.equals(type, ClientMessageType.reauthenticate.name, in: text) {
            let fields = AuthenticationFields(members, text)
            return .success(.reauthenticate(token: fields.required(fields.token, text)))
        }
        guard let event = TransientEventType(type, in: text) else {
            return .failure(
                APIError(
                    .unknownType,
                    "The type of the message is unknown; known are ping, reauth, order.status_update, kitchen.* and table.*."
                ))
        }
        guard let data = members.data, data.kind == .object else {
            return .failure(APIError(.invalidMessage, "The data of \(event.name) has to be a JSON object."))
        }
        guard data.positions.count <= transientDataBytes else {
            return .failure(
                APIError(
                    .invalidMessage, "The data of \(event.name) is larger than \(transientDataBytes) bytes."))
        }
        return .success(.transient(event, data: data.positions))
    }

    private func ping(_ data: JSONValue?, _ text: Span<UInt8>) -> ClientMessage {
        guard let data, data.kind != .null else {
            return .ping(data: nil, lastSequence: nil, roundTripMilliseconds: nil)
        }
        var lastSequence: EventSequence?
        var roundTrip: UInt32?
        if data.kind == .object {
            scanMembers(data, text) { key, value in
                if JSON.equals(key, "last_seq", in: text) {
                    lastSequence = JSON.integer(value, in: text)
                } else if JSON.equals(key, "rtt_ms", in: text) {
                    roundTrip = MessageDecoder.milliseconds(value, text)
                }
            }
        }
        return .ping(data: data.positions, lastSequence: lastSequence, roundTripMilliseconds: roundTrip)
    }

    /// A duration in milliseconds of less than an hour, what comes after the decimal point cut off; anything else counts as
    /// absent.
    private static func milliseconds(_ value: JSONValue, _ text: Span<UInt8>) -> UInt32? {
        guard value.kind == .number else { return nil }
        var number: UInt32 = 0
        for position in value.positions {
            let byte = text[position]
            if byte == UInt8(ascii: ".") { break }
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), number < 360_000 else { return nil }
            number = number * 10 + UInt32(byte - UInt8(ascii: "0"))
        }
        return number < 3_600_000 ? number : nil
    }

    private func orderStatusUpdate(
        _ data: JSONValue?, _ text: Span<UInt8>
    ) throws(APIError) -> OrderStatusUpdate {
        guard let data, data.kind == .object else {
            throw APIError(.invalidMessage, "The data of order.status_update has to be a JSON object.")
        }
        var order: OrderID?
        var status: OrderStatus?
        var version: JSONValue?
        scanMembers(data, text) { key, value in
            if JSON.equals(key, "order_id", in: text) {
                order = JSON.string(value, in: text).flatMap(OrderID.init)
            } else if JSON.equals(key, "status", in: text) {
                status = JSON.string(value, in: text).flatMap(OrderStatus.init)
            } else if JSON.equals(key, "expected_version", in: text) {
                version = value.kind == .null ? nil : value
            }
        }
        guard let order else { throw APIError(.invalidMessage, "order_id is missing or not a UUID.") }
        guard let status else {
            throw APIError(.invalidMessage, "status is missing or unknown; it is one of \(OrderStatus.names).")
        }
        var expectedVersion: Int32?
        if let version {
            expectedVersion = JSON.integer(version, in: text).flatMap { Int32(exactly: $0) }
            guard let expectedVersion, expectedVersion >= 1 else {
                throw APIError(.invalidMessage, "expected_version has to be a whole number of 1 or more.")
            }
        }
        return OrderStatusUpdate(order: order, status: status, expectedVersion: expectedVersion)
    }

    private func authenticate(_ members: EnvelopeMembers, _ text: Span<UInt8>) -> AuthenticationRequest? {
        let fields = AuthenticationFields(members, text)
        guard let token = fields.required(fields.token, text), let user = fields.required(fields.user, text),
            let restaurant = fields.required(fields.restaurant, text)
        else { return nil }
        return AuthenticationRequest(
            token: token, user: user, restaurant: restaurant,
            clientType: freeText(fields.clientType, text),
            clientVersion: freeText(fields.clientVersion, text),
            deviceID: freeText(fields.deviceID, text),
            lastSequence: fields.lastSequence.flatMap { JSON.integer($0, in: text) })
    }

    /// Optional free text; too long, empty or mistyped counts as absent.
    private func freeText(_ value: JSONValue?, _ text: Span<UInt8>) -> String? {
        guard let value, let string = JSON.string(value, in: text), (1...freeTextBytes).contains(string.utf8.count)
        else { return nil }
        return string
    }
}

/// The members of the envelope that are looked at, by place.
private struct EnvelopeMembers {
    var type: JSONValue?
    var id: JSONValue?
    var data: JSONValue?
    /// `type` or `data` is there more than once: two readers may read two messages.
    let isAmbiguous: Bool
    /// The message itself.
    let whole: JSONValue

    init(_ text: Span<UInt8>) throws(APIError) {
        var type: JSONValue?
        var id: JSONValue?
        var data: JSONValue?
        var isAmbiguous = false
        var hasTwoIDs = false
        do {
            whole = try JSON.scanObject(text) { key, value in
                if JSON.equals(key, "type", in: text) {
                    if type != nil { isAmbiguous = true }
                    type = value
                } else if JSON.equals(key, "id", in: text) {
                    if id != nil { hasTwoIDs = true }
                    id = value
                } else if JSON.equals(key, "data", in: text) {
                    if data != nil { isAmbiguous = true }
                    data = value
                }
            }
        } catch {
            switch error {
            case .malformed(let position):
                throw APIError(.invalidMessage, "The message is not valid JSON from byte \(position) on.")
            case .tooDeep(let limit):
                throw APIError(.invalidMessage, "The message is nested deeper than \(limit) levels.")
            case .notAnObject:
                throw APIError(.invalidMessage, "The message has to be one JSON object.")
            }
        }
        if hasTwoIDs { throw APIError(.invalidMessage, "The message has its id more than once; send it once.") }
        self.isAmbiguous = isAmbiguous
        self.type = type
        self.id = id
        self.data = data
    }
}

/// The fields of `authenticate`, each looked for in `data` first and then at the top level.
private struct AuthenticationFields {
    var token: JSONValue?
    var user: JSONValue?
    var restaurant: JSONValue?
    var clientType: JSONValue?
    var clientVersion: JSONValue?
    var deviceID: JSONValue?
    var lastSequence: JSONValue?

    init(_ members: EnvelopeMembers, _ text: Span<UInt8>) {
        if let data = members.data, data.kind == .object {
            scanMembers(data, text) { read($0, $1, text) }
        }
        var top = AuthenticationFields()
        scanMembers(members.whole, text) { top.read($0, $1, text) }
        token = usable(token, or: top.token)
        user = usable(user, or: top.user)
        restaurant = usable(restaurant, or: top.restaurant)
        clientType = usable(clientType, or: top.clientType)
        clientVersion = usable(clientVersion, or: top.clientVersion)
        deviceID = usable(deviceID, or: top.deviceID)
        if lastSequence?.kind != .number { lastSequence = top.lastSequence }
    }

    private init() {}

    private mutating func read(_ key: JSONValue, _ value: JSONValue, _ text: Span<UInt8>) {
        if JSON.equals(key, "token", in: text) {
            token = value
        } else if JSON.equals(key, "user_id", in: text) {
            user = value
        } else if JSON.equals(key, "restaurant_id", in: text) {
            restaurant = value
        } else if JSON.equals(key, "client_type", in: text) {
            clientType = value
        } else if JSON.equals(key, "client_version", in: text) {
            clientVersion = value
        } else if JSON.equals(key, "device_id", in: text) {
            deviceID = value
        } else if JSON.equals(key, "last_seq", in: text) {
            lastSequence = value
        }
    }

    /// Null, empty or mistyped counts as missing, so the other layout's field gets its chance.
    private func usable(_ value: JSONValue?, or other: JSONValue?) -> JSONValue? {
        if let value, value.kind == .string, !value.content.isEmpty { return value }
        return other
    }

    func required(_ value: JSONValue?, _ text: Span<UInt8>) -> String? {
        guard let value, let string = JSON.string(value, in: text), !string.isEmpty else { return nil }
        return string
    }
}

/// Reads the members of an object that was scanned before, and so cannot fail.
private func scanMembers(
    _ object: JSONValue, _ text: Span<UInt8>, _ member: (JSONValue, JSONValue) -> Void
) {
    do {
        try JSON.scanMembers(of: object, in: text, member: member)
    } catch {
        preconditionFailure("an object that was scanned before is valid: \(error)")
    }
}
