// ServerMessage and events -> text, appended as bytes straight into the frame.

/// Writes the envelope around what the server says: `id`, `type`, `data`, `restaurant_id`, `timestamp`, always all five.
public enum MessageEncoder {
    /// Appends a message to one tablet.
    public static func append(
        _ message: ServerMessage, id: MessageID, restaurant: RestaurantID, at time: UnixTime,
        to output: inout ByteBuffer
    ) {
        begin(message.type.name, id, &output)
        appendData(of: message, at: time, &output)
        end(restaurant, time, &output)
        output.append("}")
    }

    /// Room for a `pong` without its echo: 121 bytes of literals, two times, a UUID, and an identifier of 58 bytes at most.
    public static let pongBytes = 300

    /// Writes `pong`; `echo` is the ping's `data` as it stood, if it had any. By far the most frequent message: it is
    /// written in one go.
    @inline(__always)
    public static func appendPong(
        echo: Span<UInt8>?, id: MessageID, restaurant: RestaurantID, at time: UnixTime, to output: inout ByteWriter
    ) {
        let time = RFC3339Text(time)
        output.append("{\"id\":\"")
        append(id, to: &output)
        output.append("\",\"type\":\"pong\",\"data\":{\"timestamp\":\"")
        output.append(time)
        output.append("\"")
        if let echo {
            output.append(",\"echo\":")
            output.append(echo)
        }
        output.append("},\"restaurant_id\":\"")
        output.append(restaurant.uuid)
        output.append("\",\"timestamp\":\"")
        output.append(time)
        output.append("\"}")
    }

    /// A transient event as it is relayed, a text frame: `data` equal in JSON, and the sender's `user_id` beside it.
    public static func transientFrame(
        _ event: TransientEventType, data: Span<UInt8>, user: UserID, id: MessageID, restaurant: RestaurantID,
        at time: UnixTime
    ) -> ByteBuffer {
        guard JSON.isSafe(data) else {
            var safe = ByteBuffer(capacity: data.count * 2)
            safe.append(safeJSON: data)
            return safe.withReadable {
                transientFrame(event, safeData: $0, user: user, id: id, restaurant: restaurant, at: time)
            }
        }
        return transientFrame(event, safeData: data, user: user, id: id, restaurant: restaurant, at: time)
    }

    /// Beside the data: 74 bytes of literals, an identifier of 58 bytes and a name of 20 at most, two UUIDs and a time.
    private static let transientBytes = 256

    private static func transientFrame(
        _ event: TransientEventType, safeData data: Span<UInt8>, user: UserID, id: MessageID,
        restaurant: RestaurantID, at time: UnixTime
    ) -> ByteBuffer {
        var frame = ByteBuffer()
        WebSocketFrameEncoder.appendTextFrame(to: &frame, payloadAtMost: transientBytes + data.count) { output in
            output.append("{\"id\":\"")
            append(id, to: &output)
            output.append("\",\"type\":\"")
            output.append(event.name)
            output.append("\",\"data\":")
            output.append(data)
            output.append(",\"restaurant_id\":\"")
            output.append(restaurant.uuid)
            output.append("\",\"timestamp\":\"")
            output.append(RFC3339Text(time))
            output.append("\",\"user_id\":\"")
            output.append(user.uuid)
            output.append("\"}")
        }
        return frame
    }

    /// Appends a durable event, with its `seq`.
    public static func append(_ event: DurableEvent, to output: inout ByteBuffer) {
        output.append("{\"id\":")
        append(.event(event.restaurant, event.sequence), &output)
        output.append(",\"type\":")
        output.append(jsonString: event.type)
        output.append(",\"data\":")
        // As with transient events: a notification's text stays text wherever a page embeds it.
        output.append(safeJSON: event.data.span)
        end(event.restaurant, event.createdAt, &output)
        output.append(",\"seq\":")
        output.append(decimal: event.sequence)
        output.append("}")
    }

    private static func begin(_ type: StaticString, _ id: MessageID, _ output: inout ByteBuffer) {
        output.append("{\"id\":")
        append(id, &output)
        output.append(",\"type\":\"")
        output.append(type)
        output.append("\",\"data\":")
    }

    private static func end(_ restaurant: RestaurantID, _ time: UnixTime, _ output: inout ByteBuffer) {
        output.append(",\"restaurant_id\":")
        output.append(json: restaurant.uuid)
        output.append(",\"timestamp\":")
        output.append(json: time)
    }

