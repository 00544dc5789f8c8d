// A word to everybody in a restaurant, from its managers.

/// The body of `POST /api/v1/notifications`: it becomes the `data` of a `system.notification` event.
public struct Notification: Equatable, Sendable {
    public let restaurant: RestaurantID
    public let title: String
    public let message: String
    /// A JSON object, for programs; empty if none was sent.
    public let data: [UInt8]

    /// Reads and checks a request's body.
    public init(_ request: HTTPRequest, limits: Limits) throws(APIError) {
        let body = try RequestBody(request, names: ["restaurant_id", "title", "message", "data"], limits: limits)
        restaurant = RestaurantID(try body.required("restaurant_id", body.uuid("restaurant_id")))
        title = try body.required("title", body.text("title", bytes: 1...limits.nameBytes))
        message = try body.required("message", body.text("message", bytes: 1...limits.noteBytes))
        data = try body.json("data", .object, bytes: limits.transientDataBytes) ?? Array("{}".utf8)
    }

    /// The event's data: one JSON object.
    public var json: String {
        var output = ByteBuffer()
        output.append("{\"title\":")
        output.append(jsonString: title)
        output.append(",\"message\":")
        output.append(jsonString: message)
        output.append(",\"data\":")
        output.append(data)
        output.append("}")
        return output.withReadable { String(validating: $0) } ?? ""
    }
}
