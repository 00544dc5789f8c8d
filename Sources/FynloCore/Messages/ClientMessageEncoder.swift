// Writing what a client says, as bytes, straight into its frame: the mirror of MessageEncoder.

/// Who a client is and what it wants: all that its upgrade and its first message say.
public struct ClientIdentity: Sendable {
    /// The Host field: host and port as in the URL.
    public var authority: String
    /// What stands before `/api/v1/…` in the path, for servers behind a proxy; usually empty.
    public var pathPrefix: String
    public var restaurant: RestaurantID
    public var client: ClientType
    public var user: UserID
    /// The JWT. Never written anywhere but into `authenticate`.
    public var token: String
    /// What this device calls itself, so that its newest connection replaces its older one.
    public var deviceID: String?
    /// Free text for diagnostics.
    public var clientVersion: String?

    public init(
        authority: String, pathPrefix: String = "", restaurant: RestaurantID, client: ClientType, user: UserID,
        token: String, deviceID: String? = nil, clientVersion: String? = nil
    ) {
        self.authority = authority
        self.pathPrefix = pathPrefix
        self.restaurant = restaurant
        self.client = client
        self.user = user
        self.token = token
        self.deviceID = deviceID
        self.clientVersion = clientVersion
    }

    /// The target of the upgrade request.
    var target: String { "\(pathPrefix)/api/v1/websocket/ws/\(client.rawValue)/\(restaurant)" }
}

/// Writes whole messages of a client, with the envelope's five members.
enum ClientMessageEncoder {
    /// `authenticate` with everything in `data`. With `lastSequence` the events after it are asked for.
    static func appendAuthenticate(
        _ identity: ClientIdentity, lastSequence: EventSequence?, id: String, at time: UnixTime,
        to output: inout ByteBuffer
    ) {
        append("authenticate", id: id, restaurant: identity.restaurant, at: time, to: &output) { output in
            output.append("{\"token\":")
            output.append(jsonString: identity.token)
            output.append(",\"user_id\":")
            output.append(json: identity.user.uuid)
            output.append(",\"restaurant_id\":")
            output.append(json: identity.restaurant.uuid)
            output.append(",\"client_type\":")
            output.append(jsonString: identity.client.rawValue)
            if let version = identity.clientVersion {
                output.append(",\"client_version\":")
                output.append(jsonString: version)
            }
            if let device = identity.deviceID {
                output.append(",\"device_id\":")
                output.append(jsonString: device)
            }
            if let lastSequence {
                output.append(",\"last_seq\":")
                output.append(decimal: lastSequence)
            }
            output.append("}")
        }
    }

    /// `ping`: tells how far we have applied the events, and how long the last answer took.
    static func appendPing(
        lastSequence: EventSequence?, roundTrip: Duration?, id: String, restaurant: RestaurantID, at time: UnixTime,
        to output: inout ByteBuffer
    ) {
        append("ping", id: id, restaurant: restaurant, at: time, to: &output) { output in
            output.append("{\"timestamp\":")
            output.append(json: time)
            if let lastSequence {
                output.append(",\"last_seq\":")
                output.append(decimal: lastSequence)
            }
            if let roundTrip {
                output.append(",\"rtt_ms\":")
                output.append(decimal: roundTrip.inMilliseconds)
            }
            output.append("}")
        }
    }

    /// `pong`, the answer to the server's `ping`.
    static func appendPong(id: String, restaurant: RestaurantID, at time: UnixTime, to output: inout ByteBuffer) {
        append("pong", id: id, restaurant: restaurant, at: time, to: &output) { output in
            output.append("{\"timestamp\":")
            output.append(json: time)
            output.append("}")
        }
    }

    /// Any message; `writeData` appends the JSON value of `data`.
    static func append(
        _ type: String, id: String, restaurant: RestaurantID, at time: UnixTime, to output: inout ByteBuffer,
        _ writeData: (inout ByteBuffer) -> Void
    ) {
        output.append("{\"id\":")
        output.append(jsonString: id)
        output.append(",\"type\":")
        output.append(jsonString: type)
        output.append(",\"data\":")
        writeData(&output)
        output.append(",\"restaurant_id\":")
        output.append(json: restaurant.uuid)
        output.append(",\"timestamp\":")
        output.append(json: time)
        output.append("}")
    }
}