    private static func append(_ id: MessageID, _ output: inout ByteBuffer) {
        output.write(atMost: 60) { text in
            text.append("\"")
            append(id, to: &text)
            text.append("\"")
        }
    }

    /// At most 58 bytes.
    @inline(__always)
    private static func append(_ id: MessageID, to text: inout ByteWriter) {
        switch id {
        case .direct(let connection, let number):
            text.append(hexadecimal: connection.node)
            text.append("-")
            text.append(decimal: connection.number)
            text.append("-")
            text.append(decimal: number)
        case .event(let restaurant, let sequence):
            text.append(restaurant.uuid)
            text.append("-")
            text.append(decimal: sequence)
        }
    }

    private static func appendData(of message: ServerMessage, at time: UnixTime, _ output: inout ByteBuffer) {
        switch message {
        case .authenticated(let data):
            append(data, &output)
        case .authenticationError(let failure, let retryAfter):
            output.append("{\"error\":")
            output.append(jsonString: failure.sentence)
            output.append(",\"code\":\"")
            output.append(failure.code)
            output.append(failure.isRetryable ? "\",\"retryable\":true" : "\",\"retryable\":false")
            append(retryAfter: retryAfter, &output)
            output.append("}")
        case .ping:
            output.append("{\"timestamp\":")
            output.append(json: time)
            output.append("}")
        case .tokenExpiring(let seconds):
            output.append("{\"seconds_until_expiry\":")
            output.append(decimal: seconds)
            output.append("}")
        case .acknowledgement(let id, let sequence):
            output.append("{\"id\":")
            output.append(jsonString: id)
            if let sequence {
                output.append(",\"seq\":")
                output.append(decimal: sequence)
            }
            output.append("}")
        case .error(let error, let id):
            output.append("{\"code\":\"")
            output.append(error.code.rawValue)
            output.append("\",\"error\":")
            output.append(jsonString: error.detail)
            if let id {
                output.append(",\"id\":")
                output.append(jsonString: id)
            }
            if let order = error.order {
                output.append(",\"order\":")
                output.append(order)
            }
            append(retryAfter: error.retryAfter, &output)
            output.append("}")
        case .resyncRequired(let head):
            output.append("{\"seq\":")
            output.append(decimal: head)
            output.append("}")
        case .reconnect(let retryAfter):
            output.append("{\"retry_after_ms\":")
            output.append(decimal: retryAfter.inMilliseconds)
            output.append("}")
        }
    }

    private static func append(_ data: Authenticated, _ output: inout ByteBuffer) {
        output.append("{\"user_id\":")
        output.append(json: data.user.uuid)
        output.append(",\"restaurant_id\":")
        output.append(json: data.restaurant.uuid)
        output.append(",\"connection_id\":")
        output.append(json: data.connection)
        output.append(",\"role\":\"")
        output.append(data.role.rawValue)
        output.append("\",\"seq\":")
        output.append(decimal: data.sequence)
        output.append(",\"heartbeat_interval_ms\":")
        output.append(decimal: data.heartbeatInterval.inMilliseconds)
        output.append(",\"token_expires_at\":")
        output.append(json: data.tokenExpiresAt)
        output.append(data.isResumed ? ",\"resumed\":true}" : ",\"resumed\":false}")
    }

    private static func append(retryAfter: Duration?, _ output: inout ByteBuffer) {
        guard let retryAfter else { return }
        // Rounded up: who comes back a fraction of a millisecond early is refused again.
        let milliseconds = (retryAfter + .nanoseconds(999_999)).inMilliseconds
        output.append(",\"retry_after_ms\":")
        output.append(decimal: max(1, milliseconds))
    }
}

extension EventFrame {
    /// What an event usually has beside its data.
    private static let envelopeBytes = 256

    /// Encodes an event.
    public init(_ event: DurableEvent) {
        var frame = ByteBuffer(capacity: event.data.count + EventFrame.envelopeBytes)
        WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { MessageEncoder.append(event, to: &$0) }
        self.init(
            sequence: event.sequence, frame: frame, menuVersion: event.menuVersion, createdAt: event.createdAt)
    }
}

extension ByteBuffer {
    /// Appends a time as a JSON string: RFC 3339 in UTC with milliseconds.
    public mutating func append(json time: UnixTime) {
        append("\"")
        append(rfc3339: time)
        append("\"")
    }
}
